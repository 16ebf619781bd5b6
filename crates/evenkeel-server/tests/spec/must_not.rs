//! What the specification says an implementation MUST NOT do.
use crate::{
    articles::{articles, written},
    fixture::{column, event, placed, placed_at, shop},
};
use evenkeel::{
    ReadError,
    core::freshness::Level,
    reader::{ReadOptions, RowsRequest},
};
use std::time::Duration;

/// A source whose clock is ahead does not win: the log's order decides.
#[test]
fn let_wall_clocks_decide_the_last_write() {
    let shop = shop();
    shop.publish(vec![
        placed_at("1", "o-1", "9.00", "2031-01-01T00:00:00Z"),
        placed_at("2", "o-1", "4.00", "2026-01-01T00:00:00Z"),
    ]);
    assert_eq!(column(&shop.order("o-1", Level::Strong), "total").as_str(), Some("4.00"));
}

/// An event gets in only by a contract: not under our own type's name, not in our own shape, not from another source.
#[test]
fn bypass_the_anti_corruption_layer() {
    let shop = shop();
    let ours = r#"{"order_id":"o-1","customer_id":"c-1","items":[1],"total":{"amount":"5.00","currency":"EUR"},"currency":"EUR"}"#;
    let time = "2026-03-01T10:00:00Z";
    let receipts = shop.publish(vec![
        event("shop.orders", "order_created", "1", time, ours),
        event("shop.orders", "OrderPlaced", "2", time, ours),
        event("warehouse.stock", "OrderPlaced", "3", time, ours),
    ]);
    let reasons: Vec<_> = receipts.iter().map(|receipt| receipt.reason.unwrap_or(receipt.outcome)).collect();
    assert_eq!(reasons, ["no_contract", "schema", "no_contract"]);
    assert_eq!(shop.drift("orders").head, Some(0));
}

/// An answer that lacks a committed event says so, and where that will not do there is no answer. (Of many clients at once,
/// while much fails: `tests/history.rs`.)
#[test]
fn let_stale_reads_pass_in_silence() {
    let shop = shop();
    shop.publish(vec![placed("1", "o-1", "5.00")]);
    shop.settle();
    shop.engine.stop_projector("orders", "stopped").unwrap();
    shop.publish(vec![placed("2", "o-1", "6.00")]);
    let said = shop.order("o-1", Level::Eventual).consistency;
    assert_eq!((said.data_stale, said.lag_count, said.status), (true, Some(1), "stalled"));
    assert!(said.freshness != "fresh" && said.staleness_seconds.is_some());

    let strong = ReadOptions { budget: Duration::from_millis(1), ..ReadOptions::at(Level::Strong) };
    let refused = shop.engine.rows("orders", &RowsRequest::default(), strong);
    assert!(matches!(refused, Err(ReadError::NotMet { .. })), "{refused:?}");
    let opted_in = ReadOptions { allow_stale: true, ..strong };
    let labelled = shop.engine.rows("orders", &RowsRequest::default(), opted_in).unwrap().consistency;
    assert_eq!((labelled.level_served, labelled.data_stale), ("eventual", true));
}

/// A model that stands still, or a row that cannot go on, holds up no other.
#[test]
fn hold_models_together_with_locks() {
    let shop = shop();
    shop.engine.stop_projector("customers", "stopped").unwrap();
    let time = "2026-03-01T10:00:00Z";
    let received = |id: &str, sku: &str, quantity: i64| {
        let data = format!(r#"{{"item":"{sku}","site":"north","qty":{quantity}}}"#);
        event("warehouse.stock", "StockReceived", id, time, &data)
    };
    let receipts = shop.publish(vec![
        received("1", "LAMP", 1),
        received("2", "LAMP", i64::MAX),
        received("3", "LAMP", 1),
        received("4", "MUG", 8),
        placed("5", "o-1", "5.00"),
    ]);
    assert!(receipts.iter().all(|receipt| receipt.outcome == "admitted"), "{receipts:?}");
    let current = |model: &str| shop.drift(model).lag_count == Some(0);
    let deadline = std::time::Instant::now() + crate::fixture::LONG;
    while !(current("orders") && current("inventory")) {
        assert!(std::time::Instant::now() < deadline, "the other models do not go on");
        std::thread::yield_now();
    }
    let stock = |sku: &str| {
        let answer = shop.engine.get("inventory", &[sku, "north"], ReadOptions::default()).unwrap();
        (column(&answer, "on_hand").as_i64(), answer.consistency.parked_events)
    };
    assert_eq!((stock("LAMP"), stock("MUG")), ((Some(1), 2), (Some(8), 0)));
    assert_eq!(shop.drift("customers").lag_count, Some(1));
}

/// Whatever is delivered again, in whatever company, counts once. (Of requests that were cut off: `tests/crash.rs`,
/// `tests/history.rs`.)
#[test]
fn assume_exactly_once_delivery() {
    let shop = shop();
    let events: Vec<String> = (0..20).map(|i| placed(&i.to_string(), &format!("o-{}", i % 5), "5.00")).collect();
    let mut sent = events.clone();
    sent.extend(events.iter().rev().cloned());
    sent.extend(events.clone());
    let receipts = shop.publish(sent.clone());
    let admitted = |receipts: &[evenkeel::report::Receipt]| receipts.iter().filter(|r| r.outcome == "admitted").count();
    assert_eq!((admitted(&receipts), receipts.len()), (20, 60));
    assert_eq!(admitted(&shop.publish(sent)), 0);
    shop.settle();
    let customer = shop.engine.get("customers", &["c-1"], ReadOptions::default()).unwrap();
    assert_eq!(column(&customer, "orders").as_i64(), Some(20));
    assert_eq!(shop.drift("customers").counts.applied, 20);
}

/// What waits for what does not come is bounded in number and in time, and in quarantine after that; nothing is dropped.
#[test]
fn buffer_events_without_bound() {
    let shop = articles(100);
    let waits = |n: u64| {
        let clock = format!("editor.ann=9,editor.bob={n}");
        shop.publish(vec![written("bob", &n.to_string(), r#""title":"late""#, Some(&clock))]).remove(0)
    };
    assert_eq!([1, 2].map(|n| waits(n).outcome), ["waiting", "waiting"]);
    let beyond = waits(3);
    assert_eq!((beyond.outcome, beyond.reason), ("quarantined", Some("causal_overflow")));
    let timed_out = || {
        let report = shop.engine.causal(10).unwrap();
        report.waiting.is_empty()
    };
    let begun = std::time::Instant::now();
    while !timed_out() {
        assert!(begun.elapsed() < crate::fixture::LONG, "what waits is not set aside");
        std::thread::sleep(Duration::from_millis(10));
    }
    let again = waits(1);
    assert_eq!((again.outcome, again.reason), ("quarantined", Some("causal_timeout")));
}

/// A clock with more entries than sources that are declared, and three, is refused with its reason.
#[test]
fn keep_vector_clocks_without_bound() {
    let shop = articles(100);
    let clock = |strangers: u64| {
        let named: Vec<_> = (0..strangers).map(|n| format!("stranger.{n}=1")).collect();
        format!("editor.ann=1,{}", named.join(","))
    };
    let refused = shop.publish(vec![written("ann", "1", r#""title":"t""#, Some(&clock(4)))]).remove(0);
    assert_eq!((refused.outcome, refused.reason), ("quarantined", Some("clock_too_large")));
    let waits = shop.publish(vec![written("ann", "2", r#""title":"t""#, Some(&clock(3)))]).remove(0);
    assert_eq!(waits.outcome, "waiting", "three that nobody declared may be in it");
}

/// A nested value is never taken apart: a write names the version it changes, and of two that change one of them one stands
/// whole and the other is kept whole.
#[test]
fn make_crdts_of_nested_objects() {
    let shop = articles(100);
    let (first, _) = shop.publish_seen(written("ann", "1", r#""body":{"a":1,"b":{"c":1}}"#, None), None);
    let base = format!(r#""base":"{}""#, first.event_id);
    shop.publish_seen(written("ann", "2", &format!(r#""body":{{"a":2,"b":{{"c":1}}}},{base}"#), None), None);
    let (last, _) =
        shop.publish_seen(written("bob", "3", &format!(r#""body":{{"a":1,"b":{{"c":3}}}},{base}"#), None), None);
    assert_eq!(shop.article("body").to_string(), r#"{"a":1,"b":{"c":3}}"#);
    assert_eq!(shop.article("body_version").as_str(), Some(last.event_id.as_str()));
    let conflicts = shop.conflicts();
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!((conflict.strategy, conflict.loser.value.to_string()), ("version", r#"{"a":2,"b":{"c":1}}"#.into()));
}
