//! What readers of the demo get: while a projector is dead, with the token of their own write, and in SQL.
//!
//! The faults themselves are in [`super::story`].
use super::{
    shop::{FRESH_ORDER, FRESH_TOTAL},
    story::{KILLED_MODEL, Observed, Stage},
};
use crate::output::{Document, Failure, at, count, text, thousands};
use evenkeel::core::json::Value;
use serde_json::json;

impl Stage<'_> {
    /// What readers get while the projector is dead.
    pub(super) fn reads(&self, observed: &mut Observed) -> Result<(), Failure> {
        let eventual = self.row(KILLED_MODEL, &[FRESH_ORDER], "eventual")?;
        let label = eventual.at(&["consistency"]);
        let stale = *at(label, &["data_stale"]) == Value::Bool(true);
        let (freshness, lag) = (text(label, &["freshness"]), thousands(count(label, &["lag_count"])));
        let what = if *eventual.at(&["data"]) == Value::Null { "has no row yet" } else { "has a row" };
        self.narrator.say(format_args!(
            "  read of {FRESH_ORDER} (placed and paid just now), eventual: {what}; labelled data_stale={stale}, \
             {freshness}, {lag} events behind"
        ));
        observed.must(stale, "an eventual read must be labelled stale while the model is behind");
        let strong = self.row(KILLED_MODEL, &[FRESH_ORDER], "strong")?;
        let (status, total) = (text(strong.value(), &["data", "status"]), text(strong.value(), &["data", "total"]));
        let right = status == "paid" && total == FRESH_TOTAL;
        self.narrator.say(format_args!(
            "  read of {FRESH_ORDER}, strong: status {status}, total {total}; {} \
             (the log's tail was folded over the row)",
            if right { "right" } else { "WRONG" },
        ));
        observed
            .must(right, format!("a strong read must be right while the projector is dead; it said {}", strong.text()));
        let (_, is_met) = self.causal(&observed.fresh_tokens, "50")?;
        self.narrator.say(format_args!(
            "  read of {FRESH_ORDER} with the token of that write, causal, 50 ms: {}",
            if is_met { "answered, WRONG" } else { "refused (503 not-met), rather than without it" },
        ));
        observed.must(!is_met, "a causal read must not be answered without what its token covers");
        self.sales("eventual", observed)
    }

    /// The read of whoever wrote: it waits for the projector to reach that, and no longer.
    pub(super) fn own_write(&self, observed: &mut Observed) -> Result<(), Failure> {
        let (answer, is_met) = self.causal(&observed.fresh_tokens, "10000")?;
        let (status, waited) = (text(answer.value(), &["data", "status"]), answer.at(&["consistency"]));
        let right = is_met && status == "paid";
        self.narrator.say(format_args!(
            "  read of {FRESH_ORDER} with the token of that write, causal: status {status}, {}, after {} ms of waiting",
            if right { "right" } else { "WRONG" },
            count(waited, &["waited_ms"]),
        ));
        observed.must(right, format!("a causal read must have its own write; it said {}", answer.text()));
        Ok(())
    }

    fn causal(&self, tokens: &str, budget_ms: &str) -> Result<(Document, bool), Failure> {
        let query = [("level", "causal".into()), ("token", tokens.into()), ("budget_ms", budget_ms.into())];
        self.client.get_unless("not-met", &format!("/v1/models/{KILLED_MODEL}/rows/{FRESH_ORDER}"), &query)
    }

    /// The view of the example, in SQL.
    pub(super) fn sales(&self, level: &str, observed: &mut Observed) -> Result<(), Failure> {
        let sql = json!({"sql": "SELECT * FROM sales_by_currency ORDER BY currency"});
        let answer = self.client.post(&format!("/v1/query?level={level}&budget_ms=10000"), &sql)?;
        let shown = |row: &Value| format!("{} orders in {}", count(row, &["orders"]), text(row, &["currency"]));
        let rows: Vec<_> = answer.items("rows").iter().map(shown).collect();
        let label = answer.at(&["consistency"]);
        let stale = *at(label, &["data_stale"]) == Value::Bool(true);
        self.narrator.say(format_args!(
            "  SELECT * FROM sales_by_currency, {level}: {}; labelled data_stale={stale}",
            rows.join(", ")
        ));
        let served = text(label, &["level_served"]);
        observed.must(
            served == level && (level != "strong" || !stale),
            format!("SQL must be served {level}; it was {served}"),
        );
        observed.must(level != "eventual" || stale, "SQL over a model that is behind must be labelled stale");
        Ok(())
    }
}
