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

#[test]
fn which_events_touched_a_row_is_not_believed_from_whoever_changed_it() {
    let world = World::start(Setup::default());
    let stock = "table_id = (SELECT id FROM _ek_tables WHERE model = 'stock' AND role = 'live')";
    let forget = format!("DELETE FROM _ek_touches WHERE {stock};");
    // Alone: no row is wrong, and none is called so.
    world.sqlite3(&forget);
    let row = world.rows("stock").swap_remove(5);
    let key = ["sku", "site"].map(|part| row[part].as_str().unwrap().to_owned());
    assert_eq!(world.strong("stock", &key), Some(row));
    let record = world.engine.reconcile("stock", Some(Method::Repair)).unwrap();
    assert_eq!((record.result.as_str(), record.rows_repaired), ("nothing_to_do", 0));
    // With rows that are gone, noted by triggers: without their events it would seem that there should be none.
    world.sqlite3(&format!("{forget} DELETE FROM stock WHERE sku = '{}';", key[0]));
    let wrong = world.verify("stock", false).wrong;
    assert!(wrong.len() == 5 && wrong.iter().all(|row| row.cause == "lost_row"), "{wrong:?}");
    let record = world.engine.reconcile("stock", Some(Method::Repair)).unwrap();
    assert_eq!((record.result.as_str(), record.rows_repaired), ("converged", wrong.len() as u64));
    assert_eq!((world.verify("stock", true).wrong.len(), world.changed_rows("stock")), (0, String::new()));
}
