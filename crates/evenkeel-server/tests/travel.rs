//! Real events through the real binary: the travel example gives what a straight recomputation in another language
//! gives, whatever order the events of different cases arrive in and however many arrive twice.
//!
//! The real data lies beside the checkout, in `../shared/data/travel`. Where it is missing the test says so and does the
//! same with the sample that is shipped; with `EVENKEEL_TEST_DATA=required` in the environment it fails instead.
#[cfg(test)]
mod common;

#[cfg(test)]
mod travel {
    use super::common::{Client, Random, Server, example, python, repository, say, verify_full};
    use serde_json::{Value, json};
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        path::{Path, PathBuf},
        thread,
        time::Instant,
    };

    /// Who publishes at the same time.
    const CONNECTIONS: u64 = 6;

    /// Events of one request: at most.
    const BATCH_EVENTS: u64 = 400;

    /// The rows of a page when they are read back.
    const PAGE_ROWS: usize = 700;

    const MODELS: [&str; 3] = ["declarations", "payments", "units"];

    /// Numbers by source or model.
    type Counts = BTreeMap<String, u64>;

    /// What publishing came to.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Published {
        sent: u64,
        /// By outcome and source.
        outcomes: BTreeMap<&'static str, Counts>,
    }

    #[test]
    fn real_events_give_what_a_recomputation_gives() {
        let data = repository().join("../shared/data/travel");
        let files = ["payments.ndjson.gz", "declarations.ndjson.gz"].map(|name| data.join(name));
        if let Some(missing) = files.iter().find(|file| !file.exists()) {
            let required = std::env::var("EVENKEEL_TEST_DATA").is_ok_and(|value| value == "required");
            assert!(!required, "{} is missing, and EVENKEEL_TEST_DATA=required", missing.display());
            let missing = missing.display();
            say(&format!("SKIPPED: the real travel data: {missing} is missing; the shipped sample takes its place"));
            compare(&[sample()], 2);
            return;
        }
        let expected = compare(&files, 1);
        let counts = |admitted: [u64; 2]| json!({"finance.payments": admitted[0], "travel.declarations": admitted[1]});
        assert_eq!(expected["admitted"], counts([36_069, 54_376]));
        assert_eq!(expected["quarantined"], counts([3, 1252]));
        let rows = |model: &str| expected["models"][model].as_array().map(Vec::len);
        assert_eq!((rows("payments"), rows("declarations")), (Some(6_759), Some(9_917)));
    }

    #[test]
    fn the_shipped_sample_gives_what_a_recomputation_gives() {
        let expected = compare(&[sample()], 3);
        // As the example's README says.
        let sum = |name: &str| expected[name].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!((sum("admitted"), sum("quarantined"), sum("duplicates") + sum("repeated")), (208, 24, 4 + 12));
    }

    /// Sent in disorder, also within a case: each event says which of its source it is, and waits for those before it.
    #[test]
    fn numbers_put_right_what_came_in_any_order() {
        let seed = Random::seed(4);
        let folder = tempfile::tempdir().unwrap();
        let in_order = folder.path().join("in_order.ndjson");
        fs::write(&in_order, interleaved(&[sample()], seed, &[])).unwrap();
        let events = String::from_utf8(interleaved(&[sample()], seed, &["--clocks", "50"])).unwrap();
        let server = Server::start(&example("travel"), &folder.path().join("data"));
        let client = server.client();
        let mut waited = 0;
        for batch in events.lines().collect::<Vec<_>>().chunks(20) {
            let answer = client.publish(batch).ok(202);
            let outcomes = answer["results"].as_array().unwrap().iter().map(|result| &result["outcome"]);
            waited += outcomes.filter(|outcome| *outcome == "waiting").count();
        }
        assert!(waited > 50, "{waited}");
        let books = client.get("/v1/accounting?recount=true").ok(200);
        assert_eq!((&books["balanced"], &books["total"]["waiting"]), (&json!(true), &json!(0)), "{books}");
        let (log, quarantine) = (client.log(), client.quarantine());
        assert!(log.iter().all(|event| event["delivery"] == "causal"));
        for source in ["finance.payments", "travel.declarations"] {
            let of_source = log.iter().filter(|event| event["source"] == source);
            assert!(of_source.map(|event| event["dot"]["seq"].as_u64()).is_sorted(), "{source}");
        }
        let expected = recompute(&in_order, &log, folder.path());
        for model in MODELS {
            compare_rows(model, &rows(&client, model), &expected["models"][model]);
        }
        let counts = |events: &[Value]| serde_json::to_value(by_source(events)).unwrap();
        assert_eq!(
            (counts(&log), counts(&quarantine)),
            (expected["admitted"].clone(), expected["quarantined"].clone())
        );
        say(&format!("travel: {waited} events of the sample waited for those before them, all rows as recomputed"));
    }

    fn sample() -> PathBuf {
        example("travel").join("sample.ndjson")
    }

    /// Publishes the events of `files` in disorder and compares every number and row; what was recomputed.
    fn compare(files: &[PathBuf], usual_seed: u64) -> Value {
        let seed = Random::seed(usual_seed);
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("events.ndjson");
        fs::write(&events, interleaved(files, seed, &[])).unwrap();
        let server = Server::start(&example("travel"), &folder.path().join("data"));
        let client = server.client();

        let started = Instant::now();
        let published = publish_all(&server, &fs::read_to_string(&events).unwrap(), seed);
        let published_in = started.elapsed();
        let log = client.log();
        let quarantine = client.quarantine();
        let expected = recompute(&events, &log, folder.path());

        // Before any other look at the models: whoever reads at level strong misses nothing that was acknowledged.
        for model in MODELS {
            compare_rows(model, &rows(&client, model), &expected["models"][model]);
        }
        compare_unpaid(&client, &expected["models"]["payments"]);
        compare_counts(&published, &log, &quarantine, &expected);
        let verified: Vec<_> = verify_full(&client).iter().map(|report| report["model"].clone()).collect();
        assert_eq!(verified, MODELS);
        let mended = mend(&client, &quarantine, &events, folder.path());
        say(&format!(
            "travel: {} events sent in {published_in:.1?}, {} admitted, {} in quarantine, all rows as recomputed, also when \
             {mended} were corrected",
            published.sent,
            log.len(),
            quarantine.len()
        ));
        expected
    }

    /// A person corrects the first claim for nothing of some cases, of those first in which others wait behind it. Then everything
    /// is as if the corrected events had come in their place, and each says where its amount is from. How many there are.
    fn mend(client: &Client, quarantine: &[Value], events: &Path, folder: &Path) -> usize {
        const CORRECTED: &str = "12.50";
        let case = |entry: &Value| (entry["source"].to_string(), entry["subject"].to_string());
        let in_state = |state: &'static str| quarantine.iter().filter(move |entry| entry["state"] == state);
        let waited_for: BTreeSet<_> = in_state("held").map(case).collect();
        let mut first = BTreeMap::new();
        for entry in in_state("quarantined").filter(|entry| entry["reason"] == "invariant") {
            first.entry(case(entry)).or_insert(entry);
        }
        let mut bad: Vec<_> = first.into_iter().collect();
        bad.sort_by_key(|(case, _)| !waited_for.contains(case));
        bad.truncate(4);
        assert!(!bad.is_empty(), "there is no case to be mended");
        let mut corrected = BTreeMap::new();
        for (case, entry) in &bad {
            let amount = if entry["source"] == "finance.payments" { "RequestedAmount" } else { "Amount" };
            let edit = json!([{"op": "replace", "path": format!("/data/{amount}"), "value": CORRECTED}]);
            let word = json!({"author": "claims office", "note": "what the receipt says", "edit": edit});
            let path = format!("/v1/quarantine/{}/redrive", entry["id"].as_str().unwrap());
            let admitted = client.post(&path, &word).ok(200);
            let released = admitted["released"].as_u64() > Some(0);
            assert!(admitted["state"] == "admitted" && released == waited_for.contains(case), "{admitted}");
            let lineage = client.get(&format!("/v1/events/{}/lineage", admitted["position"])).ok(200);
            let field = |field: &&Value| field["field"] == "/data/amount";
            let field = lineage["fields"].as_array().unwrap().iter().find(field).unwrap();
            let expected = json!([CORRECTED, [format!("/data/{amount}")], 1]);
            assert_eq!(json!([field["value"], field["from"], field["edit"]]), expected, "{lineage}");
            assert_eq!((&lineage["exact"], &lineage["quarantine_id"]), (&json!(true), &entry["id"]));
            corrected.insert((entry["source"].clone().to_string(), entry["raw_id"].to_string()), amount);
        }
        let correct = |line: &str| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            if let Some(amount) = corrected.get(&(event["source"].to_string(), event["id"].to_string())) {
                event["data"][*amount] = CORRECTED.into();
            }
            format!("{event}\n")
        };
        let path = folder.join("corrected.ndjson");
        fs::write(&path, fs::read_to_string(events).unwrap().lines().map(correct).collect::<String>()).unwrap();
        let log = client.log();
        let expected = recompute(&path, &log, folder);
        for model in MODELS {
            compare_rows(model, &rows(client, model), &expected["models"][model]);
        }
        let admitted: Counts = serde_json::from_value(expected["admitted"].clone()).unwrap();
        assert_eq!(by_source(&log), admitted);
        verify_full(client);
        bad.len()
    }

    fn interleaved(files: &[PathBuf], seed: u64, more: &[&str]) -> Vec<u8> {
        let seed = seed.to_string();
        let mut arguments = [&["--seed", &seed, "--duplicates", "0.05"], more].concat();
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        python(&example("travel").join("interleave.py"), &arguments)
    }

    /// What must be there, for events that came into the log in this order.
    fn recompute(events: &Path, log: &[Value], folder: &Path) -> Value {
        let order: String =
            log.iter().map(|event| format!("{}\n", json!({"source": event["source"], "id": event["id"]}))).collect();
        let path = folder.join("order.ndjson");
        fs::write(&path, order).unwrap();
        let arguments = ["--order", path.to_str().unwrap(), events.to_str().unwrap()];
        serde_json::from_slice(&python(&example("travel").join("recompute.py"), &arguments)).unwrap()
    }

    /// Publishes over several connections at once. The events of one case keep their order: they share a connection.
    fn publish_all(server: &Server, events: &str, seed: u64) -> Published {
        let mut shares = vec![Vec::new(); usize::try_from(CONNECTIONS).unwrap()];
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let case = format!("{} {}", event["source"], event["data"]["case"]);
            let spread = case.bytes().fold(seed, |hash, byte| Random::new(hash ^ u64::from(byte)).next());
            shares[usize::try_from(spread % CONNECTIONS).unwrap()].push((line, event));
        }
        assert!(shares.iter().all(|share| !share.is_empty()));
        let clients = shares.iter().map(|share| (server.client(), share)).zip(seed + 1..);
        thread::scope(|scope| {
            let publishers: Vec<_> = clients
                .map(|((client, share), seed)| scope.spawn(move || publish(&client, share, Random::new(seed))))
                .collect();
            publishers.into_iter().fold(Published::default(), |mut all, publisher| {
                let published = publisher.join().unwrap();
                all.sent += published.sent;
                for (outcome, counts) in published.outcomes {
                    for (source, count) in counts {
                        *all.outcomes.entry(outcome).or_default().entry(source).or_default() += count;
                    }
                }
                all
            })
        })
    }

    /// Publishes events in their order, in batches of any size.
    fn publish(client: &Client, mut events: &[(&str, Value)], mut random: Random) -> Published {
        let mut published = Published::default();
        while !events.is_empty() {
            let size = usize::try_from(random.below(BATCH_EVENTS) + 1).unwrap().min(events.len());
            let (batch, rest) = events.split_at(size);
            events = rest;
            let lines: Vec<&str> = batch.iter().map(|(line, _)| *line).collect();
            let answer = client.publish(&lines).ok(202);
            let results = answer["results"].as_array().unwrap();
            assert_eq!(results.len(), batch.len());
            for (result, (_, event)) in results.iter().zip(batch) {
                assert_eq!((&result["source"], &result["id"]), (&event["source"], &event["id"]));
                let known = ["admitted", "duplicate", "quarantined"];
                let outcome = known.into_iter().find(|known| result["outcome"] == *known);
                let outcome = outcome.unwrap_or_else(|| panic!("an outcome nobody expects: {result}"));
                // What is in the log has a position, and what is not has an entry that says why.
                assert_eq!(result["position"].is_u64(), outcome != "quarantined", "{result}");
                assert_eq!(result["quarantine_id"].is_string(), outcome == "quarantined", "{result}");
                let source = event["source"].as_str().unwrap().to_owned();
                *published.outcomes.entry(outcome).or_default().entry(source).or_default() += 1;
                published.sent += 1;
            }
        }
        published
    }

    /// Every row of a model with everything that was acknowledged.
    fn rows(client: &Client, model: &str) -> Vec<Value> {
        let mut rows = client.rows(model, &format!("level=strong&budget_ms=60000&limit={PAGE_ROWS}"));
        for row in &mut rows {
            assert_eq!(row.as_object_mut().unwrap().remove("_parked"), Some(false.into()), "{model}: {row}");
        }
        rows
    }

    fn compare_rows(model: &str, rows: &[Value], expected: &Value) {
        let expected = expected.as_array().unwrap();
        assert!(!expected.is_empty());
        for (row, expected) in rows.iter().zip(expected) {
            assert_eq!(row, expected, "{model}");
        }
        assert_eq!(rows.len(), expected.len(), "{model}");
    }

    /// What the example's view and a filtered page say of the payments is what their rows say.
    fn compare_unpaid(client: &Client, payments: &Value) {
        let unpaid = payments.as_array().unwrap().iter().filter(|row| row["paid"] == false);
        let mut by_step: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for row in unpaid {
            let last = row["last_at"].as_str().unwrap();
            let of_step = by_step.entry(row["activity"].as_str().unwrap()).or_insert((0, last));
            *of_step = (of_step.0 + 1, of_step.1.min(last));
        }
        let rows: Vec<_> = by_step
            .iter()
            .map(|(activity, (requests, oldest))| json!({"activity": activity, "requests": requests, "oldest": oldest}))
            .collect();
        assert!(!rows.is_empty());
        let sql = json!({"sql": "SELECT * FROM unpaid_by_step ORDER BY activity"});
        let answer = client.post("/v1/query?level=strong&budget_ms=60000", &sql).ok(200);
        assert_eq!((&answer["rows"], &answer["consistency"]["level_served"]), (&json!(rows), &json!("strong")));
        let query = "where.paid=is.false&order=last_at.desc&select=last_at&count=exact&limit=1";
        let page = client.get(&format!("/v1/models/payments/rows?{query}&level=strong&budget_ms=60000")).ok(200);
        let latest = payments.as_array().unwrap().iter().filter(|row| row["paid"] == false).map(|row| &row["last_at"]);
        let latest = latest.max_by_key(|at| at.as_str()).unwrap();
        let total: u64 = by_step.values().map(|(requests, _)| requests).sum();
        assert_eq!((&page["total"], &page["rows"][0]["last_at"]), (&json!(total), latest));
    }

    /// Every event that was sent is where it should be, once, and counted as what it is.
    fn compare_counts(published: &Published, log: &[Value], quarantine: &[Value], expected: &Value) {
        let of = |name: &str| -> Counts { serde_json::from_value(expected[name].clone()).unwrap() };
        let outcome = |name: &str| published.outcomes.get(name).cloned().unwrap_or_default();
        assert_eq!(outcome("admitted"), of("admitted"));
        assert_eq!(outcome("duplicate"), of("duplicates"));
        let mut refused = of("quarantined");
        for (source, count) in of("repeated") {
            *refused.entry(source).or_default() += count;
        }
        assert_eq!(outcome("quarantined"), refused);
        let all: u64 = published.outcomes.values().flat_map(BTreeMap::values).sum();
        assert_eq!(published.sent, all);

        assert_eq!(by_source(log), of("admitted"));
        assert_eq!(by_source(quarantine), of("quarantined"));
        let mut reasons: BTreeMap<String, Counts> = BTreeMap::new();
        for entry in quarantine {
            let (source, reason) = (entry["source"].as_str().unwrap(), entry["reason"].as_str().unwrap());
            *reasons.entry(source.into()).or_default().entry(reason.into()).or_default() += 1;
        }
        assert_eq!(serde_json::to_value(reasons).unwrap(), expected["reasons"]);

        let identity = |event: &Value, id: &str| (event["source"].to_string(), event[id].to_string());
        let admitted = log.iter().map(|event| identity(event, "id"));
        let identities: BTreeSet<_> =
            admitted.chain(quarantine.iter().map(|entry| identity(entry, "raw_id"))).collect();
        assert_eq!(identities.len(), log.len() + quarantine.len(), "an event is there twice");
    }

    fn by_source(events: &[Value]) -> Counts {
        let mut counts = Counts::new();
        for event in events {
            *counts.entry(event["source"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }
}
