//! What each type should say, by its definition over the operations that a replica knows and what those knew.
use super::*;

/// An operation: who did what, and which operations it knew.
#[derive(Debug)]
pub(super) struct Op {
    pub(super) replica: usize,
    pub(super) op: (u8, u8),
    pub(super) seen: BTreeSet<usize>,
    pub(super) seq: u64,
    pub(super) millis: u64,
}

impl Op {
    /// As in the total order: the names are in the order of the replicas.
    fn order(&self) -> (u64, usize) {
        (self.millis, self.replica)
    }

    fn value(&self) -> u64 {
        u64::from(self.op.1 % 4)
    }
}

/// The known ones of all operations.
fn known<'o>(ops: &'o [Op], known: &'o BTreeSet<usize>) -> impl Iterator<Item = &'o Op> + Clone {
    known.iter().map(|&op| &ops[op])
}

/// Whether `later` replaced `earlier`: it knew it, or knew one that had replaced it. Only operations that `concerns` is
/// true of replace and are replaced.
fn replaced(ops: &[Op], earlier: usize, later: usize, concerns: &impl Fn(&Op) -> bool) -> bool {
    let seen = &ops[later].seen;
    seen.contains(&earlier)
        || seen.iter().any(|&between| concerns(&ops[between]) && replaced(ops, earlier, between, concerns))
}

/// Whether with each operation those are known that it knew. Where deltas overtake each other a state may meanwhile show
/// what had been replaced already, or more than it knows: a delta also holds what it leaves of an event.
fn closed(ops: &[Op], of: &BTreeSet<usize>) -> bool {
    let closed = |of: &BTreeSet<usize>| known(ops, of).all(|op| op.seen.is_subset(of));
    closed(of) && known(ops, of).all(|op| closed(&op.seen))
}

impl Sample for Lww<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        self.write(who.stamp(), u64::from(op.1 % 4))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.value())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        Some(format!("{:?}", known(ops, of).max_by_key(|op| op.order()).map(Op::value).as_ref()))
    }
}

impl Sample for Max<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        self.put(who.stamp(), u64::from(op.1 % 4))
    }

    fn shown(&self) -> String {
        format!("{:?} {:?}", self.value(), self.stamp().map(|stamp| (stamp.hlc.millis(), stamp.replica.to_string())))
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        let best = known(ops, of).max_by_key(|op| (op.value(), op.order()));
        let stamp = best.map(|op| (op.millis, format!("r{}", op.replica)));
        Some(format!("{:?} {stamp:?}", best.map(Op::value).as_ref()))
    }
}

impl Sample for Min<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        self.put(who.stamp(), u64::from(op.1 % 4))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.value())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        Some(format!("{:?}", known(ops, of).map(Op::value).min().as_ref()))
    }
}

impl Sample for LwwMap<u64, u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        match op.0 % 3 {
            0 => self.remove(who.stamp(), u64::from(op.1 % 4)),
            _ => self.put(who.stamp(), u64::from(op.1 % 4), u64::from(op.0)),
        }
    }

    fn shown(&self) -> String {
        format!("{:?}", self.iter().collect::<Vec<_>>())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        let last = |key: u64| known(ops, of).filter(|op| op.value() == key).max_by_key(|op| op.order());
        let there = (0..4).filter_map(|key| last(key).filter(|op| op.op.0 % 3 != 0).map(|op| (key, op.op.0)));
        Some(format!("{:?}", there.collect::<Vec<_>>()))
    }
}

/// The steps that count where these are known: a total stands for all steps of its actor before it.
fn counted<'o>(ops: &'o [Op], of: &'o BTreeSet<usize>) -> impl Iterator<Item = &'o Op> {
    ops.iter().filter(|step| known(ops, of).any(|op| op.replica == step.replica && op.seq >= step.seq && !resets(op)))
}

fn resets(op: &Op) -> bool {
    op.op.0.is_multiple_of(4)
}

impl Sample for GCounter {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        let dot = who.dot();
        if op.0.is_multiple_of(4) { self.reset() } else { self.add(dot, u64::from(op.1)).unwrap_or_default() }
    }

    fn shown(&self) -> String {
        self.value().to_string()
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        let left = unreset(ops, of).map(|op| u64::from(op.op.1)).sum::<u64>();
        Some(left.to_string())
    }
}

impl Sample for PnCounter {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        let dot = who.dot();
        if op.0.is_multiple_of(4) { self.reset() } else { self.add(dot, i64::from(op.1) - 100).unwrap_or_default() }
    }

    fn shown(&self) -> String {
        self.value().to_string()
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        Some(unreset(ops, of).map(|op| i64::from(op.op.1) - 100).sum::<i64>().to_string())
    }
}

/// The steps that count and that no known reset knew.
fn unreset<'o>(ops: &'o [Op], of: &'o BTreeSet<usize>) -> impl Iterator<Item = &'o Op> {
    counted(ops, of).filter(|op| !resets(op)).filter(move |step| {
        let mut resets = known(ops, of).filter(|op| resets(op));
        !resets.any(|reset| counted(ops, &reset.seen).any(|op| std::ptr::eq(op, *step)))
    })
}

impl Sample for BoundedCounter {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        let to = who.actors.get(&format!("r{}", op.0 % 3)).unwrap();
        let (dot, amount) = (who.dot(), u64::from(op.1));
        match op.0 / 3 % 3 {
            0 => self.add(dot, amount).unwrap_or_default(),
            1 => self.take(dot, amount / 2).unwrap_or_default(),
            _ => self.send(dot, to, amount / 3).unwrap_or_default(),
        }
    }

    fn shown(&self) -> String {
        // Nobody takes what is not there, and the rights of all are what is left.
        let actors: BTreeSet<Actor> = (0..3).map(Actor).collect();
        let rights: u128 = actors.iter().map(|actor| self.rights(*actor)).sum();
        format!("{}", rights <= self.value())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        // With everything known.
        (of.len() == ops.len()).then(|| "true".to_owned())
    }
}

impl Sample for OrSet<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        let value = u64::from(op.1 % 4);
        match op.0 % 3 {
            0 => self.remove(&value),
            1 => self.add(who.dot(), [value]).unwrap_or_default(),
            _ => self.add(who.dot(), [value, (value + 1) % 4]).unwrap_or_default(),
        }
    }

    fn shown(&self) -> String {
        for value in 0..4 {
            assert_eq!(self.contains(&value), self.iter().any(|element| *element == value));
        }
        format!("{:?}", self.iter().collect::<Vec<_>>())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        if !closed(ops, of) {
            return None;
        }
        let concerns = |op: &Op, value| op.value() == value || (op.op.0 % 3 == 2 && (op.value() + 1) % 4 == value);
        let there = |value: &u64| {
            let concerns = |op: &Op| concerns(op, *value);
            let mut adds = of.iter().filter(|op| concerns(&ops[**op]) && !ops[**op].op.0.is_multiple_of(3));
            // Some addition that nothing known replaced.
            adds.any(|&add| {
                let mut others = of.iter().filter(|other| concerns(&ops[**other]));
                !others.any(|&other| replaced(ops, add, other, &concerns))
            })
        };
        Some(format!("{:?}", (0..4).filter(there).collect::<Vec<u64>>()))
    }
}

impl Sample for Mv<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        self.write(who.dot(), u64::from(op.1))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.values())
    }

    fn expected(ops: &[Op], of: &BTreeSet<usize>) -> Option<String> {
        if !closed(ops, of) {
            return None;
        }
        let left = of.iter().filter(|write| !of.iter().any(|other| replaced(ops, **write, *other, &|_| true)));
        Some(format!("{:?}", left.map(|&write| u64::from(ops[write].op.1)).collect::<BTreeSet<_>>()))
    }
}

impl Sample for Versioned<u64> {
    fn step(&mut self, who: &mut Who, op: (u8, u8)) -> Self {
        // Based on what stands, on one that lost, or on nothing; now and then one that lost is settled.
        let losers: Vec<Dot> = self.losers().iter().map(|loser| loser.dot).collect();
        let base = match op.0 % 4 {
            0 => None,
            1 => losers.last().copied(),
            2 if !losers.is_empty() => return self.settle(losers[0]),
            _ => self.current().map(|version| version.dot),
        };
        self.write(who.dot(), who.stamp(), base, u64::from(op.1))
    }

    fn shown(&self) -> String {
        format!("{:?}", self.current().map(|version| *version.value))
    }
}
