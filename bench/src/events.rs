//! The events that are appended: about 300 bytes of data each, over 100,000 keys that are drawn uniformly.
//!
//! The same numbers give the same events in every run.
use crate::Result;
use evenkeel::{
    contract::project::Project,
    core::intake::{Arrival, Verdict},
    project,
};
use std::{fmt::Write as _, path::PathBuf};

/// How many keys there are.
pub(crate) const KEYS: u64 = 100_000;

/// Who sends.
pub(crate) const SOURCE: &str = "bench.orders";

/// The type that the gate makes of them.
pub(crate) const TYPE: &str = "order_moved";

const STEPS: [&str; 4] = ["placed", "packed", "shipped", "delivered"];
/// A note that brings the data of an event to about 300 bytes.
const NOTE: &str = "Please leave the parcel with the neighbour on the second floor if nobody opens, and do not ring \
                    before nine in the morning. The entrance is behind the bakery.";

/// The project folder of the benchmarks.
pub(crate) fn project_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("project")
}

/// The compiled project of the benchmarks.
pub(crate) fn project() -> Result<Project> {
    Ok(project::load(&project_dir())?.0)
}

/// A stream of events, over again from its seed.
pub(crate) struct Source {
    name: &'static str,
    number: u64,
    random: u64,
}

impl Source {
    /// Events named after `name`, over keys drawn by it.
    pub(crate) fn new(name: &'static str) -> Self {
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { name, number: 0, random: seed }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// All keys below `keys`, every order as likely as any other.
    pub(crate) fn shuffled(&mut self, keys: u64) -> Vec<u64> {
        let mut shuffled: Vec<u64> = (0..keys).collect();
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, (self.draw() % (last as u64 + 1)) as usize);
        }
        shuffled
    }

    /// The next event, of a key drawn at random.
    pub(crate) fn next_event(&mut self) -> Vec<u8> {
        let key = self.draw() % KEYS;
        self.of(key)
    }

    /// The next event, of this key.
    pub(crate) fn of(&mut self, key: u64) -> Vec<u8> {
        let n = self.number;
        self.number += 1;
        let random = self.draw();
        let mut json = String::with_capacity(640);
        let (second, minute, hour, day) = (n % 60, n / 60 % 60, n / 3600 % 24, n / 86_400 % 28 + 1);
        // Writing to a string does not fail.
        let _ = write!(
            json,
            r#"{{"specversion":"1.0","source":"{SOURCE}","id":"{}-{n:08}","type":"OrderMoved","#,
            self.name
        );
        let _ = write!(json, r#""time":"2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z","#);
        let _ = write!(json, r#""data":{{"order_id":"order-{key:07}","customer_ref":"customer-{:06}","#, key / 3);
        let _ = write!(json, r#""step":"{}","quantity":{},"#, STEPS[(random % 4) as usize], random / 4 % 9 + 1);
        let (euros, cents) = (random / 64 % 900 + 1, random / 1_048_576 % 100);
        let _ = write!(json, r#""total_amount":"{euros}.{cents:02}","currency_code":"EUR","note":"{NOTE}"}}}}"#);
        json.into_bytes()
    }

    /// The next event, of this key, with an amount that no invariant allows: it parks the key.
    pub(crate) fn refused_of(&mut self, key: u64) -> Vec<u8> {
        let event = String::from_utf8_lossy(&self.of(key)).replace(r#""total_amount":""#, r#""total_amount":"-"#);
        event.into_bytes()
    }

    /// The next `count` events.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.next_event()).collect()
    }
}

/// The subject of a key.
pub(crate) fn subject(key: u64) -> String {
    format!("order-{key:07}")
}

/// Passes raw events through the gate; all of them are valid.
pub(crate) fn arrivals(project: &Project, events: &[Vec<u8>]) -> Result<Vec<Arrival>> {
    let decide = |raw: &Vec<u8>| {
        let arrival = project.gate.decide(raw.clone(), None)?.arrival;
        match &arrival.verdict {
            Verdict::Admit(_) => Ok(arrival),
            Verdict::Quarantine(refusal) => {
                Err(format!("the gate refuses a benchmark's event: {}", refusal.detail).into())
            }
        }
    };
    events.iter().map(decide).collect()
}
