//! A read model written in Rust, in a service that embeds Evenkeel. Run it:
//! `cargo run -p evenkeel --example rust_fold`
//!
//! Most models are a few lines of TOML. Some rules cannot be declared, such as this one: clicks that follow each other
//! within half an hour are one *visit*, and we want to know how many visits everybody made and how long the longest
//! was. Whether a click belongs to a visit depends on the row as it is, so it takes code. That code is a [`Fold`]: a
//! pure function from a row and an event to the row that follows. From it the engine gets all it does for declared
//! models: batches, parking, verification, rebuilds and strong reads.
//!
//! What events may come in is declared all the same: a contract, here given inline rather than in a project folder.
use evenkeel::{
    Clock, Engine, Model, Options, Parts, SystemClock,
    contract::{diagnostic::Files, gate::Gate, project},
    core::{
        Digest, Event, Timestamp,
        fold::{Fold, FoldError, Touch},
        freshness::Level,
        quarantine::Decision,
        reconciliation::Method,
        row::{Cell, Key, Row},
        schema::{Column, ColumnType, Merge, Schema},
    },
    reader::ReadOptions,
    report::RowAnswer,
    store::{
        EntryFilter,
        sqlite::{SqliteOptions, SqliteStore},
    },
};
use std::{error::Error, path::Path, sync::Arc, time::Duration};

/// A longer silence than this ends a visit.
const SILENCE_SECONDS: f64 = 30.0 * 60.0;

/// The columns of the model, in their order.
const VISITS: usize = 1;
const BEGAN: usize = 2;
const LAST: usize = 3;
const LONGEST: usize = 4;

/// The visits of each visitor.
struct Visits(Schema);

impl Visits {
    fn new() -> Self {
        let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
        Self(Schema {
            model: "visits".into(),
            // Raise it when the code below changes what the rows are: the table is then built anew beside the old one.
            version: 1,
            key: vec![0],
            columns: vec![
                column("visitor", ColumnType::Text),
                column("visits", ColumnType::I64),
                column("began", ColumnType::Timestamp),
                column("last_click", ColumnType::Timestamp),
                column("longest_seconds", ColumnType::I64),
            ],
            // Only events of these types reach the fold.
            subscribes: ["clicked".into()].into(),
            fingerprint: Digest::of(b"visits 1"),
        })
    }
}

impl Fold for Visits {
    fn schema(&self) -> &Schema {
        &self.0
    }

    /// Which rows does an event concern? Here one: that of the visitor, who is the event's subject.
    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        out.push(Touch { key: Ok(Key::text(event.draft.subject.as_str())), clause: 0, element: 0 });
    }

    /// What becomes of that row? The same inputs must always give the same row: no clock, no chance, no other state.
    fn apply(&self, slot: &mut Option<Row>, event: &Event, _: &Touch, key: &Key) -> Result<(), FoldError> {
        // An error parks the event with all later ones of its row; every other row goes on.
        let at = event.draft.time.ok_or_else(|| FoldError::Custom("a click without a time".into()))?;
        let row = slot.get_or_insert_with(|| Row::new(&self.0, key));
        let last = time(&row.cells[LAST]);
        let goes_on = last.is_some_and(|last| at.seconds_since(last) <= SILENCE_SECONDS);
        if !goes_on {
            row.cells[VISITS] = Cell::I64(count(&row.cells[VISITS]) + 1);
            row.cells[BEGAN] = Cell::Timestamp(at);
        }
        // A click that arrives late belongs to the visit at hand and does not turn its clock back.
        let last = last.map_or(at, |last| last.max(at));
        row.cells[LAST] = Cell::Timestamp(last);
        let seconds = time(&row.cells[BEGAN]).map_or(0.0, |began| last.seconds_since(began));
        row.cells[LONGEST] = Cell::I64(count(&row.cells[LONGEST]).max(seconds as i64));
        Ok(())
    }
}

fn time(cell: &Cell) -> Option<Timestamp> {
    if let Cell::Timestamp(at) = cell { Some(*at) } else { None }
}

fn count(cell: &Cell) -> i64 {
    if let Cell::I64(count) = cell { *count } else { 0 }
}

/// The gate: who may send, and what a click must look like to be admitted as our `clicked`.
fn gate() -> Result<Gate, String> {
    let files: Files = [
        ("evenkeel.toml", "[[source]]\nname = \"site\"\nmatch = \"site\"\n"),
        (
            "contracts/clicked.toml",
            r#"
            contract = "clicked"
            version = 1
            from = { source = "site", type = "Click" }
            schema = "click.schema.json"
            subject = "/visitor"
            map = [
              { from = "/visitor", to = "visitor", type = "text" },
              { from = "/page",    to = "page",    type = "text" },
            ]
            "#,
        ),
        ("contracts/click.schema.json", r#"{ "type": "object", "required": ["visitor", "page"] }"#),
    ]
    .into_iter()
    .collect();
    // What is wrong is shown with the line it stands on, as `evenkeel check` would.
    project::compile(&files, &[]).map(|project| project.gate).map_err(|wrong| wrong.render(&files, false))
}

/// An engine over the embedded store in `folder`: one writer and one projector thread, and a monitor.
fn start(folder: &Path) -> Result<Engine, Box<dyn Error>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let now = Arc::clone(&clock);
    let store = SqliteStore::open(folder, SqliteOptions::new(Arc::new(move || now.now())))?;
    let parts = Parts {
        log: store.log,
        models: store.models,
        snapshots: Some(store.snapshots),
        clock,
        gate: Arc::new(gate()?),
    };
    Ok(Engine::start(parts, vec![Model::new(Visits::new())], Options::default())?)
}

/// A click as the site sends it: a CloudEvent.
fn click(id: u32, visitor: &str, time: Option<&str>) -> Vec<u8> {
    let time = time.map(|time| format!(r#""time":"2026-03-01T{time}Z","#)).unwrap_or_default();
    let data = format!(r#"{{"visitor":"{visitor}","page":"/"}}"#);
    format!(r#"{{"specversion":"1.0","source":"site","id":"{id}","type":"Click",{time}"data":{data}}}"#).into_bytes()
}

fn show(what: &str, answer: &RowAnswer) -> Result<(), Box<dyn Error>> {
    println!("{what}:\n  {}", serde_json::to_string(&answer.data)?);
    let said = &answer.consistency;
    println!(
        "  level {}, {}, {} events behind, {} parked, content {}",
        said.level_served,
        said.freshness,
        said.lag_count.map_or("an unknown number of".into(), |lag| lag.to_string()),
        said.parked_events,
        said.content.verdict
    );
    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let engine = start(folder.path())?;
    let strong = ReadOptions { budget: Duration::from_secs(5), ..ReadOptions::at(Level::Strong) };

    // When `publish` returns the events are on the disk, once each, however often they are sent.
    let mut clicks: Vec<_> = (0..10).map(|i| click(i, "ada", Some(&format!("10:{:02}:00", 5 * i)))).collect();
    clicks.push(click(10, "ada", Some("14:00:00")));
    clicks.push(click(10, "ada", Some("14:00:00")));
    clicks.push(click(11, "ben", Some("10:00:00")));
    let receipts = engine.publish_blocking(clicks, None)?;
    let admitted = receipts.iter().filter(|receipt| receipt.outcome == "admitted").count();
    println!("{} clicks published: {admitted} admitted, {} duplicate", receipts.len(), receipts.len() - admitted);

    // A strong read holds every event published before it, also where the projector has not come so far.
    let ada = engine.get("visits", &["ada"], strong)?;
    show("ada, strong", &ada)?;
    assert_eq!(ada.data.and_then(|row| row.get("visits")?.as_i64()), Some(2));

    // A click that the fold cannot apply, and one behind it. Reads of that row say so; ada's are as good as ever.
    engine.publish_blocking(vec![click(12, "ben", None), click(13, "ben", Some("10:20:00"))], None)?;
    engine.wait_until_current(Duration::from_secs(5))?;
    show("ben, with a click that cannot be applied", &engine.get("visits", &["ben"], ReadOptions::default())?)?;
    let parked = engine.quarantine(&EntryFilter::default())?;
    for entry in &parked {
        println!("  parked {}: {} ({})", entry.id, entry.detail, entry.state);
    }
    let word = Decision { author: "example".into(), note: "the site's clock was broken".into() };
    let poison = parked.first().ok_or("nothing is parked")?;
    let gone = engine.discard(&poison.id, word)?;
    println!("  {} is {}, and {} event behind it went on", gone.id, gone.state, gone.released);
    show("ben, strong", &engine.get("visits", &["ben"], strong)?)?;

    // The log folded afresh, and every row compared with it.
    let found = engine.verify("visits", true)?;
    println!("{}: {} of {} rows equal a fresh fold", found.verdict, found.rows_checked - found.wrong_rows, found.rows);
    assert_eq!(found.wrong_rows, 0);

    // The whole table built anew beside the one that is read, compared, and put in its place.
    let record = engine.reconcile("visits", Some(Method::Rebuild))?;
    println!("rebuilt from {} events: {}", record.events_replayed, record.result);
    engine.stop();

    // The rows are an ordinary table: `sqlite3 models.db 'select * from visits'` reads it, also while the engine runs.
    println!("the rows were in the table \"visits\" of {}", folder.path().join("models.db").display());
    Ok(())
}
