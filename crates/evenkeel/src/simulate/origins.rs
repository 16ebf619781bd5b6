//! Events as they were sent: that they are kept, and for how long, and that each event of the log can say where it is from.
//!
//! What is told of an event is compared with what was sent and what was edited, place by place, and not with what the contract
//! says of itself.
use super::{Checked, broken, ledger::content, sound, world::World};
use crate::{Clock, EngineError, lineage, report::LineageReport};
use evenkeel_core::{
    Event,
    json::{self, Pointer, Value},
    quarantine::Entry,
};
use evenkeel_store::{Log, StoreError};
use std::time::Duration;

impl World {
    /// Forgets how events were sent that are old.
    pub(super) fn forget_raws(&mut self) -> Checked {
        let age = Duration::from_millis(self.random.below(120_000));
        let before = self.clock.now().minus(age);
        self.ledger.forgotten_before = self.ledger.forgotten_before.max(Some(before));
        let limit = 1 + self.random.index(30);
        match self.log.forget_raws(before, limit) {
            Ok(count) => {
                self.stats.raws_forgotten += count as u64;
                self.say(format!("forgets how {count} events were sent, from before {before}"));
            }
            Err(StoreError::Unavailable(error)) => self.say(format!("forgets nothing: {error}")),
            Err(error) => return broken("what is old to be forgotten", error.to_string()),
        }
        self.ledger.raws_are_right(self.below.log.as_ref())
    }

    /// Asks where an event is from.
    pub(super) fn tell_lineage(&mut self) -> Checked {
        let number = 1 + self.random.below(self.ledger.history.len() as u64 + 1);
        let event = usize::try_from(number - 1).ok().and_then(|at| self.ledger.history.get(at)).cloned();
        let name = match &event {
            Some(event) if self.random.chance(500) => event.id.to_string(),
            _ => number.to_string(),
        };
        let told = lineage::of(self.log.as_ref(), &self.project.gates[self.gate], &name);
        match (told, event) {
            (Ok(told), Some(event)) => {
                self.say(format!("{name} is from {:?}, exact: {}", told.quarantine_id, told.exact));
                self.judge_lineage(&told, &event)
            }
            (Err(EngineError::NoEvent(_)), None) | (Err(EngineError::Store(StoreError::Unavailable(_))), _) => Ok(()),
            (told, _) => broken(format!("the lineage of {name}"), format!("{told:?}")),
        }
    }

    /// Of every event it can be told.
    pub(super) fn all_lineage(&mut self) -> Checked {
        for event in self.ledger.history.clone() {
            let name = event.position.to_string();
            match lineage::of(self.below.log.as_ref(), &self.project.gates[self.gate], &name) {
                Ok(told) => self.judge_lineage(&told, &event)?,
                Err(error) => return broken(format!("the lineage of {name}"), error.to_string()),
            }
        }
        Ok(())
    }

    fn judge_lineage(&mut self, told: &LineageReport, event: &Event) -> Checked {
        let wrong = |expected: &str| {
            let found = format!("{:?}, {:?}, {:?}", told.quarantine_id, told.reason, told.fields);
            broken(format!("the lineage of {} {} to {expected}", event.position, event.raw_id), found)
        };
        let entries = sound(self.below.log.entries_of(event.id))?;
        let entry = entries.into_iter().find(|entry| (entry.event_id, entry.digest) == content(event));
        if told.quarantine_id != entry.as_ref().map(|entry| entry.id.to_string()) {
            return wrong("name the entry that it was in, or none");
        }
        let kept = match &entry {
            Some(entry) => Some(entry.raw.clone()),
            None => sound(self.below.log.raw(event.position))?,
        };
        let sent = self.ledger.sent.get(&content(event)).map(|sent| &sent.raw);
        if kept.is_some() && kept.as_ref() != sent {
            return wrong("have it as it was sent");
        }
        if told.raw != kept.as_ref().map(|raw| String::from_utf8_lossy(raw).into_owned()) {
            return wrong("show it as it was sent");
        }
        if told.edits.len() != entry.as_ref().map_or(0, |entry| entry.edits.len()) {
            return wrong("have its edits");
        }
        let Some(sent) = kept.filter(|raw| json::parse(raw).is_ok() || entry.is_some()) else {
            return if !told.exact && told.fields.is_empty() { Ok(()) } else { wrong("say that it is not known") };
        };
        let edited = entry.as_ref().and_then(|entry| Some(entry.edited().ok()?.into_owned())).unwrap_or(sent);
        let now = super::ledger::draft(&self.project.gates[self.gate], &edited);
        if told.exact != (now.as_ref() == Some(&event.draft)) || told.fields.is_empty() != now.is_none() {
            return wrong("be exact where the contracts of today make the same of it");
        }
        if !told.exact {
            return if told.reason.is_some() { Ok(()) } else { wrong("say why it is not exact") };
        }
        self.stats.lineages += 1;
        match fields(told, event, &edited, entry.as_ref()) {
            Some(expected) => wrong(&expected),
            None => Ok(()),
        }
    }
}

/// What is wrong with the fields of a lineage that says to be exact.
fn fields(told: &LineageReport, event: &Event, edited: &[u8], entry: Option<&Entry>) -> Option<String> {
    let place = |text: &str| -> Option<Pointer> { text.parse().ok() };
    let edited = json::parse(edited).ok()?;
    for (name, _) in event.draft.data.as_object()?.iter() {
        let is_of = |field: &str| field == format!("/data/{name}") || field.starts_with(&format!("/data/{name}/"));
        if !told.fields.iter().any(|field| is_of(&field.field)) {
            return Some(format!("tell where {name} is from"));
        }
    }
    for field in &told.fields {
        let ours = field.field.strip_prefix("/data").and_then(place);
        if let Some(ours) = ours
            && (ours.get(&event.draft.data) != field.value.as_ref() || !field.exact)
        {
            return Some(format!("have what is at {}", field.field));
        }
        let at = |document: &Value| -> Vec<Option<Value>> {
            field.from.iter().map(|from| place(from).and_then(|from| from.get(document).cloned())).collect()
        };
        let as_it_was = ["text", "i64", "bool"].contains(&field.conversion.as_str()) && field.from.len() == 1;
        if as_it_was && at(&edited)[0] != field.value {
            return Some(format!("name the place that {} was taken from", field.field));
        }
        let mut last = None;
        if let Some(entry) = entry {
            let mut document = json::parse(&entry.raw).unwrap_or(Value::Null);
            for (number, edit) in entry.edits.iter().enumerate() {
                let before = at(&document);
                document = edit.patch.apply(document).ok()?;
                last = if at(&document) == before { last } else { Some(number + 1) };
            }
        }
        if field.edit != last {
            return Some(format!("name edit {last:?} for {}", field.field));
        }
    }
    None
}
