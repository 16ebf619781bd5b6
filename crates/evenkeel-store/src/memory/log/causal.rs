//! What waits in a log in memory, and how far sources are. Everything is found by looking at all there is.
use super::LogState;
use evenkeel_core::{
    Event, EventId, SourceName, Timestamp,
    clock::Hlc,
    event::Delivery,
    intake::{SourceDot, Waiting},
    quarantine::{QuarantineId, State},
};

impl LogState {
    /// The events in the log that this source counts.
    fn numbered<'s>(&'s self, source: &'s SourceName) -> impl Iterator<Item = &'s Event> + 's {
        self.events.iter().filter(move |event| event.source == *source && event.causality.delivery != Delivery::Log)
    }

    /// Whose this mark is.
    pub(super) fn holder(&self, dot: &SourceDot) -> Option<EventId> {
        let waits = self.waiting.get(dot).map(|event| event.sent.id);
        let of = |event: &&Event| event.causality.seq == dot.seq;
        waits.or_else(|| self.numbered(&dot.source).find(of).map(|event| event.id))
    }

    /// The greatest stamp of the last event up to this mark and of the exceptions before it.
    pub(super) fn stamp_upto(&self, dot: &SourceDot) -> Option<Hlc> {
        let upto = || self.numbered(&dot.source).filter(|event| event.causality.seq <= dot.seq);
        let last = upto().max_by_key(|event| event.causality.seq).map(|event| event.causality.hlc);
        let late = upto().filter(|event| event.causality.delivery == Delivery::Exception);
        last.max(late.map(|event| event.causality.hlc).max())
    }

    /// Who waits for one of these.
    pub(super) fn woken<'s>(
        &'s self,
        (source, after, upto): &'s (SourceName, u64, u64),
    ) -> impl Iterator<Item = Waiting> + 's {
        let waits =
            move |event: &&Waiting| event.on.source == *source && *after < event.on.seq && event.on.seq <= *upto;
        self.waiting.values().filter(waits).cloned()
    }

    /// What waits, the oldest first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = &Waiting> {
        let mut waiting: Vec<_> = self.waiting.values().collect();
        // By their marks they are in order already, and a sort keeps that.
        waiting.sort_by_key(|event| event.since);
        waiting.into_iter()
    }

    /// What has waited since then or longer.
    pub(super) fn expired(&self, since: Timestamp, limit: usize) -> impl Iterator<Item = Waiting> {
        self.by_age().take_while(move |event| event.since <= since).take(limit).cloned()
    }

    /// Which of these numbers wait.
    pub(super) fn standing<'s>(
        &'s self,
        (source, first, last): &'s (SourceName, u64, u64),
    ) -> impl Iterator<Item = u64> + 's {
        let of = self.waiting.keys().filter(move |dot| dot.source == *source && (*first..=*last).contains(&dot.seq));
        of.map(|dot| dot.seq)
    }

    /// Who waits in quarantine for what was passed since.
    pub(super) fn recallable(&self) -> Vec<QuarantineId> {
        let upto = |source: &SourceName| self.passed.get(source).map_or(0, |passed| passed.upto);
        let quarantined = self.entries.values().filter(|entry| entry.state == State::Quarantined);
        let mut due: Vec<_> = quarantined
            .filter_map(|entry| Some((entry.recall.as_ref()?, entry.id)))
            .filter(|(dot, _)| dot.seq <= upto(&dot.source))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }
}
