//! Generated histories: what is folded does not depend on where batches end, and parks only what it must.
use super::super::{
    Declared, Difference, FoldError, FreshFold, Op, OpKind, Operand, Released,
    declared::{Attribute, Clause, Each},
    release,
};
use super::*;
use crate::{
    clock::Hlc,
    condition::{self, Comparison, Condition},
    event::{Draft, Saw},
    ids::{Digest, Position, StreamVersion},
    json::{Object, parse},
    merge::ConflictId,
    schema::{Column, ColumnType, Merge, Schema},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn data(pointer: &str) -> Operand {
    Operand::Event(format!("/data/{pointer}").parse().unwrap())
}

/// A model that uses every operation. Key and five columns; `total` holds money with `currency` beside it.
fn model() -> Declared {
    let column = |name: &str, ty, merge| Column { name: name.into(), ty, merge };
    let columns = vec![
        column("k", ColumnType::Text, Merge::Lww),
        column("last", ColumnType::Text, Merge::Lww),
        column("first", ColumnType::I64, Merge::Lww),
        column("sum", ColumnType::I64, Merge::GCounter),
        column("least", ColumnType::I64, Merge::Min),
        column("most", ColumnType::I64, Merge::Max),
        column("total", ColumnType::Money { currency: 7 }, Merge::PnCounter),
        column("currency", ColumnType::Iso4217, Merge::Lww),
    ];
    let schema = Schema {
        model: "m".into(),
        version: 1,
        key: vec![0],
        columns,
        subscribes: Default::default(),
        fingerprint: Digest::of(b"m 1"),
    };
    let subject = || vec![Operand::Attribute(Attribute::Subject)];
    let op = |kind, column, value| Op { kind, column, value, based_on: None };
    let clause =
        |event: &str, ops| Clause { event: event.into(), when: vec![], each: None, key: subject(), delete: false, ops };
    let if_sure = Condition::Compare(
        Comparison::NotEquals,
        condition::Operand::Pointer("/data/n".parse().unwrap()),
        condition::Operand::Value(0.into()),
    );
    let element = |pointer: &str| Operand::Element(pointer.parse().unwrap());
    let clauses = vec![
        clause("set", vec![op(OpKind::Set, 1, data("t")), op(OpKind::SetOnce, 2, data("n"))]),
        clause(
            "add",
            vec![op(OpKind::Add, 3, data("n")), op(OpKind::Min, 4, data("n")), op(OpKind::Max, 5, data("n"))],
        ),
        // The same event a second time: two touches of one row.
        clause("add", vec![op(OpKind::Add, 6, data("money"))]),
        Clause { delete: true, when: vec![if_sure], ..clause("gone", vec![]) },
        Clause {
            each: Some(Each { over: "/data/lines".parse().unwrap() }),
            key: vec![element("/k")],
            ..clause("lines", vec![op(OpKind::Add, 3, element("/n"))])
        },
    ];
    Declared::new(schema, clauses)
}

/// Data that fits, lacks something, or cannot be applied.
fn data_json() -> impl Strategy<Value = String> {
    let n = || {
        prop_oneof![
            8 => (0i64..5).prop_map(|n| n.to_string()),
            1 => Just("-1".to_owned()),
            1 => Just(i64::MAX.to_string()),
            1 => Just(r#""x""#.to_owned()),
            1 => Just("null".to_owned()),
        ]
    };
    let currency = prop_oneof![9 => Just("EUR"), 1 => Just("USD")];
    let money = (1u32..4, currency)
        .prop_map(|(amount, currency)| format!(r#"{{"amount":"{amount}.0{amount}","currency":"{currency}"}}"#));
    let line = (prop::option::weighted(0.9, 0..3u8), n()).prop_map(|(k, n)| match k {
        Some(k) => format!(r#"{{"k":"k{k}","n":{n}}}"#),
        None => format!(r#"{{"n":{n}}}"#),
    });
    let lines = prop_oneof![
        8 => prop::collection::vec(line, 0..4).prop_map(|lines| format!("[{}]", lines.join(","))),
        1 => Just("null".to_owned()),
        1 => Just("7".to_owned()),
    ];
    (n(), 0..3u8, prop::option::weighted(0.7, money), lines).prop_map(|(n, t, money, lines)| {
        let money = money.map_or(String::new(), |money| format!(r#","money":{money}"#));
        format!(r#"{{"n":{n},"t":"t{t}","lines":{lines}{money}}}"#)
    })
}

fn event(position: u64, event_type: &str, subject: &str, json: &str) -> Event {
    let id = position.to_string();
    Event {
        position: Position(position),
        id: EventId::of("test", &id),
        source: "test".into(),
        raw_id: id,
        stream_version: StreamVersion(position),
        recorded_at: Timestamp::from_micros(0),
        digest: Digest::of(json.as_bytes()),
        replica: "a".into(),
        causality: Default::default(),
        draft: Draft {
            event_type: event_type.into(),
            contract_version: 1,
            subject: subject.into(),
            time: None,
            extensions: Object::default(),
            data: parse(json.as_bytes()).unwrap(),
        },
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event_type =
        prop_oneof![3 => Just("set"), 3 => Just("add"), 1 => Just("gone"), 3 => Just("lines"), 1 => Just("other")];
    // Some say what they had seen, and do not know all that is before them.
    let seen = prop::option::weighted(0.4, any::<prop::sample::Index>());
    prop::collection::vec((event_type, 0..3u8, data_json(), seen), 0..40).prop_map(|events| {
        let numbered = events.into_iter().zip(1..);
        let made = |((event_type, k, json, seen), p): ((_, u8, String, Option<prop::sample::Index>), u64)| {
            let mut event = event(p, event_type, &format!("k{k}"), &json);
            let upto = seen.map(|seen| Position(seen.index(p as usize) as u64));
            event.causality.saw = upto.map(|upto| Saw { upto, request: Hlc::from_u64(p) });
            event.causality.hlc = Hlc::from_u64(1000 + p);
            event
        };
        numbered.map(made).collect()
    })
}

/// A touch with the event that [`event`] has at its position.
fn of_its_event(touch: TouchId) -> (TouchId, EventId) {
    (touch, EventId::of("test", &touch.position.to_string()))
}

/// Touches that a person gave up; some of them exist.
fn discarded() -> impl Strategy<Value = GivenUp> {
    let touch = (1u64..40, 0u16..5, 0u32..3);
    prop::collection::hash_set(touch, 0..20).prop_map(|touches| {
        let id = |(position, clause, element)| TouchId { position: Position(position), clause, element };
        touches.into_iter().map(id).map(of_its_event).collect()
    })
}

/// A store of rows and parks, fed batch by batch.
#[derive(Debug, Default, PartialEq)]
struct Store {
    rows: BTreeMap<Key, Row>,
    parks: Vec<Park>,
    conflicts: BTreeMap<ConflictId, Conflict>,
    counts: Counts,
    last_event: Option<EventId>,
}

/// No store checks these digests; they only say that there was a row.
const DIGEST: RowDigest = RowDigest([7; 16]);

impl Store {
    fn load(&self, keys: Vec<Key>, batch: &mut Batch) {
        let parked = self.parks.iter().filter_map(|park| park.key.as_ref()).filter(|key| keys.contains(key));
        batch.take_up_parked(parked.cloned());
        for key in keys {
            if let Some(row) = self.rows.get(&key) {
                batch.take_up(key, row.clone(), DIGEST);
            }
        }
    }

    /// Folds `events` in one batch, plan by plan of so many events.
    fn apply(&mut self, fold: &dyn Fold, events: &[Event], slice: usize, discarded: &GivenUp) {
        let mut batch = Batch::default();
        for events in events.chunks(slice) {
            let plan = Plan::new(fold, events, discarded);
            self.load(batch.missing(&plan), &mut batch);
            batch.fold(Timestamp::from_micros(0), fold, &plan);
        }
        let folded = batch.finish();
        assert_eq!(folded.counts.total(), events.len() as u64, "every event is counted once");
        let parked: HashSet<_> = folded.parks.iter().map(|park| park.touch.position).collect();
        assert_eq!(folded.counts.parked, parked.len() as u64, "parked for one row is parked");
        let poisoned =
            folded.parks.iter().filter(|park| park.state == ParkState::Poison).filter_map(|park| park.key.as_ref());
        let poisoned: Vec<_> = poisoned.collect();
        assert_eq!(poisoned.len(), poisoned.iter().collect::<HashSet<_>>().len(), "at most one for a key");
        assert!(folded.rows.is_sorted_by(|a, b| a.key < b.key));
        let touched: HashSet<_> = Plan::new(fold, events, discarded).touched().map(|(_, key)| key.clone()).collect();
        for Changed { key, row, replaces } in folded.rows {
            assert!(touched.contains(&key));
            let before = match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key).or_else(|| panic!("{key} is deleted and was not there")),
            };
            assert_eq!(replaces, before.map(|_| DIGEST));
        }
        self.parks.extend(folded.parks);
        let name = |conflict: Conflict| (conflict.id(&fold.schema().model), conflict);
        self.conflicts.extend(folded.conflicts.into_iter().map(name));
        self.counts = self.counts.plus(folded.counts);
        self.last_event = folded.last_event.or(self.last_event);
    }

    /// In batches that end at `cuts`, each in plans of a length of its own.
    fn fold(fold: &dyn Fold, events: &[Event], cuts: &[usize], discarded: &GivenUp) -> Self {
        let mut store = Self::default();
        let mut rest = events;
        for cut in cuts {
            let (batch, later) = rest.split_at(*cut.min(&rest.len()));
            store.apply(fold, batch, 1 + cut % 7, discarded);
            rest = later;
        }
        store.apply(fold, rest, rest.len().max(1), discarded);
        store
    }
}

impl Store {
    fn parked_keys(&self) -> Vec<Key> {
        let keys: std::collections::BTreeSet<_> = self.parks.iter().filter_map(|park| park.key.clone()).collect();
        keys.into_iter().collect()
    }

    /// What is parked for `key`, with its events.
    fn parked(&self, key: &Key, events: &[Event]) -> Vec<(Park, Event)> {
        let own = self.parks.iter().filter(|park| park.key.as_ref() == Some(key));
        own.map(|park| (park.clone(), events[park.touch.position.0 as usize - 1].clone())).collect()
    }

    fn put(&mut self, key: Key, row: Option<Row>) {
        match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
    }
}

/// The same model, but passing over what it cannot apply.
struct Mended(Declared);

impl Fold for Mended {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
        self.0.touches(event, out);
    }

    fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
        let before = slot.clone();
        if self.0.apply(slot, event, touch, key).is_err() {
            *slot = before;
        }
        Ok(())
    }
}

fn differences(mut fresh: FreshFold<'_>, rows: BTreeMap<Key, Row>) -> Vec<Difference> {
    let mut found: Vec<_> = rows.into_iter().filter_map(|(key, row)| fresh.compare(key, row)).collect();
    found.extend(fresh.missing());
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn results_do_not_depend_on_batches(
        events in events(),
        cuts in prop::collection::vec(0usize..6, 0..30),
        discarded in discarded(),
    ) {
        let model = model();
        let cut_up = Store::fold(&model, &events, &cuts, &discarded);
        prop_assert_eq!(&cut_up, &Store::fold(&model, &events, &[], &discarded));
        prop_assert_eq!(&cut_up, &Store::fold(&model, &events, &vec![1; events.len()], &discarded));
    }

    #[test]
    fn batches_equal_a_fresh_fold(
        events in events(),
        cuts in prop::collection::vec(0usize..6, 0..30),
        discarded in discarded(),
    ) {
        let model = model();
        let store = Store::fold(&model, &events, &cuts, &discarded);
        let mut fresh = FreshFold::new(&model, &discarded, |_| true);
        for event in &events {
            fresh.feed(std::slice::from_ref(event));
        }
        let parks: HashMap<_, _> = store.parks.iter().map(|park| (park.touch, park.state)).collect();
        let fresh_parks: HashMap<_, _> = fresh.parks().iter().map(|(touch, park)| (*touch, park.state)).collect();
        prop_assert_eq!(&fresh_parks, &parks);
        for park in &store.parks {
            prop_assert!(park.key.as_ref().is_none_or(|key| fresh.is_parked(key)));
        }
        prop_assert_eq!(fresh.len(), store.rows.len());
        prop_assert_eq!(differences(fresh, store.rows), vec![]);
    }

    /// The rule itself, told again in the plainest way: touch by touch, one row at a time.
    #[test]
    fn a_key_is_its_own_touches_in_order_up_to_the_first_that_does_not_apply(
        events in events(),
        discarded in discarded(),
    ) {
        let model = model();
        let store = Store::fold(&model, &events, &[7, 7, 7], &discarded);
        for key in (0..3).map(|k| Key::text(format!("k{k}"))) {
            let (mut row, mut parks) = (None, Vec::new());
            for event in &events {
                let mut touches = Vec::new();
                model.touches(event, &mut touches);
                for touch in touches.iter().filter(|touch| touch.key.as_ref() == Ok(&key)) {
                    let id = TouchId::of(event, touch);
                    let mut next = row.clone();
                    if discarded.has(id, event.id) {
                        continue;
                    } else if !parks.is_empty() {
                        parks.push((id, ParkState::Held));
                    } else if model.apply(&mut next, event, touch, &key).is_err() {
                        parks.push((id, ParkState::Poison));
                    } else {
                        row = next;
                    }
                }
            }
            prop_assert_eq!(store.rows.get(&key), row.as_ref());
            let own: Vec<_> = store.parks.iter().filter(|park| park.key.as_ref() == Some(&key)).collect();
            prop_assert_eq!(own.iter().map(|park| (park.touch, park.state)).collect::<Vec<_>>(), parks);
        }
        prop_assert!(store.parks.iter().all(|park| !discarded.has(park.touch, park.event_id)));
        prop_assert!(store.parks.is_sorted_by(|a, b| a.touch.position <= b.touch.position), "in log order");
    }

    /// Discarding what does not apply, and whatever that uncovers, frees every key.
    #[test]
    fn discarding_poison_lets_the_rest_through(events in events()) {
        let model = model();
        let mut discarded = HashSet::new();
        loop {
            let given_up = discarded.iter().copied().map(of_its_event).collect();
            let store = Store::fold(&model, &events, &[5, 5], &given_up);
            let poison = store.parks.iter().filter(|park| park.state == ParkState::Poison);
            let before = discarded.len();
            discarded.extend(poison.map(|park| park.touch));
            if discarded.len() == before {
                prop_assert_eq!(store.parks, vec![]);
                break;
            }
        }
    }

    /// As when a person discards, one after the other, what does not apply.
    #[test]
    fn a_release_gives_what_a_fold_without_the_discarded_gives(events in events()) {
        let model = model();
        let mut store = Store::fold(&model, &events, &[5, 5], &GivenUp::default());
        let mut discarded = HashSet::new();
        for key in store.parked_keys() {
            let mut parks = store.parked(&key, &events);
            let row = store.rows.get(&key).cloned();
            for _ in 0..=parks.len() {
                let released = release(&model, &key, row.clone(), &parks);
                prop_assert_eq!(released.error.is_none(), released.resolved == parks.len());
                let so_far = release(&model, &key, row.clone(), &parks[..released.resolved]);
                prop_assert_eq!((&released.row, so_far.error), (&so_far.row, None), "an error leaves what was before it");
                if let Some((park, _)) = parks.get_mut(released.resolved) {
                    prop_assert!(discarded.insert(park.touch), "a discarded one is passed over");
                    park.state = ParkState::Discarded;
                }
            }
            let last = release(&model, &key, row, &parks).row;
            store.put(key, last);
        }
        let given_up = discarded.into_iter().map(of_its_event).collect();
        let mut fresh = FreshFold::new(&model, &given_up, |_| true);
        fresh.feed(&events);
        prop_assert_eq!(differences(fresh, store.rows), vec![]);
    }

    /// As when the model's code is mended.
    #[test]
    fn a_release_by_a_mended_fold_gives_what_that_fold_gives(events in events()) {
        let (model, mended) = (model(), Mended(model()));
        let mut store = Store::fold(&model, &events, &[5, 5], &GivenUp::default());
        for key in store.parked_keys() {
            let parks = store.parked(&key, &events);
            let Released { row, resolved, error, .. } = release(&mended, &key, store.rows.get(&key).cloned(), &parks);
            prop_assert_eq!((resolved, error), (parks.len(), None));
            store.put(key, row);
        }
        let discarded = GivenUp::default();
        let mut fresh = FreshFold::new(&mended, &discarded, |_| true);
        fresh.feed(&events);
        prop_assert_eq!(differences(fresh, store.rows), vec![]);
    }

    /// Folding a share of the keys gives the share of the rows, so that a large model can be compared in passes.
    #[test]
    fn shares_of_the_keys_make_up_the_whole(events in events()) {
        let (model, discarded) = (model(), GivenUp::default());
        let store = Store::fold(&model, &events, &[], &discarded);
        let mut seen = 0;
        for share in 0..3 {
            let wanted = move |key: &Key| *key == Key::text(format!("k{share}"));
            let mut fresh = FreshFold::new(&model, &discarded, wanted);
            fresh.feed(&events);
            seen += fresh.len();
            for (key, row) in &store.rows {
                prop_assert_eq!(fresh.compare(key.clone(), row.clone()), None);
            }
            prop_assert!(fresh.is_empty());
        }
        prop_assert_eq!(seen, store.rows.len());
    }
}

fn add(position: u64, subject: &str, n: &str) -> Event {
    event(position, "add", subject, &format!(r#"{{"n":{n}}}"#))
}

#[test]
fn poison_parks_its_key_and_nothing_else() {
    let model = model();
    let events = [
        add(1, "k0", "1"),
        add(2, "k0", r#""x""#),
        add(3, "k1", "5"),
        add(4, "k0", "2"),
        event(5, "gone", "k2", r#"{"n":1}"#),
    ];
    let store = Store::fold(&model, &events, &[], &GivenUp::default());
    let sum = |key: &str| store.rows[&Key::text(key)].cells[3].to_json().to_string();
    assert_eq!((sum("k0"), sum("k1")), ("1".into(), "5".into()));
    let parks: Vec<_> = store.parks.iter().map(|park| (park.touch.position.0, park.touch.clause, park.state)).collect();
    use ParkState::{Held, Poison};
    assert_eq!(parks, [(2, 1, Poison), (2, 2, Held), (4, 1, Held), (4, 2, Held)]);
    assert_eq!(store.parks[0].error, "column sum: expected an integer of 64 bits, found text \"x\"");
    assert_eq!(store.counts, Counts { applied: 3, ignored: 0, parked: 2 });
}

fn folded(model: &Declared, events: &[Event], mut batch: Batch) -> Folded {
    batch.fold(Timestamp::from_micros(9), model, &Plan::new(model, events, &GivenUp::default()));
    batch.finish()
}

#[test]
fn a_row_is_as_before_the_event_that_spoilt_it() {
    /// Leaves nothing whole where it fails.
    struct Spoils(Declared);
    impl Fold for Spoils {
        fn schema(&self) -> &Schema {
            self.0.schema()
        }
        fn touches(&self, event: &Event, out: &mut Vec<Touch>) {
            self.0.touches(event, out);
        }
        fn apply(&self, slot: &mut Option<Row>, event: &Event, touch: &Touch, key: &Key) -> Result<(), FoldError> {
            self.0.apply(slot, event, touch, key).inspect_err(|_| *slot = None)
        }
    }
    let (model, spoils) = (model(), Spoils(model()));
    let events = [add(1, "k0", "1"), add(2, "k1", "1"), add(3, "k0", "2"), add(4, "k0", r#""x""#), add(5, "k1", "3")];
    for slice in 1..=events.len() {
        let (mut sound, mut spoilt) = (Store::default(), Store::default());
        sound.apply(&model, &events, slice, &GivenUp::default());
        spoilt.apply(&spoils, &events, slice, &GivenUp::default());
        assert_eq!(sound, spoilt);
        assert_eq!(spoilt.rows[&Key::text("k0")].cells[3], crate::row::Cell::I64(3));
    }
}

#[test]
fn an_event_that_concerns_no_row_is_ignored_and_counted() {
    let model = model();
    let events = [event(1, "gone", "k0", r#"{"n":0}"#), event(2, "lines", "k0", r#"{"lines":[]}"#)];
    let folded = folded(&model, &events, Batch::default());
    let counts = Counts { ignored: 2, ..Counts::default() };
    let mut reached = Sum::default();
    events.iter().for_each(|event| reached.add(identity(event.id)));
    let identities = [(Window(0), reached)].into();
    assert_eq!(folded, Folded { counts, last_event: Some(events[1].id), identities, ..Folded::default() });
}

#[test]
fn a_row_that_comes_and_goes_within_a_batch_is_neither_written_nor_deleted() {
    let model = model();
    let events = [add(1, "k0", "1"), event(2, "gone", "k0", r#"{"n":1}"#)];
    assert_eq!(folded(&model, &events, Batch::default()).rows, []);
}

#[test]
fn what_is_parked_already_holds_what_comes_later() {
    let model = model();
    let events = [add(1, "k0", "1"), add(2, "k1", "1")];
    let mut batch = Batch::default();
    batch.take_up_parked([Key::text("k0")]);
    let folded = folded(&model, &events, batch);
    assert_eq!(folded.rows.iter().map(|row| row.key.to_string()).collect::<Vec<_>>(), ["k1"]);
    assert!(folded.parks.iter().all(|park| park.state == ParkState::Held && park.at == Timestamp::from_micros(9)));
    assert_eq!(folded.counts, Counts { applied: 1, ignored: 0, parked: 1 });
}

#[test]
fn a_fresh_fold_names_what_differs() {
    let (model, discarded) = (model(), GivenUp::default());
    let mut fresh = FreshFold::new(&model, &discarded, |_| true);
    fresh.feed(&[add(1, "k0", "1"), add(2, "k1", "1"), add(3, "k2", "1")]);
    let (k0, k1) = (Key::text("k0"), Key::text("k1"));
    let right = fresh.row(&k0).unwrap().clone();
    let mut wrong = fresh.row(&k1).unwrap().clone();
    wrong.cells[3] = crate::row::Cell::I64(9);
    assert_eq!(fresh.compare(k0, right.clone()), None);
    let edited = fresh.compare(k1, wrong.clone()).unwrap();
    assert_eq!((edited.expected.is_some(), edited.actual), (true, Some(wrong)));
    let extra = fresh.compare(Key::text("k9"), right).unwrap();
    assert_eq!((extra.expected, extra.key.to_string()), (None, "k9".into()));
    let missing = fresh.missing();
    assert_eq!(
        missing.iter().map(|lost| (lost.key.to_string(), lost.actual.is_none())).collect::<Vec<_>>(),
        [("k2".into(), true)]
    );
}

#[test]
fn what_was_given_up_of_another_event_at_the_same_position_is_folded() {
    let (model, events) = (model(), [add(1, "k", "1"), add(2, "k", "2")]);
    let at =
        |position| TouchId { position: Position(position), ..TouchId::of(&events[0], &touch_of(&model, &events[0])) };
    let given_up = GivenUp::from_iter([of_its_event(at(1)), (at(2), EventId::of("test", "lost"))]);
    let store = Store::fold(&model, &events, &[], &given_up);
    let mut fresh = FreshFold::new(&model, &given_up, |_| true);
    fresh.feed(&events);
    let none = GivenUp::default();
    let mut second = FreshFold::new(&model, &none, |_| true);
    second.feed(&events[1..]);
    assert!(second.row(&Key::text("k")).is_some());
    assert_eq!(store.rows.get(&Key::text("k")), second.row(&Key::text("k")));
    assert_eq!(fresh.row(&Key::text("k")), second.row(&Key::text("k")));
}

fn touch_of(model: &Declared, event: &Event) -> Touch {
    let mut touches = Vec::new();
    model.touches(event, &mut touches);
    touches.remove(0)
}
