//! Tests of the intake: named cases here, generated histories in `histories`, persons who decide at the same time in
//! `interleavings`, what writers had seen in `tokens`, all over the fact store in `world`.
mod causal;
mod histories;
mod interleavings;
mod quotas;
mod tokens;
mod world;

use super::*;
use crate::{ids::Subject, json::Patch};
use world::{OnBad, Spec, World, at, decision};

fn good(id: u8, subject: u8) -> Spec {
    Spec { id, subject, ..Spec::default() }
}

fn bad(id: u8, subject: u8) -> Spec {
    Spec { bad: Some(OnBad::Park), ..good(id, subject) }
}

fn halting(id: u8, subject: u8) -> Spec {
    Spec { bad: Some(OnBad::Halt), ..good(id, subject) }
}

fn expecting(spec: Spec, version: u64) -> Spec {
    Spec { expected: Some(version), ..spec }
}

fn q(id: u64) -> QuarantineId {
    QuarantineId(id)
}

fn admitted(position: u64, stream_version: u64) -> Outcome {
    Outcome::Admitted { position: Position(position), stream_version: StreamVersion(stream_version) }
}

fn duplicate(position: u64, stream_version: u64) -> Outcome {
    Outcome::Duplicate { position: Position(position), stream_version: StreamVersion(stream_version) }
}

fn quarantined(id: u64, reason: Reason) -> Outcome {
    Outcome::Quarantined { id: q(id), reason, repeated: false }
}

fn again(id: u64, reason: Reason) -> Outcome {
    Outcome::Quarantined { id: q(id), reason, repeated: true }
}

#[test]
fn positions_follow_the_log_and_versions_their_streams() {
    let mut world = World::default();
    assert_eq!(world.admit(&[good(1, 0), good(2, 1), good(3, 0)]), [admitted(1, 1), admitted(2, 1), admitted(3, 2)]);
    assert_eq!(world.admit(&[good(4, 1)]), [admitted(4, 2)]);
}

#[test]
fn identity_comes_before_an_expected_version() {
    let mut world = World::default();
    assert_eq!(world.admit(&[expecting(good(1, 0), 0)]), [admitted(1, 1)]);
    assert_eq!(world.admit(&[expecting(good(1, 0), 0)]), [duplicate(1, 1)], "the retry of what succeeded");
    let conflict = Outcome::VersionConflict { expected: StreamVersion(0), actual: StreamVersion(1), parked: false };
    assert_eq!(world.admit(&[expecting(good(2, 0), 0)]), [conflict]);
    assert_eq!(world.admit(&[good(2, 0)]), [admitted(2, 2)], "the conflict wrote nothing");
}

#[test]
fn versions_of_one_batch_are_seen_within_it() {
    let mut world = World::default();
    let outcomes = world.admit(&[good(1, 0), expecting(good(2, 0), 1), expecting(good(3, 0), 1)]);
    let conflict = Outcome::VersionConflict { expected: StreamVersion(1), actual: StreamVersion(2), parked: false };
    assert_eq!(outcomes, [admitted(1, 1), admitted(2, 2), conflict]);
}

#[test]
fn a_duplicate_within_one_batch_is_a_duplicate() {
    let mut world = World::default();
    assert_eq!(world.admit(&[good(1, 0), good(1, 0)]), [admitted(1, 1), duplicate(1, 1)]);
    let outcomes = world.admit(&[bad(2, 0), bad(2, 0)]);
    assert_eq!(outcomes, [quarantined(1, Reason::Schema), again(1, Reason::Schema)]);
}

#[test]
fn what_is_resent_is_answered_with_its_entry() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0)]);
    assert_eq!(world.admit(&[bad(1, 0), good(2, 0)]), [again(1, Reason::Schema), again(2, Reason::HeldBehind)]);
    assert_eq!(world.discard(q(1)), Redriven::Discarded);
    assert_eq!(world.admit(&[bad(1, 0)]), [again(1, Reason::Schema)], "discarded stays discarded");
    assert_eq!(world.states(), [State::Discarded, State::Held]);
    world.drain_all(|_| false);
    assert_eq!(world.admit(&[good(2, 0)]), [duplicate(1, 1)], "released: in the log now");
}

#[test]
fn other_content_under_a_known_id_conflicts_and_parks_nothing() {
    let mut world = World::default();
    let other = |id| Spec { content: 1, ..good(id, 0) };
    world.admit(&[good(1, 0)]);
    assert_eq!(world.admit(&[other(1)]), [quarantined(1, Reason::IdConflict)]);
    assert_eq!(world.entries[&q(1)].refusal.parks, None);
    assert_eq!(world.admit(&[other(1), good(1, 0)]), [again(1, Reason::IdConflict), duplicate(1, 1)]);
    assert_eq!(world.admit(&[good(2, 0)]), [admitted(2, 2)], "its key goes on");
    // An identity that waits is as taken as one in the log, and by a bad event as well as by a good one.
    world.admit(&[bad(3, 1)]);
    assert_eq!(world.admit(&[other(3)]), [quarantined(3, Reason::IdConflict)]);
    let worse = Spec { content: 2, bad: Some(OnBad::Halt), ..good(3, 0) };
    assert_eq!(world.admit(&[worse]), [quarantined(4, Reason::IdConflict)]);
    assert_eq!(world.admit(&[good(4, 0)]), [admitted(3, 3)], "nothing was halted");
}

#[test]
fn redriving_an_id_conflict_never_admits_it_and_the_original_is_free_to_go() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), Spec { content: 1, ..good(1, 0) }]);
    assert_eq!(world.redrive(q(2), false), Redriven::Refused(Reason::IdConflict));
    assert_eq!(world.redrive(q(1), false), Redriven::Admitted(Position(1)));
    assert_eq!(world.redrive(q(2), false), Redriven::Refused(Reason::IdConflict));
    assert_eq!(world.states(), [State::Admitted, State::Quarantined]);
}

#[test]
fn an_expected_version_on_a_parked_key_is_refused() {
    let mut world = World::default();
    world.admit(&[good(1, 0), bad(2, 0)]);
    let refused = |actual| Outcome::VersionConflict { expected: StreamVersion(1), actual, parked: true };
    assert_eq!(world.admit(&[expecting(good(3, 0), 1)]), [refused(StreamVersion(1))], "the version itself is right");
    world.admit(&[halting(4, 1)]);
    assert_eq!(world.admit(&[expecting(good(5, 2), 1)]), [refused(StreamVersion(0))], "its source is halted");
    assert_eq!(world.states(), [State::Quarantined, State::Quarantined], "nothing was written");
}

#[test]
fn a_parked_key_holds_its_own_events_only() {
    let mut world = World::default();
    let other_contract = Spec { contract: 1, ..good(4, 0) };
    let outcomes = world.admit(&[bad(1, 0), good(2, 0), good(3, 1), other_contract]);
    let held = quarantined(2, Reason::HeldBehind);
    assert_eq!(outcomes, [quarantined(1, Reason::Schema), held, admitted(1, 1), admitted(2, 1)]);
    assert_eq!(world.entries[&q(2)].refusal.parks, world.entries[&q(1)].refusal.parks);
}

#[test]
fn what_is_skipped_holds_nothing() {
    let mut world = World::default();
    let skipped = Spec { bad: Some(OnBad::Skip), ..good(1, 0) };
    assert_eq!(world.admit(&[skipped, good(2, 0)]), [quarantined(1, Reason::Schema), admitted(1, 1)]);
}

#[test]
fn a_release_drains_in_order_also_in_rounds_and_new_events_wait_meanwhile() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0), good(3, 0), good(4, 0)]);
    let key = world.entries[&q(1)].refusal.parks.clone().unwrap();
    world.discard(q(1));
    world.drain(&key, 2, |_| false);
    assert_eq!(world.raw_ids(), ["2", "3"]);
    assert_eq!(world.admit(&[good(5, 0)]), [quarantined(5, Reason::HeldBehind)], "4 is still before it");
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["2", "3", "4", "5"]);
    assert_eq!(world.admit(&[good(6, 0)]), [admitted(5, 5)]);
}

#[test]
fn a_held_event_that_is_itself_bad_stops_the_release() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0), good(3, 0), good(4, 0)]);
    world.redrive(q(1), false);
    world.drain_all(|spec| spec.id == 3);
    assert_eq!(world.raw_ids(), ["1", "2"]);
    assert_eq!(world.states(), [State::Admitted, State::Admitted, State::Quarantined, State::Held]);
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["1", "2"], "only a person's word moves a quarantined entry");
    world.redrive(q(3), false);
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["1", "2", "3", "4"]);
}

#[test]
fn an_event_that_turns_bad_while_its_source_is_released_parks_its_key_for_those_behind_it() {
    let mut world = World::default();
    world.admit(&[halting(1, 9), good(2, 0), good(3, 0), good(4, 1)]);
    assert_eq!(world.resume(q(1)), Redriven::Refused(Reason::Schema));
    world.drain_all(|spec| spec.id == 2);
    assert_eq!(world.raw_ids(), ["4"], "3 has the key of 2 and waits behind it");
    assert_eq!(world.states()[1..], [State::Quarantined, State::Held, State::Admitted]);
    world.redrive(q(2), false);
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["4", "2", "3"]);

    // The same where a later event has parked the key already.
    let mut world = World::default();
    world.admit(&[halting(1, 9), good(2, 0), good(3, 0), bad(4, 0)]);
    world.resume(q(1));
    world.drain_all(|spec| spec.id == 2);
    assert_eq!(world.states()[1..], [State::Quarantined, State::Held, State::Quarantined]);
}

#[test]
fn of_two_releases_at_once_the_later_sees_what_the_earlier_did() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0), good(3, 0)]);
    let key = world.entries[&q(1)].refusal.parks.clone().unwrap();
    world.discard(q(1));
    let stale = world.judged(&key, 9, |_| false);
    world.drain(&key, 9, |spec| spec.id == 2);
    assert!(!world.release(&key, stale.clone(), 9), "the first of the line waits for a person now");
    world.redrive(q(2), false);
    assert!(world.release(&key, stale, 9), "3 has a verdict and is first");
    assert_eq!(world.raw_ids(), ["2", "3"]);
}

#[test]
fn a_release_does_not_let_in_what_was_judged_before_an_edit() {
    let mut world = World::default();
    world.admit(&[bad(1, 5), bad(2, 0), good(3, 0)]);
    let key = world.entries[&q(3)].refusal.parks.clone().unwrap();
    world.discard(q(2));
    let stale = world.judged(&key, 9, |_| false);
    // Meanwhile it turns out bad, an earlier event is moved into its line, and it waits behind that, edited.
    world.drain(&key, 9, |_| true);
    let moved = Redrive { arrival: bad(1, 0).arrival(true), ..world.again(q(1), true) };
    assert_eq!(world.redrive_as(moved, Some(Patch::default())), Redriven::Refused(Reason::Schema));
    let edited = world.again(q(3), false);
    assert_eq!(world.redrive_as(edited, Some(Patch::default())), Redriven::Refused(Reason::HeldBehind));
    world.discard(q(1));
    assert!(!world.release(&key, stale, 9), "what was judged is not what waits there");
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["3"]);
}

#[test]
fn a_redrive_that_overtakes_waits_behind() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), bad(2, 0), good(3, 0)]);
    assert_eq!(world.redrive(q(2), false), Redriven::Refused(Reason::HeldBehind));
    assert_eq!(world.states(), [State::Quarantined, State::Held, State::Held]);
    assert_eq!(world.redrive(q(2), false), Redriven::NotPossible(State::Held));
    assert_eq!(world.redrive(q(1), false), Redriven::Admitted(Position(1)));
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["1", "2", "3"]);
}

#[test]
fn a_redrive_the_gate_still_refuses_stays_where_it_was() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0)]);
    assert_eq!(world.redrive(q(1), true), Redriven::Refused(Reason::Schema));
    assert_eq!(world.states(), [State::Quarantined, State::Held]);
    assert_eq!(world.entries[&q(1)].decision, Some(decision()));
}

#[test]
fn of_concurrent_decisions_the_first_takes_effect() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), bad(2, 1), bad(3, 2)]);
    assert_eq!(world.redrive(q(1), false), Redriven::Admitted(Position(1)));
    assert_eq!(world.discard(q(1)), Redriven::NotPossible(State::Admitted));
    assert_eq!(world.redrive(q(1), false), Redriven::NotPossible(State::Admitted));
    assert_eq!(world.discard(q(2)), Redriven::Discarded);
    assert_eq!(world.redrive(q(2), false), Redriven::NotPossible(State::Discarded));
    assert_eq!(world.discard(q(2)), Redriven::NotPossible(State::Discarded));
    assert_eq!(world.discard(q(9)), Redriven::Unknown);
    assert_eq!(world.raw_ids(), ["1"]);
}

#[test]
fn a_halted_source_waits_as_a_whole_and_goes_on_when_resumed() {
    let mut world = World::default();
    let stranger = Spec { source: 1, ..good(4, 0) };
    let outcomes = world.admit(&[halting(1, 0), good(2, 1), good(3, 2), stranger]);
    assert_eq!(outcomes[1..], [quarantined(2, Reason::HeldBehind), quarantined(3, Reason::HeldBehind), admitted(1, 1)]);
    world.resume(q(1));
    assert_eq!(world.admit(&[good(5, 1)]), [quarantined(4, Reason::HeldBehind)], "until those before it are out");
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["4", "2", "3", "5"]);
    assert_eq!(world.states()[0], State::Quarantined);
    assert_eq!(world.admit(&[good(6, 1)]), [admitted(5, 3)]);
}

#[test]
fn only_what_halts_a_source_can_be_resumed() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), good(2, 0)]);
    assert_eq!(world.resume(q(1)), Redriven::NotPossible(State::Quarantined));
    assert_eq!(world.resume(q(2)), Redriven::NotPossible(State::Held));
    assert_eq!(world.admit(&[good(3, 0)]), [quarantined(3, Reason::HeldBehind)]);
}

#[test]
fn an_event_released_by_its_source_still_waits_for_its_key() {
    let mut world = World::default();
    world.admit(&[bad(1, 0), halting(2, 9), good(3, 0), good(4, 1)]);
    world.discard(q(2));
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["4"]);
    assert_eq!(world.entries[&q(3)].refusal.parks, world.entries[&q(1)].refusal.parks);
    world.redrive(q(1), false);
    world.drain_all(|_| false);
    assert_eq!(world.raw_ids(), ["4", "1", "3"]);
}

#[test]
fn an_entry_keeps_the_event_whole() {
    let mut world = World::default();
    let spec = bad(1, 0);
    world.admit(std::slice::from_ref(&spec));
    let (entry, sent) = (&world.entries[&q(1)], spec.sent());
    assert_eq!((&entry.raw, entry.event_id, entry.digest), (&sent.raw, sent.id, sent.digest));
    assert_eq!((entry.received_at, entry.position), (at(0), None));
}

#[test]
fn a_store_is_asked_for_each_thing_once_and_in_order() {
    let specs = [good(1, 3), good(2, 0), good(3, 3), bad(4, 7)];
    let arrivals: Vec<_> = specs.iter().map(|spec| spec.arrival(spec.bad.is_some())).collect();
    let ask = Ask::for_arrivals(&arrivals);
    assert_eq!(ask.ids.len(), 4);
    assert_eq!(ask.subjects, [Subject::from("s3"), Subject::from("s0")]);
    assert_eq!(ask.keys.len(), 3, "one source, two subjects: {:?}", ask.keys);
    assert!(ask.entries.is_empty() && ask.line.is_none());
}
