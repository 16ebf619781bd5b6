//! What the projector keeps beside the rows is corrupted, and not the rows: sums that are wrong are put right and no row
//! is touched; a checkpoint that was moved back applies events twice.
use super::{
    events::account,
    repaired, strong_reads_are_right,
    ways::Wrong,
    world::{MODELS, Setup, TODAY, World, today},
};
use evenkeel::core::reconciliation::Method;
use serde_json::Value;

#[test]
fn sums_that_are_wrong_are_put_right_and_no_row_is() {
    let world = World::start(Setup::default());
    let of = |model: &str| format!("table_id = (SELECT id FROM _ek_tables WHERE model = '{model}' AND role = 'live')");
    world.sqlite3(&format!(
        "DELETE FROM _ek_windows WHERE window = 3 AND {accounts};
         UPDATE _ek_windows SET sum = (SELECT sum FROM _ek_windows WHERE window = 5) WHERE window = 4 AND {stock};
         DELETE FROM _ek_buckets WHERE page = 7 AND {accounts};
         UPDATE _ek_buckets SET sums = (SELECT sums FROM _ek_buckets WHERE page = 9) WHERE page = 8 AND {stock};",
        accounts = of("accounts"),
        stock = of("stock")
    ));
    for model in MODELS {
        let record = world.engine.reconcile(model, Some(Method::Repair)).unwrap();
        assert_eq!((record.result.as_str(), record.rows_repaired), ("nothing_to_do", 0));
        let drift = world.drift(model);
        assert_eq!((drift.counts.applied, drift.lag_count, drift.content.bad_buckets), (TODAY, Some(0), 0));
        assert_eq!((drift.content.verdict, world.changed_rows(model)), ("verified", String::new()));
    }
}

#[test]
fn a_checkpoint_that_was_moved_back_applies_events_twice() {
    let world = World::start(Setup::default());
    let back = 3;
    world.sqlite3(&format!("UPDATE _ek_tables SET position = position - {back} WHERE model = 'accounts'"));
    let world = world.restart(Setup::default(), |_| {});
    world.settle();
    let mut twice = today().clone();
    (TODAY - back..TODAY).for_each(|n| twice.apply(n));
    let wrong: Vec<Wrong> = (TODAY - back..TODAY)
        .map(|n| n % super::events::ACCOUNTS)
        .map(|i| {
            let (expected, actual): (Option<Value>, _) = (today().account(i), twice.account(i));
            Wrong { key: vec![account(i)], cause: "double_apply", expected, actual }
        })
        .collect();
    strong_reads_are_right(&world, "accounts", &wrong);
    repaired(&world, "accounts", &wrong);
    let drift = world.drift("accounts");
    assert_eq!((drift.counts.applied, drift.lag_count), (TODAY, Some(0)));
    assert_eq!(world.changed_rows("accounts"), "");
    assert_eq!(world.verify("stock", false).wrong, []);
}
