//! The demo's foreign edit: somebody else changes rows with plain SQL, and the node finds, names and mends them.
//!
//! The other faults are in [`super::story`].
use super::{
    senders::TICK,
    shop::{FRESH_ORDER, FRESH_TOTAL, PARKED_ORDER, PARKED_TOTAL},
    story::{Observed, Stage},
};
use crate::output::{Document, Failure, at, cell, count, text};
use evenkeel::core::json::Value;
use evenkeel_store::sqlite::execute_as_stranger;
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long the node may take to mend what was done.
const HEALING: Duration = Duration::from_secs(30);

const FORGED: &str = "0.01";

impl Stage<'_> {
    /// Edits one row of a model behind the node's back and deletes another.
    ///
    /// # Errors
    /// Where the models cannot be edited, or the node cannot be reached.
    pub(super) fn foreign_edit(&self, observed: &mut Observed) -> Result<(), Failure> {
        let sql = format!(
            "BEGIN IMMEDIATE; UPDATE orders SET total = '{FORGED}' WHERE order_id = '{FRESH_ORDER}'; \
             DELETE FROM orders WHERE order_id = '{PARKED_ORDER}'; COMMIT;"
        );
        let before = self.last_reconciliation()?;
        let since = Instant::now();
        execute_as_stranger(self.data, &sql)?;
        self.narrator.say(format_args!(
            "foreign edit: somebody sets the total of {FRESH_ORDER} to {FORGED} with sqlite3, and deletes {PARKED_ORDER}"
        ));
        let eventual = self.row("orders", &[FRESH_ORDER], "eventual")?;
        let verdict = text(eventual.at(&["consistency"]), &["content", "verdict"]).to_owned();
        let total = text(eventual.value(), &["data", "total"]).to_owned();
        self.narrator.say(format_args!("  read of {FRESH_ORDER}, eventual: total {total}; labelled content {verdict}"));
        // It may have been mended already; what must never be is the forged row with a good name.
        let is_warned_of = ["suspect", "drifted"].contains(&verdict.as_str());
        observed.must(total == FRESH_TOTAL || is_warned_of, "a forged row must not be called right, at once");
        for (order, right) in [(FRESH_ORDER, FRESH_TOTAL), (PARKED_ORDER, PARKED_TOTAL)] {
            let strong = self.row("orders", &[order], "strong")?;
            let total = text(strong.value(), &["data", "total"]).to_owned();
            observed.must(total == right, format!("a strong read of {order} must say {right}, and says {total:?}"));
        }
        self.narrator.say(format_args!("  read of both, strong: as the log says"));
        let Some(record) = self.wait_for_repair(before, observed)? else { return Ok(()) };
        let rows = count(record.value(), &["rows_repaired"]);
        self.narrator.say(format_args!("  found and repaired: {rows} rows in {:.2} s", since.elapsed().as_secs_f64()));
        for row in record.items("evidence") {
            self.narrator.say(format_args!(
                "    {}: {}; the log says total {}, the table had {}",
                text(row, &["key"]),
                text(row, &["cause"]),
                cell(at(row, &["expected", "total"])),
                if *at(row, &["actual"]) == Value::Null {
                    "no row".into()
                } else {
                    cell(at(row, &["actual", "total"]))
                },
            ));
        }
        let mut causes: Vec<_> = record.items("evidence").iter().map(|row| text(row, &["cause"])).collect();
        causes.sort_unstable();
        observed.must(
            rows == 2 && causes == ["foreign_edit", "lost_row"],
            format!("exactly the two rows must be repaired, and were {causes:?}"),
        );
        observed.healed.push("rows that somebody else edited and deleted: named, repaired, kept as evidence".into());
        Ok(())
    }

    fn last_reconciliation(&self) -> Result<u64, Failure> {
        let latest = self.client.get("/v1/reconciliations", &[("limit", "1".into())])?;
        Ok(latest.items("reconciliations").first().map_or(0, |record| count(record, &["id"])))
    }

    /// The record of the repair, with its evidence.
    fn wait_for_repair(&self, before: u64, observed: &mut Observed) -> Result<Option<Document>, Failure> {
        let since = Instant::now();
        loop {
            let latest = self.client.get("/v1/reconciliations", &[("model", "orders".into())])?;
            // It is kept before its end is known, and says so by its result.
            let repair = latest.items("reconciliations").iter().find(|record| {
                count(record, &["id"]) > before
                    && text(record, &["reconciliation_method"]) == "repair"
                    && text(record, &["result"]) == "converged"
            });
            if let Some(record) = repair {
                let path = format!("/v1/reconciliations/{}", count(record, &["id"]));
                return self.client.get(&path, &[]).map(Some);
            }
            if since.elapsed() > HEALING {
                observed.wrong.push("the foreign edit was not found and repaired".into());
                return Ok(None);
            }
            thread::sleep(TICK);
        }
    }
}
