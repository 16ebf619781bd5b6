//! Measuring two sides in turns, and the table that comes of it.
use crate::Result;
use std::fmt;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// How often each side.
    pub(crate) rounds: usize,
    /// Factor on the numbers of events.
    pub(crate) scale: f64,
    /// Whether the rivals are left out.
    pub(crate) only_ours: bool,
}

impl Plan {
    /// So many events, scaled, in whole batches of `batch`.
    pub(crate) fn events(&self, events: usize, batch: usize) -> usize {
        let wanted = (events as f64 * self.scale) as usize;
        wanted.div_ceil(batch).max(1) * batch
    }

    /// Measures one side and the other in turns, each in events per second.
    pub(crate) fn beside(
        &self,
        mut ours: impl FnMut() -> Result<f64>,
        mut rival: impl FnMut() -> Result<f64>,
    ) -> Result<Pair> {
        let mut pair = Pair::default();
        for _ in 0..self.rounds {
            pair.ours.push(ours()?);
            if !self.only_ours {
                pair.rival.push(rival()?);
            }
        }
        Ok(pair)
    }
}

/// The measurements of two sides, taken in turns.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pair {
    /// Evenkeel's.
    pub(crate) ours: Vec<f64>,
    /// The rival's.
    pub(crate) rival: Vec<f64>,
}

impl Pair {
    /// Evenkeel's by the rival's of the same round.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.rival).map(|(ours, rival)| ours / rival).collect()
    }
}

/// What the numbers of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Events per second: more is better.
    PerSecond,
    /// Milliseconds: less is better.
    Millis,
    /// A number: less is better.
    Count,
}

struct Row {
    what: String,
    beside: String,
    pair: Pair,
    unit: Unit,
    target: Option<f64>,
}

/// Rows of ratios.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a row.
    pub(crate) fn add(&mut self, what: &str, beside: &str, pair: Pair, unit: Unit, target: Option<f64>) {
        let row = Row { what: what.into(), beside: beside.into(), pair, unit, target };
        eprintln!("{row}");
        self.0.push(row);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, beside, pair, unit, target } = self;
        let shown = |value: f64| match unit {
            Unit::PerSecond if value >= 9_950.0 => format!("{:.0} k/s", value / 1e3),
            Unit::PerSecond => format!("{:.1} k/s", value / 1e3),
            Unit::Millis => format!("{value:.2} ms"),
            Unit::Count => format!("{value:.0}"),
        };
        let spread = |values: &[f64], show: &dyn Fn(f64) -> String| match middle(values) {
            Some((low, median, high)) => format!("{} ({}–{})", show(median), show(low), show(high)),
            None => "–".into(),
        };
        let ours = spread(&pair.ours, &shown);
        let rival = spread(&pair.rival, &shown);
        let digits = if *unit == Unit::Count { 3 } else { 2 };
        let ratio = spread(&pair.ratios(), &|ratio| format!("{ratio:.digits$}"));
        let bound = if *unit == Unit::PerSecond { "≥" } else { "≤" };
        let target = target.map_or_else(String::new, |target| format!("{bound} {target}"));
        write!(f, "| {what} | {ours} | {beside} | {rival} | **{ratio}** | {target} |")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| measured | Evenkeel | beside | it | ratio | target |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// The least, the middle and the greatest of some values.
pub(crate) fn middle(values: &[f64]) -> Option<(f64, f64, f64)> {
    Some((percentile(values, 0.0)?, percentile(values, 0.5)?, percentile(values, 1.0)?))
}

/// The value below which `share` of the values lie.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}
