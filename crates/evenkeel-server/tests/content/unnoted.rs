//! Corruption that no trigger notes: they were dropped first, or switched off by the client that writes. The scrub finds
//! it within the time that is published.
use super::{
    by_key, fresh_events,
    leaky::Fault,
    mislead, named, repaired, strong_reads_are_right,
    ways::{ACCOUNTS, STOCK, Target},
    world::{LONG, Setup, World, eventually},
};
use evenkeel::Options;

/// Rows that are read again a second.
const RATE: u64 = 30_000;

/// How much longer than published it may take on a machine that does much else, with the product not optimised: so
/// many times, and so much.
const SLACK: (f64, f64) = (2.0, 5.0);

const AT: u64 = 1200;

fn without_triggers(target: Target, sql: &str) -> String {
    let drop =
        ["insert", "update", "delete"].map(|event| format!("DROP TRIGGER _ek_watch_{event}_{};\n", target.model));
    drop.concat() + sql
}

/// A client may also switch triggers off for itself.
fn switched_off(sql: &str) -> String {
    format!(".dbconfig enable_trigger off\n{sql}")
}

fn triggers(world: &World) -> String {
    world.sqlite3("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'")
}

/// Waits until the scrub has found something, and requires that that was soon enough.
fn found_in_time(world: &World, target: Target, what: &str) {
    let bound = world.drift(target.model).detection_bound_seconds.unwrap();
    // Drifted where one of the rows was among those that were folded afresh.
    let is_found = || ["suspect", "drifted"].contains(&world.verdict(target.model));
    let took = eventually(what, LONG, is_found).as_secs_f64();
    eprintln!("{what}: {} in {took:.1} s, published {bound:.1} s", world.verdict(target.model));
    assert!(took < bound * SLACK.0 + SLACK.1, "{what}: found in {took:.1} s, published {bound:.1} s");
}

#[test]
fn what_no_trigger_notes_is_found_by_the_scrub_in_the_time_published() {
    let options = Options { scrub_rows_per_second: RATE, ..Setup::default().options };
    let world = World::start(Setup { options, ..Setup::default() });
    let target = ACCOUNTS;
    let ways = [target.edits(AT), target.deletes(AT), target.inserts(AT), target.restores(AT)];
    for (way, number) in ways.into_iter().zip(0..) {
        let is_dropped = number % 2 == 0;
        let sql = if is_dropped { without_triggers(target, &way.sql) } else { switched_off(&way.sql) };
        world.sqlite3(&sql);
        assert_eq!(world.sqlite3("SELECT count(*) FROM _ek_foreign").trim(), "0");
        // Also where the digest of a row does not betray it.
        strong_reads_are_right(&world, target.model, &way.wrong);
        found_in_time(&world, target, way.name);
        strong_reads_are_right(&world, target.model, &way.wrong);
        repaired(&world, target.model, &way.wrong);
        assert_eq!(triggers(&world).trim(), "6", "the triggers are there again");
        assert_eq!(world.changed_rows(target.model), "");
    }
    let events = fresh_events();
    let misled = mislead(&world, &events, &[(target.model, events[10], Fault::Skip)]);
    found_in_time(&world, target, "a skipped event");
    repaired(&world, target.model, &misled[0].1);
}

#[test]
fn a_verification_sees_that_the_triggers_are_gone_and_looks_at_every_row() {
    let world = World::start(Setup::default());
    let target = STOCK;
    let ways = target.ways(AT);
    let sql: String = ways.iter().map(|way| way.sql.as_str()).collect();
    world.sqlite3(&without_triggers(target, &sql));
    for way in &ways {
        strong_reads_are_right(&world, target.model, &way.wrong);
    }
    let wrong: Vec<_> = ways.into_iter().flat_map(|way| way.wrong).collect();
    assert_eq!(named(&world, target.model, false), by_key(wrong.clone()));
    strong_reads_are_right(&world, target.model, &wrong);
    assert_eq!(triggers(&world).trim(), "6", "the triggers are there again");
    repaired(&world, target.model, &wrong);
    assert_eq!(world.changed_rows(target.model), "");
}
