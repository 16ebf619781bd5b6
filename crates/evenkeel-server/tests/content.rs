//! Drift of content, proven on 10^5 rows of the real engine over the embedded store: models are corrupted in every way
//! there is, with the plain `sqlite3` tool and by events that a projector misses, and each time it is found, called by
//! its right name, and mended row by row; a strong read returns the right row all along.
//!
//! That regular work is never taken for corruption is in `content/regular.rs`.
#[cfg(test)]
mod content {
    mod bent;
    mod bookkeeping;
    mod events;
    mod leaky;
    mod project;
    mod regular;
    mod unnoted;
    mod ways;
    mod world;

    use evenkeel::{
        Options, ReadError,
        core::{freshness::Level, query::Asked, reconciliation::Method, row::Cell},
        reader::{QueryRequest, ReadOptions, RowsRequest},
    };
    use events::{Truth, touched};
    use leaky::Fault;
    use serde_json::Value;
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        sync::Arc,
        thread,
        time::Duration,
    };
    use ways::{ACCOUNTS, STOCK, Target, Way, Wrong};
    use world::{MODELS, Setup, TODAY, World, today};

    /// Rows of these tests that both models' events of today touch.
    const AT: u64 = 200;

    /// What is wrong, by key, in words that a failure shows.
    fn by_key(wrong: impl IntoIterator<Item = Wrong>) -> BTreeMap<String, String> {
        let text = |row: &Option<serde_json::Value>| {
            let mut row = row.clone();
            // What is kept for merging is shown where nothing else differs; no way of these is about it.
            row.iter_mut().filter_map(serde_json::Value::as_object_mut).for_each(|row| drop(row.remove("_ek_merge")));
            row.map_or("no row".into(), |row| row.to_string())
        };
        let told = |wrong: Wrong| {
            let (expected, actual) = (text(&wrong.expected), text(&wrong.actual));
            (wrong.key.join("/"), format!("{}: expected {expected}, is {actual}", wrong.cause))
        };
        wrong.into_iter().map(told).collect()
    }

    /// What a verification names.
    fn named(world: &World, model: &str, full: bool) -> BTreeMap<String, String> {
        let found = world.verify(model, full);
        assert_eq!(found.wrong_rows, found.wrong.len() as u64);
        let json = |row| serde_json::to_value(row).unwrap();
        by_key(found.wrong.into_iter().map(|row| Wrong {
            key: vec![row.key],
            cause: row.cause,
            expected: row.expected.map(json),
            actual: row.actual.map(json),
        }))
    }

    /// What a reconciliation has kept of the rows that were wrong.
    fn evidence(world: &World, id: u64) -> BTreeMap<String, String> {
        let json = |row: Option<String>| row.map(|row| serde_json::from_str(&row).unwrap());
        by_key(world.engine.evidence(id, 1000).unwrap().into_iter().map(|row| Wrong {
            key: vec![row.key],
            cause: row.cause.as_str(),
            expected: json(row.expected),
            actual: json(row.actual),
        }))
    }

    fn strong_reads_are_right(world: &World, model: &str, wrong: &[Wrong]) {
        for row in wrong {
            assert_eq!(world.strong(model, &row.key), row.expected, "a strong read of {:?} ({})", row.key, row.cause);
        }
    }

    /// What strong pages and statements show of a row: its data and how many there are; `None` where they are refused.
    fn looked_for(world: &World, target: Target, key: &[String]) -> Option<(Vec<Value>, i64)> {
        let strong = ReadOptions { budget: world::LONG, ..ReadOptions::at(Level::Strong) };
        let conditions = target.key.iter().zip(key).map(|(column, part)| ((*column).to_owned(), format!("eq.{part}")));
        let query = Asked { conditions: conditions.collect(), order: None };
        let request = RowsRequest { query, count: true, ..RowsRequest::default() };
        let parts: Vec<_> = target.key.iter().zip(key).map(|(column, part)| format!("{column} = '{part}'")).collect();
        let sql = format!("SELECT count(*) AS n FROM {} WHERE {}", target.model, parts.join(" AND "));
        let page = world.engine.rows(target.model, &request, strong);
        match (page, world.engine.query(&QueryRequest { sql, limit: 0 }, strong)) {
            (Err(ReadError::NotMet { .. }), Err(ReadError::NotMet { .. })) => None,
            (Ok(mut page), Ok(counted)) => {
                let n = counted.rows[0].get("n").unwrap().as_i64().unwrap();
                assert_eq!(page.total.and_then(|total| i64::try_from(total).ok()), Some(n), "{key:?}");
                page.rows.iter_mut().for_each(|row| drop(row.remove("_parked")));
                Some((page.rows.into_iter().map(|row| serde_json::to_value(row).unwrap()).collect(), n))
            }
            (page, counted) => panic!("{key:?}: {page:?}, {counted:?}"),
        }
    }

    /// While the rows are known to be wrong nobody is shown them, and afterwards everybody what is right.
    fn strong_pages_are_right(world: &World, target: Target, wrong: &[Wrong], is_mended: bool) {
        // One row takes as long as all of them where they have to be added up.
        for row in wrong.iter().step_by(wrong.len().div_ceil(5).max(1)) {
            let expected: Vec<_> = row.expected.iter().cloned().collect();
            let count = i64::try_from(expected.len()).unwrap();
            let expected = is_mended.then_some((expected, count));
            assert_eq!(looked_for(world, target, &row.key), expected, "{:?} ({})", row.key, row.cause);
        }
    }

    /// Repairs a model; exactly these rows were wrong, and nothing is any more.
    fn repaired(world: &World, model: &str, wrong: &[Wrong]) {
        let record = world.engine.reconcile(model, Some(Method::Repair)).unwrap();
        let result = if wrong.is_empty() { "nothing_to_do" } else { "converged" };
        assert_eq!((record.result.as_str(), record.error.as_deref()), (result, None));
        assert_eq!(record.reconciliation_method, Method::Repair);
        assert_eq!(evidence(world, record.id), by_key(wrong.iter().cloned()));
        assert_eq!(record.rows_repaired, wrong.len() as u64);
        assert!(record.verified || wrong.is_empty(), "{record:?}");
        assert_eq!(world.verdict(model), "verified");
    }

    fn all_is_as_it_was(world: &World, model: &str) {
        assert_eq!(named(world, model, true), BTreeMap::new());
        assert_eq!(world.verdict(model), "verified");
        assert_eq!(world.changed_rows(model), "");
    }

    /// Each way by itself is noted at once, named and repaired; then all of them together.
    fn corrupt(target: Target) {
        let world = World::start(Setup::default());
        let model = target.model;
        let corrupted = |ways: &[Way]| {
            world.sqlite3(&ways.iter().map(|way| way.sql.as_str()).collect::<String>());
            let wrong: Vec<Wrong> = ways.iter().flat_map(|way| way.wrong.iter().cloned()).collect();
            assert_eq!(world.verdict(model), "suspect");
            for row in &wrong {
                let said = world.read(model, &row.key, Level::Eventual).consistency;
                assert_eq!((said.content.verdict, said.suggested_action), ("suspect", "failover_to_strong"), "{row:?}");
            }
            strong_reads_are_right(&world, model, &wrong);
            strong_pages_are_right(&world, target, &wrong, false);
            wrong
        };
        for way in target.ways(AT) {
            eprintln!("{model}: {}", way.name);
            let wrong = corrupted(std::slice::from_ref(&way));
            repaired(&world, model, &wrong);
            strong_pages_are_right(&world, target, &wrong, true);
        }
        assert_eq!(world.changed_rows(model), "");
        let wrong = corrupted(&target.ways(AT));
        assert_eq!(named(&world, model, false), by_key(wrong.clone()));
        assert_eq!(world.verdict(model), "drifted");
        strong_reads_are_right(&world, model, &wrong);
        repaired(&world, model, &wrong);
        all_is_as_it_was(&world, model);
    }

    #[test]
    fn others_writes_to_rows_keyed_by_subject_are_found_and_repaired() {
        corrupt(ACCOUNTS);
    }

    #[test]
    fn others_writes_to_rows_of_a_composite_key_are_found_and_repaired() {
        corrupt(STOCK);
    }

    /// Events that go wrong, each with the model whose projector it goes wrong for.
    type Faults = [(&'static str, u64, Fault)];

    /// What a model's rows are where its projector was told this of events.
    fn misled(model: &str, events: &[u64], faults: &Faults) -> Truth {
        let mut truth = today().clone();
        for n in events {
            let fault = faults.iter().find(|(of, wrong, _)| *of == model && wrong == n).map(|(.., fault)| *fault);
            let times = fault.map_or(1, |fault| if fault == Fault::Skip { 0 } else { 2 });
            (0..times).for_each(|_| truth.apply(*n));
        }
        truth
    }

    /// The rows of a model that faults make wrong.
    fn wrong_by(model: &'static str, events: &[u64], faults: &Faults) -> Vec<Wrong> {
        let (right, is) = (misled(model, events, &[]), misled(model, events, faults));
        let mut wrong = Vec::new();
        for (_, n, fault) in faults.iter().filter(|(of, ..)| *of == model) {
            let cause = if *fault == Fault::Skip { "missed_event" } else { "double_apply" };
            let (account, places) = touched(*n);
            if model == "accounts" {
                let (expected, actual) = (right.account(account), is.account(account));
                wrong.push(Wrong { key: vec![events::account(account)], cause, expected, actual });
            } else {
                wrong.extend(places.into_iter().map(|place| Wrong {
                    key: events::place_key(place),
                    cause,
                    expected: right.stock(place),
                    actual: is.stock(place),
                }));
            }
        }
        wrong
    }

    /// Publishes events of which these go wrong. What is wrong then in each model.
    fn mislead(world: &World, events: &[u64], faults: &Faults) -> Vec<(&'static str, Vec<Wrong>)> {
        for (model, n, fault) in faults {
            let at = events.iter().position(|event| event == n).unwrap() as u64;
            world.log.misread.tell(model, TODAY + 1 + at, *fault);
        }
        let positions = world.send(events.iter().map(|n| events::event(*n, None)).collect());
        assert_eq!(positions[0], TODAY + 1);
        world.settle();
        MODELS.iter().map(|model| (*model, wrong_by(model, events, faults))).collect()
    }

    /// Two events for each of twenty accounts.
    fn fresh_events() -> Vec<u64> {
        (TODAY..TODAY + 20).chain(TODAY + events::ACCOUNTS..TODAY + events::ACCOUNTS + 20).collect()
    }

    /// Every row that these events do not touch is byte by byte what it was, and the others are as they should be.
    fn rows_are_right(world: &World, model: &str, events: &[u64]) {
        let truth = misled(model, events, &[]);
        let mut changed = 0;
        for n in events {
            let (account, places) = touched(*n);
            if model == "accounts" {
                let row = world.read(model, &[events::account(account)], Level::Eventual).data;
                assert_eq!(row.map(|row| serde_json::to_value(row).unwrap()), truth.account(account));
            }
            for place in places.into_iter().filter(|_| model == "stock") {
                let row = world.read(model, &events::place_key(place), Level::Eventual).data;
                assert_eq!(row.map(|row| serde_json::to_value(row).unwrap()), truth.stock(place));
            }
        }
        let accounts: BTreeSet<_> = events.iter().map(|n| events::account(touched(*n).0)).collect();
        let places: BTreeSet<_> =
            events.iter().flat_map(|n| touched(*n).1).map(|place| events::place_key(place).join("|")).collect();
        for line in world.changed_rows(model).lines() {
            let parts: Vec<_> = line.split(',').map(|part| part.trim_matches('\'')).collect();
            let key = if model == "accounts" { parts[1].to_owned() } else { parts[1..3].join("|") };
            assert!(accounts.contains(&key) || places.contains(&key), "{model}: nobody was to touch {line}");
            changed += 1;
        }
        assert!(changed > 0);
    }

    /// Whether what is wrong is first looked for, or repaired at once.
    fn events_that_go_wrong(faults: &Faults, is_verified: bool) {
        let world = World::start(Setup::default());
        let events = fresh_events();
        for (model, wrong) in mislead(&world, &events, faults) {
            strong_reads_are_right(&world, model, &wrong);
            if is_verified {
                assert_eq!(named(&world, model, false), by_key(wrong.clone()), "{model}");
                assert_eq!(world.verdict(model), "drifted");
                strong_reads_are_right(&world, model, &wrong);
            }
            repaired(&world, model, &wrong);
            assert_eq!(world.drift(model).lag_count, Some(0));
            rows_are_right(&world, model, &events);
            // What was verified and found wrong is repaired upon a look at every row.
            if !is_verified {
                assert_eq!(named(&world, model, true), BTreeMap::new());
            }
        }
    }

    #[test]
    fn a_skipped_event_is_found_and_its_rows_are_repaired() {
        let n = TODAY + 10;
        events_that_go_wrong(&[("accounts", n, Fault::Skip), ("stock", n, Fault::Skip)], true);
    }

    #[test]
    fn an_event_applied_twice_is_found_and_its_rows_are_repaired() {
        let n = TODAY + 10;
        events_that_go_wrong(&[("accounts", n, Fault::Double), ("stock", n, Fault::Double)], false);
    }

    #[test]
    fn several_events_that_go_wrong_in_one_window_are_told_apart() {
        let of = |model, [a, b, c]: [Fault; 3]| [(model, TODAY + 1, a), (model, TODAY + 4, b), (model, TODAY + 10, c)];
        let (skip, double) = (Fault::Skip, Fault::Double);
        let faults = [of("accounts", [skip, double, double]), of("stock", [double, skip, skip])].concat();
        events_that_go_wrong(&faults, false);
    }

    /// Whole, while nobody has it open: not corruption, but lag, which is replayed.
    #[test]
    fn yesterdays_file_is_brought_up_to_date_and_nothing_is_wrong() {
        let world = World::start(Setup::default());
        let stopped = Options { project: false, ..Setup::default().options };
        let world = world.restart(Setup { options: stopped, ..Setup::default() }, |folder| {
            fs::copy(World::yesterday(), folder.join("models.db")).unwrap();
        });
        let account = vec![events::account(AT)];
        for model in MODELS {
            let drift = world.drift(model);
            assert_eq!((drift.lag_count, drift.position), (Some(TODAY - events::ACCOUNTS), events::ACCOUNTS));
            assert!(!["suspect", "drifted"].contains(&drift.content.verdict), "{}", drift.content.verdict);
        }
        assert_eq!(world.strong("accounts", &account), today().account(AT));
        let options = Options { auto_reconcile: true, scrub_rows_per_second: 100_000, ..Setup::default().options };
        let world = world.restart(Setup { options, ..Setup::default() }, |_| {});
        world.settle();
        for model in MODELS {
            all_is_as_it_was(&world, model);
        }
        assert_eq!(world.reconciliations(), []);
    }

    /// Code that makes other rows than it made, under the version it has.
    #[test]
    fn a_fold_that_was_changed_in_silence_is_named_and_waits_for_a_person() {
        let changed = [AT, AT + 1];
        let bend: bent::Bend = Arc::new(move |row| {
            let is_changed = changed.iter().any(|i| row.cells[0] == Cell::Text(events::account(*i).into()));
            if is_changed {
                *bent::note(row) = Cell::Text("as the new code has it".into());
            }
            Ok(())
        });
        let options = Options { auto_reconcile: true, ..Setup::default().options };
        let world = World::start(Setup { options, bend: Some(bend) });
        let wrong = changed.map(|i| {
            let actual = today().account(i);
            let mut expected = actual.clone();
            expected.as_mut().unwrap()["note"] = "as the new code has it".into();
            Wrong { key: vec![events::account(i)], cause: "projector_defect", expected, actual }
        });
        assert_eq!(world.verdict("accounts"), "verified");
        assert_eq!(named(&world, "accounts", true), by_key(wrong.to_vec()));
        assert_eq!(world.verdict("accounts"), "drifted");
        thread::sleep(Duration::from_secs(2));
        let done = world.reconciliations();
        assert!(done.iter().all(|record| record.rows_repaired == 0 && record.result.as_str() == "failed"), "{done:#?}");
        assert_eq!(world.changed_rows("accounts"), "");
        assert_eq!(world.verdict("accounts"), "drifted");
        repaired(&world, "accounts", &wrong);
        let lines = world.changed_rows("accounts").lines().count();
        assert_eq!(lines, 2 * wrong.len());
        for row in &wrong {
            let is = world.read("accounts", &row.key, Level::Eventual).data.unwrap();
            assert_eq!(serde_json::to_value(is).ok(), row.expected);
        }
    }
}
