//! What JSON, decimals and currencies can lose on their way, case by case through the whole gate: refused with its place,
//! or carried to the last digit.
use super::{Decided, Gate};
use crate::{
    contract::{Contract, Field, FieldType, Unmapped, UpstreamTypes, ValueSource},
    source::Source,
};
use evenkeel_core::{
    intake::Verdict,
    quarantine::{OnQuarantine, Reason},
};

fn gate() -> Gate {
    let at = |pointer: &str| ValueSource::Data(pointer.parse().unwrap());
    let field = |name: &str, ty| Field { optional: true, ..Field::new(name, ty, at(&format!("/{name}"))) };
    let contract = Contract {
        name: "exact".into(),
        version: 1,
        from_source: "shop".parse().unwrap(),
        types: UpstreamTypes::Any,
        schema: None,
        subject: at("/s"),
        on_quarantine: OnQuarantine::ParkKey,
        unmapped: Unmapped::Refuse,
        fields: vec![
            field("i64", FieldType::I64),
            field("decimal", FieldType::Decimal),
            field("text", FieldType::Text),
            field("json", FieldType::Json),
            field("money", FieldType::Money { currency: at("/currency") }),
        ],
        upcast: None,
        invariants: Vec::new(),
    };
    let source = Source { name: "shop".into(), pattern: "shop".parse().unwrap(), rate: None, first_seq: None };
    Gate::new(vec![source], vec![contract])
}

/// The translated data as it leaves the gate, or the reason and its place. An event that nobody can name has neither.
fn through(gate: &Gate, data: &[u8]) -> Result<String, (Reason, String)> {
    let mut raw = br#"{"specversion":"1.0","id":"1","source":"shop","type":"t","data":"#.to_vec();
    raw.extend_from_slice(data);
    raw.push(b'}');
    let Decided { arrival, .. } = gate.decide(raw.clone(), None).unwrap();
    assert_eq!(arrival.sent.raw, raw, "what was sent is kept as it was sent");
    match arrival.verdict {
        Verdict::Admit(draft) => Ok(draft.data.to_string()),
        Verdict::Quarantine(refusal) => Err((refusal.reason, refusal.pointer.unwrap_or_default())),
    }
}

#[test]
fn what_is_carried_is_carried_to_the_last_digit() {
    let gate = gate();
    for (sent, expected) in [
        // 2^53 + 1, where doubles end, and the ends of 64 bits.
        (r#"{"s":1,"i64":9007199254740993}"#, r#"{"i64":9007199254740993}"#),
        (r#"{"s":1,"i64":9223372036854775807}"#, r#"{"i64":9223372036854775807}"#),
        (r#"{"s":1,"i64":-9223372036854775808}"#, r#"{"i64":-9223372036854775808}"#),
        (r#"{"s":1,"decimal":9007199254740993}"#, r#"{"decimal":"9007199254740993"}"#),
        (r#"{"s":1,"decimal":9007199254740993.01}"#, r#"{"decimal":"9007199254740993.01"}"#),
        (r#"{"s":1,"decimal":0.1}"#, r#"{"decimal":"0.1"}"#),
        (r#"{"s":1,"decimal":1.10}"#, r#"{"decimal":"1.10"}"#),
        (r#"{"s":1,"json":9007199254740993.01}"#, r#"{"json":9007199254740993.01}"#),
        (r#"{"s":1,"json":[18446744073709551616,-0.0,1e400]}"#, r#"{"json":[18446744073709551616,-0.0,1e400]}"#),
        (
            r#"{"s":1,"money":90071992547409.93,"currency":"EUR"}"#,
            r#"{"money":{"amount":"90071992547409.93","currency":"EUR"}}"#,
        ),
        // Escapes are read, and pairs of surrogates are one character.
        (r#"{"s":1,"text":"\ud83d\ude00\u00e4"}"#, r#"{"text":"😀ä"}"#),
        (r#"{"s":1,"text":"\u001f"}"#, r#"{"text":"\u001f"}"#),
    ] {
        assert_eq!(through(&gate, sent.as_bytes()).as_deref(), Ok(expected), "{sent}");
    }
    assert_eq!(through(&gate, br#"{"s":9007199254740993}"#).as_deref(), Ok("{}"));
}

#[test]
fn what_would_be_lost_is_refused_where_it_stands() {
    let gate = gate();
    for (sent, reason, pointer) in [
        // Duplicate keys, at any depth, also where escapes hide that they are the same.
        (r#"{"s":1,"s":1}"#, Reason::Malformed, "/data"),
        (r#"{"s":1,"json":{"a":{"k":1,"k":1}}}"#, Reason::Malformed, "/data/json/a"),
        (r#"{"s":1,"json":[0,{"k":1,"\u006b":2}]}"#, Reason::Malformed, "/data/json/1"),
        // Numbers beyond what a field keeps.
        (r#"{"s":1,"i64":9223372036854775808}"#, Reason::Mapping, "/data/i64"),
        (r#"{"s":1,"i64":9007199254740993.0}"#, Reason::Mapping, "/data/i64"),
        (r#"{"s":1,"i64":1e3}"#, Reason::Mapping, "/data/i64"),
        (r#"{"s":1,"i64":1e400}"#, Reason::Mapping, "/data/i64"),
        (r#"{"s":1,"decimal":1e400}"#, Reason::Mapping, "/data/decimal"),
        (r#"{"s":1,"decimal":1e-400}"#, Reason::Mapping, "/data/decimal"),
        (r#"{"s":1,"decimal":1e99999999999999999999}"#, Reason::Mapping, "/data/decimal"),
        (r#"{"s":1,"decimal":"1.00000000000000000000000000000001"}"#, Reason::Mapping, "/data/decimal"),
        (r#"{"s":1,"decimal":"NaN"}"#, Reason::Mapping, "/data/decimal"),
        (r#"{"s":1e400}"#, Reason::Mapping, "/data/s"),
        // Text that is no text everywhere.
        (r#"{"s":1,"text":"\ud83d"}"#, Reason::Malformed, "/data/text"),
        (r#"{"s":1,"text":"\ude00\ud83d"}"#, Reason::Malformed, "/data/text"),
        (r#"{"s":1,"text":"a\u0000b"}"#, Reason::Mapping, "/data/text"),
        (r#"{"s":1,"json":{"a":["\u0000"]}}"#, Reason::Mapping, "/data/json/a/0"),
        (r#"{"s":"a\u0000"}"#, Reason::Mapping, "/data/s"),
    ] {
        assert_eq!(through(&gate, sent.as_bytes()), Err((reason, pointer.to_owned())), "{sent}");
    }
}

#[test]
fn bytes_that_are_no_json_are_refused_or_cannot_be_named() {
    let gate = gate();
    for data in [
        &b"{\"s\":1,\"text\":\"\xff\"}"[..],
        b"{\"s\":1,\"text\":\"\xed\xa0\x80\"}",
        b"{\"s\":1,\"text\":\"\x00\"}",
        b"{\"s\":1,\"i64\":NaN}",
        b"{\"s\":1,\"i64\":01}",
        b"{\"s\":1,\"i64\":+1}",
        b"{\"s\":1,}",
        b"\xef\xbb\xbf{}",
    ] {
        let mut raw = br#"{"specversion":"1.0","id":"1","source":"shop","type":"t","data":"#.to_vec();
        raw.extend_from_slice(data);
        raw.push(b'}');
        match gate.decide(raw, None) {
            Err(_) => {}
            Ok(Decided { arrival, .. }) => match arrival.verdict {
                Verdict::Quarantine(refusal) => assert_eq!(refusal.reason, Reason::Malformed),
                Verdict::Admit(draft) => panic!("{data:?} became {draft:?}"),
            },
        }
    }
}

#[test]
fn a_million_levels_are_refused_in_a_small_stack() {
    let deep = |levels: usize| format!(r#"{{"s":1,"json":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let judge = move || {
        let gate = gate();
        // The envelope and the data's own object are two of the 64.
        assert!(through(&gate, deep(62).as_bytes()).is_ok());
        for levels in [63, 64, 65, 1_000, 1_000_000] {
            // Unclosed, too: what is refused must not need an end.
            let open = format!(r#"{{"s":1,"json":{}"#, r#"{"a":"#.repeat(levels));
            for data in [deep(levels), open] {
                let mut raw = br#"{"specversion":"1.0","id":"1","source":"shop","type":"t","data":"#.to_vec();
                raw.extend_from_slice(data.as_bytes());
                raw.push(b'}');
                match gate.decide(raw, None).map(|decided| decided.arrival.verdict) {
                    Ok(Verdict::Quarantine(refusal)) => assert_eq!(refusal.reason, Reason::Malformed),
                    Ok(Verdict::Admit(_)) => panic!("{levels} levels were admitted"),
                    Err(_) => {}
                }
            }
        }
    };
    // A stack that recursion by a million levels would overflow, which no test survives.
    std::thread::Builder::new().stack_size(512 * 1024).spawn(judge).unwrap().join().unwrap();
}

#[test]
fn money_has_the_digits_of_its_currency() {
    let gate = gate();
    for (currency, fits, is) in [
        ("JPY", "12", "12"),
        ("KRW", "12.0", "12"),
        ("EUR", "12.3", "12.30"),
        ("USD", "0.01", "0.01"),
        ("BHD", "1.234", "1.234"),
        ("TND", "-1.5", "-1.500"),
        ("CLF", "1.2345", "1.2345"),
        ("UYW", "1.2345", "1.2345"),
        ("XAU", "3", "3"),
    ] {
        let data = format!(r#"{{"s":1,"money":{fits},"currency":"{currency}"}}"#);
        let expected = format!(r#"{{"money":{{"amount":"{is}","currency":"{currency}"}}}}"#);
        assert_eq!(through(&gate, data.as_bytes()), Ok(expected), "{data}");
        // One digit more than the currency has is refused, as a number and as text.
        let digits = is.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let finer = format!("1.{}1", "0".repeat(digits));
        for amount in [finer.clone(), format!("\"{finer}\"")] {
            let data = format!(r#"{{"s":1,"money":{amount},"currency":"{currency}"}}"#);
            assert_eq!(through(&gate, data.as_bytes()), Err((Reason::Mapping, "/data/money".into())), "{data}");
        }
    }
    for (data, pointer) in [
        (r#"{"s":1,"money":1}"#, "/data/currency"),
        (r#"{"s":1,"money":1,"currency":"eur"}"#, "/data/currency"),
        (r#"{"s":1,"money":1,"currency":978}"#, "/data/currency"),
        (r#"{"s":1,"money":92233720368547758.08,"currency":"EUR"}"#, "/data/money"),
    ] {
        assert_eq!(through(&gate, data.as_bytes()), Err((Reason::Mapping, pointer.into())), "{data}");
    }
}
