//! One decision under way: the facts as they are by now, what is to be written so far, and the log's clock.
//!
//! What is decided stands in the other files of the intake; these are the steps that all of them take.
use super::{
    Ask, CausalLimits, Clocks, Facts, LogClock, Outcome, Place, RawBody, Seen, Sent, SourceDot, Writes, causal::Flow,
    clocks::stamp,
};
use crate::{
    accounting::Account,
    clock::{Hlc, HlcClock},
    event::{Causality, Delivery, Draft, Event, Saw},
    ids::{Position, SourceName, StreamVersion},
    quarantine::{Entry, EntryVersion, QuarantineId, Refusal, State},
    time::Timestamp,
};

/// What a decision is made in, beside its facts.
pub struct Scene<'a> {
    /// The time.
    pub now: Timestamp,
    /// How far apart clocks may be, and how much may wait.
    pub limits: CausalLimits,
    /// Whether what gets into the log is kept as it was sent, too.
    pub keep_raw: bool,
    /// Answers further questions in the same transaction. Without it nothing that waits is found.
    pub more: Option<&'a mut dyn FnMut(&Ask) -> Facts>,
}

impl From<Timestamp> for Scene<'_> {
    /// Enough for events that nobody waits for.
    fn from(now: Timestamp) -> Self {
        Self { now, limits: CausalLimits::default(), keep_raw: true, more: None }
    }
}

impl std::fmt::Debug for Scene<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { now, limits, keep_raw, more: _ } = self;
        f.debug_struct("Scene")
            .field("now", now)
            .field("limits", limits)
            .field("keep_raw", keep_raw)
            .finish_non_exhaustive()
    }
}

/// Where an event that gets into the log was until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was sent, and may have waited for what it depends on.
    Sent,
    /// It has an entry, which keeps it as it was sent.
    Quarantine,
}

/// A decision under way.
pub(super) struct Work<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) facts: Facts,
    pub(super) writes: Writes,
    pub(super) flow: Flow,
    clock: HlcClock,
    /// The clock as it was.
    before: LogClock,
    /// The stamp of the request at hand, once an event of it was heard that came with a token.
    request: Option<Hlc>,
}

/// An event that goes into quarantine, with when it came.
pub(super) struct Taken {
    pub(super) sent: Sent,
    /// Its stamp of then.
    pub(super) hlc: Hlc,
    pub(super) received_at: Timestamp,
    /// The first of the events it waits for, if it does.
    pub(super) recall: Option<SourceDot>,
    /// What its writer had seen.
    pub(super) saw: Option<Saw>,
}

impl<'a> Work<'a> {
    pub(super) fn new(scene: Scene<'a>, facts: Facts) -> Self {
        let (clock, before) = (facts.clock.run(scene.limits), facts.clock);
        Self { scene, facts, writes: Writes::default(), flow: Flow::default(), clock, before, request: None }
    }

    /// Everything that is to be written.
    pub(super) fn finish(mut self) -> Writes {
        self.settle_flow();
        let clock = LogClock { last: self.clock.last(), ..self.facts.clock };
        // A stamp that nothing was written with was given to nobody.
        self.writes.clock = (clock != self.before && !self.writes.is_empty()).then_some(clock);
        self.writes
    }

    /// How many events waited when this began.
    pub(super) fn waited_before(&self) -> bool {
        self.before.waiting_events > 0
    }

    /// More facts of the same transaction; what this decision has changed since is not in them.
    pub(super) fn more(&mut self, ask: &Ask) -> Facts {
        self.scene.more.as_mut().map_or_else(Facts::default, |more| more(ask))
    }

    /// What is wrong with a stamp that is too far ahead; any other one is taken note of.
    pub(super) fn skewed(&mut self, sent: Hlc) -> Option<String> {
        self.clock.observe(sent, self.scene.now).err().map(|skew| skew.to_string())
    }

    /// The stamp of an event that comes now.
    pub(super) fn stamp(&mut self) -> Hlc {
        stamp(&mut self.clock, self.scene.now)
    }

    /// The events of another request come now.
    pub(super) fn begin_request(&mut self) {
        self.request = None;
    }

    /// An event comes with these clocks: what its writer had seen is stamped with its request, before the event is. All that
    /// was seen has lesser stamps, so its source's own stamp is good only if it is greater than all that the log has given.
    pub(super) fn hear(&mut self, clocks: &mut Clocks) {
        let Some(Seen::Upto(upto)) = clocks.seen else { return };
        let request = self.request.unwrap_or_else(|| self.stamp());
        self.request = Some(request);
        // Nobody has seen what is not there.
        clocks.seen = Some(Seen::Kept(Saw { upto: upto.min(self.facts.head), request }));
        clocks.hlc = clocks.hlc.filter(|hlc| *hlc > self.clock.last());
    }

    /// Later stamps will be above this one.
    pub(super) fn note(&mut self, given: Hlc) {
        if given > self.clock.last() {
            self.clock = LogClock { last: given, ..self.facts.clock }.run(self.scene.limits);
        }
    }

    /// Sets an event with these clocks aside that was just received; nobody waits for it.
    pub(super) fn quarantine_void(&mut self, sent: Sent, refusal: Refusal, state: State, clocks: &Clocks) -> Outcome {
        self.void_of(&sent.source, clocks);
        self.writes.book(&sent.source, Account::entered(state));
        let (hlc, received_at, saw) = (self.stamp(), self.scene.now, clocks.saw());
        self.set_aside(Taken { sent, hlc, received_at, recall: None, saw }, refusal, state)
    }

    /// Nobody waits for the event of these clocks, if its source counts it: it is in quarantine, for a person.
    pub(super) fn void_of(&mut self, source: &SourceName, clocks: &Clocks) {
        if let Some(causes) = &clocks.causes {
            self.begin(source, causes);
            self.void(&SourceDot::new(source.clone(), causes.seq));
        }
    }

    /// Makes an entry. What it means for the books is the caller's to enter.
    pub(super) fn set_aside(&mut self, taken: Taken, refusal: Refusal, state: State) -> Outcome {
        let Taken { sent, hlc, received_at, recall, saw } = taken;
        let id = QuarantineId(self.facts.next_entry);
        let reason = refusal.reason;
        self.facts.next_entry += 1;
        self.facts.known.entry(sent.id).or_default().push((sent.digest, Place::Quarantine { id, reason }));
        if let Some(key) = &refusal.parks {
            self.facts.parked.entry(key.clone()).or_insert(id);
        }
        self.writes.entries.push(Entry {
            id,
            event_id: sent.id,
            digest: sent.digest,
            source: sent.source,
            raw_id: sent.raw_id,
            raw: sent.raw,
            refusal,
            state,
            version: EntryVersion::FIRST,
            edits: Vec::new(),
            received_at,
            changed_at: self.scene.now,
            position: None,
            decision: None,
            hlc,
            recall,
            saw,
        });
        Outcome::Quarantined { id, reason, repeated: false }
    }

    /// Appends an event that no source counts. It knows all that is in the log, so its stamp is above all that is there;
    /// one that was sent with a token knows what that saw, and keeps the stamp of its receipt where it has one.
    pub(super) fn append(
        &mut self,
        sent: Sent,
        draft: Draft,
        clocks: &Clocks,
        origin: Origin,
    ) -> (Position, StreamVersion) {
        let saw = clocks.saw();
        let kept = saw.and(clocks.received);
        let hlc = kept.unwrap_or_else(|| self.stamp());
        self.facts.clock.seq += 1;
        let causality = Causality { hlc, seq: self.facts.clock.seq, delivery: Delivery::Log, saw };
        self.append_as(sent, draft, causality, origin)
    }

    /// Appends an event with its stamp.
    pub(super) fn append_as(
        &mut self,
        sent: Sent,
        draft: Draft,
        causality: Causality,
        origin: Origin,
    ) -> (Position, StreamVersion) {
        self.note(causality.hlc);
        let facts = &mut self.facts;
        let position = facts.head.next();
        let version = facts.versions.entry(draft.subject.clone()).or_default();
        let stream_version = version.next();
        *version = stream_version;
        facts.head = position;
        facts.known.entry(sent.id).or_default().push((sent.digest, Place::Log { position, stream_version }));
        if self.scene.keep_raw && origin == Origin::Sent {
            self.writes.raws.push(RawBody { position, raw: sent.raw });
        }
        self.writes.events.push(Event {
            position,
            id: sent.id,
            source: sent.source,
            raw_id: sent.raw_id,
            stream_version,
            recorded_at: self.scene.now,
            digest: sent.digest,
            replica: facts.replica.clone(),
            causality,
            draft,
        });
        (position, stream_version)
    }
}
