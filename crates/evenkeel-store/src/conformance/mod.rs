//! What every backend must pass: the guarantees of [`Log`] and [`Models`], one case each.
//!
//! A backend's author writes one line, [`conformance_tests!`](crate::conformance_tests), and gets a test for each case.
//! The suite sees a store only through the traits. What they cannot show is the backend's own to test: that an
//! acknowledged write survives a power cut, and what happens when a file is locked, full, broken or opened twice.
//!
//! Cases judge by comparing with what they wrote, and [`random`] by comparing with the reference store under random
//! operations. A case returns a [`Failure`] and never panics, so that it can run anywhere.
//!
//! ```
//! mod memory {
//!     use evenkeel_core::{Epoch, Timestamp};
//!     use evenkeel_store::{conformance::Stores, memory::MemoryStore};
//!     use std::sync::Arc;
//!
//!     fn stores() -> Stores {
//!         let store = MemoryStore::new(Epoch(1), Arc::new(|| Timestamp::from_micros(0)));
//!         Stores::new(store.log, store.models)
//!     }
//!
//!     evenkeel_store::conformance_tests!(stores);
//! }
//! ```
pub mod append;
pub mod builds;
pub mod causal;
pub mod cells;
pub mod conflicts;
pub mod edits;
pub mod fixture;
pub mod identity;
pub mod quarantine;
pub mod queries;
pub mod random;
pub mod raws;
pub mod reading;
pub mod records;
pub mod rows;
pub mod snapshots;
pub mod steps;
pub mod sums;

use crate::{Log, Models, Snapshots, StoreError, memory::MemorySnapshots};
use std::{any::Any, fmt, panic::Location, sync::Arc};

/// The stores under test, empty and nobody else's.
pub struct Stores {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The models.
    pub models: Arc<dyn Models>,
    /// Snapshots of models.
    pub snapshots: Arc<dyn Snapshots>,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Stores {
    /// Two empty stores; snapshots are kept in memory.
    pub fn new(log: Arc<dyn Log>, models: Arc<dyn Models>) -> Self {
        Self { log, models, snapshots: Arc::<MemorySnapshots>::default(), kept: Vec::new() }
    }

    /// With this home of snapshots, which is empty.
    #[must_use]
    pub fn with_snapshots(self, snapshots: Arc<dyn Snapshots>) -> Self {
        Self { snapshots, ..self }
    }

    /// Keeps `thing`, such as a temporary folder, as long as the stores are in use.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send) -> Self {
        self.kept.push(Box::new(thing));
        self
    }
}

/// What a store did that it must not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// A failure that says `what`.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("an operation failed that must not: {error}"))
    }
}

/// The result of a case.
pub type Outcome = Result<(), Failure>;

/// Fails unless `found` is `expected`.
///
/// # Errors
/// Both of them, `what` they are, and the line of the caller.
#[track_caller]
pub fn same<T: PartialEq + fmt::Debug>(what: impl fmt::Display, found: T, expected: T) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(Failure(format!("{}: {what}:\n   found {found:?}\nexpected {expected:?}", Location::caller())))
}

/// Fails unless `holds`.
///
/// # Errors
/// `what` should hold, and the line of the caller.
#[track_caller]
pub fn ensure(holds: bool, what: impl fmt::Display) -> Outcome {
    if holds { Ok(()) } else { Err(Failure(format!("{}: it does not hold that {what}", Location::caller()))) }
}

/// Waits for the threads of a case and fails with the first that failed.
pub(crate) fn join_all<'scope, T: 'scope>(
    threads: impl IntoIterator<Item = std::thread::ScopedJoinHandle<'scope, Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    let joined =
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("a thread panicked"))));
    joined.collect()
}

/// Writes one `#[test]` for each case of [`conformance`](crate::conformance), in a module for each subject.
///
/// The argument is a function or closure of type `Fn() -> Stores` that makes new, empty stores for each case. Call the
/// macro in a module of the backend's name; see there for an example.
#[macro_export]
macro_rules! conformance_tests {
    ($stores:expr) => {
        $crate::__conformance_cases! { __conformance_tests ($stores) }
    };
}

/// The table of cases, handed to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($then:ident $arguments:tt) => {
        $crate::$then! { $arguments
            append {
                concurrent_appends_leave_no_hole
                a_reader_never_misses_an_event
                the_safe_head_never_runs_ahead
                writes_that_leave_a_hole_are_refused_whole
                an_empty_transaction_writes_nothing
                waiting_ends_with_an_append
                waiting_ends_with_its_time
            }
            identity {
                an_identity_is_admitted_once
                an_identity_is_admitted_once_among_concurrent_writers
                other_content_is_an_id_conflict
                an_expected_version_holds_for_one_writer
                facts_are_exact
                facts_and_writes_are_one_transaction
            }
            reading {
                events_come_back_as_they_were
                any_chunking_reads_the_same
                a_read_from_the_middle_goes_on_after_it
                counts_equal_a_recount
                the_oldest_is_of_the_types_asked_for
                events_are_found_by_identity
                streams_and_picks_are_parts_of_the_log
                identities_add_up_by_window
            }
            quarantine {
                entries_come_back_as_they_were
                entries_are_filtered_and_paged
                entries_are_filtered_by_contract_and_time
                a_line_holds_what_waits_for_its_key
                an_interrupted_release_is_found_and_goes_on
                a_decision_takes_effect_once
                a_halted_source_goes_on
                unresolved_entries_are_counted
                books_add_up
            }
            raws {
                what_was_sent_is_kept_with_what_was_made_of_it
                what_was_sent_long_ago_is_forgotten_piece_by_piece
                raw_bodies_of_no_event_are_refused
            }
            causal {
                stamps_grow_and_are_never_given_twice
                what_waits_comes_back_as_it_was
                what_waits_goes_on_in_the_transaction_of_what_it_waited_for
                what_expires_is_recalled_once_what_it_waits_for_was_passed
                what_is_declared_not_to_come_is_passed
                a_decision_that_is_told_more_is_one_transaction
                what_a_writer_had_seen_stays_with_its_event
                events_bear_the_name_of_the_log
            }
            edits {
                edits_are_kept_as_a_chain
                of_what_is_decided_on_one_look_one_thing_takes_effect
                of_decisions_at_once_one_takes_effect
            }
            cells {
                every_type_comes_back_exactly
                text_comes_back_exactly
                decimals_keep_their_digits
                money_keeps_its_currency
                json_keeps_its_numbers
                times_come_back_exactly
                words_of_sql_are_names_like_any_other
            }
            rows {
                rows_come_in_the_order_of_their_keys
                any_page_size_gives_the_same_rows
                keys_of_several_columns_order_by_each
                odd_keys_name_one_row_each
                a_missing_row_is_missing
            }
            queries {
                queries_select_what_they_say
                a_query_sees_one_moment_and_what_is_parked
                a_query_of_another_shape_selects_nothing
                a_query_ends_when_its_time_is_over
            }
            steps {
                a_step_moves_everything_together
                a_step_on_another_generation_writes_nothing
                of_concurrent_writers_one_wins
                readers_see_one_moment
                a_checkpoint_comes_back_as_it_was
                parks_are_written_and_resolved_by_touch
                a_parked_event_counts_once
                what_is_not_there_is_said_to_be_missing
            }
            builds {
                the_live_table_does_not_feel_a_build
                a_swap_replaces_everything
                a_swap_ends_the_steps_of_the_old_table
                discarded_parks_survive_a_swap
                a_new_build_drops_the_last
                an_abandoned_build_is_gone
                a_build_may_have_another_shape
                a_model_keeps_its_schema_when_registered_again
                a_rollback_brings_the_last_table_back
                a_rollback_ends_the_steps_of_the_other_table
                what_was_given_up_is_given_up_after_a_rollback
            }
            records {
                content_and_measures_move_no_generation
                a_doubt_takes_nothing_worse_back
                a_verdict_does_not_take_a_later_doubt_back
                reconciliations_come_newest_first
                models_are_listed_by_name
                models_do_not_feel_each_other
                evidence_is_kept_with_its_record
                what_came_of_it_is_written_into_its_record
                old_records_go_with_their_evidence
                a_lease_has_one_holder
                what_is_condemned_stays_so_until_a_swap
                a_live_table_is_watched
                consumers_are_kept_with_what_they_reported
            }
            conflicts {
                conflicts_are_kept_once_and_found_again
                conflicts_are_recorded_with_their_step
            }
            sums {
                digests_are_those_of_the_rows
                rows_add_up_to_the_buckets
                sums_are_of_what_was_meant
                windows_add_up
                events_are_found_by_the_keys_they_touched
                sums_go_with_their_table
                sums_of_nothing_are_said_to_be_missing
            }
            snapshots {
                frames_come_back_as_they_were_written
                what_is_not_kept_is_not_there
                a_draft_is_read_back_before_it_is_kept
                snapshots_come_newest_first_and_of_one_model
                a_snapshot_replaces_one_of_the_same_position
                a_removed_snapshot_is_gone
                a_frozen_table_is_of_one_moment
                a_frozen_table_is_the_live_one_whole
            }
            random {
                a_log_agrees_with_the_reference
                models_agree_with_the_reference
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (($stores:expr) $($module:ident { $($case:ident)* })*) => {
        $(mod $module {
            #[allow(unused_imports, reason = "a factory given by path needs nothing from outside")]
            use super::*;

            $(#[test]
            fn $case() {
                if let Err(failure) = $crate::conformance::$module::$case(&($stores)()) {
                    panic!("{}::{}: {failure}", stringify!($module), stringify!($case));
                }
            })*
        })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    (() $($module:ident { $($case:ident)* })*) => {
        /// Every case by its name, for those who run them by other means than
        /// [`conformance_tests!`](crate::conformance_tests).
        pub const CASES: &[(&str, fn(&Stores) -> Outcome)] = &[
            $($((concat!(stringify!($module), "::", stringify!($case)), $module::$case),)*)*
        ];
    };
}

__conformance_cases! { __conformance_table () }
