//! The log's own: what is kept in memory, what stands in the file, and that no hot query scans.
use super::causal;
use crate::{
    EntryFilter, Log, StoreError,
    conformance::{
        edits,
        fixture::{self, Sample, edit},
    },
    sqlite::{
        SqliteOptions, SqliteStore,
        tests::{NOW, arrival, draft, foreign, open, options, take_in},
    },
};
use evenkeel_core::{
    Event, EventId, Position, StreamVersion, Timestamp,
    accounting::Account,
    clock::Hlc,
    intake::{Arrival, Ask, Causes, Clocks, Outcome, Seen, SourceDot, Verdict, Writes},
    json::{self, Object, Value},
    quarantine::{Entry, EntryVersion, Reason},
};
use tempfile::TempDir;

fn versions(outcomes: &[Outcome]) -> Vec<u64> {
    let version = |outcome: &Outcome| match outcome {
        Outcome::Admitted { stream_version, .. } => stream_version.0,
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(version).collect()
}

#[test]
fn everything_is_there_after_reopening() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let data = json::parse(br#"{"total":9007199254740993.01,"items":[{"sku":"a\u0000b","n":-1}]}"#).unwrap();
    let mut extensions = Object::default();
    extensions.insert("traceparent", "00-1".into());
    let time = Some(Timestamp::from_micros(-1));
    let full = evenkeel_core::Draft { time, extensions, ..draft("o-1", data) };
    take_in(&*store.log, vec![arrival("1", full), arrival("2", draft("o-1", Value::Null))]).unwrap();
    let (head, events) = (store.log.safe_head().unwrap(), store.log.read(Position::ZERO, None, 10).unwrap());
    assert_eq!(events.events.len(), 2);
    assert_eq!(events.events[0].draft.extensions.get("traceparent"), Some(&"00-1".into()));
    drop(store);

    let store = open(&folder);
    assert_eq!(store.log.safe_head().unwrap(), head);
    assert_eq!(store.log.read(Position::ZERO, None, 10).unwrap(), events);
    assert_eq!(store.log.find(EventId::of("shop", "2")).unwrap().as_ref(), events.events.last());
    let outcomes = take_in(&*store.log, vec![arrival("3", draft("o-1", Value::Null))]).unwrap();
    assert_eq!(versions(&outcomes), [3]);
}

#[test]
fn two_logs_have_two_epochs() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert_ne!(open(&a).log.safe_head().unwrap().epoch, open(&b).log.safe_head().unwrap().epoch);
}

#[test]
fn a_log_keeps_its_own_id_and_secret() {
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (ours, other) = (open(&a).log.origin(), open(&b).log.origin());
    assert_eq!(open(&a).log.origin(), ours);
    assert_ne!(ours.log, other.log);
    assert_ne!(ours.key, other.key);
    assert_eq!(open(&a).log.safe_head().unwrap().epoch, ours.epoch);
}

#[test]
fn a_log_keeps_the_name_it_began_with_and_is_opened_under_no_other() {
    let folder = TempDir::new().unwrap();
    let open_as = |name: &str| SqliteStore::open(folder.path(), SqliteOptions { replica: name.into(), ..options() });
    let names = |store: &SqliteStore| {
        let log = &*store.log;
        let mut events = log.read(Position::ZERO, None, 10).unwrap().events;
        events.extend(log.find(EventId::of("shop", "1")).unwrap());
        events.extend(log.pick(&[Position(1)]).unwrap());
        events.extend(log.stream("s", &["placed".into()].into(), StreamVersion(0), Position(9), 9).unwrap());
        events.iter().map(|event| event.replica.to_string()).collect::<Vec<_>>()
    };
    let store = open_as("till-7").unwrap();
    take_in(&*store.log, vec![arrival("1", draft("s", Value::Null))]).unwrap();
    assert_eq!(names(&store), ["till-7"; 4]);
    drop(store);

    let refused = open_as("b").unwrap_err();
    let named = |found: &str, wanted: &str| matches!(&refused, StoreError::OtherReplica { found: f, wanted: w, .. } if f.as_str() == found && w.as_str() == wanted);
    assert!(named("till-7", "b"), "{refused}");
    assert!(refused.to_string().contains("set `[node] id = \"till-7\"`"), "{refused}");
    assert_eq!(names(&open_as("till-7").unwrap()), ["till-7"; 4]);

    // One from before logs had names takes that of the node which opens it first.
    foreign(&folder, "log.db").execute("DELETE FROM meta WHERE name = 'replica'", []).unwrap();
    assert_eq!(names(&open_as("b").unwrap()), ["b"; 4]);
    assert!(matches!(open_as("till-7"), Err(StoreError::OtherReplica { .. })));
}

#[test]
fn a_failed_transaction_leaves_no_trace_in_memory() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let log = &*store.log;
    take_in(log, vec![arrival("1", draft("old", Value::Null))]).unwrap();
    let event = |raw_id: &str, subject: &str, position, version| {
        let arrival = arrival(raw_id, draft(subject, Value::Null));
        Event {
            position: Position(position),
            id: arrival.sent.id,
            source: arrival.sent.source,
            raw_id: arrival.sent.raw_id,
            stream_version: StreamVersion(version),
            recorded_at: Timestamp::from_micros(NOW),
            digest: arrival.sent.digest,
            replica: "a".into(),
            causality: Default::default(),
            draft: draft(subject, Value::Null),
        }
    };
    // Each fails at its last event, when the earlier ones have been written and remembered.
    let broken = [
        vec![event("2", "new", 2, 1), event("3", "old", 3, 2), event("4", "old", 5, 3)],
        vec![event("2", "new", 2, 1), event("3", "old", 3, 2), event("3", "new", 4, 2)],
        vec![event("2", "new", 2, 1), event("3", "old", 3, 2), event("4", "old", 4, 2)],
    ];
    for events in broken {
        let result = log.transact(&Ask::default(), Box::new(|_| Writes { events, ..Writes::default() }));
        assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
        let head = log.safe_head().unwrap();
        assert_eq!((head.position, head.counts["placed"]), (Position(1), 1));
    }
    // Other streams come first now: a remembered number of "new" would be taken by "other".
    let drafts = ["other", "new", "old", "new"].map(|subject| draft(subject, Value::Null));
    let arrivals = drafts.into_iter().enumerate().map(|(i, draft)| arrival(&format!("n{i}"), draft)).collect();
    assert_eq!(versions(&take_in(log, arrivals).unwrap()), [1, 1, 2, 2]);
    let read = log.read(Position(1), None, 10).unwrap();
    let subjects: Vec<_> = read.events.iter().map(|event| event.draft.subject.to_string()).collect();
    assert_eq!(subjects, ["other", "new", "old", "new"]);
}

#[test]
fn a_panicking_decision_writes_nothing_and_the_log_goes_on() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.log.transact(&Ask::default(), Box::new(|_| panic!("on purpose")))
    }));
    assert!(panicked.is_err());
    assert_eq!(versions(&take_in(&*store.log, vec![arrival("1", draft("s", Value::Null))]).unwrap()), [1]);
}

#[test]
fn the_view_shows_what_a_person_reads() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let early = evenkeel_core::Draft { time: Some(Timestamp::from_micros(-1)), ..draft("o-1", Value::from(5)) };
    take_in(&*store.log, vec![arrival("1", early), arrival("2", draft("o-1", Value::Null))]).unwrap();
    let conn = foreign(&folder, "log.db");
    let row = |position: i64| {
        conn.query_row(
            "SELECT event_id, subject, time, recorded_time, data FROM log WHERE position = ?1",
            [position],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
    };
    let first: (String, String, Option<String>, String, String) = row(1).unwrap();
    assert_eq!(first.0, EventId::of("shop", "1").to_string());
    assert_eq!(first.1, "o-1");
    assert_eq!(first.2, Some(Timestamp::from_micros(-1).to_string()));
    assert_eq!(first.3, Timestamp::from_micros(NOW).to_string());
    assert_eq!(first.4, "5");
    assert_eq!(row(2).unwrap().2, None::<String>);
}

#[test]
fn no_hot_query_scans() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let queries = [
        "SELECT digest FROM events WHERE event_id = ?1",
        "SELECT position FROM events WHERE position > ?1 AND type IN (?2) ORDER BY position LIMIT 3",
        "SELECT id, (SELECT max(stream_version) FROM events WHERE stream_id = id) FROM streams WHERE subject = ?1",
        "SELECT position FROM events WHERE stream_id = (SELECT id FROM streams WHERE subject = ?1) AND position <= ?2 \
         AND type IN (?3, ?4) ORDER BY stream_version",
        "SELECT event_id FROM events WHERE position > ?1 AND position <= ?2 AND type IN (?3, ?4)",
        "SELECT window, sum FROM windows WHERE window >= ?1 AND window < ?2 AND type IN (?3, ?4) ORDER BY window",
        "SELECT digest, id, reason FROM quarantine WHERE event_id = ?1 ORDER BY id",
        "SELECT id FROM quarantine WHERE park_key = ?1 AND state IN ('quarantined', 'held') ORDER BY id LIMIT 1",
        "SELECT id FROM quarantine WHERE event_id = ?1 ORDER BY id",
        "SELECT pack FROM raws WHERE first >= ifnull((SELECT max(first) FROM raws WHERE first <= ?1), 0) ORDER BY first",
        "SELECT pack FROM raws WHERE first = (SELECT max(first) FROM raws WHERE first <= ?1) AND last >= ?1",
        "SELECT first, count FROM raws INDEXED BY raws_age WHERE recorded_at < ?1 ORDER BY recorded_at",
        "SELECT seq FROM waiting WHERE on_source = ?1 AND on_seq > ?2 AND on_seq <= ?3",
        "SELECT seq FROM waiting WHERE since <= ?1 ORDER BY since, source, seq LIMIT ?2",
        "SELECT event_id FROM events WHERE source = ?1 AND seq = ?2 AND delivery > 0",
        "SELECT hlc FROM events WHERE source = ?1 AND seq <= ?2 AND delivery > 0 ORDER BY seq DESC LIMIT 1",
        "SELECT hlc FROM exceptions WHERE source = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
        "SELECT seq FROM exceptions WHERE source = ?1 AND seq >= ?2 AND hlc > ?3 ORDER BY seq LIMIT 1",
        "SELECT count(*) FROM quarantine WHERE contract = ?1 AND subject = ?2 AND state IN ('quarantined', 'held')",
    ];
    let database = store.log.database();
    let writer = database.writer();
    for query in queries {
        let mut explain = writer.connection().prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let plan = explain.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>().unwrap();
        assert!(plan.iter().all(|line| !line.starts_with("SCAN") && !line.contains("B-TREE")), "{query}: {plan:?}");
    }
}

#[test]
fn counts_come_from_the_moment_of_the_head() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    take_in(&*store.log, vec![arrival("1", draft("s", Value::Null))]).unwrap();
    // As between a commit and its publication: memory is behind the file.
    store.log.tip.lock().position = Position::ZERO;
    store.log.tip.lock().counts = Default::default();
    let head = store.log.safe_head().unwrap();
    assert_eq!((head.position, head.counts.get("placed")), (Position(1), Some(&1)));
}

/// As many events as were sent, in few packs, much smaller than they were; and what somebody has damaged is told.
#[test]
fn events_as_they_were_sent_are_packed_together_and_damage_is_told() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let sent = |n: u64| {
        let mut arrival = arrival(&n.to_string(), draft("s", Value::Null));
        let data = format!(r#"{{"order":"o-{n}","items":[{{"sku":"MUG-{}","quantity":{}}}]}}"#, n % 7, n % 3);
        arrival.sent.raw = format!(r#"{{"specversion":"1.0","source":"shop","id":"{n}","data":{data}}}"#).into_bytes();
        arrival
    };
    take_in(&*store.log, (0..3000).map(sent).collect()).unwrap();
    let conn = foreign(&folder, "log.db");
    let sizes = "SELECT count(*), sum(count), max(length), sum(length), sum(length(pack)) FROM raws";
    let of = |row: &rusqlite::Row<'_>| Ok([0, 1, 2, 3, 4].map(|column| row.get::<_, i64>(column).unwrap()));
    let [packs, events, longest, length, packed] = conn.query_row(sizes, [], of).unwrap();
    assert_eq!(events, 3000);
    assert!(packs <= 4 && longest <= 128 << 10, "{packs} packs, of {longest} bytes at most");
    assert!(packed * 5 < length, "{packed} bytes of {length}");

    let half = "substr(pack, 1, length(pack) / 2)";
    let damage = [
        format!("pack = {half}"),
        format!("pack = cast({half} || zeroblob(1) || substr(pack, length(pack) / 2 + 2) AS BLOB)"),
        "pack = x'00'".to_owned(),
        "length = 1".to_owned(),
        "length = length + 1".to_owned(),
        "length = 1 << 40".to_owned(),
    ];
    conn.execute_batch("CREATE TEMP TABLE whole AS SELECT * FROM raws").unwrap();
    for damage in damage {
        conn.execute_batch(&format!("UPDATE raws SET {damage}")).unwrap();
        for result in [store.log.raws(Position::ZERO, 10).map(drop), store.log.raw(Position(7)).map(drop)] {
            let told = matches!(&result, Err(StoreError::Corrupt(why)) if why.contains("raw events"));
            assert!(told, "{damage}: {result:?}");
        }
        assert_eq!(store.log.pick(&[Position(7)]).unwrap().len(), 1, "the event itself is read");
        conn.execute_batch("DELETE FROM raws; INSERT INTO raws SELECT * FROM whole").unwrap();
    }
    assert_eq!(store.log.raw(Position(7)).unwrap(), Some(sent(6).sent.raw));
}

/// What a file is made of, without the words it was made with.
fn layout(folder: &TempDir) -> Vec<String> {
    let conn = foreign(folder, "log.db");
    let mut select = conn
        .prepare(
            "SELECT printf('%s %s %s %s %s %s', t.name, c.cid, c.name, c.type, c.\"notnull\", c.pk) \
             FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c WHERE t.type IN ('table', 'index') \
             UNION SELECT printf('%s %s', type, name) FROM sqlite_schema ORDER BY 1",
        )
        .unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_log_of_format_2_becomes_one_of_today_with_everything_in_it() {
    let (new, old) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    drop(open(&new));
    let bad = |raw_id: &str| {
        let refusal = Sample::new(raw_id).refusal(Reason::Schema, None);
        Arrival { verdict: Verdict::Quarantine(refusal), ..arrival(raw_id, draft("o-1", Value::Null)) }
    };
    let (events, entries) = {
        let store = open(&old);
        take_in(&*store.log, vec![arrival("1", draft("o-1", Value::Null)), bad("2"), bad("3")]).unwrap();
        let log = &*store.log;
        (log.read(Position::ZERO, None, 10).unwrap(), log.entries(&EntryFilter::default()).unwrap())
    };
    // As a file of format 2 was.
    foreign(&old, "log.db")
        .execute_batch(
            "ALTER TABLE events DROP COLUMN saw; ALTER TABLE events DROP COLUMN request; \
             ALTER TABLE quarantine DROP COLUMN saw; ALTER TABLE quarantine DROP COLUMN request; \
             DROP INDEX quarantine_recall; ALTER TABLE quarantine DROP COLUMN recall_seq; \
             ALTER TABLE quarantine DROP COLUMN recall_source; ALTER TABLE quarantine DROP COLUMN hlc; \
             DROP INDEX events_dot; DROP TABLE exceptions; ALTER TABLE events DROP COLUMN delivery; \
             ALTER TABLE events DROP COLUMN seq; ALTER TABLE events DROP COLUMN hlc; DROP TABLE clock; \
             DROP TABLE passed; DROP TABLE waiting; DROP TABLE skips; \
             ALTER TABLE quarantine DROP COLUMN version; DROP TABLE edits; DROP TABLE accounts; \
             DROP INDEX quarantine_untrusted; DROP TABLE raws; PRAGMA user_version = 2;",
        )
        .unwrap();
    let store = open(&old);
    let log = &*store.log;
    assert_eq!(log.read(Position::ZERO, None, 10).unwrap(), events);
    // What had no stamp has that of when it was received.
    let at_receipt = |entry: Entry| Entry { hlc: Hlc::at(entry.received_at), ..entry };
    let entries: Vec<_> = entries.into_iter().map(at_receipt).collect();
    assert_eq!(log.entries(&EntryFilter::default()).unwrap(), entries);
    let books = log.accounting(true).unwrap();
    let account = Account { received: 3, admitted: 1, quarantined: 2, ..Account::NOTHING };
    assert_eq!(books.keys().map(|source| source.as_str()).collect::<Vec<_>>(), ["shop"]);
    assert!(books.values().all(|books| books.account == account && books.are_right()), "{books:?}");
    let patch = edits::patch(1);
    assert_eq!(edit(log, 1, entries[0].id, EntryVersion::FIRST, patch.clone()).unwrap(), None);
    take_in(log, vec![arrival("4", draft("o-2", Value::Null))]).unwrap();
    let after = log.read(Position(1), None, 10).unwrap().events[0].causality;
    assert!(after.hlc > Hlc::at(Timestamp::from_micros(NOW)) && after.seq == 2, "{after:?}");
    drop(store);
    assert_eq!(layout(&old), layout(&new));
    let edited = open(&old).log.entry(entries[0].id).unwrap().unwrap();
    assert_eq!((edited.version, &edited.edits[0].patch), (EntryVersion(2), &patch));
    // Older than any that is known.
    foreign(&old, "log.db").pragma_update(None, "user_version", 1).unwrap();
    let refused = SqliteStore::open(old.path(), options()).unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("format 1")), "{refused}");
}

#[test]
fn a_log_of_format_7_goes_on_with_what_waits_in_it() {
    let (new, old) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    drop(open(&new));
    let counted = |seq: u64, seen: Option<u64>| {
        let causes = Some(Box::new(Causes { seq, first: 1, knows: Vec::new() }));
        let seen = seen.map(|upto| Seen::Upto(Position(upto)));
        let clocks = Clocks { causes, seen, ..Clocks::default() };
        Arrival { clocks, ..arrival(&seq.to_string(), draft("o-1", Value::Null)) }
    };
    let refusal = Sample::new("bad").refusal(Reason::Schema, None);
    let bad = Arrival { verdict: Verdict::Quarantine(refusal), ..arrival("bad", draft("o-1", Value::Null)) };
    let seen = Clocks { seen: Some(Seen::Upto(Position(1))), ..Clocks::default() };
    let everything = |store: &SqliteStore| {
        let log = &*store.log;
        let events = log.read(Position::ZERO, None, 10).unwrap().events;
        (events, log.entries(&EntryFilter::default()).unwrap(), log.waiting(10).unwrap())
    };
    let store = open(&old);
    take_in(&*store.log, vec![arrival("plain", draft("o-1", Value::Null)), bad, counted(2, None)]).unwrap();
    let before = everything(&store);
    assert_eq!((before.0.len(), before.1.len(), before.2.len()), (1, 1, 1));
    drop(store);
    let conn = foreign(&old, "log.db");
    for table in ["events", "quarantine", "waiting"] {
        conn.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN saw; ALTER TABLE {table} DROP COLUMN request;"))
            .unwrap();
    }
    conn.execute_batch(
        "DROP TABLE exceptions; CREATE INDEX events_exception ON events(source, seq) WHERE delivery = 2; \
         DELETE FROM meta WHERE name = 'replica'; PRAGMA user_version = 7;",
    )
    .unwrap();
    drop(conn);
    let store = open(&old);
    assert_eq!(everything(&store), before, "what was seen is not known of what was there");
    let token = Arrival { clocks: seen, ..arrival("token", draft("o-2", Value::Null)) };
    fixture::take_in(&*store.log, NOW, vec![token, counted(1, Some(1))]).unwrap();
    drop(store);
    let (events, _, waiting) = everything(&open(&old));
    let saw: Vec<_> = events.iter().map(|event| event.causality.saw.map(|saw| saw.upto.0)).collect();
    assert_eq!((saw, waiting.len()), (vec![None, Some(1), Some(1), None], 0));
    assert_eq!(layout(&old), layout(&new));
}

/// However they came, and by the upgrade from the events alone.
#[test]
fn the_greatest_stamp_of_the_exceptions_up_to_a_number_is_found_at_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let writer = store.log.database().writer();
    let conn = writer.connection();
    let upgrade = include_str!("upgrade_8.sql");
    let insert = &upgrade[upgrade.find("INSERT INTO exceptions").unwrap()..];
    let mut chance = crate::conformance::random::XorShift::new(7);
    for _ in 0..40 {
        conn.execute_batch("DELETE FROM exceptions; DELETE FROM events;").unwrap();
        let mut there: Vec<(u64, u64)> = Vec::new();
        for position in 1..=1 + chance.below(24) as u64 {
            let (seq, hlc) = (1 + chance.below(40) as u64, 1 + chance.below(12) as u64);
            if there.iter().any(|(other, _)| *other == seq) {
                continue;
            }
            there.push((seq, hlc));
            causal::add_exception(conn, "a", seq, Hlc::from_u64(hlc)).unwrap();
            let columns = "position, event_id, stream_id, stream_version, type, source, raw_id, recorded_at, contract_version, \
                           digest, data, hlc, seq, delivery";
            let values =
                format!("{position}, x'{position:02x}', 1, {position}, 't', 'a', '', 0, 1, x'', '', {hlc}, {seq}, 2");
            conn.execute(&format!("INSERT INTO events({columns}) VALUES({values})"), []).unwrap();
        }
        let greatest = |upto: u64| there.iter().filter(|(seq, _)| *seq <= upto).map(|(_, hlc)| *hlc).max();
        let expected: Vec<_> = (1..=41).map(greatest).collect();
        let kept = || -> Vec<(i64, i64)> {
            let mut select = conn.prepare("SELECT seq, hlc FROM exceptions ORDER BY seq").unwrap();
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let by_hand = kept();
        conn.execute_batch("DELETE FROM exceptions").unwrap();
        conn.execute_batch(insert).unwrap();
        assert_eq!(kept(), by_hand, "{there:?}");
        assert!(by_hand.is_sorted_by(|a, b| a.1 < b.1), "{by_hand:?}");
        // As from events of which only exceptions are left.
        conn.execute_batch("DELETE FROM events").unwrap();
        let found = |seq: u64| causal::stamps(conn, &[SourceDot::new("a", seq)]).unwrap().into_values().next();
        let found: Vec<_> = (1..=41).map(|seq| found(seq).map(Hlc::as_u64)).collect();
        assert_eq!(found, expected, "{there:?}");
    }
}
