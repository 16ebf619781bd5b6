//! The operator changes events in quarantine, with and without sending them through at once, also in ways that cannot be done
//! and about versions that are not there any more.
//!
//! What is decided without a change is in [`super::deciding`]. That what gets in is the event as it was edited then is
//! judged where it gets in ([`super::ledger`]).
use super::{
    Checked, broken,
    deciding::decision,
    events::{Made, SOURCES},
    sound,
    world::World,
};
use crate::{
    EngineError,
    quarantine::{Word, edit},
};
use evenkeel_core::{
    intake::Verdict,
    json::{self, Object, Patch, Value},
    quarantine::{Entry, QuarantineId, State},
};
use evenkeel_store::{EntryFilter, Log, StoreError};

/// What an edit should come to, if the stores answer: it is kept, finds no entry, one in another state or of another version, or
/// is no edit of this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Should {
    Keep,
    FindNone,
    FindState,
    FindVersion,
    Refuse,
}

impl World {
    /// Changes the event of an entry, whatever state it is in.
    pub(super) fn edit_entry(&mut self) -> Checked {
        let waiting = EntryFilter { state: Some(State::Quarantined), ..EntryFilter::default() };
        let waiting = sound(self.below.log.entries(&waiting))?;
        let last = self.ledger.last_entry.map_or(0, |last| last.0);
        let id = match self.random.pick(&waiting) {
            Some(entry) if self.random.chance(850) => entry.id,
            _ => QuarantineId(1 + self.random.below(last + 1)),
        };
        let before = sound(self.below.log.entry(id))?;
        let (patch, can_be_done) = self.some_patch(before.as_ref())?;
        let version = match (self.random.below(10), &before) {
            (0..=3, Some(entry)) => Some(entry.version),
            (4, Some(entry)) => Some(entry.version.next()),
            _ => None,
        };
        let is_other = |entry: &Entry| version.is_some_and(|version| version != entry.version);
        let should = match &before {
            None => Should::FindNone,
            Some(entry) if entry.state != State::Quarantined => Should::FindState,
            Some(entry) if is_other(entry) => Should::FindVersion,
            Some(_) if !can_be_done => Should::Refuse,
            Some(_) => Should::Keep,
        };
        if self.random.chance(self.weather.crash * 5) {
            let calls = self.random.below(5);
            self.faults.lock().power_for = Some(calls);
        }
        let word = Word { decision: decision(), version };
        let gate = &self.project.gates[self.gate];
        if self.random.chance(600) {
            if let Some(entry) = &before {
                self.ledger.by_hand.insert((entry.event_id, entry.digest));
            }
            let result = edit::redrive_edited(self.log.as_ref(), gate, self.clock.as_ref(), id, &patch, word);
            self.say(match &result {
                Ok(decided) => format!("{id} edited by {patch}: {:?}, {} released", decided.redriven, decided.released),
                Err(error) => format!("{id} edited by {patch}: {error}"),
            });
            self.book(&[])?;
            self.judge_edit(id, before.as_ref(), &patch, (should, result.as_ref().err()))?;
            return match result {
                Ok(decided) => self.judge_decision(id, before, &decided, true),
                Err(_) => Ok(()),
            };
        }
        let result = edit::edit(self.log.as_ref(), gate, self.clock.as_ref(), id, &patch, word);
        self.say(match &result {
            Ok(edited) => {
                format!("{id} edited by {patch}: version {}, {}", edited.version.0, said(&edited.verdict))
            }
            Err(error) => format!("{id} edited by {patch}: {error}"),
        });
        self.judge_edit(id, before.as_ref(), &patch, (should, result.as_ref().err()))?;
        let (Ok(edited), Some(after)) = (result, sound(self.below.log.entry(id))?) else { return Ok(()) };
        let admissible = self.would_be(&after).is_some();
        if (after.state, after.version) != (State::Quarantined, edited.version)
            || matches!(edited.verdict, Verdict::Admit(_)) != admissible
        {
            let expected = format!("{id} to wait and to be as the answer says");
            return broken(expected, format!("{} of version {}, {edited:?}", after.state, after.version.0));
        }
        Ok(())
    }

    /// A patch for the event of an entry, and whether it can be applied and leaves the event the same one.
    fn some_patch(&mut self, entry: Option<&Entry>) -> Checked<(Patch, bool)> {
        let source = entry.and_then(|entry| SOURCES.iter().find(|source| **source == entry.source.as_str()));
        // Another event of that source: what is in it may be what was meant, or be bad again.
        let fresh = Made::new(&mut self.random, source.copied().unwrap_or("meter"), 0).raw;
        let mut fresh = match json::parse(&fresh) {
            Ok(Value::Object(fresh)) => fresh,
            _ => Object::default(),
        };
        let member = |name: &str, fresh: &Object| fresh.get(name).map(|value| add(&format!("/{name}"), value.clone()));
        let (operations, can_be_done) = match self.random.below(12) {
            0..=5 => {
                (["type", "time", "data"].iter().filter_map(|name| member(name, &fresh)).collect(), !fresh.is_empty())
            }
            6 | 7 => {
                fresh.insert("id", Value::from(entry.map_or("", |entry| entry.raw_id.as_str())));
                fresh.insert("source", Value::from(entry.map_or("", |entry| entry.source.as_str())));
                fresh.insert("specversion", Value::from("1.0"));
                if self.random.chance(500)
                    && let Some(Value::Object(sent)) = entry.and_then(|entry| json::parse(&entry.raw).ok())
                    && let Some(vclock) = sent.get("vclock")
                {
                    fresh.insert("vclock", vclock.clone());
                }
                let type_is_there = fresh.get("type").is_some();
                (vec![add("", Value::Object(fresh))], type_is_there || entry.is_some())
            }
            8 => (vec![add("/data/note", Value::from(format!("by hand {}", self.random.below(9))))], true),
            9 => (vec![add("/id", Value::from("another"))], false),
            10 => (vec![operation("remove", "/nothing", None)], false),
            _ => (Vec::new(), false),
        };
        let patch = Patch::of(Value::Array(operations));
        let patch = match patch {
            Ok(patch) => patch,
            Err(error) => return broken("a patch to be one", error.to_string()),
        };
        // What was edited before may have no data to add to.
        let can = entry.is_some_and(|entry| entry.edited_with(&patch).is_ok());
        Ok((patch, can_be_done && can))
    }

    /// The event is as it arrived, and what was changed about it is what was kept before, with this edit where it was made.
    fn judge_edit(
        &mut self,
        id: QuarantineId,
        before: Option<&Entry>,
        patch: &Patch,
        (should, error): (Should, Option<&EngineError>),
    ) -> Checked {
        let after = sound(self.below.log.entry(id))?;
        let is_unavailable = matches!(error, Some(EngineError::Store(StoreError::Unavailable(_))));
        let fits = match (should, error) {
            _ if is_unavailable => true,
            (Should::Keep, None)
            | (Should::FindNone, Some(EngineError::NoEntry(_)))
            | (Should::FindState, Some(EngineError::EntryState { .. }))
            | (Should::FindVersion, Some(EngineError::EntryChanged { .. }))
            | (Should::Refuse, Some(EngineError::Edit(_))) => true,
            _ => false,
        };
        if !fits {
            return broken(format!("an edit of {id} to be {should:?}"), format!("{error:?}"));
        }
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        let added = after.edits.get(before.edits.len()..).filter(|_| after.edits.starts_with(&before.edits));
        let is_right = match added {
            Some([]) => error.is_some(),
            Some([edit]) => {
                should == Should::Keep
                    && (error.is_none() || is_unavailable)
                    && edit.patch == *patch
                    && edit.decision == decision()
            }
            _ => false,
        };
        let same = (&before.raw, before.event_id, before.digest) == (&after.raw, after.event_id, after.digest);
        let untouched = error.is_none() || is_unavailable || *before == after;
        if !is_right || !same || !untouched {
            let expected = format!("{id} with {} edits, and this one where it was made", before.edits.len());
            return broken(expected, format!("{} of version {}: {after:?}", after.state, after.version.0));
        }
        if error.is_none() {
            self.ledger.edits.insert(id, after.edits.len());
        }
        if added.is_some_and(|added| !added.is_empty()) {
            self.stats.edits += 1;
        }
        Ok(())
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Admit(draft) => format!("admissible as {}", draft.event_type),
        Verdict::Quarantine(refusal) => refusal.reason.to_string(),
    }
}

fn add(path: &str, value: Value) -> Value {
    operation("add", path, Some(value))
}

fn operation(op: &str, path: &str, value: Option<Value>) -> Value {
    let mut members = Object::default();
    members.insert("op", Value::from(op));
    members.insert("path", Value::from(path));
    if let Some(value) = value {
        members.insert("value", value);
    }
    Value::Object(members)
}
