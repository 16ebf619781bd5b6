//! The status ladder step by step, and what must never be said whatever is measured.
use super::*;
use crate::{
    checkpoint::Counts,
    ids::{Epoch, Position},
};
use proptest::prelude::*;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1e6) as i64)
}

/// A model over a log in which every event is of a subscribed type, at one second after `START`.
#[derive(Debug, Clone)]
struct Case {
    now: f64,
    head: Option<u64>,
    applied: u64,
    oldest: Option<f64>,
    epochs: (u64, u64),
    outdated: bool,
    worker: Worker,
    verdict: Verdict,
    condemned: bool,
}

const START: f64 = 1_000.0;

impl Case {
    /// `applied` of `head` events at `seconds` after the start; the oldest unapplied is `age` seconds old.
    fn new(seconds: f64, applied: u64, head: u64, age: f64) -> Self {
        let now = START + seconds;
        let oldest = (applied < head).then_some(now - age);
        let verdict = Verdict::Unverified;
        let (epochs, worker) = ((1, 1), Worker::Running);
        Self { now, head: Some(head), applied, oldest, epochs, outdated: false, worker, verdict, condemned: false }
    }

    fn step(&self, monitor: &mut Monitor) -> Report {
        let head = self.head.map(|position| SafeHead {
            position: Position(position),
            epoch: Epoch(self.epochs.1),
            at: at(self.now),
            counts: Default::default(),
            last_event: None,
        });
        let checkpoint = Checkpoint {
            position: Position(self.applied),
            epoch: Some(Epoch(self.epochs.0)),
            counts: Counts { applied: self.applied, ..Counts::default() },
            ..Checkpoint::default()
        };
        monitor.step(&Sample {
            now: at(self.now),
            head: head.as_ref(),
            subscribed: self.head,
            checkpoint: &checkpoint,
            oldest_unapplied: self.oldest.map(at),
            outdated: self.outdated,
            worker: &self.worker,
            content: Content { verdict: self.verdict, ..Content::default() },
            condemned: self.condemned.then_some("past mending"),
        })
    }
}

fn monitor() -> Monitor {
    Monitor::new(Thresholds::default(), None)
}

fn status(monitor: &mut Monitor, seconds: f64, applied: u64, head: u64, age: f64) -> Status {
    Case::new(seconds, applied, head, age).step(monitor).status
}

#[test]
fn an_idle_system_stays_in_sync() {
    let mut monitor = monitor();
    for seconds in 0..10_000 {
        let report = Case::new(f64::from(seconds), 7, 7, 0.0).step(&mut monitor);
        assert_eq!((report.status, report.reason, report.changed), (Status::InSync, None, seconds == 0));
        assert_eq!((report.lag.lag_count, report.lag.lag_seconds, report.eta_seconds), (Some(0), Some(0.0), Some(0.0)));
        assert_eq!(report.staleness_bound_seconds, Some(0.0));
    }
    // The first event after a long rest is not a stall: there was nothing to make progress with.
    assert_eq!(status(&mut monitor, 10_000.0, 7, 8, 0.1), Status::InSync);
}

#[test]
fn an_empty_log_is_in_sync_with_nothing() {
    let report = Case::new(0.0, 0, 0, 0.0).step(&mut monitor());
    assert_eq!((report.status, report.lag.lag_count, report.lag.drift_score), (Status::InSync, Some(0), Some(0.0)));
}

#[test]
fn over_a_target_it_catches_up_until_half_of_it_is_reached() {
    let mut monitor = monitor();
    assert_eq!(status(&mut monitor, 0.0, 0, 100, 1.0), Status::InSync, "at the target is within it");
    assert_eq!(status(&mut monitor, 1.0, 10, 111, 1.0), Status::CatchingUp);
    assert_eq!(status(&mut monitor, 2.0, 20, 110, 1.0), Status::CatchingUp, "90 behind: within the target again");
    assert_eq!(status(&mut monitor, 3.0, 60, 111, 1.0), Status::CatchingUp, "51");
    assert_eq!(status(&mut monitor, 4.0, 61, 111, 1.0), Status::InSync, "50");
    assert_eq!(status(&mut monitor, 5.0, 62, 162, 1.0), Status::InSync, "100: the target holds as before");
    assert_eq!(status(&mut monitor, 6.0, 63, 164, 1.0), Status::CatchingUp);
}

#[test]
fn over_the_target_in_seconds_it_catches_up_too() {
    let mut monitor = monitor();
    assert_eq!(status(&mut monitor, 0.0, 1, 2, 30.0), Status::InSync);
    let report = Case::new(1.0, 2, 3, 30.1).step(&mut monitor);
    assert_eq!((report.status, report.changed), (Status::CatchingUp, true));
    assert_eq!(report.reason.as_deref(), Some("1 events behind, the oldest for 30.1 s"));
    assert_eq!(status(&mut monitor, 2.0, 3, 4, 15.1), Status::CatchingUp);
    assert_eq!(status(&mut monitor, 3.0, 4, 5, 15.0), Status::InSync);
}

#[test]
fn lag_without_progress_is_a_stall_and_progress_ends_it() {
    let mut monitor = monitor();
    assert_eq!(status(&mut monitor, 0.0, 5, 6, 0.0), Status::InSync);
    assert_eq!(status(&mut monitor, 5.0, 5, 9, 5.0), Status::InSync);
    let stalled = Case::new(5.1, 5, 9, 5.1).step(&mut monitor);
    assert_eq!(stalled.status, Status::Stalled);
    assert_eq!(stalled.reason.as_deref(), Some("4 events behind and no progress for 5.1 s"));
    assert_eq!(stalled.eta_seconds, None);
    assert_eq!(status(&mut monitor, 5.2, 6, 9, 5.0), Status::InSync);
}

#[test]
fn a_stall_is_found_though_the_clock_was_set_back() {
    let mut monitor = monitor();
    status(&mut monitor, 500.0, 5, 9, 1.0);
    assert_eq!(status(&mut monitor, 0.0, 5, 9, 1.0), Status::InSync);
    assert_eq!(status(&mut monitor, 5.1, 5, 9, 5.1), Status::Stalled);
}

#[test]
fn a_burst_gives_no_rebuild_and_a_lasting_lag_does() {
    let mut monitor = monitor();
    assert_eq!(status(&mut monitor, 0.0, 0, 100_000, 0.5), Status::CatchingUp);
    assert_eq!(status(&mut monitor, 20.0, 60_000, 100_000, 20.5), Status::CatchingUp);
    assert_eq!(status(&mut monitor, 29.5, 99_000, 100_000, 30.0), Status::CatchingUp, "not longer than the limit");
    let report = Case::new(29.6, 99_001, 100_000, 30.1).step(&mut monitor);
    assert_eq!(report.status, Status::RebuildNeeded);
    assert_eq!(report.reason.as_deref(), Some("999 events behind for 30.1 s, over the replay threshold of 500"));
    assert_eq!(status(&mut monitor, 29.7, 99_500, 100_000, 30.2), Status::CatchingUp, "500 can be replayed");
}

#[test]
fn a_checkpoint_this_log_does_not_know_calls_for_a_rebuild_and_no_distance_is_claimed() {
    let beyond = Case { applied: 9, ..Case::new(1.0, 0, 8, 0.0) };
    let elsewhere = Case { epochs: (1, 2), ..Case::new(1.0, 3, 8, 0.0) };
    for (case, reason) in [
        (beyond, "the checkpoint 9 is beyond the log's head 8"),
        (elsewhere, "the checkpoint is of log epoch 0000000000000001, the log's is 0000000000000002"),
    ] {
        let mut monitor = monitor();
        Case::new(0.0, 3, 3, 0.0).step(&mut monitor);
        let report = case.step(&mut monitor);
        assert_eq!((report.status, report.reason.as_deref()), (Status::RebuildNeeded, Some(reason)));
        assert_eq!(report.lag, Lag { lag_count: None, lag_seconds: None, drift_score: None });
        assert_eq!((report.as_of, report.staleness_bound_seconds, report.eta_seconds), (None, None, None));
        let back = Case::new(2.0, 8, 8, 0.0).step(&mut monitor);
        assert_eq!((back.status, back.staleness_bound_seconds), (Status::InSync, Some(0.0)));
    }
}

#[test]
fn rows_of_another_version_call_for_a_rebuild_and_a_rebuild_at_work_is_recovering() {
    let outdated = Case { outdated: true, ..Case::new(0.0, 3, 3, 0.0) };
    let report = outdated.step(&mut monitor());
    assert_eq!(
        (report.status, report.status.reconciliation()),
        (Status::RebuildNeeded, ReconciliationStatus::RebuildNeeded)
    );
    let at_work = Case { worker: Worker::Reconciling, ..outdated };
    let report = at_work.step(&mut monitor());
    assert_eq!((report.status, report.status.reconciliation()), (Status::Recovering, ReconciliationStatus::Recovering));
}

#[test]
fn a_lost_worker_is_a_stall_even_with_nothing_to_do() {
    let lost = Case { worker: Worker::Lost("it was stopped".into()), ..Case::new(0.0, 3, 3, 0.0) };
    let report = lost.step(&mut monitor());
    assert_eq!((report.status, report.reason.as_deref()), (Status::Stalled, Some("it was stopped")));
    assert_eq!(report.lag.lag_count, Some(0), "what is known is still said");
    let worse = Case { outdated: true, ..lost };
    assert_eq!(worse.step(&mut monitor()).status, Status::RebuildNeeded, "the worst comes first");
}

#[test]
fn a_log_that_cannot_be_read_is_a_stall_and_nothing_is_known() {
    let mut monitor = monitor();
    Case::new(0.0, 3, 3, 0.0).step(&mut monitor);
    Case::new(1.0, 3, 4, 0.0).step(&mut monitor);
    let mut bound = 0.0;
    for seconds in 2..100 {
        let blind = Case { head: None, ..Case::new(f64::from(seconds), 3, 3, 0.0) };
        for worker in [Worker::Running, Worker::Reconciling] {
            let report = Case { worker, ..blind.clone() }.step(&mut monitor);
            assert_eq!((report.status, report.reason.as_deref()), (Status::Stalled, Some("the log cannot be read")));
            assert_eq!(report.lag, Lag::default());
            assert_eq!((report.arrival_rate, report.apply_rate, report.eta_seconds), (None, None, None));
            let grown = report.staleness_bound_seconds.unwrap();
            assert!(grown >= bound + 1.0 || grown == bound, "{grown} after {bound}");
            bound = grown;
        }
    }
    assert_eq!(bound, 98.0, "since the last event known to be unapplied came in, at second 1");
    assert_eq!(status(&mut monitor, 100.0, 3, 5, 0.5), Status::InSync, "it could make no progress meanwhile");
}

#[test]
fn counts_that_are_not_known_are_not_zero() {
    let case = Case::new(0.0, 3, 3, 0.0);
    let head = SafeHead {
        position: Position(3),
        epoch: Epoch(1),
        at: at(case.now),
        counts: Default::default(),
        last_event: None,
    };
    let report = monitor().step(&Sample {
        now: at(case.now),
        head: Some(&head),
        subscribed: None,
        checkpoint: &Checkpoint { position: Position(3), epoch: Some(Epoch(1)), ..Checkpoint::default() },
        oldest_unapplied: None,
        outdated: false,
        worker: &Worker::Running,
        content: Content::default(),
        condemned: None,
    });
    assert_eq!((report.status, report.lag, report.as_of), (Status::Stalled, Lag::default(), None));
}

#[test]
fn more_applied_than_there_is_does_not_wrap_around() {
    let head = SafeHead {
        position: Position(9),
        epoch: Epoch(1),
        at: at(START),
        counts: Default::default(),
        last_event: None,
    };
    let counts = Counts { applied: 3, ignored: 1, parked: 2 };
    let checkpoint = Checkpoint { position: Position(8), epoch: Some(Epoch(1)), counts, ..Checkpoint::default() };
    let sample = |subscribed| Sample {
        now: at(START),
        head: Some(&head),
        subscribed: Some(subscribed),
        checkpoint: &checkpoint,
        oldest_unapplied: None,
        outdated: false,
        worker: &Worker::Running,
        content: Content::default(),
        condemned: None,
    };
    let counts = [4, 6, 7].map(|subscribed| measure(&sample(subscribed)).lag_count);
    assert_eq!(counts, [Some(0), Some(0), Some(1)], "applied, ignored and parked are all reached");
}

#[test]
fn the_age_of_the_oldest_is_unknown_rather_than_zero_and_zero_where_nothing_is_behind() {
    let unknown = Case { oldest: None, ..Case::new(0.0, 3, 5, 0.0) };
    let report = unknown.step(&mut monitor());
    assert_eq!((report.lag.lag_count, report.lag.lag_seconds, report.as_of), (Some(2), None, None));
    // Recorded by a clock that was ahead of what the log's clock says now: no moment before it is proven.
    let ahead = Case { oldest: Some(START + 9.0), ..Case::new(0.0, 3, 5, 0.0) };
    let report = ahead.step(&mut monitor());
    assert_eq!((report.lag.lag_seconds, report.as_of), (Some(0.0), None));
    // An event that came in between reading the head and asking for the oldest.
    let raced = Case { oldest: Some(START - 2.0), ..Case::new(0.0, 3, 3, 0.0) };
    assert_eq!(raced.step(&mut monitor()).lag.lag_seconds, Some(0.0));
}

#[test]
fn what_came_before_the_oldest_unapplied_is_known_to_be_applied() {
    let mut monitor = monitor();
    for seconds in 0..1_000 {
        // Always ten behind, never more than half a second.
        let report =
            Case::new(f64::from(seconds), 100 * seconds as u64, 100 * seconds as u64 + 10, 0.5).step(&mut monitor);
        assert_eq!(report.staleness_bound_seconds, Some(0.5), "a model that keeps up is not called ever more stale");
    }
    // A later sample never takes back what was proven.
    let report = Case::new(1_000.0, 99_900, 100_010, 900.0).step(&mut monitor);
    assert_eq!(report.staleness_bound_seconds, Some(1.5));
}

#[test]
fn what_was_known_before_a_restart_is_known_after_it() {
    let mut monitor = Monitor::new(Thresholds::default(), Some(at(START - 60.0)));
    let report = Case { head: None, ..Case::new(0.0, 3, 3, 0.0) }.step(&mut monitor);
    assert_eq!(report.staleness_bound_seconds, Some(60.0));
}

#[test]
fn an_estimate_is_given_only_where_the_gap_closes() {
    let mut closing = monitor();
    assert_eq!(Case::new(0.0, 0, 1_000, 1.0).step(&mut closing).eta_seconds, None, "no rates yet");
    let report = Case::new(1.0, 300, 1_100, 1.0).step(&mut closing);
    assert_eq!((report.arrival_rate, report.apply_rate, report.eta_seconds), (Some(100.0), Some(300.0), Some(4.0)));
    let stalled = Case::new(6.1, 300, 1_100, 6.0).step(&mut closing);
    assert_eq!((stalled.status, stalled.eta_seconds), (Status::Stalled, None));
    assert!(stalled.apply_rate > stalled.arrival_rate, "the smoothed rates still say otherwise");
    let mut opening = monitor();
    Case::new(0.0, 0, 1_000, 1.0).step(&mut opening);
    let report = Case::new(1.0, 100, 1_100, 1.0).step(&mut opening);
    assert_eq!((report.arrival_rate, report.apply_rate, report.eta_seconds), (Some(100.0), Some(100.0), None));
}

#[test]
fn rates_follow_what_happens_and_start_anew_with_another_table_or_clock() {
    let mut monitor = monitor();
    Case::new(0.0, 0, 0, 0.0).step(&mut monitor);
    for seconds in 1..100 {
        let n = 50 * seconds as u64;
        let report = Case::new(f64::from(seconds), n, n, 0.0).step(&mut monitor);
        let (arrival, apply) = (report.arrival_rate.unwrap(), report.apply_rate.unwrap());
        assert!((arrival - 50.0).abs() < 1e-6 && (apply - 50.0).abs() < 1e-6);
    }
    let rebuilt = Case::new(100.0, 10, 5_000, 1.0).step(&mut monitor);
    assert_eq!((rebuilt.arrival_rate, rebuilt.apply_rate), (None, None));
    let set_back = Case::new(50.0, 20, 5_000, 1.0).step(&mut monitor);
    assert_eq!(set_back.arrival_rate, None);
    let report = Case::new(51.0, 30, 5_000, 1.0).step(&mut monitor);
    assert_eq!((report.arrival_rate, report.apply_rate), (Some(0.0), Some(10.0)));
}

#[test]
fn the_five_map_onto_the_three() {
    use ReconciliationStatus as R;
    let three = Status::ALL.iter().map(|status| status.reconciliation()).collect::<Vec<_>>();
    assert_eq!(three, [R::InSync, R::Recovering, R::Recovering, R::Recovering, R::RebuildNeeded]);
    assert!(Status::ALL.is_sorted(), "best first");
}

fn worker() -> impl Strategy<Value = Worker> {
    prop_oneof![4 => Just(Worker::Running), 1 => Just(Worker::Reconciling), 1 => Just(Worker::Lost("gone".into()))]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![6 => Just(Verdict::Verified), 1 => Just(Verdict::Suspect), 1 => Just(Verdict::Drifted)]
}

fn case() -> impl Strategy<Value = Case> {
    let head = prop::option::weighted(0.9, prop_oneof![0u64..20, 0u64..2_000, Just(u64::MAX)]);
    let oldest = prop::option::weighted(0.8, 0.0..2_000.0);
    (0.0..2_000.0, head, prop_oneof![0u64..20, 0u64..2_000], oldest, 1u64..3, any::<bool>(), worker(), verdict())
        .prop_map(|(now, head, applied, oldest, epoch, outdated, worker, verdict)| Case {
            now,
            head,
            applied,
            oldest,
            epochs: (epoch, 1),
            outdated,
            worker,
            verdict,
            condemned: outdated,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_ever_negative_or_claimed_without_ground(cases in prop::collection::vec(case(), 1..20)) {
        let mut monitor = monitor();
        let mut before: Option<Status> = None;
        for case in cases {
            let report = case.step(&mut monitor);
            let lag = report.lag;
            let known = case.head.is_some_and(|head| case.epochs.0 == case.epochs.1 && case.applied <= head);
            prop_assert_eq!(lag.lag_count, case.head.filter(|_| known).map(|head| head - case.applied));
            prop_assert_eq!(lag.drift_score.is_some(), known);
            for number in [lag.lag_seconds, lag.drift_score, report.staleness_bound_seconds, report.arrival_rate,
                report.apply_rate, report.eta_seconds].into_iter().flatten() {
                prop_assert!(number >= 0.0 && number.is_finite(), "{}", number);
            }
            prop_assert!(lag.drift_score.is_none_or(|score| score <= 1.0));
            prop_assert!(known || (lag.lag_seconds.is_none() && report.eta_seconds.is_none()));
            prop_assert!(known || report.status != Status::InSync, "unknown is never in sync");
            prop_assert_eq!(report.reason.is_none(), report.status == Status::InSync);
            prop_assert_eq!(report.changed, before != Some(report.status));
            prop_assert_eq!(monitor.status(), Some(report.status));
            before = Some(report.status);
        }
    }

    /// However a model is worked on, it ends in sync once everything is applied.
    #[test]
    fn everything_applied_and_all_well_is_in_sync(cases in prop::collection::vec(case(), 0..20), head in 0u64..2_000) {
        let mut monitor = monitor();
        for case in cases {
            case.step(&mut monitor);
        }
        prop_assert_eq!(status(&mut monitor, 5_000.0, head, head, 0.0), Status::InSync);
    }
}

#[test]
fn rows_known_to_be_wrong_are_never_in_sync() {
    for (verdict, condemned, status) in [
        (Verdict::Verified, false, Status::InSync),
        (Verdict::Unverified, false, Status::InSync),
        (Verdict::Suspect, false, Status::Stalled),
        (Verdict::Drifted, false, Status::Stalled),
        (Verdict::Drifted, true, Status::RebuildNeeded),
        (Verdict::Verified, true, Status::RebuildNeeded),
    ] {
        let report = Case { verdict, condemned, ..Case::new(1.0, 7, 7, 0.0) }.step(&mut monitor());
        assert_eq!((report.status, report.reason.is_some()), (status, status != Status::InSync));
        assert_eq!(report.lag.lag_count, Some(0));
    }
}
