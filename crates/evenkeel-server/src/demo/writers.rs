//! What becomes of writers of the demo who did not know of each other, and of an event that arrives before what it knew.
//!
//! What they send is in [`super::shop`], the faults are [`super::story`]'s.
use super::{
    senders::{send, send_after},
    shop::{EARLY_ORDER, SHARED_ORDER},
    story::{Observed, Stage},
};
use crate::output::{Document, Failure, at, count, text};
use evenkeel::core::json::Value;

impl Stage<'_> {
    /// An order is paid, and cancelled by somebody who has not seen that: one stands, and the other is on record.
    pub(super) fn at_once(&self, observed: &mut Observed) -> Result<(), Failure> {
        let [placed, writers @ ..] = &self.plan.shared;
        let seen = send(self.client, placed.source, &placed.events, self.ledger)?.token;
        let mut last = String::new();
        for sending in writers {
            last = send_after(self.client, sending.source, &sending.events, Some(&seen), self.ledger)?.token;
        }
        let row = self.written(SHARED_ORDER, &last)?;
        let status = text(row.value(), &["data", "status"]);
        let query = [("model", "orders".into()), ("key", SHARED_ORDER.into()), ("replay", "true".into())];
        let found = self.client.get("/v1/conflicts", &query)?;
        let conflict = found.items("conflicts").first().cloned().unwrap_or_default();
        let side = |name: &str| text(&conflict, &[name, "value"]).to_owned();
        let (winner, loser) = (side("winner"), side("loser"));
        self.narrator.say(format_args!(
            "two writers at once: {SHARED_ORDER} is paid, and cancelled by somebody who has not seen that; {winner:?} stands \
             ({}, {}), {loser:?} is on record ({})",
            text(&conflict, &["relation"]),
            text(&conflict, &["rule"]),
            text(&conflict, &["id"]),
        ));
        observed.must(
            found.items("conflicts").len() == 1 && *at(&conflict, &["replayed"]) == Value::Bool(true),
            format!("the conflict must be on record once, and be decided again alike: {}", found.text()),
        );
        observed.must(
            winner == status && [winner.as_str(), &loser] == ["cancelled", "paid"],
            format!("what stands must be what is on record; the row has {status:?}: {}", found.text()),
        );
        observed.healed.push(format!("two writers at once: {winner:?} stands, {loser:?} is on record"));
        Ok(())
    }

    /// A cancellation arrives before the payment that it knew: it waits for that.
    pub(super) fn too_early(&self, observed: &mut Observed) -> Result<(), Failure> {
        let [cancelled, paid] = &self.plan.early;
        send(self.client, cancelled.source, &cancelled.events, self.ledger)?;
        let waits = self.client.get("/v1/causal", &[])?;
        let waiting = waits.items("waiting").len();
        let last = send(self.client, paid.source, &paid.events, self.ledger)?.token;
        let row = self.written(EARLY_ORDER, &last)?;
        let status = text(row.value(), &["data", "status"]);
        self.narrator.say(format_args!(
            "too early: the cancellation of {EARLY_ORDER} arrives before the payment that it knew, and waits for it; then both \
             are in the log in their order, and the order is {status:?}"
        ));
        let left = count(self.client.get("/v1/accounting", &[])?.value(), &["total", "waiting"]);
        observed.must(
            (waiting, left, status) == (1, 0, "cancelled"),
            format!("one event must wait until what it knew is there: {waiting}, then {left}, and {status:?}"),
        );
        observed.healed.push("an event that arrived before what it knew: it waited for that".into());
        Ok(())
    }

    /// A row with what this token's writes have written.
    fn written(&self, order: &str, token: &str) -> Result<Document, Failure> {
        let query = [("level", "causal".into()), ("token", token.into()), ("budget_ms", "10000".into())];
        self.client.get(&format!("/v1/models/orders/rows/{order}"), &query)
    }
}
