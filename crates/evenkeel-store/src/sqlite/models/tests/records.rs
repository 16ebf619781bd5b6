//! What the records of reconciliations take up: what they say is the conformance suite's.
use crate::{
    Models,
    conformance::records::record,
    sqlite::tests::{foreign, open},
};
use evenkeel_core::{content::Cause, reconciliation::Evidence};
use tempfile::TempDir;

#[test]
fn what_fails_again_for_the_same_rows_keeps_them_once_and_as_long_as_a_record_has_them() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let conn = foreign(&folder, "models.db");
    let kept = || -> i64 { conn.query_row("SELECT count(*) FROM _ek_evidence", [], |row| row.get(0)).unwrap() };
    let rows = |n: i32| {
        let row =
            |key: String| Evidence { key, cause: Cause::ForeignEdit, expected: None, actual: Some(n.to_string()) };
        (0..100).map(|key| row(key.to_string())).collect::<Vec<_>>()
    };
    let models = &*store.models;
    models.keep_records(5);
    // Records without any in between change nothing.
    for found in [rows(1), rows(1), Vec::new(), rows(1), rows(1), rows(1), rows(1), rows(1)] {
        models.record(&record("a", 1), &found).unwrap();
        assert_eq!(kept(), 100);
    }
    models.record(&record("a", 1), &rows(2)).unwrap();
    assert_eq!(kept(), 200);
    models.record(&record("b", 1), &rows(2)).unwrap();
    assert_eq!(kept(), 300, "another model keeps its own");
    for _ in 0..4 {
        models.record(&record("a", 1), &[]).unwrap();
    }
    assert_eq!(kept(), 200, "what no record has any more is gone");
}
