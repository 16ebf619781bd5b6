//! The specification's MUSTs and MUST NOTs, each with a test named after it.
//!
//! The tests use what a user of the project has: an engine over the embedded store and the shop example, and the binary.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod articles;
mod fixture;
mod must;
mod must_not;

/// Every MUST of the specification, in its order.
const MUST: &[&str] = &[
    "measure_drift_before_reconciling",
    "use_crdts_for_mergeable_values",
    "carry_vector_clocks_across_boundaries",
    "check_staleness_on_every_read",
    "map_fields_between_contexts_explicitly",
    "quarantine_what_cannot_be_translated",
    "back_off_exponentially_with_jitter_on_stale_reads",
    "offer_a_strong_read_path",
    "log_every_reconciliation_with_its_fields",
    "resolve_conflicts_deterministically",
];

/// Every MUST NOT of the specification, in its order.
const MUST_NOT: &[&str] = &[
    "let_wall_clocks_decide_the_last_write",
    "bypass_the_anti_corruption_layer",
    "let_stale_reads_pass_in_silence",
    "buffer_events_without_bound",
    "hold_models_together_with_locks",
    "keep_vector_clocks_without_bound",
    "make_crdts_of_nested_objects",
    "assume_exactly_once_delivery",
];

/// The lists and the tests agree.
#[test]
fn every_requirement_is_listed_with_its_test() {
    for (requirements, source) in [(MUST, include_str!("must.rs")), (MUST_NOT, include_str!("must_not.rs"))] {
        let tests: Vec<&str> = source
            .split("#[test]\nfn ")
            .skip(1)
            .filter_map(|rest| rest.split_once("()").map(|(name, _)| name))
            .collect();
        for name in requirements {
            assert!(tests.contains(name), "{name} has no test");
        }
        for test in tests {
            assert!(requirements.contains(&test), "{test} names no requirement");
        }
    }
    assert_eq!((MUST.len(), MUST_NOT.len()), (10, 8));
}
