//! Content: which rows of a model are not what the log says, and why. Suspicions first (others' writes, windows of
//! identities, sums of digests), then the rows concerned folded afresh and compared.
//!
//! The table must not move meanwhile: the caller holds the model's turn. What sums say is decided in
//! [`evenkeel_core::content`]; writing rows is [`crate::repair`]'s; comparing every row is [`crate::verify`]'s.
mod conclude;

pub(crate) use conclude::{conclude, keep_drifted, restore_windows, set_buckets};

use crate::{
    EngineError,
    lease::called_off,
    refold::{Refolded, mend_index, mistaken, refold, touches_of},
    verify::{self, GoOn},
};
use evenkeel_core::{
    Event, EventId, Timestamp,
    content::{Cause, Clues, Pass, Touched, Window, WindowDifference, WrongRow, cause, compare_windows},
    digest::{RowDigest, RowHasher, Sum},
    fold::{Fold, Park, ParkState, TouchId},
    merge::Conflict,
    row::Key,
};
use evenkeel_store::{Log, ModelState, Models, Result, Settled, StoredRow, Table};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
};

/// How many notes of others' writes are looked at in one check. Few in tests of this crate, which fill them.
const NOTES: usize = if cfg!(test) { 20 } else { 100_000 };

/// Up to how many rows that unexplained windows touch are looked at one by one; beyond, a full look tells which.
const SUSPECTS: usize = 20_000;

/// How many rows are read, and how many compared, at a time.
const PAGE: usize = 4096;

/// How thoroughly a check looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// What is suspected already: notes of others' writes, windows whose identities differ, rows given.
    #[default]
    Suspected,
    /// Besides, every row digested and summed up.
    Sums,
    /// Besides, every row folded afresh.
    Full,
}

/// A row that is wrong, with what is needed to put it right.
#[derive(Debug, Clone)]
pub(crate) struct Wrong {
    pub(crate) row: WrongRow,
    /// The digest that the sums hold of it.
    pub(crate) replaces: Option<RowDigest>,
    /// The digest of what is there.
    pub(crate) found: Option<RowDigest>,
    /// What the fold cannot apply to it.
    pub(crate) parks: Vec<Park>,
    /// Whether the fold makes another row than the projector wrote, so that only a person may have it mended.
    pub(crate) defect: bool,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// How thoroughly it looked in the end.
    pub(crate) depth: Depth,
    /// Rows there should be; `None` where not all were folded.
    pub(crate) rows: Option<u64>,
    /// The wrong rows, in order of their keys.
    pub(crate) wrong: Vec<Wrong>,
    /// How many rows were found wrong, of which `wrong` are the first.
    pub(crate) wrong_rows: u64,
    /// Whether more rows are wrong than are named, or more are suspected than were looked at: the others must not be taken
    /// for right.
    pub(crate) truncated: bool,
    /// Rows that were compared with the log or with the sums.
    pub(crate) rows_checked: u64,
    /// Events that were folded for it.
    pub(crate) events: u64,
    /// Windows whose identities differ, with what the log has.
    pub(crate) windows: Vec<WindowDifference>,
    /// Buckets whose rows do not add up, with what is there; `None` where rows were not summed up.
    pub(crate) buckets: Option<Vec<(u16, Sum)>>,
    /// What is decided of the rows that were folded afresh and are wrong: events were folded over something else. Where windows
    /// differ, of those that are right too: events that were missed have decided nothing yet.
    pub(crate) conflicts: Vec<Conflict>,
    /// Rows that were suspected and are right.
    pub(crate) cleared: Vec<Settled>,
    /// Wrong rows that are left as they are, and that nothing is concluded from.
    pub(crate) left: BTreeSet<Key>,
    /// What it is as of.
    pub(crate) as_of: Option<Timestamp>,
    /// How often rows had been doubted when it began.
    pub(crate) doubts: u64,
}

/// What a check works with.
pub(crate) struct Checker<'c> {
    pub(crate) log: &'c dyn Log,
    pub(crate) models: &'c dyn Models,
    pub(crate) fold: &'c dyn Fold,
    pub(crate) now: Timestamp,
}

/// Rows that may be wrong, each with what identities say about it.
type Suspects = BTreeMap<Key, Option<Cause>>;

impl Checker<'_> {
    /// Looks for wrong rows of the live table; `also` are suspected from elsewhere. `None` where it was called off.
    ///
    /// The table must be of this version of the fold, and of this log.
    pub(crate) fn check(&self, depth: Depth, also: &[Key], go_on: GoOn<'_>) -> Result<Option<Checked>> {
        let model = &self.fold.schema().model;
        // Without the watch there may be writes that nobody noted.
        let depth = if self.models.watch(model)? { depth } else { depth.max(Depth::Sums) };
        // The doubts that are known now are looked into; later ones are not, and outlast the verdict.
        let state = self.state()?;
        // Where sums disagreed, no note says which rows it is.
        let depth = if state.content.bad_buckets > 0 { depth.max(Depth::Sums) } else { depth };
        let mut checked = Checked { as_of: Some(self.now), doubts: state.doubts, ..Checked::default() };
        if mend_index((self.log, self.models), self.fold, state.checkpoint.position, go_on)?.is_break() {
            return Ok(None);
        }
        let mut suspects: Suspects = also.iter().map(|key| (key.clone(), None)).collect();
        let mut notes = self.models.touched(model, NOTES + 1)?;
        checked.truncated = notes.len() > NOTES;
        notes.truncate(NOTES);
        suspects.extend(notes.iter().map(|note| (note.key.clone(), None)));
        checked.windows = self.windows(&state)?;
        // Where the events are known that make the difference their rows are; otherwise other rows may be concerned that no
        // event of this log names.
        let mut touched = Suspects::new();
        let are_explained = self.suspect_windows(&state, &checked.windows, &mut touched)?;
        if are_explained || touched.len() <= SUSPECTS {
            suspects.extend(touched.iter().map(|(key, cause)| (key.clone(), *cause)));
        }
        let depth = if are_explained { depth } else { Depth::Full };
        checked.depth = depth;
        let mut differing = None;
        if depth >= Depth::Sums {
            let Some(by) = self.sum_up(&mut suspects, &mut checked, go_on)? else { return Ok(None) };
            let bad: BTreeSet<u16> = by.keys().copied().collect();
            let scope = match depth {
                Depth::Full => verify::Scope::All,
                _ => verify::Scope::Buckets(&bad),
            };
            if depth == Depth::Full || !bad.is_empty() {
                let found = verify::verify(self.log, self.models, self.fold, Table::Live, scope, go_on)?;
                let Some(found) = found else { return Ok(None) };
                if depth == Depth::Full {
                    checked.rows = Some(found.rows);
                }
                checked.truncated |= found.wrong_rows > found.keys.len() as u64;
                checked.wrong_rows = found.wrong_rows;
                for key in found.keys.into_iter().chain(found.misparked) {
                    let clue = touched.get(&key).copied().flatten();
                    suspects.entry(key).or_insert(clue);
                }
            }
            differing = Some(by);
        }
        if self.examine(&state, &suspects, (&notes, differing.as_ref()), &mut checked, go_on)?.is_break() {
            return Ok(None);
        }
        if !are_explained && self.tell_apart(&state, &mut checked, go_on)?.is_break() {
            return Ok(None);
        }
        // Rows that the log's fold calls wrong and their own events do not: nothing may be concluded from that.
        checked.truncated |= checked.wrong_rows > 0 && checked.wrong.is_empty();
        checked.wrong_rows = checked.wrong_rows.max(checked.wrong.len() as u64);
        Ok(Some(checked))
    }

    /// Looks at these rows and at no others: what is found says nothing of the rest of the model. `None` where it was
    /// called off.
    pub(crate) fn check_rows(&self, keys: &[Key], go_on: GoOn<'_>) -> Result<Option<Checked>> {
        let state = self.state()?;
        if mend_index((self.log, self.models), self.fold, state.checkpoint.position, go_on)?.is_break() {
            return Ok(None);
        }
        let mut checked = Checked { as_of: Some(self.now), ..Checked::default() };
        checked.windows = self.windows(&state)?;
        let mut touched = Suspects::new();
        let are_explained = self.suspect_windows(&state, &checked.windows, &mut touched)?;
        let clue = |key: &Key| touched.get(key).copied().flatten();
        let suspects: Suspects = keys.iter().map(|key| (key.clone(), clue(key))).collect();
        let notes = self.models.notes(&state.schema.model, keys)?;
        if self.examine(&state, &suspects, (&notes, None), &mut checked, go_on)?.is_break() {
            return Ok(None);
        }
        if !are_explained && self.tell_apart(&state, &mut checked, go_on)?.is_break() {
            return Ok(None);
        }
        checked.wrong_rows = checked.wrong.len() as u64;
        Ok(Some(checked))
    }

    /// Where more rows are noted than one check looks at: settles the first of them, as far as they are right. Whether all
    /// of those were, so that the next may be looked at. `None` where it was called off.
    fn settle_first(&self, go_on: GoOn<'_>) -> Result<Option<bool>> {
        let model = &self.fold.schema().model;
        let notes = self.models.touched(model, NOTES + 1)?;
        if notes.len() <= NOTES {
            return Ok(Some(false));
        }
        let keys: Vec<Key> = notes.into_iter().take(NOTES).map(|note| note.key).collect();
        let Some(checked) = self.check_rows(&keys, go_on)? else { return Ok(None) };
        self.models.settle(model, &checked.cleared)?;
        Ok(Some(checked.wrong.is_empty()))
    }

    fn state(&self) -> Result<ModelState> {
        let model = &self.fold.schema().model;
        self.models.state(model)?.ok_or_else(|| evenkeel_store::StoreError::NoModel(model.clone()))
    }

    /// The windows in which the identities of the events reached are not those of the events there are.
    pub(crate) fn windows(&self, state: &ModelState) -> Result<Vec<WindowDifference>> {
        let (types, upto) = (&state.schema.subscribes, state.checkpoint.position);
        let appended = self.log.identities(types, Window::default(), upto)?;
        let applied = self.models.identities(&state.schema.model, Table::Live, Window::default())?;
        Ok(compare_windows(&appended, &applied))
    }

    /// The rows that the events of differing windows touch; only those of the events that make the difference, where it is
    /// known which they are. Whether it is of all windows.
    fn suspect_windows(
        &self,
        state: &ModelState,
        windows: &[WindowDifference],
        suspects: &mut Suspects,
    ) -> Result<bool> {
        let mut are_explained = true;
        let mut touches = Vec::new();
        for difference in windows {
            let events = self.events(state, difference.window)?;
            let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
            let explained = difference.explained_by(&ids);
            are_explained &= explained.is_some();
            for event in &events {
                let cause = match &explained {
                    None => Some(difference.tendency()),
                    Some(explained) => explained.iter().find(|(id, _)| *id == event.id).map(|(_, cause)| *cause),
                };
                if let Some(cause) = cause {
                    self.fold.touches(event, &mut touches);
                    let keys = touches.drain(..).filter_map(|touch| touch.key.ok());
                    suspects.extend(keys.map(|key| (key, Some(cause))));
                }
            }
        }
        Ok(are_explained)
    }

    /// Digests every row: those that are not as written are suspected, and what is there of the buckets that do not add up
    /// is kept. By how much each of these differs from what was meant; `None` where it was called off.
    fn sum_up(
        &self,
        suspects: &mut Suspects,
        checked: &mut Checked,
        go_on: GoOn<'_>,
    ) -> Result<Option<BTreeMap<u16, Sum>>> {
        let model = &self.fold.schema().model;
        let mut pass = Pass::new(self.now);
        loop {
            if go_on().is_break() {
                return Ok(None);
            }
            let rows = self.models.scrub(model, Table::Live, pass.cursor(), PAGE)?;
            let is_last = rows.len() < PAGE;
            for row in rows {
                if !row.intact {
                    suspects.entry(row.key.clone()).or_insert(None);
                }
                pass.read(row.key, row.hash, row.digest);
            }
            if is_last {
                break;
            }
        }
        checked.rows_checked += pass.rows();
        let meant = self.models.buckets(model, Table::Live)?;
        let there: Vec<_> = pass.differing(&meant).into_iter().map(|bucket| (bucket, pass.sum(bucket))).collect();
        let by = there.iter().map(|(bucket, sum)| (*bucket, sum.minus(meant.get(*bucket)))).collect();
        checked.buckets = Some(there);
        Ok(Some(by))
    }

    /// Folds suspected rows afresh and compares them.
    fn examine(
        &self,
        state: &ModelState,
        suspects: &Suspects,
        (notes, bad): (&[Touched], Option<&BTreeMap<u16, Sum>>),
        checked: &mut Checked,
        go_on: GoOn<'_>,
    ) -> Result<ControlFlow<()>> {
        let model = &self.fold.schema().model;
        let notes: HashMap<&Key, &Touched> = notes.iter().map(|note| (&note.key, note)).collect();
        let mut hasher = RowHasher::new(&self.models.digest_key(), self.fold.schema());
        let keys: Vec<Key> = suspects.keys().cloned().collect();
        let mut parked = self.parked()?;
        self.index(state, &keys, &checked.windows)?;
        for keys in keys.chunks(PAGE) {
            let (stores, upto) = ((self.log, self.models), state.checkpoint.position);
            let Some(mut folded) = refold(stores, self.fold, Table::Live, keys, upto, go_on)? else {
                return Ok(ControlFlow::Break(()));
            };
            let loaded = self.models.load(model, Table::Live, keys)?;
            let mut stored: HashMap<Key, StoredRow> =
                loaded.rows.into_iter().map(|row| (row.key.clone(), row)).collect();
            if checked.depth == Depth::Suspected {
                checked.rows_checked += keys.len() as u64;
            }
            checked.events += folded.events;
            let conflicts = std::mem::take(&mut folded.conflicts);
            let before = checked.wrong.len();
            for key in keys {
                let found = stored.remove(key);
                let identities = suspects.get(key).copied().flatten();
                let bucket = hasher.key(key).bucket();
                let known = Known {
                    note: notes.get(key).copied(),
                    identities,
                    bucket_differs_by: bad.map(|bad| bad.get(&bucket).copied().unwrap_or_default()),
                    parks: parked.remove(key).unwrap_or_default(),
                };
                let compared = Settled::of(key.clone(), found.as_ref());
                match judge(key, found, &mut folded, &known, |row| hasher.row(self.fold.schema(), row)) {
                    Some(wrong) => checked.wrong.push(wrong),
                    None => checked.cleared.push(compared),
                }
            }
            let wrong: BTreeSet<&Key> = checked.wrong[before..].iter().map(|wrong| &wrong.row.key).collect();
            let is_news = |conflict: &Conflict| !checked.windows.is_empty() || wrong.contains(&conflict.key);
            let news: Vec<_> = conflicts.into_iter().filter(is_news).collect();
            checked.conflicts.extend(news);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Where several events went wrong in one window, its sums say only what most of them did: what happened to a row is
    /// tried out. Not where its bucket does not add up: what is there need not be what the projector made of any events.
    fn tell_apart(&self, state: &ModelState, checked: &mut Checked, go_on: GoOn<'_>) -> Result<ControlFlow<()>> {
        let (stores, upto) = ((self.log, self.models), state.checkpoint.position);
        let mut hasher = RowHasher::new(&self.models.digest_key(), self.fold.schema());
        let bad: BTreeSet<u16> = checked.buckets.iter().flatten().map(|(bucket, _)| *bucket).collect();
        for Wrong { row, .. } in &mut checked.wrong {
            let is_tried = matches!(row.cause, Cause::MissedEvent | Cause::DoubleApply);
            if !is_tried || bad.contains(&hasher.key(&row.key).bucket()) {
                continue;
            }
            if go_on().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let suspected = |position| checked.windows.iter().any(|known| known.window == Window::of(position));
            let found = mistaken(stores, self.fold, (&row.key, row.actual.as_ref(), row.cause), upto, suspected)?;
            row.cause = found.unwrap_or(row.cause);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The events of a window that the table should have reached.
    fn events(&self, state: &ModelState, window: Window) -> Result<Vec<Event>> {
        let last = window.last().min(state.checkpoint.position);
        let limit = usize::try_from(evenkeel_core::content::WINDOW_POSITIONS).unwrap_or(PAGE);
        let mut events = self.log.read(window.before(), Some(&state.schema.subscribes), limit)?.events;
        events.retain(|event| event.position <= last);
        Ok(events)
    }

    /// What is parked, by row.
    fn parked(&self) -> Result<HashMap<Key, Waiting>> {
        let mut parked: HashMap<Key, Waiting> = HashMap::new();
        for park in self.models.parks(&self.fold.schema().model, None)? {
            if let (Some(key), true) = (park.key, park.state != ParkState::Discarded) {
                parked.entry(key).or_default().insert(park.touch, park.state);
            }
        }
        Ok(parked)
    }

    /// Events that were never folded are not in the index of touched keys either: those of differing windows are put
    /// into it before it is asked.
    fn index(&self, state: &ModelState, keys: &[Key], windows: &[WindowDifference]) -> Result<()> {
        if windows.is_empty() || keys.is_empty() || self.fold.keyed_by_subject() {
            return Ok(());
        }
        let mut hasher = RowHasher::new(&self.models.digest_key(), self.fold.schema());
        let mut touches = Vec::new();
        for difference in windows {
            touches.extend(touches_of(self.fold, &mut hasher, &self.events(state, difference.window)?));
        }
        self.models.index(&state.schema.model, Table::Live, &touches)
    }
}

/// Looks for wrong rows of a live table.
///
/// # Errors
/// [`EngineError::Outdated`] and [`EngineError::Method`] where the rows are of another version or another history, so that
/// comparing them says nothing. Also where it was called off or a store cannot be read or written.
pub(crate) fn check_live(
    checker: &Checker<'_>,
    depth: Depth,
    also: &[Key],
    go_on: GoOn<'_>,
) -> std::result::Result<Checked, EngineError> {
    comparable(checker)?;
    loop {
        match checker.settle_first(go_on)? {
            Some(true) => {}
            Some(false) => break,
            None => return Err(called_off("verification")),
        }
    }
    checker.check(depth, also, go_on)?.ok_or_else(|| called_off("verification"))
}

/// As [`check_live`], of these rows alone.
///
/// # Errors
/// As [`check_live`].
pub(crate) fn check_rows(
    checker: &Checker<'_>,
    keys: &[Key],
    go_on: GoOn<'_>,
) -> std::result::Result<Checked, EngineError> {
    comparable(checker)?;
    checker.check_rows(keys, go_on)?.ok_or_else(|| called_off("verification"))
}

/// Whether comparing the rows with the log says anything.
fn comparable(checker: &Checker<'_>) -> std::result::Result<(), EngineError> {
    let model = &checker.fold.schema().model;
    let state = checker.state()?;
    if !state.schema.same_as(checker.fold.schema()) {
        return Err(EngineError::Outdated(model.clone()));
    }
    if let Some(reason) = &state.condemned {
        return Err(EngineError::Method(format!("{model} must be rebuilt: {reason}")));
    }
    if !checker.log.safe_head()?.holds(&state.checkpoint) {
        return Err(EngineError::Method(format!("{model} has applied events that the log does not have; rebuild it")));
    }
    Ok(())
}

/// What is known of a suspected row besides the row.
struct Known<'k> {
    note: Option<&'k Touched>,
    identities: Option<Cause>,
    /// The rows that are there less those that were meant, in its bucket; `None` where it was not looked at.
    bucket_differs_by: Option<Sum>,
    /// What is parked of it.
    parks: Waiting,
}

/// Parked events and whether each is the one that cannot be applied.
type Waiting = BTreeMap<TouchId, ParkState>;

/// Compares one row; `None` where it is as the log says.
fn judge(
    key: &Key,
    found: Option<StoredRow>,
    folded: &mut Refolded,
    known: &Known<'_>,
    mut digest: impl FnMut(&evenkeel_core::row::Row) -> RowDigest,
) -> Option<Wrong> {
    let expected = folded.rows.remove(key);
    let parks = folded.parks.remove(key).unwrap_or_default();
    let should = expected.as_ref().map(&mut digest);
    let is = found.as_ref().map(|row| row.digest);
    let is_intact = found.as_ref().is_none_or(StoredRow::is_intact);
    let same_parks = parks.iter().map(|park| (park.touch, park.state)).collect::<Waiting>() == known.parks;
    if should == is && is_intact && same_parks {
        return None;
    }
    let bucket_agrees = known.bucket_differs_by.map(Sum::is_zero);
    let mut by_row = Sum::default();
    is.iter().for_each(|digest| by_row.add(digest.0));
    should.iter().for_each(|digest| by_row.sub(digest.0));
    // The projector meant the row that should be there, and this row is all that differs: whatever was missed or applied
    // twice, this was somebody else.
    let was_meant = known.bucket_differs_by.is_some_and(|by| !by.is_zero() && by == by_row);
    let identities = known.identities.filter(|_| !was_meant);
    let clues = Clues { intact: is_intact, touched: known.note.is_some(), bucket_agrees, identities };
    let cause = cause(expected.is_some(), found.is_some(), clues);
    // Somebody may have written to a row that the fold makes otherwise as well.
    let was_defect = identities.is_none() && known.note.is_some_and(|note| note.meant != should);
    let defect = cause == Cause::ProjectorDefect || (was_defect && known.note.is_some_and(|note| note.meant.is_some()));
    let meant = found.as_ref().and_then(|row| row.meant);
    let replaces = match known.note {
        // The sums hold the rows as they are, whatever their digests say.
        _ if bucket_agrees == Some(true) => is,
        Some(note) => note.meant,
        None if !is_intact => meant,
        // Somebody put another row there, digest and all: the sums hold the one that should be.
        None if bucket_agrees == Some(false) && identities.is_none() => should,
        None => meant,
    };
    let row = WrongRow { key: key.clone(), cause, expected, actual: found.map(|row| row.row) };
    Some(Wrong { row, replaces, found: is, parks, defect })
}

impl Checked {
    /// Whether a fold may be at fault, which only a person may decide about.
    pub(crate) fn has_defect(&self) -> bool {
        self.wrong.iter().any(|wrong| wrong.defect)
    }

    /// How many rows are wrong, in words.
    pub(crate) fn wrong_in_words(&self) -> String {
        if self.truncated { format!("at least {}", self.wrong_rows) } else { self.wrong_rows.to_string() }
    }
}

#[cfg(test)]
mod tests;
