//! The rows that are written by events which say what they knew, by the book: what stands is what nobody knew who took it away.
//!
//! Deliberately without the merges of `evenkeel-core`, and without an order of events but the log's own: everything that was
//! written is compared with everything that could have removed it. What a table holds is compared with the engine's own fold
//! elsewhere ([`super::table`]); here that fold is judged.
use super::{Checked, broken, causing::Claim, world::World};
use evenkeel_core::{
    Event,
    event::Delivery,
    intake::{SourceDot, VCLOCK},
    json::{Object, Value},
    row::{Key, Row},
};
use std::collections::{BTreeMap, BTreeSet};

/// The model that is judged.
const MODEL: &str = "notes";

/// Of how many additions to a counter a deletion tells those that it did not know.
const ADDITIONS: usize = 32;

/// An event that writes or deletes a row.
struct Act<'e> {
    event: &'e Event,
    /// What it says that it knew, itself included.
    clock: Option<Vec<SourceDot>>,
}

impl<'e> Act<'e> {
    fn of(event: &'e Event) -> Self {
        let text = event.draft.extensions.get(VCLOCK).and_then(Value::as_str);
        let counted = event.causality.delivery != Delivery::Log;
        Self { event, clock: text.filter(|_| counted).and_then(Claim::dots) }
    }

    fn data(&self, name: &str) -> Option<&'e Value> {
        self.event.draft.data.as_object()?.get(name)
    }

    fn title(&self) -> Option<&'e str> {
        self.data("title")?.as_str()
    }

    fn deletes(&self) -> bool {
        self.event.draft.event_type.as_str() == "note_gone"
    }

    /// Whether its writer knew another event: by what it says, or by the log where it says nothing.
    fn knows(&self, other: &Self) -> bool {
        let (own, theirs) = (self.event, other.event);
        let named = |dot: &SourceDot| dot.source == theirs.source && dot.seq >= theirs.causality.seq;
        if other.clock.is_some() && self.clock.iter().flatten().any(named) {
            return true;
        }
        let before = theirs.position < own.position;
        match (own.causality.saw, theirs.causality.saw) {
            (Some(saw), Some(other)) if saw.request == other.request => theirs.causality.hlc < own.causality.hlc,
            (Some(saw), _) => before && theirs.position <= saw.upto,
            (None, saw) if self.clock.is_some() => before && other.clock.is_none() && saw.is_none(),
            (None, _) => before,
        }
    }
}

impl World {
    /// Every row of the model is what its events say, judged by each against each.
    pub(super) fn rows_are_known(&mut self) -> Checked {
        let Some(model) = (0..self.tables.len()).find(|model| self.name(*model).as_str() == MODEL) else {
            return broken(format!("a model {MODEL}"), "there is none");
        };
        let (fold, Some(stored)) = (self.fold(model), self.stored(model)?) else { return Ok(()) };
        let tip = self.tables[model].tip(fold, stored.discarded.clone(), &self.ledger.history);
        if !tip.parks.is_empty() || !stored.discarded.is_empty() {
            return Ok(());
        }
        let mut by_note: BTreeMap<&str, Vec<Act<'_>>> = BTreeMap::new();
        for event in self.ledger.history.iter().filter(|e| fold.schema().subscribes.contains(&e.draft.event_type)) {
            by_note.entry(event.draft.subject.as_str()).or_default().push(Act::of(event));
        }
        for (note, acts) in &by_note {
            let row = tip.rows.get(&Key::text(*note)).filter(|row| fold.schema().shows(row));
            judge(note, acts, row.map(|row: &Row| row.to_json(fold.schema())).as_ref())?;
        }
        match tip.rows.keys().find(|key| by_note.keys().all(|note| **key != Key::text(*note))) {
            Some(key) => broken(format!("nothing to be written of {key}"), "there is a row"),
            None => Ok(()),
        }
    }
}

fn judge(note: &str, acts: &[Act<'_>], row: Option<&Object>) -> Checked {
    let outlives = |act: &&Act<'_>| !acts.iter().any(|other| other.deletes() && other.knows(act));
    let left: Vec<&Act<'_>> = acts.iter().filter(|act| !act.deletes()).filter(outlives).collect();
    let Some(row) = row else {
        let written = left.iter().any(|act| ["title", "tag", "stars"].iter().any(|name| act.data(name).is_some()));
        return if written { broken(format!("note {note} to be there"), "it is not") } else { Ok(()) };
    };
    if left.is_empty() {
        return broken(format!("note {note} to be gone: whoever deleted it knew all of it"), format!("{row:?}"));
    }
    let texts = |name: &str| -> BTreeSet<&str> {
        let values = row.get(name).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).collect()
    };
    let tags: BTreeSet<&str> = left.iter().filter_map(|act| act.data("tag")?.as_str()).collect();
    if texts("tags") != tags {
        return broken(format!("note {note} to have the tags {tags:?}"), format!("{row:?}"));
    }
    let titled = |act: &Act<'_>| act.data("title").is_some();
    let over = |act: &Act<'_>| acts.iter().filter(|other| titled(other) && is_over(other, act)).collect::<Vec<_>>();
    // A title that another one replaced is gone, also where that one was deleted since; unless whoever took that one away did
    // not know this: who says nothing of what he knew does not know what another knew that comes late.
    let is_away = |other: &Act<'_>, act: &Act<'_>| {
        let takes = |third: &&Act<'_>| third.deletes() || titled(third);
        acts.iter().filter(takes).any(|third| is_over(third, other) && !third.knows(act))
    };
    let must: BTreeSet<&str> = left.iter().filter(|act| over(act).is_empty()).filter_map(|act| act.title()).collect();
    let may = |act: &&&Act<'_>| over(act).iter().all(|other| is_away(other, act));
    let titles: BTreeSet<&str> = left.iter().filter(may).filter_map(|act| act.title()).collect();
    let shown = row.get("title").and_then(Value::as_str);
    let fits = match row.get("title_siblings") {
        Some(_) => {
            let mut siblings = texts("title_siblings");
            siblings.extend(shown);
            siblings.is_subset(&titles) && must.is_subset(&siblings) && shown.is_some() != siblings.is_empty()
        }
        // Of those that did not know each other one stands. One that comes after who knew it finds what that one lost to, and
        // may be later than it.
        None => shown.is_none_or(|shown| {
            let late = |act: &Act<'_>| over(act).iter().all(|other| other.event.position < act.event.position);
            titles.contains(shown) || left.iter().any(|act| act.title() == Some(shown) && late(act))
        }),
    };
    if !fits {
        return broken(format!("note {note} to have the titles {titles:?}"), format!("{row:?}"));
    }
    let additions = acts.iter().filter(|act| act.data("stars").is_some()).count();
    let stars: i64 = left.iter().filter_map(|act| act.data("stars")?.as_i64()).sum();
    let counted = row.get("stars").and_then(Value::as_i64).unwrap_or_default();
    if counted != stars && additions <= ADDITIONS {
        return broken(format!("note {note} to have {stars} stars"), format!("{row:?}"));
    }
    Ok(())
}

/// Whether a write took another's place: it is another one, and knew it.
fn is_over(other: &Act<'_>, act: &Act<'_>) -> bool {
    other.event.position != act.event.position && other.knows(act)
}
