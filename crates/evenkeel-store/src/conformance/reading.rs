//! Cases: what is read of the log is what was written, in any chunks and with any filter.
use super::{
    Failure, Outcome, Stores, ensure,
    fixture::{Sample, at, read_all, take_in, types, whole_stream},
    same,
};
use crate::Log;
use evenkeel_core::{
    Draft, Event, EventId, EventType, Position,
    content::{WINDOW_POSITIONS, Window, identity},
    digest::Sum,
    intake::{Arrival, Verdict},
    json::{self, Object, Value},
};
use std::collections::{BTreeMap, BTreeSet};

/// Thirty events of three types in an irregular order; what the log then holds.
fn fill(log: &dyn Log) -> Result<Vec<Event>, Failure> {
    let kinds = ["order", "order", "stock", "order", "ship", "stock", "order"];
    let samples: Vec<_> = (0..30).map(|n| Sample::new(&n.to_string()).of(kinds[n * n % 7])).collect();
    for (batch, samples) in samples.chunks(4).enumerate() {
        take_in(log, 100 - batch as i64, samples.iter().map(Sample::admitted).collect())?;
    }
    Ok(samples.iter().zip(1..).map(|(sample, n)| sample.event(n, n, 100 - (n as i64 - 1) / 4)).collect())
}

fn parsed(text: &str) -> Result<Value, Failure> {
    json::parse(text.as_bytes()).map_err(Failure::new)
}

/// An event is read as it was appended, whatever is in it.
///
/// # Errors
/// What the store did instead.
pub fn events_come_back_as_they_were(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let data = [
        "null",
        r#"{"amount":9007199254740993.010,"e":1E400,"i":-9223372036854775808,"u":18446744073709551615}"#,
        r#"{"":{"":[[],{},"",0,-1.50e-7,true]},"ключ":"значение","\"":"\\ \u0001 \u2028 '; --"}"#,
        r#""just text""#,
    ];
    let mut extensions = Object::default();
    extensions.insert("traceparent", "00-4bf92f3577b34da6-00".into());
    extensions.insert("n", parsed("3.50")?);
    let mut expected = Vec::new();
    for (n, data) in data.into_iter().enumerate() {
        let odd = format!("odd é\u{301}/%:'\"\n{n}");
        let sample = Sample::new(&odd).from(&format!("urn:{odd}")).of(&format!("type {odd}")).about(&odd);
        let draft = Draft {
            contract_version: u32::MAX - n as u32,
            time: (n > 0).then(|| at(-1_234_567_890_123_457 * n as i64)),
            extensions: if n.is_multiple_of(2) { extensions.clone() } else { Object::default() },
            data: parsed(data)?,
            ..sample.draft()
        };
        let recorded = i64::from(u32::MAX) * 1_000_003 * n as i64;
        take_in(log, recorded, vec![Arrival { verdict: Verdict::Admit(draft.clone()), ..sample.admitted() }])?;
        let event = Event { draft, ..sample.event(n as u64 + 1, 1, recorded) };
        same("the event found", log.find(event.id)?, Some(event.clone()))?;
        expected.push(event);
    }
    let read = read_all(log, Position::ZERO, None, 10)?;
    same("the events read", &read, &expected)?;
    let texts = |events: &[Event]| events.iter().map(|event| event.draft.data.to_string()).collect::<Vec<_>>();
    same("their data as text", texts(&read), texts(&expected))
}

/// Whatever the chunks and the filter, going on from `through` gives every event once, in order.
///
/// # Errors
/// What the store did instead.
pub fn any_chunking_reads_the_same(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let all = fill(log)?;
    let filters: [&[&str]; 6] =
        [&["order"], &["stock", "ship"], &["ship"], &["order", "stock", "ship"], &["never"], &[]];
    for limit in (1..=9).chain([29, 30, 31, 1000]) {
        same(format!("in chunks of {limit}"), read_all(log, Position::ZERO, None, limit)?, all.clone())?;
        for filter in filters.map(types) {
            let expected: Vec<_> = all.iter().filter(|e| filter.contains(&e.draft.event_type)).cloned().collect();
            let read = read_all(log, Position::ZERO, Some(&filter), limit)?;
            same(format!("{filter:?} in chunks of {limit}"), read, expected)?;
        }
    }
    Ok(())
}

/// A read starts after the position it is given, and one at the end of the log gives nothing and stays there.
///
/// # Errors
/// What the store did instead.
pub fn a_read_from_the_middle_goes_on_after_it(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let all = fill(log)?;
    let stock = types(&["stock"]);
    for after in 0..=30 {
        let rest = all.get(after..).unwrap_or_default();
        let position = Position(after as u64);
        same(format!("after {after}"), read_all(log, position, None, 4)?, rest.to_vec())?;
        let of_stock: Vec<_> = rest.iter().filter(|e| stock.contains(&e.draft.event_type)).cloned().collect();
        same(format!("stock after {after}"), read_all(log, position, Some(&stock), 2)?, of_stock)?;
    }
    for filter in [None, Some(&stock)] {
        let slice = log.read(Position(30), filter, 10)?;
        same("a read at the end", (slice.events, slice.through), (Vec::new(), Position(30)))?;
        let slice = log.read(Position(99), filter, 10)?;
        same("events beyond the end", slice.events, Vec::new())?;
        ensure(slice.through >= Position(99), "a read beyond the end does not go back")?;
    }
    Ok(())
}

/// The counts of the safe head are what counting the events gives, by type; what waits does not count.
///
/// # Errors
/// What the store did instead.
pub fn counts_equal_a_recount(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    same("the counts of nothing", log.safe_head()?.counts.values().sum::<u64>(), 0)?;
    let all = fill(log)?;
    take_in(log, 1, vec![Sample::new("waits").of("stock").refused(None), Sample::new("0").of("order").admitted()])?;
    let mut recount: BTreeMap<EventType, u64> = BTreeMap::new();
    for event in &all {
        *recount.entry(event.draft.event_type.clone()).or_default() += 1;
    }
    let head = log.safe_head()?;
    same("the counts", &*head.counts, &recount)?;
    same("the last event", head.last_event, all.last().map(|event| event.id))?;
    same("a count of two types", head.count(&types(&["stock", "ship", "never"])), recount["stock"] + recount["ship"])
}

/// The oldest event is the first in the log after the position, of the types asked for, whatever its recorded time.
///
/// # Errors
/// What the store did instead.
pub fn the_oldest_is_of_the_types_asked_for(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let all = fill(log)?;
    let filters: [&[&str]; 5] = [&["order"], &["ship"], &["stock", "ship"], &["never"], &[]];
    for filter in filters.map(types) {
        for after in 0..=31 {
            let rest = all.get(after..).unwrap_or_default();
            let first = rest.iter().find(|event| filter.contains(&event.draft.event_type));
            let found = log.oldest_after(Position(after as u64), &filter)?;
            same(format!("the oldest of {filter:?} after {after}"), found, first.map(|event| event.recorded_at))?;
        }
    }
    Ok(())
}

/// An admitted event is found by its identity, one that waits or was never sent is not.
///
/// # Errors
/// What the store did instead.
pub fn events_are_found_by_identity(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let all = fill(log)?;
    let waits = Sample::new("waits");
    take_in(log, 1, vec![waits.refused(None)])?;
    for event in all {
        same("the event found", log.find(event.id)?, Some(event))?;
    }
    for id in [waits.id(), EventId::of("shop", "never sent"), EventId([0; 32])] {
        same("what is not in the log", log.find(id)?, None)?;
    }
    let distinct: BTreeSet<_> = read_all(log, Position::ZERO, None, 7)?.iter().map(|event| event.id).collect();
    same("identities in the log", distinct.len(), 30)
}

/// The events of one subject, and those at some positions, are those that a read of everything finds.
///
/// # Errors
/// What the store did instead.
pub fn streams_and_picks_are_parts_of_the_log(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let subjects = ["s", "", "s ", "é/'"];
    let arrivals = (0..40usize).map(|n| {
        let sample = Sample::new(&n.to_string()).of(["order", "stock", "ship"][n * n % 3]);
        sample.about(subjects[n * n * n % 7 % 4]).with(n as i64).admitted()
    });
    for chunk in arrivals.collect::<Vec<_>>().chunks(7) {
        take_in(log, 1, chunk.to_vec())?;
    }
    let all = read_all(log, Position::ZERO, None, 50)?;
    let filters: [&[&str]; 5] = [&["order"], &["stock", "order"], &["never", "ship"], &["order", "ship", "stock"], &[]];
    for filter in filters.map(types) {
        for subject in subjects.into_iter().chain(["S", "nobody"]) {
            for upto in [0, 1, 17, 39, 40, 41, u64::MAX].map(Position) {
                let fits = |event: &&Event| {
                    event.draft.subject.as_str() == subject
                        && filter.contains(&event.draft.event_type)
                        && event.position <= upto
                };
                let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
                for limit in [1, 2, 3, 40, usize::MAX] {
                    let found = whole_stream(log, subject, &filter, upto, limit)?;
                    same(format!("{filter:?} of {subject:?} up to {upto} by {limit}"), found, expected.clone())?;
                }
            }
        }
    }
    let picks: [&[u64]; 6] = [&[], &[1], &[40, 1, 7, 7], &[0, 3, 41, 2, u64::MAX, 40], &[0], &[i64::MAX as u64, 5]];
    for positions in picks {
        let positions: Vec<_> = positions.iter().copied().map(Position).collect();
        let at = |position: &Position| all.iter().find(|event| event.position == *position).cloned();
        same(format!("events at {positions:?}"), log.pick(&positions)?, positions.iter().filter_map(at).collect())?;
    }
    Ok(())
}

/// Sums of identities are those of the events there are, for any types, from any window, up to any position.
///
/// # Errors
/// What the store did instead.
pub fn identities_add_up_by_window(stores: &Stores) -> Outcome {
    let log = &*stores.log;
    let kinds = types(&["order", "stock", "ship"]);
    same("the sums of nothing", log.identities(&kinds, Window(0), Position(u64::MAX))?, Vec::new())?;
    let size = WINDOW_POSITIONS;
    // The second window has no event of type `ship`, and the last one ends with the log.
    let kind = |n: u64| match n {
        _ if n.is_multiple_of(5) => "stock",
        _ if n.is_multiple_of(7) && n / size != 1 => "ship",
        _ => "order",
    };
    let arrivals: Vec<_> = (0..2 * size + 9)
        .map(|n| Sample::new(&n.to_string()).of(kind(n)).about(&(n % 9).to_string()).admitted())
        .collect();
    // Transactions that end before, at and behind the end of a window.
    let mut rest = &arrivals[..];
    for count in [1, size - 2, 1, 1, size - 1, 3, 6] {
        let (now, later) = rest.split_at(count as usize);
        take_in(log, 1, now.to_vec())?;
        rest = later;
    }
    same("arrivals left over", rest.len(), 0)?;
    let all = read_all(log, Position::ZERO, None, 5000)?;
    let filters: [&[&str]; 5] = [&["order"], &["ship"], &["ship", "stock", "never"], &["order", "ship", "stock"], &[]];
    let ends = [0, 1, 2, size - 1, size, size + 1, 2 * size - 1, 2 * size, 2 * size + 1, 2 * size + 9, 2 * size + 10];
    for filter in filters.map(types) {
        for upto in ends.into_iter().chain([3 * size, 3 * size + 1, u64::MAX]).map(Position) {
            let mut sums: BTreeMap<Window, Sum> = BTreeMap::new();
            for event in &all {
                if filter.contains(&event.draft.event_type) && event.position <= upto {
                    sums.entry(Window::of(event.position)).or_default().add(identity(event.id));
                }
            }
            for from in [0, 1, 2, 3, u64::MAX].map(Window) {
                let expected = sums.range(from..).map(|(window, sum)| (*window, *sum)).collect();
                let found = log.identities(&filter, from, upto)?;
                same(format!("the sums of {filter:?} from {from:?} up to {upto}"), found, expected)?;
            }
        }
    }
    Ok(())
}
