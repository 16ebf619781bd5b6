//! Where one slice or one transaction ends and the next begins must not be seen in rows, parks or counts.
use super::*;
use evenkeel_core::{
    Digest, Draft, Epoch, EventId,
    fold::{Clause, Declared, Op, OpKind, Operand, Park},
    intake::{Arrival, Sent, Verdict},
    json::{self, Object, Pointer},
    row::Row,
    schema::{Column, ColumnType, Merge, Schema},
};
use evenkeel_store::memory::MemoryStore;
use proptest::prelude::*;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

/// What an event does to its key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    Adds(i64),
    Deletes,
    /// Cannot be applied: its key is parked from here on.
    Poisons,
    /// Is of a type that the model does not follow.
    IsOfNoConcern,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![12 => (1i64..9).prop_map(Does::Adds), 3 => Just(Does::Deletes), 1 => Just(Does::Poisons)]
}

pub(crate) fn fold() -> Declared {
    let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::PnCounter };
    let schema = Schema {
        model: "sums".into(),
        version: 1,
        key: vec![0],
        columns: vec![column("key", ColumnType::Text), column("sum", ColumnType::I64)],
        subscribes: Default::default(),
        fingerprint: Digest::of(b"sums"),
    };
    let pointer = |text: &str| Operand::Event(text.parse::<Pointer>().unwrap());
    let clause = |event: &str, delete, ops| Clause {
        event: event.into(),
        when: Vec::new(),
        each: None,
        key: vec![pointer("/subject")],
        delete,
        ops,
    };
    let add = Op { kind: OpKind::Add, column: 1, value: pointer("/data/n"), based_on: None };
    Declared::new(schema, vec![clause("added", false, vec![add]), clause("deleted", true, Vec::new())])
}

pub(crate) fn store_of(history: &[(u8, Does)]) -> MemoryStore {
    let store = MemoryStore::new(Epoch(1), Arc::new(now));
    let arrival = |(number, (key, does)): (usize, &(u8, Does))| {
        let (event_type, data) = match does {
            Does::Adds(n) => ("added", format!(r#"{{"n":{n}}}"#)),
            Does::Deletes => ("deleted", "{}".to_owned()),
            Does::IsOfNoConcern => ("seen", "{}".to_owned()),
            Does::Poisons => ("added", r#"{"n":"many"}"#.to_owned()),
        };
        let draft = Draft {
            event_type: event_type.into(),
            contract_version: 1,
            subject: format!("k{key}").into(),
            time: None,
            extensions: Object::default(),
            data: json::parse(data.as_bytes()).unwrap(),
        };
        let raw_id = number.to_string();
        let sent = Sent {
            id: EventId::of("test", &raw_id),
            digest: Digest::of(data.as_bytes()),
            source: "test".into(),
            raw_id,
            raw: Vec::new(),
        };
        Arrival { sent, verdict: Verdict::Admit(draft), expected_version: None, clocks: Default::default() }
    };
    let arrivals = history.iter().enumerate().map(arrival).collect();
    crate::ingest::commit(store.log.as_ref(), &crate::SystemClock::default(), Default::default(), arrivals).unwrap();
    store
}

/// Projects all of it: rows, parks and checkpoint.
fn projected(history: &[(u8, Does)], batch_events: usize, slice_events: usize) -> (Vec<Row>, Vec<Park>, Checkpoint) {
    let store = store_of(history);
    let fold: Arc<dyn Fold> = Arc::new(fold());
    let models = store.models.as_ref();
    models.register(fold.schema()).unwrap();
    let mut projector = Projector::open(Arc::clone(&fold), models, Table::Live, batch_events).unwrap();
    projector.slice_events = slice_events;
    while projector.advance(store.log.as_ref(), models, now(), None).unwrap() != Progress::Idle {}
    let rows = models.rows(&fold.schema().model, Table::Live, None, 1000).unwrap();
    let rows = rows.rows.into_iter().map(|(row, _)| row).collect();
    // A row that comes and goes within one transaction is never written.
    let checkpoint = Checkpoint { last_write: None, ..*projector.checkpoint() };
    (rows, models.parks(&fold.schema().model, None).unwrap(), checkpoint)
}

proptest! {
    #[test]
    fn slices_and_transactions_leave_no_trace(
        history in prop::collection::vec((0u8..5, does()), 1..60),
        batch_events in 1usize..40,
        slice_events in 1usize..12,
    ) {
        let one_by_one = projected(&history, 1, 1);
        prop_assert_eq!(projected(&history, batch_events, slice_events), one_by_one);
    }
}

#[test]
fn a_transaction_takes_many_slices() {
    let history: Vec<_> = (0..20).map(|n| (n % 3, Does::Adds(1))).collect();
    let store = store_of(&history);
    let fold: Arc<dyn Fold> = Arc::new(fold());
    let models = store.models.as_ref();
    models.register(fold.schema()).unwrap();
    let mut projector = Projector::open(fold, models, Table::Live, 15).unwrap();
    projector.slice_events = 4;
    let mut steps = Vec::new();
    while let Progress::Moved(events) = projector.advance(store.log.as_ref(), models, now(), None).unwrap() {
        steps.push(events);
    }
    assert_eq!(steps, [15, 5]);
}
