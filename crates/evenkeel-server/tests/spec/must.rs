//! What the specification says an implementation MUST do.
use crate::{
    articles::{articles, written},
    fixture::{column, event, folder, placed, shop, shop_with},
};
use evenkeel::{
    Clock, SystemClock,
    core::{
        Position, Timestamp, drift::Verdict, freshness::Level, quarantine::Decision, reconciliation::Method,
        retry::RetryPolicy,
    },
    reader::{QueryRequest, ReadOptions, RowsRequest},
    report::ConflictReport,
    stale::{Observed, StaleReader},
    store::sqlite::execute_as_stranger,
};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

/// The record of a reconciliation holds the drift it started from, measured before anything was done: in events, in
/// seconds, and of the rows.
#[test]
fn measure_drift_before_reconciling() {
    let shop = shop_with(|options| options.project = false);
    shop.publish((0..7).map(|i| placed(&i.to_string(), &format!("o-{i}"), "5.00")).collect());
    for (method, lag) in [(Method::Replay, 7), (Method::Rebuild, 0)] {
        let record = shop.engine.reconcile("orders", Some(method)).unwrap();
        let metrics = &record.drift_metrics;
        assert_eq!((metrics.lag_count, record.reconciliation_method), (Some(lag), method));
        assert!(metrics.lag_seconds.is_some() && metrics.drift_score.is_some());
        assert!(metrics.source_event_id.is_some());
        assert_eq!((record.result.as_str(), record.verified, record.events_replayed), ("converged", true, 7));
    }
    execute_as_stranger(shop.data(), "UPDATE orders SET status = 'lost' WHERE order_id = 'o-3'").unwrap();
    let record = shop.engine.reconcile("orders", None).unwrap();
    assert_eq!((record.reconciliation_method, record.rows_repaired), (Method::Repair, 1));
    assert_eq!((record.drift_metrics.lag_count, record.drift_metrics.content_verdict), (Some(0), Verdict::Suspect));
}

/// Every way to read a model says how fresh the answer is, also where there is no row.
#[test]
fn check_staleness_on_every_read() {
    let shop = shop();
    shop.publish(vec![placed("1", "o-1", "5.00")]);
    shop.settle();
    for level in [Level::Eventual, Level::Strong] {
        let options = ReadOptions::at(level);
        let row = shop.engine.get("orders", &["o-1"], options).unwrap().consistency;
        let missing = shop.engine.get("orders", &["nobody"], options).unwrap().consistency;
        let rows = shop.engine.rows("orders", &RowsRequest::default(), options).unwrap().consistency;
        let some = RowsRequest { count: true, select: Some("order_id".into()), ..RowsRequest::default() };
        let some = shop.engine.rows("orders", &some, options).unwrap().consistency;
        let request = QueryRequest { sql: "SELECT count(*) AS n FROM orders".into(), ..QueryRequest::default() };
        let summed = shop.engine.query(&request, options).unwrap().consistency;
        for said in [row, missing, rows, some, summed] {
            assert_eq!((said.freshness, said.data_stale, said.lag_count), ("fresh", false, Some(0)));
            assert_eq!((said.level_requested, said.head), (level.as_str(), Some(1)));
            assert!(said.as_of.is_some() && said.read_model_last_write.is_some());
        }
    }
}

/// What reaches our domain has our field names and only what the contract maps.
#[test]
fn map_fields_between_contexts_explicitly() {
    let shop = shop();
    shop.publish(vec![placed("1", "o-1", "5.00")]);
    let ours = shop.engine.log(Position::ZERO, 10, None).unwrap().remove(0);
    let data = ours.data.as_object().unwrap();
    let names: Vec<&str> = data.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["currency", "customer_id", "items", "order_id", "total"]);
    assert_eq!((ours.r#type.as_str(), ours.contract_version, ours.subject.as_str()), ("order_created", 1, "o-1"));
    assert_eq!(data.get("total").unwrap().to_string(), r#"{"amount":"5.00","currency":"EUR"}"#);
}

/// What fails to translate is kept whole with its reason, and nothing of it reaches a model.
#[test]
fn quarantine_what_cannot_be_translated() {
    let shop = shop();
    let bad = [
        (placed("1", "o-1", "5.005"), "mapping"),
        (placed("2", "o-2", "five"), "schema"),
        (placed("3", "o-3", "0.00"), "invariant"),
        (event("shop.orders", "OrderSung", "4", "2026-03-01T10:00:00Z", "{}"), "no_contract"),
        (event("shop.unheard", "OrderPlaced", "5", "2026-03-01T10:00:00Z", "{}"), "untrusted_source"),
    ];
    let receipts = shop.publish(bad.iter().map(|(raw, _)| raw.clone()).collect());
    for ((raw, reason), receipt) in bad.iter().zip(&receipts) {
        assert_eq!((receipt.outcome, receipt.reason), ("quarantined", Some(*reason)));
        let entry = shop.engine.quarantine_entry(receipt.quarantine_id.as_ref().unwrap()).unwrap();
        assert_eq!((entry.raw.as_ref(), entry.reason), (Some(raw), *reason));
    }
    shop.settle();
    assert_eq!(shop.drift("orders").head, Some(0));
    assert!(shop.engine.models().unwrap().iter().all(|model| model.rows == 0));

    // Who looks into it corrects it: the whole contract judges it again, it gets in once, and what came stays as it came.
    let zero = receipts[2].quarantine_id.as_ref().unwrap();
    let correct = |total: &str| {
        let patch = format!(r#"[{{"op":"replace","path":"/data/total_amount","value":"{total}"}}]"#).parse().unwrap();
        shop.engine.redrive_edited(zero, &patch, Decision { author: "ann".into(), note: "asked the shop".into() })
    };
    let still = correct("-3.00").unwrap();
    assert_eq!((still.state, still.reason, still.position), ("quarantined", Some("invariant"), None));
    let admitted = correct("3.00").unwrap();
    assert_eq!((admitted.state, admitted.position), ("admitted", Some(1)));
    assert!(correct("4.00").is_err() && shop.engine.redrive(zero, Decision::default()).is_err());
    assert_eq!(shop.publish(vec![bad[2].0.clone()])[0].outcome, "duplicate");
    let entry = shop.engine.quarantine_entry(zero).unwrap();
    assert_eq!((entry.raw.as_ref(), entry.edits.len()), (Some(&bad[2].0), 2));
    assert_eq!(column(&shop.order("o-3", Level::Strong), "total").as_str(), Some("3.00"));
    assert_eq!(shop.drift("orders").head, Some(1));
}

/// A read that stays stale is tried again later and later, at moments that differ from reader to reader, so often and no
/// more; then the stronger read is asked.
#[test]
fn back_off_exponentially_with_jitter_on_stale_reads() {
    let clock = Arc::new(SystemClock::default());
    let base = Duration::from_millis(40);
    let policy = RetryPolicy { max_retries: 3, base_delay: base, max_delay: Duration::from_secs(5) };
    let reader = StaleReader { policy, ..StaleReader::new(clock.clone(), Duration::from_secs(60)) };
    let half_a_minute_ago = || Timestamp::from_micros(clock.now().as_micros() - 30_000_000);
    let one = |strong: bool| {
        let (reader, clock) = (reader.clone(), clock.clone());
        let mut at = Vec::new();
        let read = || {
            at.push(clock.monotonic());
            let observed = Observed { data: "stale", as_of: Some(half_a_minute_ago()) };
            async { Ok::<_, String>(observed) }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(async {
            let fresh = || async { Ok(Observed { data: "fresh", as_of: Some(clock.now()) }) };
            if strong { reader.read_or_strong(None, read, fresh).await } else { reader.read(None, read).await }
        });
        let gaps: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        (answer.unwrap(), gaps)
    };
    let readers: Vec<_> = (0..24).map(|n| (n % 2 == 0, one(n % 2 == 0))).collect();
    for (strong, (answer, gaps)) in &readers {
        assert_eq!((gaps.len(), answer.attempts), (3, 4 + u32::from(*strong)));
        for (retry, gap) in gaps.iter().enumerate() {
            // Sleeping may take a little longer than it was asked for.
            assert!(*gap <= base * 2_u32.pow(retry as u32) + Duration::from_millis(30), "{retry}: {gaps:?}");
        }
        let said = answer.staleness.suggested_action.as_str();
        match strong {
            true => assert_eq!((answer.data, said, answer.failed_over), ("fresh", "use_data", true)),
            false => assert_eq!((answer.data, said, answer.data_stale), ("stale", "failover_to_strong", true)),
        }
    }
    for retry in 0..3 {
        let ceiling = base * 2_u32.pow(retry as u32);
        let gaps: Vec<Duration> = readers.iter().map(|(_, (_, gaps))| gaps[retry]).collect();
        let (early, late) = (gaps.iter().any(|gap| *gap < ceiling / 2), gaps.iter().any(|gap| *gap > ceiling / 2));
        assert!(early && late, "not spread over {ceiling:?}: {gaps:?}");
    }
}

/// A strong read holds the latest admitted event while the projection is down.
#[test]
fn offer_a_strong_read_path() {
    let shop = shop();
    shop.publish(vec![placed("1", "o-1", "5.00")]);
    shop.settle();
    shop.engine.stop_projector("orders", "stopped").unwrap();
    for total in ["6.00", "7.00", "8.00"] {
        shop.publish(vec![placed(total, "o-1", total)]);
        let answer = shop.order("o-1", Level::Strong);
        assert_eq!(column(&answer, "total").as_str(), Some(total));
        assert_eq!(answer.consistency.level_served, "strong");
    }
    assert_eq!(column(&shop.order("o-1", Level::Eventual), "total").as_str(), Some("5.00"));
}

/// The node's structured log has a line with the specification's fields for each reconciliation, and for each
/// measurement that changes a status.
#[test]
fn log_every_reconciliation_with_its_fields() {
    let data = tempfile::tempdir().unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["--dir", folder().to_str().unwrap(), "serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut next = |message: &str| loop {
        let line: serde_json::Value = serde_json::from_str(&lines.next().expect("the node ended")).unwrap();
        if line["message"] == message {
            break line;
        }
    };
    let drift = next("drift");
    let serving = next("serving");
    let url = format!("http://{}/v1/models/orders/reconcile", serving["address"].as_str().unwrap());
    ureq::post(&url).send_json(serde_json::json!({"method": "rebuild"})).unwrap();
    let reconciliation = next("reconciliation");
    node.kill().unwrap();
    node.wait().unwrap();
    for field in ["source_event_id", "read_model_last_id", "lag_count", "lag_seconds", "reconciliation_status"] {
        assert!(drift.get(field).is_some(), "{field} is missing from {drift}");
    }
    for field in ["event_id", "source", "drift_metrics", "reconciliation_method", "result"] {
        assert!(reconciliation.get(field).is_some(), "{field} is missing from {reconciliation}");
    }
    assert_eq!(
        (&reconciliation["reconciliation_method"], &reconciliation["result"]),
        (&"rebuild".into(), &"converged".into())
    );
}

/// Counts add up and sets keep what was put in, whoever had seen what; and nothing of that is decided by anybody.
#[test]
fn use_crdts_for_mergeable_values() {
    let shop = articles(100);
    let (_, token) = shop.publish_seen(written("ann", "1", r#""views":5,"tag":"a""#, None), None);
    shop.publish_seen(written("ann", "2", r#""views":2,"tag":"b""#, None), Some(&token));
    shop.publish_seen(written("bob", "3", r#""views":-1,"tag":"c""#, None), Some(&token));
    assert_eq!((shop.article("views"), shop.article("tags").to_string()), (6.into(), r#"["a","b","c"]"#.into()));
    assert_eq!(shop.conflicts(), []);
}

/// An event says what it knew, waits for it, and leaves with it.
#[test]
fn carry_vector_clocks_across_boundaries() {
    let shop = articles(100);
    let reply = written("bob", "reply", r#""title":"after""#, Some("editor.ann=1,editor.bob=1"));
    let waiting = shop.publish(vec![reply]).remove(0);
    assert_eq!(waiting.outcome, "waiting");
    shop.publish(vec![written("ann", "first", r#""title":"before""#, Some("editor.ann=1"))]);
    assert_eq!(shop.article("title").as_str(), Some("after"));
    let log = shop.engine.log(Position(0), 10, None).unwrap();
    let clocks: Vec<_> = log.iter().map(|event| event.vclock.as_deref().unwrap_or_default()).collect();
    assert_eq!(clocks, ["editor.ann=1", "editor.ann=1,editor.bob=1"]);
    assert!(log.iter().all(|event| !event.hlc.is_empty()));
}

/// The same writes come to the same winner, however they were batched and however often they are folded; and a decision that is
/// recorded comes out the same again.
#[test]
fn resolve_conflicts_deterministically() {
    let titles = [1, 2, 7].map(|batch_events| {
        let shop = articles(batch_events);
        let (_, token) = shop.publish_seen(written("ann", "1", r#""title":"draft""#, None), None);
        for (id, title) in [("2", "by ann"), ("3", "by bob"), ("4", "by cat")] {
            shop.publish_seen(written("ann", id, &format!(r#""title":"{title}""#), None), Some(&token));
        }
        let (title, conflicts) = (shop.article("title"), shop.conflicts());
        assert_eq!(shop.engine.reconcile("articles", Some(Method::Rebuild)).unwrap().result.as_str(), "converged");
        assert_eq!((shop.article("title"), shop.conflicts()), (title.clone(), conflicts.clone()));
        assert!(conflicts.iter().all(|conflict| conflict.replayed == Some(true)), "{conflicts:?}");
        let decided = |conflict: &ConflictReport| {
            let (winner, loser) = (conflict.winner.value.to_string(), conflict.loser.value.to_string());
            (conflict.id.clone(), winner, loser, conflict.rule)
        };
        (title, conflicts.iter().map(decided).collect::<Vec<_>>())
    });
    assert_eq!(titles[0], titles[1]);
    assert_eq!(titles[1], titles[2]);
    assert_eq!((titles[0].0.as_str(), titles[0].1.len()), (Some("by cat"), 2));
}
