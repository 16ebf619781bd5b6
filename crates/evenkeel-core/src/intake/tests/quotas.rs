//! What undeclared sources may leave behind: so much of each, so much of all of them, and nothing twice.
use super::{super::*, world::Spec};
use proptest::prelude::*;

fn stranger(id: u8, source: u8, content: u8) -> Arrival {
    let refusal = Refusal {
        reason: Reason::UntrustedSource,
        detail: String::new(),
        pointer: None,
        contract: None,
        subject: None,
        parks: None,
    };
    Arrival { verdict: Verdict::Quarantine(refusal), ..Spec { id, source, content, ..Spec::default() }.arrival(true) }
}

fn over(quota: Quota, arrivals: &[Arrival], facts: &mut Facts) -> Option<(String, u64, bool)> {
    let over = quota.take(arrivals, facts).err()?;
    Some((over.source_name.to_string(), over.limit, over.bound == Bound::AllUndeclared))
}

#[test]
fn each_has_a_quota_and_all_together_have_one() {
    let quota = Quota { per_source: 2, total: 3, ..Quota::default() };
    let mut facts = Facts::default();
    let batch = [stranger(1, 0, 0), stranger(1, 0, 0), stranger(2, 0, 0)];
    assert_eq!(over(quota, &batch, &mut facts), None, "the same one twice needs room once");
    let before = facts.untrusted.clone();
    assert_eq!(over(quota, &[stranger(7, 1, 0), stranger(3, 0, 0)], &mut facts), Some(("source0".into(), 2, false)));
    assert_eq!(facts.untrusted, before, "what is not taken uses nothing up");
    assert_eq!(over(quota, &[stranger(1, 1, 0)], &mut facts), None);
    assert_eq!(over(quota, &[stranger(1, 2, 0)], &mut facts), Some(("source2".into(), 3, true)));
    let declared: Vec<_> = (0..9).map(|id| Spec { id, source: 9, ..Spec::default() }.arrival(id % 2 == 0)).collect();
    assert_eq!(over(quota, &declared, &mut facts), None, "declared sources have none");
}

#[test]
fn what_is_known_needs_no_room_and_other_content_under_its_id_does() {
    let none = Quota { per_source: 0, total: 9, ..Quota::default() };
    let known = stranger(1, 0, 0);
    let place = Place::Quarantine { id: QuarantineId(1), reason: Reason::UntrustedSource };
    let mut facts = Facts { known: [(known.sent.id, vec![(known.sent.digest, place)])].into(), ..Facts::default() };
    assert_eq!(over(none, std::slice::from_ref(&known), &mut facts), None);
    let other = stranger(1, 0, 1);
    assert!(over(none, std::slice::from_ref(&other), &mut facts).is_some());
    // It is no id conflict: that word is for those who are known, and does not count.
    let (writes, _) = admit(Timestamp::from_micros(0), vec![other], Facts { next_entry: 2, ..facts });
    assert_eq!(writes.entries[0].refusal.reason, Reason::UntrustedSource);
}

#[test]
fn what_waits_behind_others_has_a_bound_and_other_keys_go_on() {
    let quota = Quota { held: 2, ..Quota::default() };
    let good = |id, subject| Spec { id, subject, ..Spec::default() }.arrival(false);
    let mut world = super::world::World::default();
    let mut take = |arrivals: Vec<Arrival>| {
        let mut facts = world.facts(&Ask::for_arrivals(&arrivals));
        quota.take(&arrivals, &mut facts).map(|()| {
            let (writes, outcomes) = admit(Timestamp::from_micros(0), arrivals, facts);
            world.write(writes);
            outcomes.len()
        })
    };
    let bad = Spec { id: 1, ..Spec::default() }.arrival(true);
    // Also what the same request parks counts; the same event twice needs room once.
    assert_eq!(take(vec![bad, good(2, 0), good(2, 0)]), Ok(3));
    let full = OverQuota { source_name: "source0".into(), limit: 2, bound: Bound::Held };
    assert_eq!(take(vec![good(5, 1), good(3, 0), good(4, 0)]), Err(full.clone()));
    assert_eq!(take(vec![good(3, 0)]), Ok(1));
    assert_eq!(take(vec![good(4, 0)]), Err(full));
    assert_eq!(take(vec![good(3, 0), good(5, 1)]), Ok(2), "what waits already and what is of another key");
}

proptest! {
    #[test]
    fn however_they_come_no_more_is_taken_than_may(
        batches in prop::collection::vec(prop::collection::vec((0u8..9, 0u8..4, 0u8..2), 1..6), 1..20),
        per_source in 0u64..6,
        total in 0u64..12,
    ) {
        let (quota, mut world) = (Quota { per_source, total, ..Quota::default() }, super::world::World::default());
        for batch in batches {
            let batch: Vec<_> = batch.into_iter().map(|(id, source, content)| stranger(id, source, content)).collect();
            let of = |source: &SourceName| world.entries.values().filter(|entry| entry.source == *source).count() as u64;
            let by_source = batch.iter().map(|arrival| (arrival.sent.source.clone(), of(&arrival.sent.source))).collect();
            let untrusted = Untrusted { by_source, total: world.entries.len() as u64 };
            let mut facts = Facts { untrusted, ..world.facts(&Ask::for_arrivals(&batch)) };
            if quota.take(&batch, &mut facts).is_ok() {
                let (writes, _) = admit(Timestamp::from_micros(0), batch, facts);
                world.write(writes);
            }
            let most = (0..4).map(|n| world.entries.values().filter(|e| e.source == format!("source{n}").as_str().into()).count());
            prop_assert!(most.max().unwrap_or_default() as u64 <= per_source && world.entries.len() as u64 <= total);
        }
    }
}
