//! The end of the demo: what went in, where it ended, what was mended, and whether what was derived is true.
//!
//! Finding that out is [`super::proof`]'s.
use super::{
    ledger::Ledger,
    narrator::Narrator,
    proof::{Account, ModelProof, Proof},
    story::Observed,
};
use crate::{
    client::Client,
    output::{Failure, Output, Style, paint, thousands},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the demo comes to.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every model equals a fresh fold of the log.
    pub(super) converged: bool,
    /// Whether every event that was sent is in the one place where it belongs, and everything else was as it must be.
    pub(super) accounted: bool,
    seconds: f64,
    total: Account,
    sources: Vec<Account>,
    /// What waits or was discarded, by reason.
    reasons: BTreeMap<String, u64>,
    healed: Vec<String>,
    models: Vec<ModelProof>,
    contradictions: Vec<String>,
    url: String,
}

impl Report {
    pub(super) fn new(
        client: &Client,
        narrator: &Narrator,
        ledger: &Ledger,
        observed: &Observed,
        proof: Proof,
    ) -> Result<Self, Failure> {
        let total = proof.total();
        let mut contradictions = proof.contradictions.clone();
        if total.received != ledger.sent() {
            contradictions.push(format!("{} events are accounted for, {} were sent", total.received, ledger.sent()));
        }
        narrator
            .say("every row of every model was compared with a fresh fold of the log, every event with what was sent");
        Ok(Self {
            converged: proof.converged(),
            accounted: contradictions.is_empty(),
            seconds: (narrator.elapsed_seconds() * 10.0).round() / 10.0,
            total,
            sources: proof.accounts,
            reasons: proof.reasons,
            healed: observed.healed.clone(),
            models: proof.models,
            contradictions,
            url: client.url().to_owned(),
        })
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub(super) fn print(&self, out: &Output) -> Result<(), Failure> {
        let heading = |text: &str| paint(text, Style::Bold, out.colour());
        out.line(format_args!("\n{}", heading("Where every event ended")))?;
        let lines = self.sources.iter().chain([&self.total]).map(Account::line);
        out.table(&["SOURCE", "RECEIVED", "ADMITTED", "DUPLICATE", "QUARANTINED", "DISCARDED"], lines)?;
        let sum = &self.total;
        out.line(format_args!(
            "{} received = {} admitted ({} of them released from quarantine) \
             + {} duplicate + {} quarantined + {} discarded",
            thousands(sum.received),
            thousands(sum.admitted),
            sum.released,
            thousands(sum.duplicate),
            thousands(sum.quarantined),
            sum.discarded,
        ))?;
        let reasons: Vec<_> = self.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        out.line(format_args!("kept out of the log, with its reason: {}", reasons.join(", ")))?;
        out.line(format_args!("\n{}", heading("What was broken and is mended")))?;
        for healed in &self.healed {
            out.line(format_args!("- {healed}"))?;
        }
        out.line(format_args!("\n{}", heading("The read models against a fresh fold of the log")))?;
        let line = |model: &ModelProof| {
            let lag = model.lag_count.map_or_else(|| "-".into(), |lag| lag.to_string());
            vec![model.model.clone(), thousands(model.rows), thousands(model.wrong_rows), lag, model.verdict.clone()]
        };
        out.table(&["MODEL", "ROWS", "WRONG", "LAG", "VERDICT"], self.models.iter().map(line))?;
        for contradiction in &self.contradictions {
            out.line(format_args!("{} {contradiction}", paint("contradiction:", Style::Bad, out.colour())))?;
        }
        let verdict = match (self.converged, self.accounted) {
            (true, true) => paint(
                "Converged: every row is what the log says, and no event is lost or counted twice.",
                Style::Good,
                out.colour(),
            ),
            (true, false) => paint("Not as it must be: the rows are right, but see above.", Style::Bad, out.colour()),
            (false, _) => paint("Not converged.", Style::Bad, out.colour()),
        };
        out.line(format_args!("\n{verdict} ({:.1} s)", self.seconds))
    }
}
