//! What a person does about a bad event of the demo: corrects it, sends it through, and looks where it is from; and what
//! would become of the others under another contract.
//!
//! The faults and the other decisions are [`super::story`]'s.
use super::{
    shop::{MENDED_ORDER, MENDED_TOTAL},
    story::{Observed, Stage},
};
use crate::{
    cli::SHOP_FILES,
    client::encode,
    output::{Failure, at, cell, count, text, thousands},
};
use evenkeel::core::json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// The contract of the orders.
const CONTRACT: &str = "order_created";

impl Stage<'_> {
    /// The bad order is edited and gets in, and each of its fields can say where it is from.
    pub(super) fn mend(&self, observed: &mut Observed) -> Result<(), Failure> {
        let Some(id) = observed.mended_entry.clone() else {
            observed.wrong.push("the order to be mended must have an entry in the quarantine".into());
            return Ok(());
        };
        let edit = json!([{"op": "replace", "path": "/data/total_amount", "value": MENDED_TOTAL}]);
        let word = json!({"edit": edit, "author": "demo", "note": "the total as the shop confirmed it"});
        let answer = self.client.post(&format!("/v1/quarantine/{}/redrive", encode(&id)), &word)?;
        let position = count(answer.value(), &["position"]);
        let total = text(self.row("orders", &[MENDED_ORDER], "strong")?.value(), &["data", "total"]).to_owned();
        self.narrator.say(format_args!(
            "decision: the total of the bad order {MENDED_ORDER} ({id}) is corrected from 0.00 to {MENDED_TOTAL} and it is \
             sent through again: admitted at {}",
            thousands(position)
        ));
        observed.must(
            text(answer.value(), &["state"]) == "admitted" && total == MENDED_TOTAL,
            format!("the corrected order must be admitted with a total of {MENDED_TOTAL}, and has {total:?}"),
        );
        let lineage = self.client.get(&format!("/v1/events/{position}/lineage"), &[])?;
        for field in lineage.items("fields") {
            let from: Vec<_> = at(field, &["from"]).as_array().unwrap_or_default().iter().map(cell).collect();
            let edit = at(field, &["edit"]).as_i64().map_or_else(String::new, |edit| format!(", edit {edit} by demo"));
            let (name, kind) = (text(field, &["field"]), text(field, &["conversion"]));
            self.narrator.say(format_args!("  lineage: {name} is {} ({kind}{edit})", from.join(" and ")));
        }
        let edited = |field: &&Value| at(field, &["edit"]).as_i64() == Some(1);
        let edited: Vec<_> =
            lineage.items("fields").iter().filter(edited).map(|field| text(field, &["field"])).collect();
        observed.must(
            text(lineage.value(), &["quarantine_id"]) == id
                && *lineage.at(&["exact"]) == Value::Bool(true)
                && edited == ["/data/total"],
            format!("the lineage of {position} must name {id} and its edit: {}", lineage.text()),
        );
        observed.healed.push(format!("a bad event: corrected by a person, the original kept beside it ({id})"));
        Ok(())
    }

    /// What would be so if orders of nothing were allowed, before anybody allows them.
    pub(super) fn what_if(&self, observed: &mut Observed) -> Result<(), Failure> {
        let allow = |text: &str| text.replace(r#"gt = ["/data/total", 0]"#, r#"ge = ["/data/total", 0]"#);
        let files: BTreeMap<_, _> = SHOP_FILES.iter().map(|(name, text)| (*name, allow(text))).collect();
        let question = json!({"files": files, "cases": 0});
        let impact = self.client.post(&format!("/v1/contracts/{CONTRACT}/impact"), &question)?;
        let number = |of: &str, name: &str| count(impact.value(), &[of, name]);
        self.narrator.say(format_args!(
            "what if {CONTRACT} allowed a total of 0.00? of {} orders in the log {} would be refused; of {} that wait \
             {} would get in",
            thousands(number("admitted", "judged")),
            thousands(number("admitted", "refused")),
            thousands(number("waiting", "judged")),
            thousands(number("waiting", "would_admit")),
        ));
        observed.must(
            SHOP_FILES.iter().any(|(_, text)| allow(text) != *text),
            format!("the shop's {CONTRACT} must refuse a total of 0.00, or there is nothing to allow"),
        );
        observed.must(
            number("admitted", "judged") > 0 && number("admitted", "same") == number("admitted", "judged"),
            format!("a contract that is relaxed must change nothing that is in the log: {}", impact.text()),
        );
        Ok(())
    }
}
