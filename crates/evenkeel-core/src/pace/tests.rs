//! Models that call for a reconciliation whenever they like, and how often they get one.
use super::*;
use proptest::prelude::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How long after the last one ended the next is called for, how long it takes, whether it is a rebuild and helps.
type Call = (u64, u64, bool, bool);

/// Does what is called for as soon as it may be done.
fn run(limits: &Limits, calls: &[Call]) -> Vec<Run> {
    let (mut pace, mut runs, mut now) = (Pace::default(), Vec::new(), Duration::ZERO);
    for &(after, takes, rebuilt, helped) in calls {
        now += ms(after);
        while let Some(wait) = pace.wait(limits, now, rebuilt) {
            let until = wait.until.unwrap();
            assert!(until > now, "what is waited for lies ahead");
            // Until then nothing may begin.
            assert!(pace.wait(limits, until - ms(1), rebuilt).is_some());
            now = until;
        }
        let run = Run { began: now, ended: now + ms(takes), rebuilt, helped };
        pace.ran(run);
        runs.push(run);
        now = run.ended;
    }
    runs
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let after = prop_oneof![Just(0), 0..5_000u64, 0..2_000_000u64];
    let takes = prop_oneof![1..50u64, 1..120_000u64];
    proptest::collection::vec((after, takes, any::<bool>(), any::<bool>()), 1..120)
}

proptest! {
    #[test]
    fn whatever_calls_there_are_never_more_than_allowed(
        calls in calls(), max_per_hour in 1..20u64, quiet in 0..30_000u64,
    ) {
        let limits = Limits { quiet: ms(quiet), max_per_hour };
        let runs = run(&limits, &calls);
        for (index, run) in runs.iter().enumerate() {
            let within = runs[index..].iter().take_while(|later| later.began < run.began + SPAN).count();
            prop_assert!(within as u64 <= max_per_hour);
        }
        for pair in runs.windows(2) {
            prop_assert!(!pair[0].helped || pair[1].began >= pair[0].ended + limits.quiet);
        }
        let rebuilds: Vec<_> = runs.iter().filter(|run| run.rebuilt).collect();
        for pair in rebuilds.windows(2) {
            let took = pair[0].ended - pair[0].began;
            let rest = (took * REBUILD_SHARE).min(LONGEST_REST);
            prop_assert!(!pair[0].helped || pair[1].began >= pair[0].ended + rest);
        }
    }

    #[test]
    fn who_calls_seldom_never_waits(takes in 1..1000u64, helped in any::<bool>(), rebuilt in any::<bool>()) {
        let limits = Limits { quiet: ms(1000), max_per_hour: 6 };
        let calls = vec![(600_000, takes, rebuilt, helped); 50];
        for (index, run) in run(&limits, &calls).iter().enumerate() {
            let called = 600_000 * (index as u64 + 1) + takes * index as u64;
            prop_assert_eq!(run.began, ms(called));
        }
    }
}

#[test]
fn each_wait_says_why_and_how_long() {
    let limits = Limits { quiet: ms(1000), max_per_hour: 2 };
    let mut pace = Pace::default();
    let s = Duration::from_secs;
    let wait = |pace: &Pace, now, rebuild| pace.wait(&limits, now, rebuild).map(|wait| (wait.until, wait.why));
    pace.ran(Run { began: s(100), ended: s(130), rebuilt: true, helped: true });
    assert_eq!(wait(&pace, s(130), false), Some((Some(s(131)), Why::Quiet)));
    assert_eq!(wait(&pace, s(131), false), None, "a repair need not wait for what a rebuild took");
    assert_eq!(wait(&pace, s(131), true), Some((Some(s(430)), Why::Rebuilt)));
    pace.ran(Run { began: s(140), ended: s(141), rebuilt: false, helped: false });
    assert_eq!(wait(&pace, s(141), false), Some((Some(s(3700)), Why::TooMany)));
    assert_eq!(wait(&pace, s(3700), false), None);
    let none = Limits { max_per_hour: 0, ..limits };
    assert_eq!(Pace::default().wait(&none, s(9), false), Some(Wait { until: None, why: Why::TooMany }));
}
