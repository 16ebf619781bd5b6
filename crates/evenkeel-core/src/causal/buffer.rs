//! The buffer itself: offering, delivering, waking, expiring, and what operators declare.
use super::{
    Arrival, Delivered, Known, Limits, Mark, Progress, Refusal, SourceProgress, Undeclarable, Undelivered, Verdict,
    lane::{Cell, FAR_BYTES, HOLE_BYTES, Lane},
    slots::{NONE, Parked, SlotId, Slots},
};
use crate::{
    clock::{Actor, Dot, VectorClock},
    time::Timestamp,
};
use std::collections::{BTreeMap, VecDeque};

/// Delivers events in causal order. See the [module](super) for how.
///
/// ```
/// use evenkeel_core::{Timestamp, causal::{Arrival, CausalBuffer, Limits, Mark, Verdict}};
/// use evenkeel_core::clock::{Actors, Dot, VectorClock};
/// let mut actors = Actors::default();
/// let mut arrival = |text: &str, actor: &str, payload: &'static str| {
///     let clock = VectorClock::from_text(text, &mut actors, 16).expect("a clock");
///     let actor = actors.get(actor).expect("it is in its clock");
///     let dot = Dot::new(actor, clock.get(actor));
///     Arrival { dot, clock, mark: Mark(dot.seq.into()), bytes: payload.len(), payload }
/// };
/// let (paid, created) = (arrival("payments=1,shop=1", "payments", "paid"), arrival("shop=1", "shop", "created"));
///
/// let mut buffer = CausalBuffer::new(Limits::default());
/// let (now, mut delivered) = (Timestamp::from_micros(0), Vec::new());
/// assert_eq!(buffer.offer(now, paid, &mut delivered), Verdict::Waiting { on: created.dot });
/// assert_eq!(buffer.offer(now, created, &mut delivered), Verdict::Delivered);
/// assert_eq!(delivered.iter().map(|d| d.arrival.payload).collect::<Vec<_>>(), ["created", "paid"]);
/// ```
#[derive(Debug)]
pub struct CausalBuffer<E> {
    limits: Limits,
    /// By actor: everything up to this counts as met.
    reach: Vec<u64>,
    lanes: Vec<Lane>,
    slots: Slots<E>,
    /// Events behind the front that wait as exceptions.
    late: BTreeMap<Dot, SlotId>,
    /// Those to be delivered, in order.
    ready: VecDeque<SlotId>,
    /// Bytes of waiting events and what they cost.
    event_bytes: usize,
    /// Bytes of the lanes.
    lane_bytes: usize,
    /// The greatest time told.
    now: Timestamp,
}

impl<E> CausalBuffer<E> {
    /// A buffer to which nothing was delivered yet.
    pub fn new(limits: Limits) -> Self {
        let remember = limits.remember.next_power_of_two();
        Self {
            limits: Limits { remember, max_bytes: limits.max_bytes.min(usize::MAX / 2), ..limits },
            reach: Vec::new(),
            lanes: Vec::new(),
            slots: Slots::default(),
            late: BTreeMap::new(),
            ready: VecDeque::new(),
            event_bytes: 0,
            lane_bytes: 0,
            now: Timestamp::default(),
        }
    }

    /// A buffer that goes on where another was: what waited there is to be offered again, and
    /// then [`CausalBuffer::settle`] to be called.
    pub fn resume(limits: Limits, progress: &Progress) -> Self {
        let mut buffer = Self::new(limits);
        for (&actor, source) in &progress.0 {
            let at = buffer.lane(actor);
            let lane = &mut buffer.lanes[at];
            lane.first = source.first;
            lane.front = source.passed.saturating_add(1).max(source.first);
            lane.sealed = source.sealed;
            for &(first, last) in &source.holes {
                lane.holes.insert(first, last);
            }
            buffer.lane_bytes += buffer.lanes[at].bytes();
            buffer.reach[at] = buffer.lanes[at].front - 1;
            buffer.seal_if_passed(at);
        }
        buffer
    }

    /// What it has passed, to go on from. Sources of which nothing is known are left out.
    pub fn progress(&self) -> Progress {
        let known = |lane: &&Lane| lane.front > 1 || lane.first > 1 || lane.sealed.is_some() || !lane.holes.is_empty();
        let of = |lane: &Lane| SourceProgress {
            first: lane.first,
            passed: lane.front - 1,
            sealed: lane.sealed,
            holes: lane.holes.iter().collect(),
        };
        let lanes = (0..).map(Actor).zip(&self.lanes).filter(|(_, lane)| known(lane));
        Progress(lanes.map(|(actor, lane)| (actor, of(lane))).collect())
    }

    /// How many events of each actor were passed: delivered, or declared not to come.
    pub fn delivered(&self) -> VectorClock {
        let passed = (0..).map(Actor).zip(self.lanes.iter().map(|lane| lane.front - 1));
        VectorClock::new(passed).unwrap_or_default()
    }

    /// How many events of `actor` were passed.
    pub fn passed(&self, actor: Actor) -> u64 {
        self.lanes.get(actor.index()).map_or(0, |lane| lane.front - 1)
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in use: waiting events with all that they cost, and holes. What it costs to know an actor at all, and to
    /// remember what it sent last, is apart: it depends on the number of actors alone.
    pub fn bytes(&self) -> usize {
        self.event_bytes + self.lane_bytes
    }

    /// The events that wait, oldest first, each with when it came and what it waits for.
    pub fn waiting(&self) -> impl Iterator<Item = (&Arrival<E>, Timestamp, Vec<Dot>)> {
        self.slots.iter().map(|slot| (&slot.arrival, slot.since, self.unmet(&slot.arrival)))
    }

    /// When the next event expires, if any waits.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.slots.oldest().map(|(_, slot)| slot.since.plus(self.limits.timeout))
    }

    /// Everything the event waits for.
    fn unmet(&self, arrival: &Arrival<E>) -> Vec<Dot> {
        let own = arrival.dot;
        let needed = arrival.clock.iter().map(|(actor, seq)| Dot::new(actor, seq - u64::from(actor == own.actor)));
        needed.filter(|dot| self.reached(dot.actor) < dot.seq).collect()
    }

    fn reached(&self, actor: Actor) -> u64 {
        self.reach.get(actor.index()).copied().unwrap_or(0)
    }

    /// The lane of an actor, made if need be.
    #[inline]
    fn lane(&mut self, actor: Actor) -> usize {
        let at = actor.index();
        if at >= self.lanes.len() {
            self.lanes.resize_with(at + 1, Lane::default);
            self.reach.resize(at + 1, 0);
        }
        at
    }

    /// An event arrives at `now`. What is delivered by it, and by what it wakes, is appended to `out` in an order that
    /// respects causes.
    pub fn offer(&mut self, now: Timestamp, arrival: Arrival<E>, out: &mut Vec<Delivered<E>>) -> Verdict<E> {
        self.now = self.now.max(now);
        let Dot { actor, seq } = arrival.dot;
        if seq == 0 || seq == u64::MAX || arrival.clock.get(actor) != seq {
            return Verdict::Refused { arrival, why: Refusal::NotItsOwn };
        }
        let at = self.lane(actor);
        let lane = &self.lanes[at];
        if seq < lane.front {
            return self.offer_passed(arrival, out);
        }
        if let Some(last) = lane.sealed.filter(|last| seq > *last) {
            return Verdict::Refused { arrival, why: Refusal::Retired { last } };
        }
        let slot = lane.slot(seq);
        if slot != NONE {
            return self.known(arrival, slot);
        }
        let own = seq == lane.front;
        let unmet = if own { self.first_unmet(&arrival, 0) } else { Some((0, Dot::new(actor, seq - 1))) };
        match unmet {
            None => {
                self.finish(arrival, false, out);
                self.pass(at);
                self.drain(out);
                Verdict::Delivered
            }
            Some((next, on)) => {
                let parked = if own { Parked::On(on) } else { Parked::Predecessor };
                self.park_new(arrival, next, parked, on)
            }
        }
    }

    /// The first entry of the clock from `from` on that is not met, other than the event itself.
    #[inline]
    fn first_unmet(&self, arrival: &Arrival<E>, from: u32) -> Option<(u32, Dot)> {
        unmet_from(&self.reach, arrival.dot.actor, &arrival.clock, from)
    }

    /// An event of a dot with which another waits.
    fn known(&self, arrival: Arrival<E>, slot: SlotId) -> Verdict<E> {
        match self.slots.get(slot).map(|slot| slot.arrival.mark) {
            Some(first) if first != arrival.mark => Verdict::IdentityReuse { arrival, first },
            _ => Verdict::Duplicate { arrival, of: Known::Waiting },
        }
    }

    /// An event of a dot that was passed.
    #[cold]
    fn offer_passed(&mut self, arrival: Arrival<E>, out: &mut Vec<Delivered<E>>) -> Verdict<E> {
        let Dot { actor, seq } = arrival.dot;
        if let Some(&slot) = self.late.get(&arrival.dot) {
            return self.known(arrival, slot);
        }
        let lane = &self.lanes[actor.index()];
        if seq < lane.first {
            let first = lane.first;
            return Verdict::Refused { arrival, why: Refusal::BeforeFirst { first } };
        }
        if lane.holes.contains(seq) {
            return match self.first_unmet(&arrival, 0) {
                None => {
                    self.finish(arrival, true, out);
                    Verdict::Delivered
                }
                Some((next, on)) => self.park_new(arrival, next, Parked::On(on), on),
            };
        }
        match lane.remembered(seq).map(Mark) {
            Some(first) if first != arrival.mark => Verdict::IdentityReuse { arrival, first },
            Some(_) => Verdict::Duplicate { arrival, of: Known::Delivered },
            None => Verdict::Duplicate { arrival, of: Known::Unchecked },
        }
    }

    /// Parks an event that has just come, if there is room.
    fn park_new(&mut self, arrival: Arrival<E>, next: u32, parked: Parked, on: Dot) -> Verdict<E> {
        let cost = Self::cost(&arrival);
        let full = self.slots.len() >= self.limits.max_events.min(NONE as usize)
            || self.bytes().saturating_add(cost) > self.limits.max_bytes;
        if full {
            let waits_for = self.unmet(&arrival);
            return Verdict::Overflow(Undelivered { arrival, since: self.now, waits_for });
        }
        self.event_bytes += cost;
        let dot = arrival.dot;
        let late = dot.seq < self.lanes[dot.actor.index()].front;
        let slot = self.slots.insert(arrival, self.now, next);
        if late {
            self.late.insert(dot, slot);
        } else {
            self.change(dot, |cell| cell.slot = slot);
        }
        if let Parked::On(on) = parked {
            self.park(slot, next, on);
        }
        Verdict::Waiting { on }
    }

    /// What waiting costs, with a cell for the event and one for what it waits for at their dearest.
    fn cost(arrival: &Arrival<E>) -> usize {
        (Slots::<E>::BYTES + 2 * FAR_BYTES + arrival.clock.heap_bytes()).saturating_add(arrival.bytes)
    }

    /// Changes the cell of a dot beyond the front, counting what the lane grows by.
    fn change(&mut self, dot: Dot, change: impl FnOnce(&mut Cell)) {
        let room = self.limits.max_bytes.saturating_sub(self.bytes());
        let at = self.lane(dot.actor);
        let lane = &mut self.lanes[at];
        let before = lane.bytes();
        lane.change(dot.seq, room, change);
        self.lane_bytes = self.lane_bytes + lane.bytes() - before;
    }

    /// Puts a slot into the list of those that wait for `on`, which was not passed.
    fn park(&mut self, id: SlotId, next: u32, on: Dot) {
        let mut after = NONE;
        self.change(on, |cell| after = std::mem::replace(&mut cell.waiters, id));
        if let Some(first) = self.slots.get_mut(after) {
            first.before = id;
        }
        if let Some(slot) = self.slots.get_mut(id) {
            (slot.parked, slot.next, slot.before, slot.after) = (Parked::On(on), next, NONE, after);
        }
    }

    /// Takes a slot out of the list it is in.
    fn unpark(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let (before, after, parked) = (slot.before, slot.after, slot.parked);
        slot.parked = Parked::Ready;
        let Parked::On(on) = parked else { return };
        if let Some(after) = self.slots.get_mut(after) {
            after.before = before;
        }
        match self.slots.get_mut(before) {
            Some(before) => before.after = after,
            None => self.change(on, |cell| cell.waiters = after),
        }
    }

    /// Looks whether a slot can go on; parks it again where not.
    fn check(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let arrival = &slot.arrival;
        match unmet_from(&self.reach, arrival.dot.actor, &arrival.clock, slot.next) {
            None => {
                slot.parked = Parked::Ready;
                self.ready.push_back(id);
            }
            Some((next, on)) => self.park(id, next, on),
        }
    }

    /// Looks at all slots of a list that was taken out of its cell.
    fn wake(&mut self, mut id: SlotId) {
        while let Some(slot) = self.slots.get_mut(id) {
            let after = slot.after;
            self.check(id);
            id = after;
        }
    }

    /// The front of a lane is passed: wakes those that waited for it, and looks at what comes next.
    #[inline]
    fn pass(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let cell = lane.pass();
        self.reach[at] = lane.front - 1;
        if cell.waiters != NONE {
            self.wake(cell.waiters);
        }
        self.look(at);
    }

    /// What stands at the front of a lane: an event that waited for its predecessor alone, or a hole.
    #[inline]
    fn look(&mut self, at: usize) {
        let lane = &self.lanes[at];
        let next = lane.slot(lane.front);
        if next != NONE {
            self.advance(next);
        } else if !lane.holes.is_empty() || lane.sealed.is_some() {
            self.look_over(at);
        }
    }

    /// The predecessor of a slot was passed.
    fn advance(&mut self, id: SlotId) {
        if self.slots.get(id).is_some_and(|slot| slot.parked == Parked::Predecessor) {
            self.check(id);
        }
    }

    /// Passes the hole at the front of a lane, up to the next event that waits.
    #[cold]
    fn look_over(&mut self, at: usize) {
        loop {
            let lane = &mut self.lanes[at];
            let next = lane.slot(lane.front);
            if next != NONE {
                return self.advance(next);
            }
            let Some(end) = lane.holes.end_of(lane.front) else { break };
            let waiters = if lane.leap(end) { NONE } else { lane.pass().waiters };
            self.reach[at] = lane.front - 1;
            self.wake(waiters);
        }
        self.seal_if_passed(at);
    }

    /// Once all of a retired actor was passed, whatever was thought to come of it counts as met.
    fn seal_if_passed(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if lane.sealed.is_some_and(|last| lane.front > last) && self.reach[at] != u64::MAX {
            self.reach[at] = u64::MAX;
            let before = lane.bytes();
            let cells = lane.clear();
            self.lane_bytes = self.lane_bytes + lane.bytes() - before;
            for cell in cells {
                self.wake(cell.waiters);
            }
        }
    }

    /// Hands an event out and remembers it.
    #[inline]
    fn finish(&mut self, arrival: Arrival<E>, exception: bool, out: &mut Vec<Delivered<E>>) {
        let Dot { actor, seq } = arrival.dot;
        let lane = &mut self.lanes[actor.index()];
        lane.remember(seq, arrival.mark.0, self.limits.remember);
        if !lane.holes.is_empty() {
            let before = lane.bytes();
            lane.holes.remove(seq);
            self.lane_bytes = self.lane_bytes + lane.bytes() - before;
        }
        out.push(Delivered { arrival, exception });
    }

    /// Delivers what is ready, and what that makes ready.
    fn drain(&mut self, out: &mut Vec<Delivered<E>>) {
        while let Some(id) = self.ready.pop_front() {
            let Some(arrival) = self.take(id) else { continue };
            let Dot { actor, seq } = arrival.dot;
            let late = seq < self.lanes[actor.index()].front;
            if late {
                self.late.remove(&arrival.dot);
            }
            self.finish(arrival, late, out);
            if !late {
                self.pass(actor.index());
            }
        }
    }

    /// Takes a slot's event out of the table.
    fn take(&mut self, id: SlotId) -> Option<Arrival<E>> {
        let arrival = self.slots.remove(id)?.arrival;
        self.event_bytes -= Self::cost(&arrival);
        let lane = &mut self.lanes[arrival.dot.actor.index()];
        if lane.is_unused() {
            let before = lane.bytes();
            lane.shrink();
            self.lane_bytes = self.lane_bytes + lane.bytes() - before;
        }
        Some(arrival)
    }

    /// Time goes on: appends to `expired` what has waited too long, oldest first. Those behind it go on waiting, since its
    /// place was not passed; only where that was declared a hole are they delivered, to `out`.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Delivered<E>>, expired: &mut Vec<Undelivered<E>>) {
        self.now = self.now.max(now);
        while let Some((id, slot)) = self.slots.oldest() {
            let since = slot.since;
            if since.plus(self.limits.timeout) > self.now {
                return;
            }
            let (dot, waits_for) = (slot.arrival.dot, self.unmet(&slot.arrival));
            self.unpark(id);
            if self.late.remove(&dot).is_none() {
                self.change(dot, |cell| cell.slot = NONE);
            }
            let Some(arrival) = self.take(id) else { return };
            expired.push(Undelivered { arrival, since, waits_for });
            self.look(dot.actor.index());
            self.drain(out);
        }
    }

    /// Declares that these events of an actor, `first` to `last`, are not to be waited for: they are in quarantine (a
    /// void mark), or lost. What waits already is delivered in its place all the same, and one that comes later is
    /// delivered as an exception. Appends what this delivers to `out`; whether there was anything to declare.
    ///
    /// # Errors
    /// Where it is no range of counters, or there is no room to remember it.
    pub fn skip(
        &mut self,
        actor: Actor,
        first: u64,
        last: u64,
        out: &mut Vec<Delivered<E>>,
    ) -> Result<bool, Undeclarable> {
        if first == 0 || first > last || last == u64::MAX {
            return Err(Undeclarable::Range);
        }
        let at = self.lane(actor);
        let first = first.max(self.lanes[at].front);
        let last = last.min(self.lanes[at].sealed.unwrap_or(last));
        if first > last {
            return Ok(false);
        }
        if first == last && self.lanes[at].slot(first) != NONE {
            return Ok(false);
        }
        if self.bytes().saturating_add(HOLE_BYTES) > self.limits.max_bytes {
            return Err(Undeclarable::Full { max_bytes: self.limits.max_bytes });
        }
        self.hole(at, first, last);
        self.look(at);
        self.drain(out);
        Ok(true)
    }

    /// Leaves a void mark: the event of this dot is in quarantine, and nothing waits for it. See [`CausalBuffer::skip`].
    ///
    /// # Errors
    /// As [`CausalBuffer::skip`].
    pub fn void(&mut self, dot: Dot, out: &mut Vec<Delivered<E>>) -> Result<bool, Undeclarable> {
        self.skip(dot.actor, dot.seq, dot.seq, out)
    }

    fn hole(&mut self, at: usize, first: u64, last: u64) {
        let lane = &mut self.lanes[at];
        let before = lane.bytes();
        lane.holes.insert(first, last);
        self.lane_bytes = self.lane_bytes + lane.bytes() - before;
    }

    /// Declares that the first event of an actor is number `first`.
    ///
    /// # Errors
    /// Where events of it were passed already, or `first` is no counter.
    pub fn start(&mut self, actor: Actor, first: u64, out: &mut Vec<Delivered<E>>) -> Result<(), Undeclarable> {
        if first == 0 || first == u64::MAX {
            return Err(Undeclarable::Range);
        }
        let at = self.lane(actor);
        let lane = &mut self.lanes[at];
        if lane.first == first {
            return Ok(());
        }
        // What waits was counted from another beginning.
        if lane.front > 1 || lane.greatest_waiting().is_some() || !lane.holes.is_empty() || lane.sealed.is_some() {
            return Err(Undeclarable::Started);
        }
        let cells = lane.clear();
        (lane.first, lane.front) = (first, first);
        self.reach[at] = first - 1;
        for cell in cells {
            self.wake(cell.waiters);
        }
        self.drain(out);
        Ok(())
    }

    /// To be called once after [`CausalBuffer::resume`], when all that waited was offered again: passes the holes in which
    /// nobody stands any more.
    pub fn settle(&mut self, out: &mut Vec<Delivered<E>>) {
        for at in 0..self.lanes.len() {
            self.look(at);
        }
        self.drain(out);
    }

    /// The actor sends no more. Its last event is the last that is known; what is missing before is not waited for any
    /// more, nor is what others say comes after. Returns that last event's number, 0 where there is none.
    pub fn retire(&mut self, actor: Actor, out: &mut Vec<Delivered<E>>) -> u64 {
        let at = self.lane(actor);
        let lane = &mut self.lanes[at];
        if let Some(last) = lane.sealed {
            return last;
        }
        let known = [lane.greatest_waiting(), lane.holes.greatest(), Some(lane.front - 1)];
        let last = known.into_iter().flatten().max().unwrap_or(0);
        lane.sealed = Some(last);
        let front = lane.front;
        // Always room for this one: a lane is sealed once.
        self.hole(at, front, last);
        self.look(at);
        self.seal_if_passed(at);
        self.drain(out);
        last
    }
}

/// The first entry of `clock` from `from` on that `reach` does not meet; the entry of the event itself, `own`, apart.
#[inline]
fn unmet_from(reach: &[u64], own: Actor, clock: &VectorClock, from: u32) -> Option<(u32, Dot)> {
    let (actors, counts) = clock.parts();
    let from = from as usize;
    let entries = actors.iter().zip(counts).skip(from);
    for (index, (&actor, &seq)) in entries.enumerate() {
        if reach.get(actor.index()).copied().unwrap_or(0) < seq && actor != own {
            return Some(((from + index) as u32, Dot::new(actor, seq)));
        }
    }
    None
}
