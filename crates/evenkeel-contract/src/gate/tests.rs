//! Each reason for a refusal with its pointer, what parks, and that the gate never panics.
use super::*;
use crate::{
    contract::{Field, FieldType, Invariant, Schema, ValueSource},
    envelope::from_binary,
};
use evenkeel_core::{
    condition::{Comparison, Condition, Operand},
    quarantine::ContractRef,
};
use proptest::prelude::*;

const SCHEMA: &str = r#"{"type": "object", "required": ["order"], "properties": {
    "total": {"type": ["number", "string"]}, "note": {"type": "string", "maxLength": 5}}}"#;

fn contract() -> Contract {
    let data = |pointer: &str| ValueSource::Data(pointer.parse().unwrap());
    let field = |to: &str, ty, from| Field::new(to, ty, from);
    let at = |pointer: &str| Operand::Pointer(pointer.parse().unwrap());
    let currency = data("/cur");
    Contract {
        name: "order_created".into(),
        version: 3,
        from_source: "shop".parse().unwrap(),
        types: UpstreamTypes::Listed(vec!["OrderPlaced".into()]),
        schema: Some(Schema::compile(SCHEMA).unwrap()),
        subject: data("/order"),
        on_quarantine: OnQuarantine::ParkKey,
        unmapped: Unmapped::DropAndRecord,
        fields: vec![
            field("total", FieldType::Money { currency }, data("/total")),
            field("items", FieldType::Array, data("/lines")),
        ],
        upcast: None,
        invariants: vec![
            Invariant {
                name: "total_positive".into(),
                rule: Rule::Native(Condition::Compare(Comparison::Gt, at("/data/total"), Operand::Value(0.into()))),
            },
            Invariant { name: "items_not_empty".into(), rule: Rule::Native(Condition::NotEmpty(at("/data/items"))) },
            Invariant {
                name: "first_has_sku".into(),
                rule: Rule::Native(Condition::Compare(
                    Comparison::NotEquals,
                    at("/data/items/0/sku"),
                    Operand::Value("".into()),
                )),
            },
        ],
    }
}

fn source(pattern: &str) -> Source {
    Source { name: pattern.into(), pattern: pattern.parse().unwrap(), rate: None, first_seq: None }
}

fn gate(contract: Contract) -> Gate {
    Gate::new(vec![source("shop"), source("other.*")], vec![contract])
}

fn raw(source: &str, event_type: &str, data: &str) -> Vec<u8> {
    format!(r#"{{"specversion":"1.0","id":"1","source":"{source}","type":"{event_type}","data":{data}}}"#).into_bytes()
}

const GOOD: &str = r#"{"order":"o-1","total":12.5,"cur":"EUR","lines":[{"sku":"a"}],"note":"hi","x":{"y":1}}"#;

fn decide(gate: &Gate, raw: Vec<u8>) -> Decided {
    gate.decide(raw, None).unwrap()
}

fn refused(gate: &Gate, raw: Vec<u8>) -> Refusal {
    match decide(gate, raw).arrival.verdict {
        Verdict::Quarantine(refusal) => refusal,
        Verdict::Admit(draft) => panic!("admitted {draft:?}"),
    }
}

#[test]
fn a_good_event_is_translated_and_what_was_dropped_is_named() {
    let decided = gate(contract()).decide(raw("shop", "OrderPlaced", GOOD), Some(StreamVersion(4))).unwrap();
    assert_eq!(decided.dropped, ["/data/note", "/data/x"]);
    let arrival = decided.arrival;
    assert_eq!(arrival.expected_version, Some(StreamVersion(4)));
    assert_eq!(arrival.sent.id, EventId::of("shop", "1"));
    assert_eq!(arrival.sent.raw, raw("shop", "OrderPlaced", GOOD));
    let Verdict::Admit(draft) = arrival.verdict else { panic!("refused") };
    assert_eq!(
        (draft.event_type.as_str(), draft.contract_version, draft.subject.as_str()),
        ("order_created", 3, "o-1")
    );
    assert_eq!(draft.data.to_string(), r#"{"items":[{"sku":"a"}],"total":{"amount":"12.50","currency":"EUR"}}"#);
}

#[test]
fn every_reason_has_its_pointer() {
    let gate = gate(contract());
    let of = |source: &str, event_type: &str, data: &str| {
        let refusal = refused(&gate, raw(source, event_type, data));
        (refusal.reason, refusal.pointer)
    };
    for (source, event_type, data, reason, pointer) in [
        ("shop", "OrderPlaced", r#"{"order":"o-1","order":"o-2"}"#, Reason::Malformed, "/data"),
        ("nobody", "OrderPlaced", GOOD, Reason::UntrustedSource, "/source"),
        ("shop", "OrderLost", GOOD, Reason::NoContract, "/type"),
        ("other.b", "OrderPlaced", GOOD, Reason::NoContract, "/type"),
        ("shop", "OrderPlaced", "null", Reason::Schema, "/data"),
        ("shop", "OrderPlaced", r#"{"order":"o-1","note":"too long"}"#, Reason::Schema, "/data/note"),
        ("shop", "OrderPlaced", r#"{"order":"o-1","total":1e400}"#, Reason::Schema, "/data/total"),
        ("shop", "OrderPlaced", r#"{"order":"","total":1,"cur":"EUR","lines":[1]}"#, Reason::Mapping, "/data/order"),
        (
            "shop",
            "OrderPlaced",
            r#"{"order":"o-1","total":1.005,"cur":"EUR","lines":[1]}"#,
            Reason::Mapping,
            "/data/total",
        ),
        ("shop", "OrderPlaced", r#"{"order":"o-1","total":1,"cur":"EUR"}"#, Reason::Mapping, "/data/lines"),
        (
            "shop",
            "OrderPlaced",
            r#"{"order":"o-1","total":0.00,"cur":"EUR","lines":[1]}"#,
            Reason::Invariant,
            "/data/total",
        ),
        (
            "shop",
            "OrderPlaced",
            r#"{"order":"o-1","total":1,"cur":"EUR","lines":[]}"#,
            Reason::Invariant,
            "/data/lines",
        ),
        (
            "shop",
            "OrderPlaced",
            r#"{"order":"o-1","total":1,"cur":"EUR","lines":[{"sku":""}]}"#,
            Reason::Invariant,
            "/data/lines/0/sku",
        ),
    ] {
        assert_eq!(of(source, event_type, data), (reason, Some(pointer.to_owned())), "{data}");
    }
    let zero = refused(&gate, raw("shop", "OrderPlaced", r#"{"order":"o-1","total":0,"cur":"EUR","lines":[1]}"#));
    assert!(zero.detail.contains("total_positive"), "{}", zero.detail);
    assert!(gate.decide(b"{}".to_vec(), None).is_err());
}

#[test]
fn refuse_names_what_is_unmapped() {
    let gate = gate(Contract { unmapped: Unmapped::Refuse, ..contract() });
    let refusal = refused(&gate, raw("shop", "OrderPlaced", GOOD));
    assert_eq!((refusal.reason, refusal.pointer.as_deref()), (Reason::Mapping, Some("/data/note")));
    let all = r#"{"order":"o-1","total":1,"cur":"EUR","lines":[1]}"#;
    assert!(matches!(decide(&gate, raw("shop", "OrderPlaced", all)).arrival.verdict, Verdict::Admit(_)));
}

#[test]
fn only_a_contracts_refusal_parks() {
    let bad = r#"{"order":"o-1","total":0,"cur":"EUR","lines":[1]}"#;
    let no_subject = r#"{"order":null,"total":1,"cur":"EUR","lines":[1]}"#;
    let by_schema = r#"{"order":"o-1","note":"too long"}"#;
    let key = Some(ParkKey::Subject("order_created".into(), "o-1".into()));
    let halt = Some(ParkKey::Source("shop".into()));
    for (on_quarantine, source, event_type, data, parks) in [
        (OnQuarantine::ParkKey, "shop", "OrderPlaced", bad, key.clone()),
        (OnQuarantine::ParkKey, "shop", "OrderPlaced", by_schema, key),
        (OnQuarantine::ParkKey, "shop", "OrderPlaced", no_subject, None),
        (OnQuarantine::HaltSource, "shop", "OrderPlaced", bad, halt.clone()),
        (OnQuarantine::HaltSource, "shop", "OrderPlaced", no_subject, halt),
        (OnQuarantine::Skip, "shop", "OrderPlaced", bad, None),
        (OnQuarantine::HaltSource, "nobody", "OrderPlaced", bad, None),
        (OnQuarantine::HaltSource, "shop", "OrderLost", bad, None),
        (OnQuarantine::HaltSource, "shop", "OrderPlaced", r#"{"order":"o-1","a":1,"a":1}"#, None),
    ] {
        let refusal = refused(&gate(Contract { on_quarantine, ..contract() }), raw(source, event_type, data));
        assert_eq!(refusal.parks, parks, "{on_quarantine} {source} {event_type} {data}");
    }
    let refusal = refused(&gate(contract()), raw("shop", "OrderPlaced", bad));
    assert_eq!(refusal.contract, Some(ContractRef { name: "order_created".into(), version: 3 }));
    assert_eq!(refusal.subject, Some("o-1".into()));
}

#[test]
fn a_listed_type_goes_before_every_type() {
    let any = Contract { name: "anything".into(), types: UpstreamTypes::Any, ..contract() };
    let gate = Gate::new(vec![source("shop")], vec![any, contract()]);
    let name = |event_type| match decide(&gate, raw("shop", event_type, GOOD)).arrival.verdict {
        Verdict::Admit(draft) => draft.event_type,
        Verdict::Quarantine(refusal) => panic!("{refusal:?}"),
    };
    assert_eq!(name("OrderPlaced").as_str(), "order_created");
    assert_eq!(name("OrderLost").as_str(), "anything");
    assert_eq!(gate.produced().len(), 2);
}

#[test]
fn a_long_reason_is_clipped_and_the_event_is_not() {
    let long = format!(r#"{{"order":"o-1","note":"{}"}}"#, "é".repeat(100_000));
    let raw = raw("shop", "OrderPlaced", &long);
    let decided = decide(&gate(contract()), raw.clone());
    let Verdict::Quarantine(refusal) = decided.arrival.verdict else { panic!("admitted") };
    assert!(refusal.detail.len() < 500);
    assert_eq!(decided.arrival.sent.raw, raw);
}

#[test]
fn identity_and_digest_do_not_know_the_transport_mode() {
    let gate = gate(contract());
    let structured = decide(&gate, raw("shop", "OrderPlaced", GOOD)).arrival.sent;
    let headers = [("ce-type", "OrderPlaced"), ("ce-id", "1"), ("ce-source", "shop"), ("ce-specversion", "1.0")];
    let binary = from_binary(headers, Some("application/json"), GOOD.as_bytes()).unwrap();
    let binary = decide(&gate, binary).arrival.sent;
    assert_eq!((structured.id, structured.digest), (binary.id, binary.digest));
}

#[test]
fn a_gate_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Gate>();
}

proptest! {
    #[test]
    fn mutated_bytes_are_decided_without_panic_and_always_alike(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'{'), Just(b'9')]), 0..4),
        removed in prop::option::of(any::<prop::sample::Index>()),
        on_quarantine in prop::sample::select(vec![OnQuarantine::ParkKey, OnQuarantine::HaltSource, OnQuarantine::Skip]),
    ) {
        let mut bytes = raw("shop", "OrderPlaced", GOOD);
        for (at, byte) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(at) = removed {
            bytes.remove(at.index(bytes.len()));
        }
        let gate = gate(Contract { on_quarantine, ..contract() });
        let (first, second) = (gate.decide(bytes.clone(), None), gate.decide(bytes, None));
        prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
        if let Ok(Decided { arrival: Arrival { verdict: Verdict::Quarantine(refusal), .. }, .. }) = first {
            let by_contract = matches!(refusal.reason, Reason::Schema | Reason::Mapping | Reason::Invariant);
            prop_assert_eq!(refusal.contract.is_some(), by_contract);
            let parks = match on_quarantine {
                OnQuarantine::ParkKey => by_contract && refusal.subject.is_some(),
                OnQuarantine::HaltSource => by_contract,
                OnQuarantine::Skip => false,
            };
            prop_assert_eq!(refusal.parks.is_some(), parks);
        }
    }
}
