//! What the engine does by itself about events that wait for others, and what the operator declares not to come.
//!
//! Whether the log's order is right is judged by [`super::causing`].
use super::{Checked, broken, deciding::decision, sound, world::World};
use crate::{Clock, causal};
use evenkeel_core::{SourceName, quarantine::Reason};
use evenkeel_store::{EntryFilter, Log, StoreError};
use std::time::Duration;

/// How long an event waits for what it depends on.
const TIMEOUT: Duration = Duration::from_secs(20);

impl World {
    /// Sets aside what has waited too long, and sends through again what may go on.
    pub(super) fn look_after_waiting(&mut self) -> Checked {
        let entries = sound(self.below.log.entries(&EntryFilter::default()))?;
        let recalled = entries.iter().filter(|entry| entry.recall.is_some());
        self.ledger.by_hand.extend(recalled.map(|entry| (entry.event_id, entry.digest)));
        let gate = &self.project.gates[self.gate];
        let result = causal::look_after(self.log.as_ref(), gate, self.clock.as_ref(), TIMEOUT);
        self.say(format!("looks after what waits: {result:?}"));
        self.book(&[])?;
        match result {
            Ok(_) => {
                let since = self.clock.now().minus(TIMEOUT);
                let late = self.ledger.order.waiting.values().find(|event| event.since <= since);
                match late {
                    Some(event) => broken(format!("{} to wait no longer than it may", event.dot()), "it waits"),
                    None => Ok(()),
                }
            }
            Err(StoreError::Unavailable(_)) => Ok(()),
            Err(error) => broken("what waits to be looked after", error.to_string()),
        }
    }

    /// The operator declares that events will not come, most often some that others wait for.
    pub(super) fn skip_some(&mut self) -> Checked {
        let entries = sound(self.below.log.entries(&EntryFilter::default()))?;
        let waiting = self.ledger.order.waiting.values().map(|event| event.on.clone());
        let lacking: Vec<_> = waiting.chain(entries.into_iter().filter_map(|entry| entry.recall)).collect();
        let (source, seq) = match self.random.pick(&lacking).cloned() {
            Some(dot) if self.random.chance(850) => (dot.source, dot.seq),
            _ if self.random.chance(300) => (SourceName::from("notes.a"), 1 + self.random.below(20)),
            _ => return Ok(()),
        };
        let through = seq + if self.random.chance(700) { 0 } else { self.random.below(3) };
        self.skip(source, (seq.max(1), through))
    }

    fn skip(&mut self, source: SourceName, range: (u64, u64)) -> Checked {
        let before = sound(self.below.log.skips())?.len();
        let gate = &self.project.gates[self.gate];
        let result = causal::declare(self.log.as_ref(), gate, self.clock.as_ref(), &source, range, &decision());
        self.say(format!("{source} {range:?} will not come: {result:?}"));
        let head = self.book(&[])?.head as u64;
        let declared = sound(self.below.log.skips())?.len() - before;
        match result {
            Ok((any, released)) if any != (declared == 1) || head + released != self.ledger.history.len() as u64 => {
                broken("a declaration to be kept as the answer says", format!("{declared} are"))
            }
            Ok(_) | Err(StoreError::Unavailable(_)) => Ok(()),
            Err(error) => broken("what will not come to be declared", error.to_string()),
        }
    }

    /// Lets what waits come to its end: what never came is sent or declared not to come, now and then, and else what waits
    /// expires.
    pub(super) fn end_waiting(&mut self) -> Checked {
        if self.random.chance(300) {
            for _ in 0..40 {
                let Some(event) = self.ledger.order.waiting.values().next() else { break };
                let (source, seq) = (event.on.source.clone(), event.on.seq);
                self.skip(source, (seq, seq))?;
            }
        }
        self.look_after_waiting()?;
        self.clock.pass(TIMEOUT + Duration::from_secs(300));
        self.look_after_waiting()?;
        // A clock that was set back lets nothing wait for ever.
        for _ in 0..40 {
            if self.ledger.order.waiting.is_empty() {
                break;
            }
            self.clock.pass(Duration::from_secs(600));
            self.look_after_waiting()?;
        }
        // Each look tries an entry once; what it lacked beside may have been recalled after it.
        for _ in 0..8 {
            self.look_after_waiting()?;
        }
        if let Some(event) = self.ledger.order.waiting.values().next() {
            return broken(format!("{} not to wait for ever", event.dot()), "it waits");
        }
        self.ledger.all_recalled(self.below.log.as_ref())?;
        self.count_waiting()
    }

    fn count_waiting(&mut self) -> Checked {
        let entries = sound(self.below.log.entries(&EntryFilter::default()))?;
        let of =
            |reason| entries.iter().filter(|entry| entry.recall.is_some() && entry.refusal.reason == reason).count();
        let by_engine = |author: &str| author == "evenkeel";
        let decided = entries.iter().filter_map(|entry| entry.decision.as_ref());
        self.stats.waited = self.ledger.order.waited.len() as u64;
        self.stats.expired = of(Reason::CausalTimeout) as u64;
        self.stats.overflowed = of(Reason::CausalOverflow) as u64;
        self.stats.recalled = decided.filter(|decision| by_engine(&decision.author)).count() as u64;
        self.stats.skips = sound(self.below.log.skips())?.len() as u64;
        Ok(())
    }
}
