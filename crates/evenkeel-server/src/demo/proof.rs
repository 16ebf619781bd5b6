//! What the node holds in the end, compared with what was sent: event by event, row by row.
//!
//! Nothing here believes a count that the node keeps: the whole log and the whole quarantine are read.
use super::{
    ledger::Ledger,
    shop::{Expect, Plan},
    story::Observed,
};
use crate::{
    client::{Client, encode},
    output::{Failure, at, count, text, thousands},
};
use evenkeel::core::{json::Value, quarantine::Reason};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// Events and entries read at a time.
const PAGE: usize = 5000;

/// Contradictions told one by one.
const TOLD: usize = 20;

/// What was compared, and what did not agree.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Where the events of each source ended.
    pub(super) accounts: Vec<Account>,
    /// What waits or was discarded, by reason.
    pub(super) reasons: BTreeMap<String, u64>,
    /// The models against a fresh fold.
    pub(super) models: Vec<ModelProof>,
    /// Whatever contradicts.
    pub(super) contradictions: Vec<String>,
}

/// Where the events of a source ended. Each is in exactly one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    pub(super) source: String,
    /// Events sent, resent ones included.
    pub(super) received: u64,
    /// In the log.
    pub(super) admitted: u64,
    /// Those of them that waited in quarantine first.
    pub(super) released: u64,
    /// Answered as known already.
    pub(super) duplicate: u64,
    /// Waiting in quarantine.
    pub(super) quarantined: u64,
    /// Given up by a person.
    pub(super) discarded: u64,
}

/// A model against the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ModelProof {
    pub(super) model: String,
    pub(super) rows: u64,
    pub(super) rows_checked: u64,
    pub(super) wrong_rows: u64,
    pub(super) lag_count: Option<i64>,
    pub(super) parked_events: u64,
    pub(super) verdict: String,
}

/// Reads everything the node holds and compares it with what was planned and sent.
///
/// # Errors
/// Where the node cannot be read.
pub(super) fn prove(client: &Client, plan: &Plan, ledger: &Ledger, observed: &Observed) -> Result<Proof, Failure> {
    let mut proof = Proof { contradictions: observed.wrong.clone(), ..Proof::default() };
    proof.contradictions.extend(ledger.surprises());
    let log = read_log(client, &mut proof)?;
    proof.check_log(plan, &log);
    let entries = read_entries(client)?;
    proof.account(plan, ledger, &log, &entries);
    proof.verify(client)?;
    let more = proof.contradictions.len().saturating_sub(TOLD);
    proof.contradictions.truncate(TOLD);
    if more > 0 {
        proof.contradictions.push(format!("and {more} more"));
    }
    Ok(proof)
}

/// Where each event of the log stands, by source and id.
type Positions = HashMap<(String, String), u64>;

fn read_log(client: &Client, proof: &mut Proof) -> Result<Positions, Failure> {
    let mut found = Positions::new();
    let mut last = 0;
    loop {
        let page = client.get("/v1/log", &[("after", last.to_string()), ("limit", PAGE.to_string())])?;
        let events = page.items("events");
        for event in events {
            let position = count(event, &["position"]);
            if position != last + 1 {
                proof.contradictions.push(format!("position {position} follows position {last}"));
            }
            last = position;
            let (source, id) = (text(event, &["source"]).to_owned(), text(event, &["id"]).to_owned());
            if let Some(other) = found.insert((source, id.clone()), position) {
                proof.contradictions.push(format!("event {id} is in the log at {other} and at {position}"));
            }
        }
        if events.len() < PAGE {
            return Ok(found);
        }
    }
}

/// An entry of the gate's quarantine: source, reason, state.
type Entry = (String, String, String);

fn read_entries(client: &Client) -> Result<Vec<Entry>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string())];
        query.extend(after.map(|after| ("after", after)));
        let page = client.get("/v1/quarantine", &query)?;
        // What models park is in the log already.
        let gate = page.items("entries").iter().filter(|entry| text(entry, &["id"]).starts_with("q-"));
        found.extend(gate.map(|entry| {
            let word = |name| text(entry, &[name]).to_owned();
            (word("source"), word("reason"), word("state"))
        }));
        after = page.at(&["next"]).as_str().map(ToOwned::to_owned);
        if after.is_none() {
            return Ok(found);
        }
    }
}

impl Proof {
    /// The log must hold what must be admitted, and nothing else.
    fn check_log(&mut self, plan: &Plan, log: &Positions) {
        let mut expected = 0;
        for sending in plan.sendings() {
            let mut before = 0;
            for planned in sending.events.iter().filter(|planned| ends_in_log(planned.expect)) {
                expected += 1;
                match log.get(&(sending.source.to_owned(), planned.id.clone())) {
                    None => self
                        .contradictions
                        .push(format!("event {} of {} is not in the log", planned.id, sending.source)),
                    // A source sends its events one after the other, and what is released keeps its order.
                    Some(&position) if position <= before => {
                        self.contradictions
                            .push(format!("event {} of {} overtook another", planned.id, sending.source));
                    }
                    Some(&position) => before = position,
                }
            }
        }
        if log.len() != expected {
            self.contradictions.push(format!("the log holds {} events, {expected} were to be admitted", log.len()));
        }
    }

    fn account(&mut self, plan: &Plan, ledger: &Ledger, log: &Positions, entries: &[Entry]) {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        for (source, tally) in ledger.tallies() {
            let account = accounts.entry(source.to_owned()).or_default();
            account.received = tally.sent;
            account.duplicate = tally.duplicate;
        }
        for (source, _) in log.keys() {
            accounts.entry(source.clone()).or_default().admitted += 1;
        }
        for (source, reason, state) in entries {
            let account = accounts.entry(source.clone()).or_default();
            match state.as_str() {
                "admitted" => account.released += 1,
                "discarded" => account.discarded += 1,
                _ => account.quarantined += 1,
            }
            if state != "admitted" {
                *self.reasons.entry(reason.clone()).or_default() += 1;
            }
        }
        for (source, account) in accounts {
            let planned: usize =
                plan.sendings().filter(|sending| sending.source == source).map(|sending| sending.events.len()).sum();
            let ended = account.admitted + account.duplicate + account.quarantined + account.discarded;
            if account.received != planned as u64 || account.received != ended {
                self.contradictions.push(format!(
                    "{source}: {planned} planned, {} sent, {} in the log, {} duplicate, {} in quarantine, {} discarded",
                    account.received, account.admitted, account.duplicate, account.quarantined, account.discarded
                ));
            }
            self.accounts.push(Account { source, ..account });
        }
    }

    /// Every row of every model must be what a fresh fold of the log gives.
    fn verify(&mut self, client: &Client) -> Result<(), Failure> {
        let drift = client.get("/v1/drift", &[])?;
        for model in drift.items("models") {
            let name = text(model, &["model"]);
            let report = client.post(&format!("/v1/models/{}/verify", encode(name)), &json!({"full": true}))?;
            let found = ModelProof::of(name, model, report.value());
            if !found.holds() {
                self.contradictions.push(format!(
                    "{name}: {}, {} wrong rows of {}, {:?} events behind, {} parked",
                    found.verdict, found.wrong_rows, found.rows, found.lag_count, found.parked_events
                ));
            }
            self.models.push(found);
        }
        if self.models.is_empty() {
            self.contradictions.push("there are no models".into());
        }
        Ok(())
    }

    /// Where the events of all sources ended.
    pub(super) fn total(&self) -> Account {
        self.accounts.iter().fold(Account { source: "all".into(), ..Account::default() }, |sum, account| Account {
            received: sum.received + account.received,
            admitted: sum.admitted + account.admitted,
            released: sum.released + account.released,
            duplicate: sum.duplicate + account.duplicate,
            quarantined: sum.quarantined + account.quarantined,
            discarded: sum.discarded + account.discarded,
            ..sum
        })
    }

    /// Whether every model equals a fresh fold.
    pub(super) fn converged(&self) -> bool {
        !self.models.is_empty() && self.models.iter().all(ModelProof::holds)
    }
}

impl ModelProof {
    fn of(name: &str, drift: &Value, report: &Value) -> Self {
        Self {
            model: name.to_owned(),
            rows: count(report, &["rows"]),
            rows_checked: count(report, &["rows_checked"]),
            wrong_rows: count(report, &["wrong_rows"]),
            lag_count: at(drift, &["lag_count"]).as_i64(),
            parked_events: count(drift, &["parked_events"]),
            verdict: text(report, &["verdict"]).to_owned(),
        }
    }

    fn holds(&self) -> bool {
        self.verdict == "verified"
            && self.wrong_rows == 0
            && self.rows_checked == self.rows
            && self.lag_count == Some(0)
            && self.parked_events == 0
    }
}

/// Whether an event of which this is expected is in the log in the end. What was held is released by the story.
fn ends_in_log(expect: Expect) -> bool {
    matches!(expect, Expect::Admit | Expect::Waits | Expect::Mended(_) | Expect::Quarantine(Reason::HeldBehind))
}

impl Account {
    /// As a line of a table.
    pub(super) fn line(&self) -> Vec<String> {
        let numbers = [self.received, self.admitted, self.duplicate, self.quarantined, self.discarded];
        std::iter::once(self.source.clone()).chain(numbers.map(thousands)).collect()
    }
}
