//! Who knows whom, what is kept of a row, and that the same writes come to the same values in every order that agrees with
//! cause and effect.
use super::*;
use crate::{
    clock::{Hlc, Relation},
    event::{Causality, Delivery, Draft, Event, Saw},
    fold::{Attribute, Batch, Clause, Declared, Each, Fold, FreshFold, GivenUp, Op, OpKind, Operand, Plan},
    ids::{Digest, EventId, Position, StreamVersion},
    intake::SourceDot,
    json::{Object, Value, parse},
    order::{Rule, WriteKind},
    row::{Cell, Key, Row},
    schema::{self, ColumnType, Merge, Schema},
    time::Timestamp,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod deletions;

fn logged(position: u64) -> Mark {
    let by = Counted::Replica("n".into());
    Mark {
        position: Position(position),
        by,
        seq: position,
        hlc: Hlc::new(position, 0),
        saw: None,
        sent: Hlc::ZERO,
        clock: None,
    }
}

fn having_seen(position: u64, upto: u64, request: u64) -> Mark {
    let saw = Some(Saw { upto: Position(upto), request: Hlc::from_u64(request) });
    Mark { saw, sent: Hlc::new(position, 0), ..logged(position) }
}

fn clocked(position: u64, source: &str, clock: &[(&str, u64)]) -> Mark {
    let mut dots: Vec<_> = clock.iter().map(|(name, seq)| SourceDot::new(*name, *seq)).collect();
    dots.sort_unstable();
    let seq = dots.iter().find(|dot| dot.source.as_str() == source).unwrap().seq;
    Mark { by: Counted::Source(source.into()), seq, clock: Some(dots.into()), ..logged(position) }
}

#[test]
fn what_a_writer_knew_is_told_as_a_vector_clock() {
    let mark = clocked(5, "b", &[("b", 1), ("a,c", 2)]);
    assert_eq!((mark.vclock().as_deref(), logged(1).vclock()), (Some("a%2Cc=2,b=1"), None));
}

#[test]
fn a_write_knows_what_its_writer_said_and_no_more() {
    use Relation::{After, Before, Concurrent, Equal};
    let a3 = |position| clocked(position, "a", &[("a", 3)]);
    for (earlier, later, expected) in [
        (logged(1), logged(2), Before),
        (logged(1), logged(1), Equal),
        // A token: what it saw, the earlier events of its request, and nothing else.
        (logged(5), having_seen(7, 5, 1), Before),
        (logged(6), having_seen(7, 5, 1), Concurrent),
        (having_seen(6, 2, 9), having_seen(7, 5, 9), Before),
        (having_seen(6, 2, 8), having_seen(7, 5, 9), Concurrent),
        // Of one request the later comes first, and the earlier out of quarantine: what was sent first is known.
        (Mark { sent: Hlc::new(9, 0), ..having_seen(6, 2, 9) }, having_seen(8, 2, 9), After),
        (having_seen(6, 2, 8), logged(7), Before),
        // Clocks.
        (a3(4), clocked(5, "b", &[("a", 3), ("b", 1)]), Before),
        (a3(4), clocked(5, "b", &[("a", 2), ("b", 1)]), Concurrent),
        (clocked(4, "b", &[("a", 3), ("b", 1)]), a3(5), After),
        // One of them says nothing: the order of the log.
        (logged(4), a3(5), Before),
        (a3(4), logged(5), Before),
        // One has a clock, the other a token: each knows what it says.
        (having_seen(4, 1, 1), a3(5), Concurrent),
        (a3(4), having_seen(5, 3, 1), Concurrent),
        (a3(4), having_seen(5, 4, 1), Before),
    ] {
        assert_eq!(earlier.relation(&later), expected, "{earlier:?} {later:?}");
        assert_eq!(later.relation(&earlier), expected.reversed(), "{earlier:?} {later:?}");
    }
}

const COLUMNS: [(&str, ColumnType, Merge); 9] = [
    ("id", ColumnType::Text, Merge::Lww),
    ("name", ColumnType::Text, Merge::Lww),
    ("colour", ColumnType::Text, Merge::Mv),
    ("tags", ColumnType::Text, Merge::OrSet),
    ("stock", ColumnType::I64, Merge::PnCounter),
    ("peak", ColumnType::I64, Merge::Max),
    ("doc", ColumnType::Json, Merge::Version),
    ("price", ColumnType::Money { currency: 8 }, Merge::Lww),
    ("currency", ColumnType::Iso4217, Merge::Lww),
];

/// A model with a column of each merge.
fn model() -> Declared {
    let columns = COLUMNS.map(|(name, ty, merge)| schema::Column { name: name.into(), ty, merge });
    let schema = Schema {
        model: "m".into(),
        version: 1,
        key: vec![0],
        columns: columns.into(),
        subscribes: Default::default(),
        fingerprint: Digest::of(b"m 1"),
    };
    let data = |name: &str| Operand::Event(format!("/data/{name}").parse().unwrap());
    let op = |kind, column: usize, field: &str| {
        let based_on = (COLUMNS[column].2 == Merge::Version).then(|| data("base"));
        Op { kind, column, value: data(field), based_on }
    };
    let clause = |event: &str, ops, delete| Clause {
        event: event.into(),
        when: Vec::new(),
        each: None,
        key: vec![Operand::Attribute(Attribute::Subject)],
        delete,
        ops,
    };
    let ops = vec![
        op(OpKind::Set, 1, "name"),
        op(OpKind::Set, 2, "colour"),
        op(OpKind::Insert, 3, "tag"),
        op(OpKind::Add, 4, "stock"),
        op(OpKind::Max, 5, "peak"),
        op(OpKind::Set, 6, "doc"),
        op(OpKind::Set, 7, "price"),
    ];
    let untag = vec![op(OpKind::Remove, 3, "tag")];
    let renamed = vec![op(OpKind::Set, 1, "name")];
    let element = Operand::Element("".parse().unwrap());
    let named = vec![Op { kind: OpKind::Set, column: 1, value: element, based_on: None }];
    let each = Some(Each { over: "/data/names".parse().unwrap() });
    Declared::new(
        schema,
        vec![
            clause("set", ops, false),
            clause("untag", untag, false),
            clause("delete", Vec::new(), true),
            clause("moved", Vec::new(), true),
            clause("moved", renamed, false),
            Clause { each, ..clause("name", named, false) },
        ],
    )
}

/// An event before it has a place.
#[derive(Debug, Clone)]
struct Made {
    kind: &'static str,
    data: String,
    source: &'static str,
    clock: Option<BTreeMap<&'static str, u64>>,
    hlc: Hlc,
    saw: Option<u64>,
    /// A request of several; each is one of its own where nothing is said.
    request: Option<u64>,
}

fn made(data: &str) -> Made {
    Made { kind: "set", data: data.into(), source: "s", clock: None, hlc: Hlc::ZERO, saw: None, request: None }
}

impl Made {
    /// A deletion by a writer of whom nothing was known before, and who knew nothing.
    fn at_once(self, n: u64) -> Self {
        Self { kind: "delete", hlc: Hlc::new(n + 1, 0), ..self }
    }

    fn seen(self, upto: u64) -> Self {
        Self { saw: Some(upto), ..self }
    }

    fn at(&self, position: u64) -> Event {
        let mut extensions = Object::default();
        let mut seq = position;
        if let Some(clock) = &self.clock {
            let text: Vec<_> = clock.iter().map(|(name, seq)| format!("{name}={seq}")).collect();
            extensions.insert("vclock", text.join(",").into());
            seq = clock[self.source];
        }
        let delivery = if self.clock.is_some() { Delivery::Causal } else { Delivery::Log };
        let hlc = if self.hlc == Hlc::ZERO { Hlc::new(1_000_000 + position, 0) } else { self.hlc };
        let id = if self.clock.is_some() { format!("{}-{seq}", self.source) } else { position.to_string() };
        Event {
            position: Position(position),
            id: EventId::of(self.source, &id),
            source: self.source.into(),
            raw_id: id,
            stream_version: StreamVersion(position),
            recorded_at: Timestamp::from_micros(0),
            digest: Digest::of(self.data.as_bytes()),
            replica: "n".into(),
            causality: Causality {
                hlc,
                seq,
                delivery,
                saw: self.saw.map(|upto| Saw {
                    upto: Position(upto),
                    request: Hlc::from_u64(self.request.unwrap_or(1000 + position)),
                }),
            },
            draft: Draft {
                event_type: self.kind.into(),
                contract_version: 1,
                subject: "k".into(),
                time: None,
                extensions,
                data: parse(self.data.as_bytes()).unwrap(),
            },
        }
    }
}

/// The row after these events in this order, and what was decided.
fn fold(events: &[Made]) -> (Option<Row>, Vec<Conflict>) {
    let model = model();
    let events: Vec<_> = events.iter().zip(1..).map(|(made, position)| made.at(position)).collect();
    let nothing = GivenUp::default();
    let mut fresh = FreshFold::new(&model, &nothing, |_| true).recording();
    fresh.feed(&events);
    assert!(fresh.parks().is_empty(), "{:?}", fresh.parks());
    let (row, conflicts) = (fresh.take(&Key::text("k")), fresh.take_conflicts());
    // In a batch, as the projector folds, it comes to the same.
    let mut batch = Batch::default();
    for events in events.chunks(2) {
        batch.fold(Timestamp::from_micros(0), &model, &Plan::new(&model, events, &nothing));
    }
    let folded = batch.finish();
    let of_batch = folded.rows.into_iter().next().and_then(|changed| changed.row);
    assert_eq!((&of_batch, &folded.conflicts), (&row, &conflicts), "folded in a batch");
    (row, conflicts)
}

fn shown(events: &[Made]) -> Value {
    let (row, model) = (fold(events).0, model());
    row.filter(|row| model.schema().shows(row)).map_or(Value::Null, |row| row.to_json(model.schema()).into())
}

/// What the row keeps of the writes.
fn marks(row: &Row) -> Option<&[u8]> {
    row.cells.iter().find_map(|cell| if let Cell::Bytes(bytes) = cell { Some(&**bytes) } else { None })
}

fn at(events: &[Made], column: &str) -> String {
    let Value::Object(row) = shown(events) else { return "no row".into() };
    row.get(column).unwrap().to_string()
}

fn deleted() -> Made {
    Made { kind: "delete", ..made("{}") }
}

fn untag(tag: &str) -> Made {
    Made { kind: "untag", ..made(&format!(r#"{{"tag":{tag}}}"#)) }
}

#[test]
fn editors_who_had_not_seen_each_other_conflict() {
    let events = [made(r#"{"name":"old"}"#), made(r#"{"name":"by a"}"#).seen(1), made(r#"{"name":"by b"}"#).seen(1)];
    let (_, conflicts) = fold(&events);
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!(at(&events, "name"), r#""by b""#);
    assert_eq!((conflict.relation, conflict.rule, conflict.strategy), (Relation::Concurrent, Rule::Hlc, Merge::Lww));
    assert_eq!((&conflict.winner.value, &conflict.loser.value), (&"by b".into(), &"by a".into()));
    assert!(conflict.replay());
    // Whoever says nothing knows what was before.
    assert!(fold(&[made(r#"{"name":"a"}"#), made(r#"{"name":"b"}"#)]).1.is_empty());
    // Who writes the same agrees.
    assert!(
        fold(&[made(r#"{"name":"a"}"#), made(r#"{"name":"b"}"#).seen(1), made(r#"{"name":"b"}"#).seen(1)]).1.is_empty()
    );
    // Other columns are no conflict, whatever was seen.
    assert!(fold(&[made(r#"{"name":"a"}"#).seen(0), made(r#"{"stock":1}"#).seen(0)]).1.is_empty());
}

#[test]
fn an_event_that_writes_a_column_more_than_once_has_written_what_it_wrote_last() {
    let base = || made(r#"{"name":"a"}"#).seen(0);
    let names = |names: &str, hlc| {
        let made = made(&format!(r#"{{"names":{names}}}"#)).seen(0);
        Made { kind: "name", hlc: Hlc::new(hlc, 0), ..made }
    };
    for (later, stands, recorded) in [
        (names(r#"["b","c"]"#, 2_000_000), "c", Some(("c", "a"))),
        (names(r#"["b","c"]"#, 1), "a", Some(("a", "c"))),
        (names(r#"["b","a"]"#, 2_000_000), "a", None),
        (names(r#"["b","a"]"#, 1), "a", None),
        (names(r#"["a","c"]"#, 2_000_000), "c", Some(("c", "a"))),
        (names(r#"["a","c"]"#, 1), "a", Some(("a", "c"))),
    ] {
        let (row, conflicts) = fold(&[base(), later.clone()]);
        assert_eq!(row.unwrap().cells[1].to_json(), stands.into(), "{later:?}");
        let values: Vec<_> = conflicts.iter().map(|c| (c.winner.value.clone(), c.loser.value.clone())).collect();
        let recorded = recorded.map(|(winner, loser)| (Value::from(winner), Value::from(loser)));
        assert_eq!(values, Vec::from_iter(recorded), "{later:?}");
        assert!(conflicts.iter().all(Conflict::replay), "{later:?}");
    }
}

#[test]
fn siblings_stay_until_somebody_writes_who_knows_them() {
    let two = [made(r#"{"colour":"red"}"#).seen(0), made(r#"{"colour":"blue"}"#).seen(0)];
    assert_eq!(at(&two, "colour"), r#""blue""#, "the later of the order");
    assert_eq!(at(&two, "colour_siblings"), r#"["blue","red"]"#);
    assert_eq!(fold(&two).1.len(), 1);
    let [a, b] = two;
    let settled = [a, b, made(r#"{"colour":"green"}"#).seen(1), made(r#"{"colour":"purple"}"#).seen(3)];
    assert_eq!(at(&settled[..3], "colour_siblings"), r#"["green","blue"]"#);
    assert_eq!(at(&settled, "colour_siblings"), r#"["purple"]"#);
}

#[test]
fn a_set_keeps_what_was_put_in_unknown_to_who_takes_out() {
    let events = [made(r#"{"tag":["b","a"]}"#), made(r#"{"tag":"b"}"#).seen(0), untag(r#"["a","b","c"]"#).seen(1)];
    assert_eq!(at(&events[..2], "tags"), r#"["a","b"]"#);
    assert_eq!(at(&events, "tags"), r#"["b"]"#);
    assert_eq!(at(&[events[0].clone(), untag(r#"["a","b"]"#)], "tags"), "null");
    assert!(fold(&events).1.is_empty(), "sets commute");
}

#[test]
fn versions_name_what_they_are_based_on() {
    let doc = |text: &str, base: Option<u64>| {
        let base = base.map_or("null".into(), |at| format!("\"{}\"", EventId::of("s", &at.to_string())));
        made(&format!(r#"{{"doc":{{"t":"{text}"}},"base":{base}}}"#))
    };
    let events = [doc("1", None), doc("2", Some(1)), doc("2b", Some(1)), doc("3", Some(3))];
    let (row, conflicts) = fold(&events);
    assert_eq!(at(&events, "doc"), r#"{"t":"3"}"#);
    assert_eq!(at(&events, "doc_version"), format!("\"{}\"", EventId::of("s", "4")));
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!(conflict.loser.value.to_string(), r#"{"t":"2"}"#, "kept whole");
    assert!(conflict.replay());
    assert!(row.is_some());
    // A base that is no name of a version cannot be applied.
    let bad = made(r#"{"doc":1,"base":"latest"}"#).at(1);
    let mut touches = Vec::new();
    model().touches(&bad, &mut touches);
    let error = model().apply(&mut None, &bad, &touches[0], &Key::text("k")).unwrap_err().to_string();
    assert!(error.contains("doc_version"), "{error}");
}

/// The second column after these events of a model in which each type does what it is called.
fn done(merge: Merge, events: &[Made]) -> String {
    let column = |name: &str, ty, merge| schema::Column { name: name.into(), ty, merge };
    let schema = Schema {
        columns: vec![column("id", ColumnType::Text, Merge::Lww), column("n", ColumnType::I64, merge)],
        ..model().schema().clone()
    };
    let kinds = [("set", OpKind::Set), ("once", OpKind::SetOnce), ("add", OpKind::Add), ("max", OpKind::Max)];
    let clauses = kinds.map(|(event, kind)| Clause {
        event: event.into(),
        when: Vec::new(),
        each: None,
        key: vec![Operand::Attribute(Attribute::Subject)],
        delete: false,
        ops: vec![Op { kind, column: 1, value: Operand::Event("/data/n".parse().unwrap()), based_on: None }],
    });
    let (model, mut slot) = (Declared::new(schema, clauses.into()), None);
    for (made, position) in events.iter().zip(1..) {
        let (event, mut touches) = (made.at(position), Vec::new());
        model.touches(&event, &mut touches);
        model.apply(&mut slot, &event, &touches[0], &Key::text("k")).unwrap();
    }
    slot.unwrap().cells[1].to_json().to_string()
}

#[test]
fn changes_commute_and_what_stands_is_not_set_once_more() {
    let does = |kind: &'static str, n: &str| Made { kind, ..made(&format!(r#"{{"n":{n}}}"#)) };
    let clock = |seq: u64| Some([("a", seq)].into_iter().collect::<BTreeMap<_, _>>());
    let counted = |made: Made, seq| Made { source: "a", clock: clock(seq), hlc: Hlc::from_u64(seq), ..made };
    // The first of two additions comes late: the second knew it, and both count.
    let late = [counted(does("add", "3"), 2), counted(does("add", "5"), 1)];
    assert_eq!(done(Merge::Lww, &late), "8");
    // What was set knowing it stands for it.
    let late = [counted(does("set", "3"), 2), counted(does("add", "5"), 1)];
    assert_eq!(done(Merge::Lww, &late), "3");
    let since = [counted(does("set", "3"), 2), does("add", "1"), counted(does("add", "5"), 1)];
    assert_eq!(done(Merge::Lww, &since), "4");
    for value in ["7", "null"] {
        assert_eq!(done(Merge::Lww, &[does("set", "3"), does("once", value).seen(0)]), "3", "{value}");
    }
    // An extreme that a write did not know stays where it is further.
    assert_eq!(done(Merge::Max, &[does("max", "10"), does("set", "3").seen(0)]), "10");
    assert_eq!(done(Merge::Max, &[does("max", "10"), does("set", "3").seen(1)]), "3");
}

#[test]
fn siblings_are_bounded_and_a_write_that_knows_them_ends_them() {
    let mut events: Vec<_> = (0..100).map(|n| made(&format!(r#"{{"colour":"c{n}"}}"#)).seen(0)).collect();
    assert_eq!(at(&events, "colour_siblings").matches("\"c").count(), 64);
    assert_eq!((at(&events, "colour"), fold(&events).1.len()), (r#""c99""#.into(), 99));
    events.push(made(r#"{"colour":"one"}"#).seen(100));
    assert_eq!(at(&events, "colour_siblings"), r#"["one"]"#);
}

#[test]
fn columns_are_ordered_by_what_they_declare() {
    let order = |by| {
        let model = model().ordered_by(1, by);
        let mut slot = None;
        // The first knows more, the second has the later stamp, the third says the latest time.
        let mut events = [
            made(r#"{"name":"knows more"}"#).seen(0).at(40),
            made(r#"{"name":"later stamp"}"#).seen(1).at(41),
            made(r#"{"name":"later time"}"#).seen(2).at(42),
        ];
        events[0].causality.saw = Some(Saw { upto: Position(39), request: Hlc::from_u64(1) });
        events[1].causality.hlc = Hlc::new(5_000_000, 0);
        events[2].draft.time = Some(Timestamp::from_micros(9_000_000));
        for event in &events {
            let mut touches = Vec::new();
            model.touches(event, &mut touches);
            model.apply(&mut slot, event, &touches[0], &Key::text("k")).unwrap();
        }
        slot.unwrap().cells[1].to_json().to_string()
    };
    assert_eq!(order(OrderBy::Hlc), r#""later stamp""#);
    assert_eq!(order(OrderBy::Lamport), r#""knows more""#);
    assert_eq!(order(OrderBy::Wall), r#""later time""#);
}

#[test]
fn an_ordinary_row_keeps_little() {
    let (row, _) = fold(&[made(r#"{"name":"n","colour":"red","price":{"amount":"1","currency":"EUR"}}"#)]);
    let row = row.unwrap();
    let bytes = marks(&row).unwrap();
    assert!(bytes.len() <= 20, "{} bytes: {bytes:?}", bytes.len());
    let state = State::from_bytes(bytes, &"n".into()).unwrap();
    assert_eq!(state.to_bytes().as_deref(), Some(bytes));
    for cut in 0..bytes.len() {
        assert!(State::from_bytes(&bytes[..cut], &"n".into()).is_err(), "{cut} bytes");
    }
    // Counters alone keep nothing.
    let counters = Declared::new(
        Schema { columns: model().schema().columns[..5].to_vec(), ..model().schema().clone() },
        vec![Clause {
            event: "e".into(),
            when: Vec::new(),
            each: None,
            key: vec![Operand::Attribute(Attribute::Subject)],
            delete: false,
            ops: vec![Op { kind: OpKind::Add, column: 4, value: Operand::Value(1.into()), based_on: None }],
        }],
    );
    assert!(counters.schema().columns.iter().all(|column| !column.is_hidden()));
}

/// Histories of clocked writers: each event knows what its writer had heard of, and bears a stamp above all of that.
fn history() -> impl Strategy<Value = Vec<Made>> {
    let write = prop_oneof![
        5 => (0..4u8).prop_map(|n| ("set", format!(r#"{{"name":"n{n}"}}"#))),
        5 => (0..4u8).prop_map(|n| ("set", format!(r#"{{"colour":"c{n}"}}"#))),
        3 => (0..3u8).prop_map(|n| ("set", format!(r#"{{"tag":"t{n}"}}"#))),
        3 => (0..3u8).prop_map(|n| ("untag", format!(r#"{{"tag":"t{n}"}}"#))),
        2 => (-5..5i8).prop_map(|n| ("set", format!(r#"{{"stock":{n}}}"#))),
        2 => (-5..5i8).prop_map(|n| ("set", format!(r#"{{"peak":{n}}}"#))),
    ];
    prop::collection::vec((0..3usize, any::<[bool; 3]>(), 0..6u64, write), 1..12).prop_map(|steps| {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut clocks = [const { BTreeMap::<&'static str, u64>::new() }; 3];
        let mut stamps = [0u64; 3];
        let mut made_ = Vec::new();
        for (who, hears, pause, (kind, data)) in steps {
            for other in (0..3).filter(|other| hears[*other] && *other != who) {
                for (name, seq) in clocks[other].clone() {
                    let known = clocks[who].entry(name).or_default();
                    *known = seq.max(*known);
                }
                stamps[who] = stamps[who].max(stamps[other]);
            }
            stamps[who] += 1 + pause;
            *clocks[who].entry(NAMES[who]).or_default() += 1;
            let (clock, hlc) = (Some(clocks[who].clone()), Hlc::from_u64(stamps[who]));
            made_.push(Made { kind, data, source: NAMES[who], clock, hlc, saw: None, request: None });
        }
        made_
    })
}

/// These events in another order that agrees with cause and effect.
fn reordered(events: &[Made], mut picks: Vec<prop::sample::Index>) -> Vec<Made> {
    let mut left: Vec<_> = events.to_vec();
    let mut order = Vec::new();
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    while !left.is_empty() {
        let ready = |event: &Made| {
            event.clock.iter().flatten().all(|(name, seq)| {
                let needs = if *name == event.source { seq - 1 } else { *seq };
                seen.get(name).copied().unwrap_or(0) >= needs
            })
        };
        let choices: Vec<_> = (0..left.len()).filter(|at| ready(&left[*at])).collect();
        let pick = picks.pop().map_or(0, |pick| pick.index(choices.len()));
        let event = left.remove(choices[pick]);
        *seen.entry(event.source).or_default() += 1;
        order.push(event);
    }
    order
}

proptest! {
    #[test]
    fn any_causal_order_comes_to_the_same_values(
        events in history(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let other = reordered(&events, picks);
        let (row, conflicts) = fold(&events);
        prop_assert_eq!(shown(&events), shown(&other), "{:?}", other);
        for conflict in conflicts.iter().chain(&fold(&other).1) {
            prop_assert!(conflict.replay(), "{:?}", conflict);
            prop_assert_eq!(conflict.relation, Relation::Concurrent);
        }
        let row = row.unwrap();
        if let Some(bytes) = marks(&row) {
            let again = State::from_bytes(bytes, &"n".into()).unwrap().to_bytes();
            prop_assert_eq!(again.as_deref(), Some(bytes));
        }
    }

    #[test]
    fn who_says_nothing_never_conflicts(names in prop::collection::vec(0..5u8, 1..10)) {
        let events: Vec<_> = names.iter().map(|n| made(&format!(r#"{{"name":"{n}","colour":"{n}"}}"#))).collect();
        prop_assert!(fold(&events).1.is_empty());
        prop_assert_eq!(at(&events, "name"), format!("\"{}\"", names.last().unwrap()));
    }

    #[test]
    fn records_are_named_by_the_pair(a in 1..9u64, b in 10..20u64) {
        let contender = |mark| Contender { mark, kind: WriteKind::Set, value: 1.into(), version: None };
        let conflict = |winner, loser| Conflict {
            key: Key::text("k"),
            column: "c".into(),
            strategy: Merge::Lww,
            relation: Relation::Concurrent,
            rule: Rule::Hlc,
            winner: contender(winner),
            loser: contender(loser),
            at: Timestamp::from_micros(0),
        };
        let (one, other) = (conflict(logged(a), logged(b)), conflict(logged(b), logged(a)));
        let model = "m".into();
        prop_assert_eq!(one.id(&model), other.id(&model));
        prop_assert_ne!(one.id(&model), conflict(logged(a), logged(b + 1)).id(&model));
        let id: ConflictId = one.id(&model).to_string().parse().unwrap();
        prop_assert_eq!(id, one.id(&model));
    }
}
