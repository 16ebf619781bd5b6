//! Levels, bounds and tokens of reads: what waits, for what, how long, and what is said where it is not met.
use super::project::{Server, delivery, order};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

const ROW: &str = "/v1/models/orders/rows/o-1";
const PAGE: &str = "/v1/models/orders/rows";

/// A server whose orders stand still, with one order applied and another written after it; that one's token.
fn standing_still() -> (Server, String) {
    let server = Server::start();
    server.publish(&order("1", "o-1", "1")).ok(202);
    server.get(&format!("{PAGE}?level=strong&budget_ms=30000")).ok(200);
    server.post("/v1/models/orders/projector/stop", &json!({"reason": "test"})).ok(200);
    let written = server.publish(&order("2", "o-1", "2")).ok(202);
    (server, written["token"].as_str().unwrap().to_owned())
}

#[test]
fn a_read_with_the_token_of_a_write_has_it_in_it() {
    let server = Server::start();
    for n in 1..=50 {
        let amount = n.to_string();
        let token = server.publish(&order(&amount, "o-1", &amount)).ok(202)["token"].as_str().unwrap().to_owned();
        let row = server.get_with(&format!("{ROW}?budget_ms=30000"), &[("Consistency-Token", &token)]).ok(200);
        assert_eq!(row["data"]["amount"], amount);
        let label = &row["consistency"];
        assert_eq!((&label["level_requested"], &label["level_served"]), (&json!("causal"), &json!("causal")));
        let page = server.get(&format!("{PAGE}?budget_ms=30000&level=causal&token={token}")).ok(200);
        assert_eq!(page["rows"][0]["amount"], amount);
        // What the read has shown is in its token: a monotonic read is not below it.
        let token = row["consistency"]["token"].as_str().unwrap();
        let again = server.get(&format!("{ROW}?level=monotonic&token={token}")).ok(200);
        assert_eq!(
            (&again["data"]["amount"], &again["consistency"]["level_served"]),
            (&json!(amount), &json!("monotonic"))
        );
    }
}

#[test]
fn what_is_not_met_is_refused_or_labelled_and_never_passes_for_fresh() {
    let (server, token) = standing_still();
    for address in [ROW, PAGE] {
        for asked in [format!("token={token}"), "max_lag=0".into(), "max_staleness_ms=0".into()] {
            let refused = server.get(&format!("{address}?{asked}&budget_ms=150"));
            let problem = refused.problem(503, "not-met");
            assert!(refused.header("retry-after").is_some() && refused.header("freshness").is_some());
            let label = &problem["consistency"];
            assert_eq!(
                (&label["data_stale"], &label["suggested_action"]),
                (&json!(true), &json!("failover_to_strong"))
            );
            let stale = server.get(&format!("{address}?{asked}&budget_ms=150&allow_stale=true")).ok(200);
            let label = &stale["consistency"];
            assert_eq!((&label["level_served"], &label["data_stale"]), (&json!("eventual"), &json!(true)), "{asked}");
            assert!(label["attempts"].as_u64().unwrap() > 1 && label["waited_ms"].as_u64().unwrap() >= 50, "{label}");
        }
        // At once, and with the token merged: whoever holds it is still owed what it names.
        let eventual = server.get(&format!("{address}?level=eventual&token={token}&budget_ms=30000")).ok(200);
        let merged = eventual["consistency"]["token"].as_str().unwrap();
        assert_eq!(eventual["consistency"]["attempts"], 1);
        server.get(&format!("{address}?token={merged}&budget_ms=1")).problem(503, "not-met");
        // The reads before this have shown less than was written.
        server.get(&format!("{address}?level=monotonic&token={merged}&budget_ms=0")).ok(200);
        server.get(&format!("{address}?max_lag=1&max_staleness_ms=3600000")).ok(200);
    }
    let strong = server.get(&format!("{ROW}?level=strong&token={token}")).ok(200);
    assert_eq!(strong["data"]["amount"], "2");
}

#[test]
fn a_waiting_read_is_woken_by_the_projector() {
    let (server, token) = standing_still();
    thread::scope(|scope| {
        let read = |address: &'static str, token: &str| server.get(&format!("{address}?token={token}&budget_ms=20000"));
        let waiting: Vec<_> = (0..40)
            .map(|n| {
                let token = &token;
                scope.spawn(move || read(if n % 2 == 0 { ROW } else { PAGE }, token))
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        server.post("/v1/models/orders/projector/start", &json!({})).ok(200);
        for thread in waiting {
            let body = thread.join().unwrap().ok(200);
            let amount = body["data"].get("amount").unwrap_or(&body["rows"][0]["amount"]);
            assert_eq!(amount, "2");
            // Once to find that it lacks something, once when it was woken: nobody polls.
            assert!(body["consistency"]["attempts"].as_u64().unwrap() <= 3, "{body}");
            // Not by the end of its budget.
            assert!(body["consistency"]["waited_ms"].as_u64().unwrap() < 15_000, "{body}");
        }
    });
}

#[test]
fn the_budget_is_kept_by_many_who_wait_in_vain() {
    let (server, token) = standing_still();
    thread::scope(|scope| {
        let waits: Vec<_> = (0..100)
            .map(|_| {
                let (server, token) = (&server, &token);
                scope.spawn(move || {
                    let began = Instant::now();
                    server.get(&format!("{ROW}?token={token}&budget_ms=300")).problem(503, "not-met");
                    began.elapsed()
                })
            })
            .collect();
        let mut took: Vec<_> = waits.into_iter().map(|thread| thread.join().unwrap()).collect();
        took.sort_unstable();
        assert!(took[0] >= Duration::from_millis(295), "{took:?}");
        // Generous: other tests share the machine.
        assert!(took[50] < Duration::from_millis(1000), "{took:?}");
    });
}

#[test]
fn a_model_that_does_not_follow_what_was_written_answers_at_once() {
    let (server, _) = standing_still();
    server.publish(&order("3", "o-1", "3")).ok(202);
    server.post("/v1/models/stock/projector/stop", &json!({})).ok(200);
    let token = server.publish(&order("4", "o-4", "4")).ok(202)["token"].as_str().unwrap().to_owned();
    // The stock follows deliveries only: nothing it lacks is in the token.
    let row = server.get(&format!("/v1/models/stock/rows?token={token}&budget_ms=30000")).ok(200);
    assert_eq!((&row["consistency"]["attempts"], &row["consistency"]["level_served"]), (&json!(1), &json!("causal")));
    let later = server.publish(&delivery("1", "pen", "north", json!(1))).ok(202);
    server.get(&format!("/v1/models/stock/rows?token={token}&budget_ms=0")).ok(200);
    let later = later["token"].as_str().unwrap();
    server.get(&format!("/v1/models/stock/rows?token={later}&budget_ms=0")).problem(503, "not-met");
}

#[test]
fn a_moment_that_is_asked_for_is_waited_for() {
    let server = Server::start();
    server.publish(&order("1", "o-1", "1")).ok(202);
    let now = |address: &str| server.get(address).ok(200)["consistency"]["as_of"].as_str().unwrap_or("").to_owned();
    let as_of = now(&format!("{PAGE}?level=strong&budget_ms=30000"));
    let since = server.get(&format!("{ROW}?consistent_since={as_of}&budget_ms=30000")).ok(200);
    assert_eq!(since["consistency"]["level_served"], "bounded");
    server.get(&format!("{ROW}?consistent_since=2999-01-01T00:00:00Z&budget_ms=10")).problem(503, "not-met");
}

#[test]
fn a_token_of_an_event_that_could_not_be_applied_is_not_served_in_silence() {
    let server = Server::start();
    let most = i64::MAX;
    server.publish(&delivery("1", "pen", "north", json!(most))).ok(202);
    let parked = server.publish(&delivery("2", "pen", "north", json!(1))).ok(202);
    let token = parked["token"].as_str().unwrap();
    let after = server.publish(&delivery("3", "ink", "north", json!(1))).ok(202);
    let later = after["token"].as_str().unwrap();
    let refused = server.get(&format!("/v1/models/stock/rows/pen/north?token={token}&budget_ms=30000"));
    assert!(refused.problem(503, "not-met")["detail"].as_str().unwrap().contains("could not be applied"));
    server.get(&format!("/v1/models/stock/rows/ink/north?token={later}&budget_ms=30000")).ok(200);
    server.get(&format!("/v1/models/stock/rows?token={token}&budget_ms=30000")).problem(503, "not-met");
    let stale: Value = server.get(&format!("/v1/models/stock/rows/pen/north?token={token}&allow_stale=true")).ok(200);
    assert_eq!(
        (&stale["consistency"]["parked_events"], &stale["consistency"]["data_stale"]),
        (&json!(1), &json!(true))
    );
}
