//! The scrub: rows read again in the background, at a set rate, and compared with what was written.
//!
//! A row whose columns are not those of its digest is found when it is read; a row that is gone, or was put there with a
//! digest of its own, at the end of the pass, when the sums of the buckets are compared. So whatever is done to a table
//! without a trigger noting it is found within two passes: twice the rows divided by the rate, or twice what a pass really
//! takes where the model's turn is hard to get. A pass goes on over what the projector and the reconciler write meanwhile.
//!
//! Some of the rows that are read are also folded afresh, by their own events, and compared: others in every pass, all of
//! them in time; and rows that are not there and that events touch, event by event. That finds what the projector itself
//! got wrong. What is found makes the model `suspect`; naming and mending it is the reconciler's.
use crate::{
    content::{Checker, keep_drifted},
    engine::Inner,
    refold::{has_sound_index, refold},
    slot::Slot,
    trust::Added,
    verify::GoOn,
};
use evenkeel_core::{
    Position, Timestamp,
    content::Pass,
    drift::{Content, Verdict},
    row::{Key, Row},
};
use evenkeel_store::{ModelState, Models, Result, StoreError, Table};
use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering,
    time::Duration,
};

/// How often rows are read. Between two slices the projector has its turn.
const TICK: Duration = Duration::from_millis(100);

/// The most rows read in one turn: a few milliseconds of the projector's time.
const SLICE: usize = 2000;

/// How long the turn is waited for: longer than a batch takes. Other models wait for this thread meanwhile.
const TURN_WAIT: Duration = Duration::from_millis(50);

/// The scrub's thread: a slice of each model at every tick.
pub(crate) fn scrub(inner: &Inner) {
    let per_second = inner.options.scrub_rows_per_second as f64;
    // Of each model the rows that may be read now, so that one that could not be had its turn of is made up for.
    let mut credits = vec![0.0f64; inner.slots.len()];
    let mut last = inner.clock.monotonic();
    while !inner.stopping.load(Ordering::SeqCst) {
        let seen = inner.scrubbing.seen();
        inner.scrubbing.wait(seen, TICK);
        // By the time that has passed and not by ticks, which come later the longer the reading takes.
        let now = inner.clock.monotonic();
        let due = per_second * now.saturating_sub(last).as_secs_f64();
        last = now;
        for (slot, credit) in inner.slots.values().zip(&mut credits) {
            *credit = (*credit + due).min(per_second);
            if slot.trust.take_asked() {
                add_up(inner, slot);
            }
            scrub_model(inner, slot, credit);
        }
    }
}

/// Adds up all rows of a model in one go, since somebody cannot answer a read before that is done.
fn add_up(inner: &Inner, slot: &Slot) {
    let models = inner.models.as_ref();
    let added = slot.trust.add_up(models, slot.schema(), TURN_WAIT, &mut || inner.go_on());
    let doubted = match added {
        Ok(Added::Differs(buckets)) => doubt(models, slot, Some(buckets)).map(|_| true),
        added => added.map(|_| false),
    };
    match doubted {
        Ok(true) => inner.reconcile_needed(slot),
        Ok(false) => {}
        Err(error) => tracing::debug!(model = %slot.name(), %error, "the rows could not be added up"),
    }
}

/// Reads rows of a model as long as there is credit.
fn scrub_model(inner: &Inner, slot: &Slot, credit: &mut f64) {
    while *credit >= 1.0 && !inner.stopping.load(Ordering::SeqCst) {
        let slice = (*credit as usize).min(SLICE);
        match scrub_slice(&inner.checker(slot), slot, slice, &mut || inner.go_on()) {
            Ok(Scrubbed::More) => *credit -= slice as f64,
            Ok(Scrubbed::Busy) => return,
            ended => {
                // What was not needed is not saved up.
                *credit = 0.0;
                match ended {
                    Ok(Scrubbed::Disagrees) => inner.reconcile_needed(slot),
                    Err(error) => tracing::debug!(model = %slot.name(), %error, "the scrub could not read"),
                    Ok(_) => {}
                }
            }
        }
    }
}

/// One of so many rows is folded afresh in a pass, in the next pass another one.
const REFOLDED: u64 = 50;

/// Of so many events in a turn it is asked which rows they touch.
const EVENTS: usize = 4;

/// After so many events no further rows of a slice are folded afresh.
const REFOLD_EVENTS: u64 = 500;

/// Rows that are folded afresh together.
const AT_ONCE: usize = 8;

/// What a slice of the scrub came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scrubbed {
    /// There are more rows.
    More,
    /// Every row was read, and all is as it was written; or there is nothing to scrub now.
    Ended,
    /// Something is not as it was written.
    Disagrees,
    /// Nothing was read: somebody else has the model's turn.
    Busy,
}

/// What was read in one turn.
enum Read {
    /// There is nothing to be folded.
    Looked(Scrubbed),
    /// The pass goes on, and these rows are folded afresh.
    Sampled(Sample),
}

/// Some rows as they were when the model had come so far.
struct Sample {
    rows: Vec<(Key, Option<Row>)>,
    upto: Position,
    /// Whether no row is behind them.
    is_last: bool,
}

/// Reads the next rows of a model, as of the checker's moment. `go_on` may call off what takes long.
pub(crate) fn scrub_slice(checker: &Checker<'_>, slot: &Slot, rows: usize, go_on: GoOn<'_>) -> Result<Scrubbed> {
    let sample = match read_on(checker, slot, (rows, true))? {
        Read::Looked(scrubbed) => return Ok(scrubbed),
        Read::Sampled(sample) => sample,
    };
    // Without the turn, since that takes as long as these rows have events.
    let wrong = differing(checker, &sample.rows, sample.upto, go_on)?;
    if !wrong.is_empty() && differ_still(checker, slot, wrong, go_on)? {
        return Ok(Scrubbed::Disagrees);
    }
    if !sample.is_last {
        return Ok(Scrubbed::More);
    }
    // What was put behind the last row meanwhile is folded in a later pass: this one is to end.
    match read_on(checker, slot, (rows, false))? {
        Read::Looked(scrubbed) => Ok(scrubbed),
        Read::Sampled(_) => Ok(Scrubbed::More),
    }
}

/// Reads so many rows in a turn, and takes a sample of them if it `samples`. At the end, and where there is none, says what
/// came of the pass.
fn read_on(checker: &Checker<'_>, slot: &Slot, (rows, samples): (usize, bool)) -> Result<Read> {
    let models = checker.models;
    let Some(state) = models.state(slot.name())? else { return Ok(Read::Looked(Scrubbed::Ended)) };
    if !state.schema.same_as(slot.schema()) || state.condemned.is_some() {
        return Ok(Read::Looked(Scrubbed::Ended));
    }
    let Some(mut turn) = slot.turn_within(TURN_WAIT) else { return Ok(Read::Looked(Scrubbed::Busy)) };
    // Of this turn: who had it before may have found something out.
    let state = models.state(slot.name())?.unwrap_or(state);
    // Rows that wait for a person may wait for long: the others are looked at meanwhile.
    let waits = slot.waits_for_person() && state.content.bad_buckets == 0;
    if matches!(state.content.verdict, Verdict::Suspect | Verdict::Drifted) && !waits {
        // Known already, and somebody's to look at.
        return Ok(Read::Looked(Scrubbed::Ended));
    }
    let mut pass = match turn.pass().take() {
        Some(pass) => pass,
        None => {
            slot.trust.begin(models)?;
            slot.passes.lock().begin(checker.now);
            Pass::new(checker.now)
        }
    };
    let read = models.scrub(slot.name(), Table::Live, pass.cursor(), rows);
    let read = match (read, models.watch(slot.name())) {
        // Not the table that was made: dropped, or its columns changed. Only a new one mends that.
        (Err(StoreError::Corrupt(why)), _) | (_, Err(StoreError::Corrupt(why))) => {
            return Ok(Read::Looked(condemn(models, slot, &why)));
        }
        // Whoever took the triggers away may have written anything since.
        (_, Ok(false)) => return Ok(Read::Looked(Scrubbed::Disagrees)),
        (read, watched) => watched.and(read)?,
    };
    if samples && !has_sound_index(models, checker.fold, Table::Live)? {
        return doubt(models, slot, None).map(Read::Looked);
    }
    let is_last = read.len() < rows;
    let mut intact = true;
    let mut sample = Vec::new();
    // Another share of the rows in every pass; passes follow each other in time.
    let millis = pass.started_at().as_micros().unsigned_abs() / 1000;
    let share = millis % REFOLDED;
    for row in read {
        intact &= row.intact;
        if samples && row.hash.0 % REFOLDED == share {
            sample.push(row.key.clone());
        }
        pass.read(row.key, row.hash, row.digest);
    }
    if !intact {
        return doubt(models, slot, None).map(Read::Looked);
    }
    let waiting = slot.waiting.lock().clone();
    sample.retain(|key| !waiting.contains(key));
    // Not always the same ones first, since what takes long is cut off; and not by the share, of which these rows are.
    let first = (millis / REFOLDED).checked_rem(sample.len() as u64).unwrap_or_default();
    sample.rotate_left(usize::try_from(first).unwrap_or_default());
    let mut rows = as_stored(models, slot, sample)?;
    if samples {
        rows.extend(without_row(checker, slot, state.checkpoint.position)?.into_iter().map(|key| (key, None)));
    }
    if !rows.is_empty() {
        *turn.pass() = Some(pass);
        return Ok(Read::Sampled(Sample { rows, upto: state.checkpoint.position, is_last }));
    }
    if !is_last {
        *turn.pass() = Some(pass);
        return Ok(Read::Looked(Scrubbed::More));
    }
    // Still under the turn: the sums are of the moment of the last row.
    end(checker, slot, &pass, (&state, waits)).map(Read::Looked)
}

/// Says what came of a pass over all rows, each of which is as its digest says.
fn end(checker: &Checker<'_>, slot: &Slot, pass: &Pass, (state, waits): (&ModelState, bool)) -> Result<Scrubbed> {
    let models = checker.models;
    let differing = pass.differing(&models.buckets(slot.name(), Table::Live)?);
    if !differing.is_empty() {
        return doubt(models, slot, Some(differing.len() as u32));
    }
    if !checker.windows(state)?.is_empty() {
        return doubt(models, slot, None);
    }
    if !waits {
        let content = Content { verdict: Verdict::Verified, verified_as_of: Some(pass.started_at()), bad_buckets: 0 };
        // What was doubted meanwhile is for whoever looks next.
        models.set_content_unless_doubted(slot.name(), content, state.doubts)?;
    }
    slot.trust.end();
    slot.passes.lock().end(checker.now);
    metrics::counter!("evenkeel_scrub_passes_total", "model" => slot.name().to_string()).increment(1);
    Ok(Scrubbed::Ended)
}

/// Keys that the next few events touch, up to a position, and that have no row: neither the table nor its sums tell of a row
/// that was never made. The caller holds the turn.
fn without_row(checker: &Checker<'_>, slot: &Slot, upto: Position) -> Result<Vec<Key>> {
    let mut asked = slot.asked.lock();
    let slice = checker.log.read(*asked, Some(&slot.schema().subscribes), EVENTS)?;
    let reached = slice.events.iter().take_while(|event| event.position <= upto);
    let (mut keys, mut touches, mut last) = (BTreeSet::new(), Vec::new(), Position::ZERO);
    for event in reached {
        checker.fold.touches(event, &mut touches);
        keys.extend(touches.drain(..).filter_map(|touch| touch.key.ok()));
        last = event.position;
    }
    // After the last of them the first is next.
    *asked = last;
    let waiting = slot.waiting.lock().clone();
    let keys = keys.into_iter().filter(|key| !waiting.contains(key)).collect();
    let missing = as_stored(checker.models, slot, keys)?.into_iter().filter(|(_, row)| row.is_none());
    Ok(missing.map(|(key, _)| key).collect())
}

/// These rows as they are there. The caller holds the turn.
fn as_stored(models: &dyn Models, slot: &Slot, keys: Vec<Key>) -> Result<Vec<(Key, Option<Row>)>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let stored = models.load(slot.name(), Table::Live, &keys)?.rows;
    let mut stored: HashMap<Key, Row> = stored.into_iter().map(|stored| (stored.key, stored.row)).collect();
    Ok(keys.into_iter().map(|key| (stored.remove(&key), key)).map(|(row, key)| (key, row)).collect())
}

/// Which of these rows are not what their events up to a position make of them. Not all of them are folded where that
/// takes long.
fn differing(checker: &Checker<'_>, rows: &[(Key, Option<Row>)], upto: Position, go_on: GoOn<'_>) -> Result<Vec<Key>> {
    let Checker { log, models, fold, .. } = *checker;
    let mut wrong = Vec::new();
    let mut events = 0;
    for some in rows.chunks(AT_ONCE) {
        if events > REFOLD_EVENTS {
            break;
        }
        let keys: Vec<Key> = some.iter().map(|(key, _)| key.clone()).collect();
        let Some(mut folded) = refold((log, models), fold, Table::Live, &keys, upto, go_on)? else { break };
        events += folded.events;
        let differ = some.iter().filter(|(key, row)| folded.rows.remove(key) != *row);
        wrong.extend(differ.map(|(key, _)| key.clone()));
    }
    Ok(wrong)
}

/// Whether rows that were found other than their events say are so in a turn as well: meanwhile another table may have
/// come in place, or an event been given up. Then that is kept.
fn differ_still(checker: &Checker<'_>, slot: &Slot, keys: Vec<Key>, go_on: GoOn<'_>) -> Result<bool> {
    let models = checker.models;
    let mut turn = slot.turn();
    let Some(state) = models.state(slot.name())? else { return Ok(false) };
    if !state.schema.same_as(slot.schema()) || state.condemned.is_some() {
        return Ok(false);
    }
    let rows = as_stored(models, slot, keys)?;
    let wrong = differing(checker, &rows, state.checkpoint.position, go_on)?;
    if wrong.is_empty() {
        return Ok(false);
    }
    *turn.pass() = None;
    // Kept as drifted, so that also after a restart a full look follows: the sums would not tell.
    *slot.suspects.lock() = wrong;
    keep_drifted(models, slot.name(), (state.content.bad_buckets, state.doubts))?;
    Ok(true)
}

fn condemn(models: &dyn Models, slot: &Slot, why: &str) -> Scrubbed {
    let reason = format!("its table cannot be read: {why}");
    tracing::warn!(model = %slot.name(), reason, "a model must be rebuilt");
    match models.condemn(slot.name(), &reason) {
        Ok(_) => Scrubbed::Disagrees,
        Err(_) => Scrubbed::Ended,
    }
}

fn doubt(models: &dyn Models, slot: &Slot, bad_buckets: Option<u32>) -> Result<Scrubbed> {
    // One bucket at least, so that whoever looks next sums them up: no note says which row it is.
    let bad_buckets = bad_buckets.unwrap_or(1);
    models.doubt(slot.name(), bad_buckets)?;
    Ok(Scrubbed::Disagrees)
}

/// How long passes over a model take.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// When the one that is under way began.
    since: Option<Timestamp>,
    /// How long the last whole one took, in seconds.
    took_seconds: f64,
}

impl Passes {
    fn begin(&mut self, now: Timestamp) {
        self.since = Some(now);
    }

    fn end(&mut self, now: Timestamp) {
        let since = self.since.take();
        self.took_seconds = since.map_or(0.0, |since| now.seconds_since(since));
    }

    /// The longest it takes until something that no trigger notes is found, in seconds; `None` without a scrub. By the set
    /// rate, and by what the last pass took and this one has taken so far, where that is longer.
    pub(crate) fn worst_case_seconds(&self, rows: u64, rows_per_second: u64, now: Timestamp) -> Option<f64> {
        if rows_per_second == 0 {
            return None;
        }
        let so_far = self.since.map_or(0.0, |since| now.seconds_since(since));
        let by_rate = rows as f64 / rows_per_second as f64 + TICK.as_secs_f64();
        // What is done right behind a pass is found at the end of the next.
        Some(2.0 * by_rate.max(self.took_seconds).max(so_far))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_what_passes_really_take() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let mut passes = Passes::default();
        assert_eq!(passes.worst_case_seconds(0, 0, at(0)), None);
        assert_eq!(passes.worst_case_seconds(1000, 100, at(0)), Some(20.2));
        passes.begin(at(100));
        assert_eq!(passes.worst_case_seconds(1000, 100, at(105)), Some(20.2));
        assert_eq!(passes.worst_case_seconds(1000, 100, at(130)), Some(60.0), "this one takes longer");
        passes.end(at(140));
        assert_eq!(passes.worst_case_seconds(1000, 100, at(500)), Some(80.0), "the last one took longer");
        passes.begin(at(500));
        passes.end(at(501));
        assert_eq!(passes.worst_case_seconds(1000, 100, at(501)), Some(20.2));
    }
}
