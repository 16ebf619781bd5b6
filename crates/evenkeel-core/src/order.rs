//! The total order of writes, and what is decided between two of them.
//!
//! Writes are ordered by (hybrid logical stamp, replica, incarnation, kind, canonical bytes). Stamps are raised above
//! those of what a write knew, so this order extends cause and effect (Lamport 1978), and it is an order: of any set of
//! writes all replicas pick the same, however and in whatever order they compare. The tempting rule "cause first, and
//! among concurrent writes the wall clock" is none: see this module's tests for three writes that it puts in a circle.
//! Not here: merging of states ([`crate::crdt`]) and where decisions are recorded.
use crate::{
    clock::{Dot, Hlc, Relation, VectorClock},
    codec::{CodecError, Reader, Value, put_bytes, put_number},
    ids::{Incarnation, ReplicaName},
    words::words,
};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

words! {
    /// What a write does. Of two by one identity at one stamp, a deletion gives way.
    WriteKind {
        /// It takes something away.
        Delete = "delete",
        /// It says what is.
        Set = "set",
    }
}

words! {
    /// What decided between two writes.
    Rule {
        /// The later stamp.
        Hlc = "hlc",
        /// The same stamp: the greater name of the replica.
        Replica = "replica",
        /// The same replica: its later life.
        Incarnation = "incarnation",
        /// The same identity: [`WriteKind`].
        Kind = "kind",
        /// All else the same: the greater bytes.
        Bytes = "bytes",
        /// They are one write.
        Same = "same",
        /// One knew the other.
        Cause = "cause",
        /// A write prevails over a deletion that did not know it.
        AddWins = "add_wins",
    }
}

/// Where in the total order a write stands, but for its bytes.
///
/// ```
/// use evenkeel_core::{Incarnation, clock::Hlc, order::{Stamp, WriteKind}};
/// let at = |replica: &str| Stamp {
///     hlc: Hlc::new(1_790_000_000_000, 0),
///     replica: replica.into(),
///     incarnation: Incarnation(1),
///     kind: WriteKind::Set,
/// };
/// assert!(at("a") < at("b"), "a tie of stamps is broken by name, on every replica alike");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the hybrid logical clock.
    pub hlc: Hlc,
    /// Who stamped it.
    pub replica: ReplicaName,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// What the write does.
    pub kind: WriteKind,
}

impl Stamp {
    /// Whether one identity gave both stamps at once. It should do so for one write alone.
    pub fn same_identity(&self, other: &Self) -> bool {
        self.hlc == other.hlc && self.incarnation == other.incarnation && self.replica == other.replica
    }

    /// Which part of the order tells the two apart, and how.
    pub(crate) fn decided(&self, other: &Self) -> (Ordering, Rule) {
        let parts = [
            (self.hlc.cmp(&other.hlc), Rule::Hlc),
            (self.replica.cmp(&other.replica), Rule::Replica),
            (self.incarnation.cmp(&other.incarnation), Rule::Incarnation),
            (self.kind.cmp(&other.kind), Rule::Kind),
        ];
        parts.into_iter().find(|(order, _)| order.is_ne()).unwrap_or((Ordering::Equal, Rule::Bytes))
    }
}

impl Value for Stamp {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hlc.as_u64().to_be_bytes());
        put_bytes(out, self.replica.as_str().as_bytes());
        put_number(out, u128::from(self.incarnation.0));
        out.push(match self.kind {
            WriteKind::Delete => 0,
            WriteKind::Set => 1,
        });
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut hlc = 0;
        for _ in 0..8 {
            hlc = hlc << 8 | u64::from(input.byte()?);
        }
        Ok(Self {
            hlc: Hlc::from_u64(hlc),
            replica: input.text()?.into(),
            incarnation: Incarnation(input.number()?),
            kind: match input.byte()? {
                0 => WriteKind::Delete,
                1 => WriteKind::Set,
                _ => return Err(CodecError::NotCanonical("a kind of write that there is not")),
            },
        })
    }
}

/// How one event stands to another: two look-ups, whatever the size of the clocks. Each clock includes its own event.
///
/// ```
/// use evenkeel_core::{clock::{Actor, Dot, Relation, VectorClock}, order::relation};
/// let (a, b) = (Dot::new(Actor(0), 1), Dot::new(Actor(1), 1));
/// let knows_a = VectorClock::new([(a.actor, 1), (b.actor, 1)])?;
/// assert_eq!(relation((a, &VectorClock::new([(a.actor, 1)])?), (b, &knows_a)), Relation::Before);
/// # Ok::<(), evenkeel_core::clock::Repeated>(())
/// ```
pub fn relation((a, clock_a): (Dot, &VectorClock), (b, clock_b): (Dot, &VectorClock)) -> Relation {
    match (a == b, clock_b.knows(a), clock_a.knows(b)) {
        (true, _, _) => Relation::Equal,
        (false, true, false) => Relation::Before,
        (false, false, true) => Relation::After,
        // Each knowing the other is no history: neither is treated as later.
        (false, _, _) => Relation::Concurrent,
    }
}

/// A write as far as deciding needs it.
#[derive(Debug, Clone, Copy)]
pub struct Write<'w> {
    /// Its mark.
    pub dot: Dot,
    /// What it knew, itself included.
    pub clock: &'w VectorClock,
    /// Where it stands.
    pub stamp: &'w Stamp,
    /// Its canonical bytes.
    pub bytes: &'w [u8],
}

/// Which of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    First,
    /// The second.
    Second,
}

/// What was decided between two writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Who wins. The first of two that are the same.
    pub winner: Side,
    /// How the first stands to the second.
    pub relation: Relation,
    /// What decided.
    pub rule: Rule,
    /// Whether one mark or one identity's stamp was given to two different writes: a replica was copied, or restored
    /// from a backup, and goes on under the same identity. The decision holds all the same, everywhere alike.
    pub identity_reuse: bool,
}

/// Decides between two writes: the same winner for the same two, whichever comes first and whoever asks.
pub fn decide(a: Write<'_>, b: Write<'_>) -> Decision {
    let (order, rule) = match a.stamp.decided(b.stamp) {
        (Ordering::Equal, _) => (a.bytes.cmp(b.bytes), Rule::Bytes),
        decided => decided,
    };
    let different = order.is_ne();
    let rule = if different { rule } else { Rule::Same };
    Decision {
        winner: if order.is_lt() { Side::Second } else { Side::First },
        relation: relation((a.dot, a.clock), (b.dot, b.clock)),
        rule,
        identity_reuse: different && (a.dot == b.dot || a.stamp.same_identity(b.stamp) && rule == Rule::Bytes),
    }
}

#[cfg(test)]
mod tests;
