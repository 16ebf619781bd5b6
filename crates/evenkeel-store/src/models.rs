//! The home of read models: tables of rows, and beside each, in the same transaction, how far it has come.
//!
//! Not here: what events make of a row ([`evenkeel_core::fold`]), and whose turn it is to change a table (the runtime).
use crate::{Admit, Answered, Result, SqlError, Statement};
use evenkeel_core::{
    Digest, ModelName, Position, Timestamp,
    checkpoint::Checkpoint,
    consumer::{Consumer, Reported},
    content::{Touched, Window},
    digest::{Buckets, DigestKey, KeyHash, RowDigest, Sum},
    drift::{Content, Status},
    fold::{Park, ParkState, TouchId},
    merge::{Conflict, ConflictId},
    query::{Place, Query},
    reconciliation::{Evidence, Reconciliation},
    row::{Key, Row},
    schema::Schema,
};
use std::{collections::HashSet, ops::ControlFlow, time::Duration};

/// How many records of reconciliations of a model are kept where nothing else was said.
pub const KEPT_RECORDS: u64 = 10_000;

/// One of the tables of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// The one readers see.
    Live,
    /// The one that is being built beside it.
    Build,
    /// The one that the last swap put aside, for a rollback.
    Previous,
}

/// What is stored about a model besides its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// The shape of the live table.
    pub schema: Schema,
    /// How far the live table has come.
    pub checkpoint: Checkpoint,
    /// Grows by one with every step of the live table and every swap; a [`Step`] names the one it builds on.
    pub generation: u64,
    /// What is known of the live rows. `suspect` also where somebody else has written to them since
    /// it was found out, and where they are condemned.
    pub content: Content,
    /// How often rows were doubted ([`Models::doubt`], [`Models::watch`]): whoever finds them right names what it was.
    pub doubts: u64,
    /// What is parked.
    pub parked: Parked,
    /// The latest moment at which everything committed was known to be applied.
    pub as_of: Option<Timestamp>,
    /// The table being built, if there is one.
    pub build: Option<Build>,
    /// The table that the last swap put aside, if it is still there.
    pub previous: Option<Build>,
    /// Why the rows cannot be brought right by applying events, where something found that out.
    pub condemned: Option<String>,
    /// Where a person has brought the table before back: what the declared version then was. As long as it is the
    /// declared one the model is not rebuilt for it unasked.
    pub rolled_back_from: Option<Digest>,
}

/// A table that is not the live one.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// Its shape.
    pub schema: Schema,
    /// How far it has come.
    pub checkpoint: Checkpoint,
    /// As [`ModelState::generation`], of the build. A new build goes on from the last one's, so that a step made for
    /// a dropped build does not fit the next.
    pub generation: u64,
}

/// The events a model has parked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parked {
    /// How many events are quarantined or held for at least one row.
    pub events: u64,
    /// When the first of them was parked.
    pub oldest_at: Option<Timestamp>,
}

/// Which parked events are asked for; by default all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParkFilter<'a> {
    /// Those in this state.
    pub state: Option<ParkState>,
    /// Those of this row that nobody has given up.
    pub row: Option<ParkedRow<'a>>,
    /// This one, if it is there.
    pub touch: Option<TouchId>,
    /// Those after this one.
    pub after: Option<TouchId>,
    /// Those of the events at these positions, which are in ascending order.
    pub at: Option<&'a [Position]>,
    /// At most so many, the first ones; 0 for all.
    pub limit: usize,
}

/// Which row an event was parked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedRow<'a> {
    /// This one.
    Of(&'a Key),
    /// It could not be told.
    Unknown,
    /// Whichever.
    Any,
}

impl ParkFilter<'_> {
    /// Whether this event is asked for, the limit apart.
    pub fn has(&self, park: &Park) -> bool {
        let of_row = |row: ParkedRow<'_>| {
            let same = match row {
                ParkedRow::Of(key) => park.key.as_ref() == Some(key),
                ParkedRow::Unknown => park.key.is_none(),
                ParkedRow::Any => true,
            };
            same && park.state != ParkState::Discarded
        };
        self.state.is_none_or(|state| park.state == state)
            && self.row.is_none_or(of_row)
            && self.touch.is_none_or(|touch| park.touch == touch)
            && self.after.is_none_or(|after| park.touch > after)
            && self.at.is_none_or(|at| at.binary_search(&park.touch.position).is_ok())
    }

    /// The limit as a number.
    pub fn most(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit }
    }
}

/// A row to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Upsert {
    /// Its key.
    pub key: Key,
    /// The whole row.
    pub row: Row,
    /// The digest that the sums hold of this row: that of the row the projector last wrote, whatever is there now.
    /// `None` where they hold none.
    pub replaces: Option<RowDigest>,
}

/// A row to delete.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// Its key.
    pub key: Key,
    /// As [`Upsert::replaces`].
    pub replaces: Option<RowDigest>,
}

impl Upsert {
    /// A row that was not there before.
    pub fn new(key: Key, row: Row) -> Self {
        Self { key, row, replaces: None }
    }
}

impl Removal {
    /// A row that the sums do not hold.
    pub fn new(key: Key) -> Self {
        Self { key, replaces: None }
    }
}

/// What a table holds for some keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The rows there are.
    pub rows: Vec<StoredRow>,
    /// Keys with a parked event.
    pub parked: HashSet<Key>,
    /// Keys that somebody else than the projector has written to, whether there is a row or not.
    pub touched: HashSet<Key>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// Its key.
    pub key: Key,
    /// Its columns.
    pub row: Row,
    /// The digest that was written with it; `None` where there is none.
    pub meant: Option<RowDigest>,
    /// The digest of the columns that are there.
    pub digest: RowDigest,
}

impl StoredRow {
    /// Whether the columns are those that the digest was made of.
    pub fn is_intact(&self) -> bool {
        self.meant == Some(self.digest)
    }
}

/// A row as it was when it was compared: a note of others' writes to it is settled only where it still is that, since a
/// row that is noted already is not noted a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its key.
    pub key: Key,
    /// As [`StoredRow::digest`]; `None` where there was no row.
    pub digest: Option<RowDigest>,
    /// As [`StoredRow::meant`].
    pub meant: Option<RowDigest>,
}

impl Settled {
    /// What was found under a key.
    pub fn of(key: Key, found: Option<&StoredRow>) -> Self {
        Self { key, digest: found.map(|row| row.digest), meant: found.and_then(|row| row.meant) }
    }

    /// A row that the projector has written, or deleted where there is no digest.
    pub fn written(key: Key, digest: Option<RowDigest>) -> Self {
        Self { key, digest, meant: digest }
    }

    /// Whether these rows, all that are told by the key, are what was compared.
    pub fn is_still<'r>(&self, mut rows: impl Iterator<Item = &'r StoredRow>) -> bool {
        let first = rows.next();
        rows.next().is_none()
            && first.map(|row| row.digest) == self.digest
            && first.and_then(|row| row.meant) == self.meant
    }
}

/// A row as the scrub sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrubbed {
    /// Its key.
    pub key: Key,
    /// The hash of its key.
    pub hash: KeyHash,
    /// The digest of the columns that are there.
    pub digest: RowDigest,
    /// Whether that is the digest that was written with them.
    pub intact: bool,
}

/// One transaction on a table: rows, digests, parks and checkpoint move together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// The generation this builds on; with another one nothing is written.
    pub generation: u64,
    /// Rows to write whole.
    pub upserts: Vec<Upsert>,
    /// Rows to delete.
    pub deletes: Vec<Removal>,
    /// Identities of the events that were reached, to add to what the windows hold.
    pub identities: Vec<(Window, Sum)>,
    /// Which keys the events touched, for a model whose key is not their subject.
    pub touches: Vec<(KeyHash, Position)>,
    /// Rows of the live table whose notes of others' writes are settled by this, as they are once it is written.
    pub settled: Vec<Settled>,
    /// Parked events to write, by their touch.
    pub parks: Vec<Park>,
    /// Parked events that are resolved.
    pub unparks: Vec<TouchId>,
    /// What was decided between writes that did not know each other: kept once, and not again where it is kept already.
    pub conflicts: Vec<Conflict>,
    /// The checkpoint afterwards.
    pub checkpoint: Checkpoint,
    /// The distance to the log, for those who read the tables with SQL.
    pub measured: Option<Measured>,
}

/// How many records of conflicts are kept, of all models together: those latest in the log. A rebuild writes again what it
/// comes upon.
pub const KEPT_CONFLICTS: u64 = 100_000;

/// Which records of conflicts are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConflictQuery {
    /// Those of this model.
    pub model: Option<ModelName>,
    /// Those of this row.
    pub key: Option<Key>,
    /// Those of this name: one for each version of the model that has decided it.
    pub id: Option<ConflictId>,
    /// Those after this one: its position, its name and the version of its model.
    pub before: Option<(Position, ConflictId, u32)>,
    /// How many at most.
    pub limit: usize,
}

/// A record of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedConflict {
    /// Its name.
    pub id: ConflictId,
    /// The model.
    pub model: ModelName,
    /// The version of the model that decided.
    pub model_version: u32,
    /// What was decided.
    pub conflict: Conflict,
}

/// The distance between a model and the log, as kept beside the rows for the view `_ek_freshness`.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The safe head.
    pub head: Position,
    /// Events behind; `None` where not known.
    pub lag_count: Option<u64>,
    /// When the oldest event not yet applied was recorded.
    pub oldest_unapplied: Option<Timestamp>,
    /// The latest moment at which everything committed was known to be applied.
    pub as_of: Option<Timestamp>,
    /// The status, where it was judged.
    pub status: Option<Status>,
    /// Why.
    pub reason: Option<String>,
    /// When this was measured.
    pub at: Timestamp,
}

/// A row with everything that must be known to label it, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct RowAt {
    /// The model.
    pub state: ModelState,
    /// The row, if there is one.
    pub row: Option<Row>,
    /// Whether this is what the projector wrote, as far as the row's digest and the notes of others' writes tell.
    pub intact: bool,
    /// How many events of this key are parked.
    pub parked_events: u64,
    /// Whether an event is parked of which it is not known what row it is of: it may be this one.
    pub unnamed: bool,
}

/// Rows in order of their keys with everything that must be known to label them, from one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The model.
    pub state: ModelState,
    /// The rows, each with whether events of its key are parked.
    pub rows: Vec<(Row, bool)>,
    /// Whether there are more.
    pub more: bool,
    /// Whether all of these are what the projector wrote, as far as their digests tell.
    pub intact: bool,
}

/// Which rows of a live table are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'q> {
    /// What they must meet, and their order.
    pub query: &'q Query,
    /// Where the page before ended.
    pub after: Option<&'q Place>,
    /// How many at most.
    pub limit: usize,
    /// Whether all rows that meet the conditions are counted too.
    pub count: bool,
    /// How long finding them may take.
    pub within: Duration,
}

/// What a [`Selection`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The rows of this page.
    pub page: Rows,
    /// How many rows meet the conditions, on this page and others, of the same moment; `None` where they were not counted.
    pub total: Option<u64>,
}

/// What is known of a live table besides its rows, of one moment with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Books {
    /// The model.
    pub state: ModelState,
    /// What is parked, in log order.
    pub parks: Vec<Park>,
    /// As [`Models::buckets`].
    pub buckets: Buckets,
    /// As [`Models::identities`].
    pub identities: Vec<(Window, Sum)>,
    /// Whether others' writes are noted.
    pub watched: bool,
    /// Whether any are that are not settled.
    pub touched: bool,
}

/// A piece of a live table, as [`Models::freeze`] hands it out.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// The first, once.
    Books(Box<Books>),
    /// Some rows, in order of their keys, each with the hash of its key.
    Rows(Vec<(StoredRow, KeyHash)>),
    /// Some entries of the index of touched keys, after all rows.
    Touches(Vec<(KeyHash, Position)>),
}

/// A home of read models.
///
/// Guarantees every implementation gives:
/// - rows, parks and checkpoint of a [`Step`] are written in one transaction, or nothing is;
/// - a step on another generation than the stored one is refused ([`crate::StoreError::Conflict`]);
/// - a read sees rows and checkpoint of one moment;
/// - the sums of [`Models::buckets`] and [`Models::identities`] move in the transaction of the step that moves them;
/// - what anybody else writes to a live table is noted for [`Models::touched`], where the store can see it;
/// - [`Models::swap`] replaces table, checkpoint and parks in one transaction: after a crash there is the old table
///   or the new one.
///
/// Durability is not demanded of single steps: after a power cut a model may be at an earlier checkpoint, never at one
/// that its rows do not match.
pub trait Models: Send + Sync {
    /// Makes sure the model has a table and returns its state. A model seen for the first time gets an empty one; one
    /// whose stored schema is another keeps its table as it is.
    fn register(&self, schema: &Schema) -> Result<ModelState>;

    /// The state of a model.
    fn state(&self, model: &ModelName) -> Result<Option<ModelState>>;

    /// The models there are, by name.
    fn models(&self) -> Result<Vec<ModelName>>;

    /// What a table holds for these keys.
    fn load(&self, model: &ModelName, table: Table, keys: &[Key]) -> Result<Loaded>;

    /// Writes a step, and with each row its digest, which moves the sum of its bucket. The digests of the upserts, in
    /// their order.
    fn commit(&self, model: &ModelName, table: Table, step: &Step) -> Result<Vec<RowDigest>>;

    /// One row of the live table. A tombstone ([`Schema::shows`]) too: it is kept from readers by whoever asks for them.
    fn get(&self, model: &ModelName, key: &Key) -> Result<RowAt>;

    /// Up to `limit` rows after `after`, in order of their keys.
    fn rows(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Rows>;

    /// Rows of the live table that meet a query, in its order: what [`Query::select`] says, of the rows that readers are
    /// shown. `None` where the table has
    /// another shape than the query was made for. [`crate::StoreError::TooLong`] where it takes longer than it may.
    fn select(&self, model: &ModelName, selection: &Selection<'_>) -> Result<Option<Selected>>;

    /// Carries a statement out that reads and does nothing else, of the rows that readers are shown, on one moment of all models it reads, where `admit` has it;
    /// it is asked once, and otherwise the answer is `None`. A statement that reads no model, or the distances of all of
    /// them, counts as one that reads all.
    ///
    /// # Errors
    /// [`SqlError`].
    fn query(&self, statement: &Statement<'_>, admit: Admit<'_>) -> Result<Option<Answered>, SqlError>;

    /// How many rows the live table has that readers are shown.
    fn count(&self, model: &ModelName) -> Result<u64>;

    /// The parked events of the live table that are asked for, in log order. What a page costs does not depend on how
    /// much is parked beside it.
    fn parks_of(&self, model: &ModelName, asked: &ParkFilter<'_>) -> Result<Vec<Park>>;

    /// Parked events of the live table in one state (all where `None`), in log order.
    fn parks(&self, model: &ModelName, state: Option<ParkState>) -> Result<Vec<Park>> {
        self.parks_of(model, &ParkFilter { state, ..ParkFilter::default() })
    }

    /// Starts an empty table beside the live one; what an earlier build left is dropped.
    fn begin_build(&self, schema: &Schema) -> Result<Build>;

    /// Puts the built table in the live one's place, with its checkpoint, sums and parks. Discarded parks are kept. The
    /// live one is put aside, the one that was aside is dropped.
    fn swap(&self, model: &ModelName, content: Content) -> Result<()>;
    /// Puts the table that was aside in the live one's place, and that aside. Discarded parks are kept.
    /// [`crate::StoreError::Refused`] where there is none.
    fn rollback(&self, model: &ModelName, rolled_back_from: Option<Digest>) -> Result<()>;

    /// Drops the table being built.
    fn abandon_build(&self, model: &ModelName) -> Result<()>;

    /// Keeps what was found out about the rows. Moves no generation.
    fn set_content(&self, model: &ModelName, content: Content) -> Result<()>;

    /// As [`Models::set_content`], where no doubt was raised since [`ModelState::doubts`] was `doubts`; otherwise nothing
    /// is done. Whether it was.
    fn set_content_unless_doubted(&self, model: &ModelName, content: Content, doubts: u64) -> Result<bool>;

    /// Notes that rows may be wrong, in at least so many buckets; a verdict that is worse stays, whoever has written it
    /// meanwhile. Moves no generation.
    fn doubt(&self, model: &ModelName, bad_buckets: u32) -> Result<()>;

    /// Keeps a measured distance, for those who read the tables with SQL. Moves no generation.
    fn set_measured(&self, model: &ModelName, measured: &Measured) -> Result<()>;

    /// Keeps the record of a reconciliation with the rows that were wrong, and returns its number. Rows that are those of
    /// the model's last record with any are kept once for both. In the same transaction records of the model beyond those
    /// of [`Models::keep_records`] go, the oldest first, and rows that no record has any more.
    fn record(&self, reconciliation: &Reconciliation, evidence: &[Evidence]) -> Result<u64>;
    /// Writes what came of a reconciliation into the record that was kept under its number: method, result, error, counts,
    /// what is unreplayed, whether it is verified, how long it took, and what a rebuild began from. What it started from
    /// and the rows that were wrong stay: they are kept before anything is written over. `false` where the model has no
    /// such record any more; nothing is written then.
    fn amend(&self, reconciliation: &Reconciliation) -> Result<bool>;
    /// Says how many records of each model are kept from the next one on: [`KEPT_RECORDS`] until then, and one at least.
    fn keep_records(&self, records: u64);
    /// The wrong rows that a reconciliation found, at most `limit`.
    fn evidence(&self, reconciliation: u64, limit: usize) -> Result<Vec<Evidence>>;
    /// The reconciliation of this number.
    fn reconciliation(&self, id: u64) -> Result<Option<Reconciliation>>;

    /// The latest reconciliations, newest first.
    fn reconciliations(&self, model: Option<&ModelName>, limit: usize) -> Result<Vec<Reconciliation>>;

    /// The records of conflicts that are asked for, those of the latest writes first.
    fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<RecordedConflict>>;
    /// How many records of conflicts of a model are kept.
    fn count_conflicts(&self, model: &ModelName) -> Result<u64>;

    /// The key of this store's digests.
    fn digest_key(&self) -> DigestKey;
    /// Up to `limit` rows after `after` in order of their keys, digested as they are there.
    fn scrub(&self, model: &ModelName, table: Table, after: Option<&Key>, limit: usize) -> Result<Vec<Scrubbed>>;
    /// Hands out the whole live table, piece by piece, as it is at one moment, until `see` has seen enough. Steps go on
    /// meanwhile and are not seen.
    fn freeze(&self, model: &ModelName, see: &mut dyn FnMut(Piece) -> ControlFlow<()>) -> Result<()>;
    /// The sums of the digests of the rows that were meant, by bucket.
    fn buckets(&self, model: &ModelName, table: Table) -> Result<Buckets>;
    /// Notes that the rows of the live table cannot be brought right by applying events, and why. The next swap clears
    /// it. Moves no generation.
    fn condemn(&self, model: &ModelName, reason: &str) -> Result<()>;
    /// Puts the sums of some buckets right, where they are wrong and not the rows. Moves no generation.
    fn set_buckets(&self, model: &ModelName, table: Table, sums: &[(u16, Sum)]) -> Result<()>;
    /// Sums of the identities of the events that were reached, in order of windows from `from` on.
    fn identities(&self, model: &ModelName, table: Table, from: Window) -> Result<Vec<(Window, Sum)>>;
    /// Puts the sums of some windows of the live table right, and the checkpoint's counts with them. Builds on a generation
    /// as a [`Step`] does, and moves it on.
    fn set_identities(
        &self,
        model: &ModelName,
        generation: u64,
        sums: &[(Window, Sum)],
        checkpoint: &Checkpoint,
    ) -> Result<()>;
    /// Notes which keys events touch, as [`Step::touches`] does. Moves no generation.
    fn index(&self, model: &ModelName, table: Table, touches: &[(KeyHash, Position)]) -> Result<()>;
    /// Whether the index that [`Models::touching`] reads is as it was written: whether nobody else took entries out of it or
    /// put others in. A store that can tell that nobody else has written since it last looked need not look again.
    fn index_is_sound(&self, model: &ModelName, table: Table) -> Result<bool>;
    /// Says that no entry is missing from the index, whoever put those in that are there.
    fn settle_index(&self, model: &ModelName, table: Table) -> Result<()>;
    /// The positions of the events that [`Step::touches`] names for keys of this hash, in order.
    fn touching(&self, model: &ModelName, table: Table, hash: KeyHash) -> Result<Vec<Position>>;
    /// The first `limit` rows of the live table that somebody else has written to since that was last settled.
    fn touched(&self, model: &ModelName, limit: usize) -> Result<Vec<Touched>>;
    /// Those notes of [`Models::touched`] that are about these rows, each once.
    fn notes(&self, model: &ModelName, keys: &[Key]) -> Result<Vec<Touched>>;
    /// Settles the notes of others' writes to rows that were found to be as they should, where they still are that, in one
    /// transaction that others' writes are before or after.
    fn settle(&self, model: &ModelName, rows: &[Settled]) -> Result<()>;
    /// Makes sure that others' writes to the live table are noted. Whether that was so before: `false` says that there
    /// may have been writes that nobody noted. Its content is then [`Content::doubted`], in the same transaction: it is
    /// said once, and whoever hears it may end before anybody else does.
    fn watch(&self, model: &ModelName) -> Result<bool>;
    /// How often somebody else than this store was found to have written to the home of models, by now: whatever was
    /// committed before this is called is in it. Counted from when the store was opened. Says nothing of what was
    /// written. `None` where it cannot be told now.
    fn strangers(&self) -> Result<Option<u64>>;
    /// Takes the lease on reconciling a model, or renews it, until `now + length`. `false` where another holder has it.
    fn lease(&self, model: &ModelName, holder: &str, now: Timestamp, length: Duration) -> Result<bool>;
    /// Gives the lease up, if `holder` has it.
    fn release(&self, model: &ModelName, holder: &str) -> Result<()>;
    /// Registers a consumer, or changes how it is registered; when it was first and what it reported stay.
    fn put_consumer(&self, consumer: &Consumer) -> Result<()>;
    /// Keeps what a consumer reported. Whether there is such a consumer.
    fn report_consumer(&self, name: &str, reported: &Reported) -> Result<bool>;
    /// Forgets a consumer. Whether there was one.
    fn remove_consumer(&self, name: &str) -> Result<bool>;
    /// The consumers with what they reported last, by name.
    fn consumers(&self) -> Result<Vec<(Consumer, Option<Reported>)>>;
}
