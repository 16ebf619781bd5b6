//! The mark of a write: what must be kept of its event to tell whether another one knew it, and which comes later.
//!
//! Not here: what follows from that ([`super::decide`]).
use crate::{
    clock::{self, Actors, Hlc, Relation, VectorClock},
    event::{Delivery, Event, Saw},
    ids::{Position, ReplicaName, SourceName},
    intake::{MAX_ENTRIES, SourceDot, VCLOCK},
    words::words,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

words! {
    /// Which stamps put concurrent writes to a column in order.
    OrderBy {
        /// The event's own, from a hybrid logical clock.
        Hlc = "hlc",
        /// How many events its writer knew, itself included (Lamport 1978): no clock of any machine has a say.
        Lamport = "lamport",
        /// When its source says that it happened. Raised above what it replaces, as the others are, so that even a clock
        /// that is wrong cannot undo what it knew; among concurrent writes the fastest clock wins.
        Wall = "wall",
    }
}

/// Who counts an event: its source, where that sends vector clocks, or the replica that admitted it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// The replica.
    Replica(ReplicaName),
    /// The source.
    Source(SourceName),
}

impl Counted {
    /// Whose counter it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Replica(name) => name.as_str(),
            Self::Source(name) => name.as_str(),
        }
    }
}

/// The mark of a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where its event is in the log.
    pub position: Position,
    /// Who counts its event.
    pub by: Counted,
    /// Its event's number there: with `by` its dot.
    pub seq: u64,
    /// Where it stands among writes to its column: the stamp of its event, raised above those of the writes that it knew
    /// and replaced.
    pub hlc: Hlc,
    /// What its writer had seen, by a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<Saw>,
    /// With a token: the stamp of its event itself, which tells the earlier events of its request from the later. Zero without.
    #[serde(default)]
    pub sent: Hlc,
    /// What its writer knew, by a vector clock, itself included: sorted by source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Arc<[SourceDot]>>,
}

impl Mark {
    /// The mark of what `event` writes.
    pub fn of(event: &Event, order: OrderBy) -> Self {
        let causality = event.causality;
        let is_sources = causality.delivery != Delivery::Log;
        let clock = if is_sources { known_by(event) } else { None };
        let by =
            if is_sources { Counted::Source(event.source.clone()) } else { Counted::Replica(event.replica.clone()) };
        let (position, seq, hlc, saw) = (event.position, causality.seq, causality.hlc, causality.saw);
        let sent = if saw.is_some() { hlc } else { Hlc::ZERO };
        let mut mark = Self { position, by, seq, hlc, saw, sent, clock };
        mark.hlc = match order {
            OrderBy::Hlc => mark.hlc,
            OrderBy::Lamport => Hlc::from_u64(mark.known_events()),
            OrderBy::Wall => Hlc::at(event.draft.time.unwrap_or(event.recorded_at)),
        };
        mark
    }

    /// How many events its writer knew, itself included: greater than that of every event that it knew.
    fn known_events(&self) -> u64 {
        let counted = self.clock.iter().flat_map(|clock| clock.iter()).map(|dot| dot.seq);
        match (self.saw, &self.clock) {
            (None, None) => self.position.0,
            (None, Some(_)) => counted.fold(0, u64::saturating_add),
            (Some(saw), _) => counted.fold(saw.upto.0, u64::saturating_add).saturating_add(1),
        }
    }

    /// Whether its writer knew the event of `other`.
    ///
    /// What a writer knew it says by its token (all that this has seen, and the earlier events of its request) and by its
    /// vector clock. With neither it is taken to know all that the log held before it. An event that says nothing of what
    /// it knew is known to everything after it in the log, but to writers with a token: they know what that saw, and no more.
    pub fn knows(&self, other: &Self) -> bool {
        if self.position == other.position {
            return true;
        }
        if let (Some(clock), Counted::Source(source)) = (&self.clock, &other.by)
            && clock.binary_search_by(|dot| dot.source.cmp(source)).is_ok_and(|at| clock[at].seq >= other.seq)
        {
            return true;
        }
        // Out of quarantine an event of the request may come after a later one.
        if let (Some(saw), Some(theirs)) = (self.saw, other.saw)
            && saw.request == theirs.request
        {
            return other.sent < self.sent;
        }
        if other.position > self.position {
            return false;
        }
        match (&self.saw, &self.clock) {
            (None, None) => true,
            (None, Some(_)) => other.clock.is_none() && other.saw.is_none(),
            (Some(saw), _) => other.position <= saw.upto,
        }
    }

    /// [`Mark::knows`] of an event before it that says nothing of what it knew.
    pub(super) fn knows_plain(&self, position: Position) -> bool {
        position <= self.position && self.saw.is_none_or(|saw| position <= saw.upto || position == self.position)
    }

    /// Whether its event says what its writer knew, by a token or by a vector clock.
    pub fn says_what_it_knew(&self) -> bool {
        self.saw.is_some() || self.clock.is_some()
    }

    /// Whether its writer knew the event of `other`, and all that this one knew of what may come after both: by its vector clock,
    /// and of its own request.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let own = self.clock.as_deref().unwrap_or_default();
        let has = |dot: &SourceDot| {
            own.binary_search_by(|own| own.source.cmp(&dot.source)).is_ok_and(|at| own[at].seq >= dot.seq)
        };
        let is_of_request = |saw: Saw| self.saw.is_some_and(|own| own.request == saw.request);
        self.knows(other)
            && other.saw.is_none_or(is_of_request)
            && other.clock.iter().flat_map(|clock| clock.iter()).all(has)
    }

    /// How its event stands to that of `other`.
    pub fn relation(&self, other: &Self) -> Relation {
        match (self.position == other.position, other.knows(self), self.knows(other)) {
            (true, ..) => Relation::Equal,
            (false, true, false) => Relation::Before,
            (false, false, true) => Relation::After,
            // Each knowing the other is no history: neither is treated as later.
            (false, ..) => Relation::Concurrent,
        }
    }

    /// What its writer knew, as the attribute `vclock` says it; `None` where it sent none.
    pub fn vclock(&self) -> Option<String> {
        let clock = self.clock.as_ref()?;
        Some(clock::text(clock.iter().map(|dot| (dot.source.as_str(), dot.seq))))
    }

    /// Stands above `other` from now on.
    pub fn raise_above(&mut self, other: Hlc) {
        self.hlc = self.hlc.raised_above(other).unwrap_or(Hlc::MAX);
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.by.name(), self.seq)
    }
}

/// What the vector clock of an event says.
fn known_by(event: &Event) -> Option<Arc<[SourceDot]>> {
    let text = event.draft.extensions.get(VCLOCK)?.as_str()?;
    let mut actors = Actors::with_limit(MAX_ENTRIES);
    let clock = VectorClock::from_text(text, &mut actors, MAX_ENTRIES).ok()?;
    let mut dots: Vec<_> = clock.iter().map(|(actor, seq)| SourceDot::new(actors.name(actor).clone(), seq)).collect();
    dots.sort_unstable();
    Some(dots.into())
}
