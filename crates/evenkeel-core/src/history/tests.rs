//! Histories that keep every guarantee pass; each violation is found and named; time is about linear.
mod reference;
mod seeded;
mod small;

use super::{Checker, HistoryError, Kind, Report};
use proptest::prelude::*;
use reference::{Random, Shape, history};
use serde_json::Value;

/// Checks a history of whole lines.
fn check(lines: &[Value]) -> Result<Report, HistoryError> {
    let mut checker = Checker::default();
    for (number, line) in (1..).zip(lines) {
        checker.line(number, line.to_string().as_bytes())?;
    }
    Ok(checker.finish())
}

fn shape(seed: u64, log: bool) -> Shape {
    let mut random = Random(seed);
    Shape { seed, clients: 1 + random.below(8), keys: 1 + random.below(6), operations: 20 + random.below(150), log }
}

proptest! {
    #[test]
    fn what_a_correct_system_did_passes(seed: u64, log: bool) {
        let lines = history(&shape(seed, log));
        let report = check(&lines).unwrap();
        prop_assert!(report.holds, "{:#?}", report.findings);
    }

    /// Also a history that ends in the middle of everything.
    #[test]
    fn the_beginning_of_a_good_history_passes(seed: u64, share in 0..100_usize) {
        let mut lines = history(&shape(seed, false));
        lines.truncate(lines.len() * share / 100);
        prop_assert!(check(&lines).unwrap().holds);
    }

    #[test]
    fn a_violation_is_found_and_named(seed: u64, kind in prop::sample::select(Kind::ALL)) {
        let mut lines = history(&shape(seed, true));
        let before = check(&lines).unwrap();
        let Some(shown) = seeded::seed(&mut lines, kind, &mut Random(seed ^ 1)) else { return Ok(()) };
        let report = check(&lines).unwrap();
        prop_assert!(before.holds && !report.holds, "nothing was found at line {}", shown + 1);
        let of_kind = report.violations.get(kind.as_str());
        prop_assert!(of_kind.is_some(), "{:#?} at line {}", report.findings, shown + 1);
        prop_assert_eq!(report.violations.values().sum::<u64>(), report.findings.len() as u64);
        let at = |line: u64| lines.get(usize::try_from(line).unwrap() - 1);
        prop_assert!(report.findings.iter().all(|found| !found.lines.is_empty() && found.lines.iter().all(|line| at(*line).is_some())));
        // What only one read shows is found there and nowhere else.
        if matches!(kind, Kind::ReadYourWrites | Kind::MonotonicReads | Kind::StrongRead) {
            let line = shown as u64 + 1;
            let found = report.findings.iter().find(|found| found.kind == kind && found.lines.contains(&line));
            let session = lines[shown]["session"].as_str();
            prop_assert_eq!(found.and_then(|found| found.session.as_deref()), session);
        }
    }

    #[test]
    fn no_line_makes_it_panic(seed: u64, cut in any::<prop::sample::Index>(), garbage in "[ -~]{0,12}") {
        let mut checker = Checker::default();
        for (number, line) in (1..).zip(history(&shape(seed, true))) {
            let mut text = line.to_string();
            text.replace_range(cut.index(text.len()).., &garbage);
            if let Err(error) = checker.line(number, text.as_bytes()) {
                prop_assert!(error.to_string().starts_with(&format!("line {number}: ")), "{}", error);
            }
        }
        checker.finish();
    }
}

/// Each kind can be seeded in most histories, so that the property above is about something.
#[test]
fn most_histories_have_a_place_for_each_violation() {
    for kind in Kind::ALL {
        let seeded = (0..100).filter(|seed| {
            let mut lines = history(&shape(*seed, true));
            seeded::seed(&mut lines, *kind, &mut Random(seed ^ 1)).is_some()
        });
        let count = seeded.count();
        assert!(count > 40, "{kind}: {count}");
    }
}

#[test]
fn time_is_about_linear() {
    let steps = |operations| {
        let lines = history(&Shape { seed: 7, clients: 40, keys: 5, operations, log: true });
        let report = check(&lines).unwrap();
        assert!(report.holds);
        (report.steps as f64 / lines.len() as f64, lines.len())
    };
    let ((few, _), (many, lines)) = (steps(500), steps(16_000));
    // Of 32 times as many lines each costs a few comparisons more, as in a binary search.
    assert!(lines > 30_000 && many < few + 16.0 && many < 40.0, "{few} and {many} steps a line");
}
