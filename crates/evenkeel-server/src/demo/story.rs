//! The faults of the demo in their order, each shown with the numbers the node gives.
//!
//! Not here: the steady flow of events ([`super::senders`]), what readers get meanwhile ([`super::reading`]), what somebody
//! else does to the rows ([`super::foreign`]), and the proof at the end ([`super::proof`]).
use super::{
    ledger::Ledger,
    narrator::Narrator,
    senders::{Pace, TICK, send, send_all},
    shop::{CHECKOUT, MENDED_ORDER, PARKED_ORDER, PARKED_TOTAL, POISON_KEY, POISON_SUM, Plan},
};
use crate::{
    client::{Client, encode},
    output::{Document, Failure, at, count, number, text, thousands},
};
use evenkeel::core::json::Value;
use serde_json::json;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// When what happens, in shares of the whole time.
const POISON: f64 = 0.08;
const PARKED: f64 = 0.14;
const KILLED: f64 = 0.22;
const LOOKS: [f64; 2] = [0.30, 0.38];
const RESTARTED: f64 = 0.44;
const DOWN: f64 = 0.55;
const STILL_DOWN: f64 = 0.68;
const UP: f64 = 0.75;

/// How long a model may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

/// The model whose projector is killed.
pub(super) const KILLED_MODEL: &str = "orders";

/// What the story plays with.
pub(super) struct Stage<'s> {
    pub(super) narrator: &'s Narrator,
    pub(super) client: &'s Client,
    pub(super) ledger: &'s Ledger,
    pub(super) pace: &'s Pace,
    pub(super) plan: &'s Plan,
    /// The node's data folder, for somebody else to write in.
    pub(super) data: &'s Path,
}

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// What was broken and mended, for the summary.
    pub(super) healed: Vec<String>,
    /// What was not as it must be.
    pub(super) wrong: Vec<String>,
    /// The quarantine entry that keeps the parked order waiting.
    parked_entry: Option<String>,
    /// That of the order which is mended by hand.
    pub(super) mended_entry: Option<String>,
    /// The tokens of the writes of the fresh order.
    pub(super) fresh_tokens: String,
}

impl Observed {
    /// Notes what must be and is not.
    pub(super) fn must(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.wrong.push(what.into());
        }
    }
}

impl Stage<'_> {
    /// Plays the whole story, until every event is sent and every model has caught up.
    ///
    /// # Errors
    /// Where the node cannot be reached, or refuses what it must not refuse.
    pub(super) fn play(&self) -> Result<Observed, Failure> {
        let (down, never) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut observed = Observed::default();
        thread::scope(|scope| {
            let senders: Vec<_> = self
                .plan
                .flow
                .iter()
                .map(|sending| {
                    let down = if sending.source == CHECKOUT { &down } else { &never };
                    scope.spawn(move || {
                        let sent = send_all(self.client, sending, self.pace, down, self.ledger);
                        sent.inspect_err(|_| self.pace.abort())
                    })
                })
                .collect();
            let (sources, events) = (senders.len(), thousands(self.plan.len() as u64));
            self.narrator.say(format_args!("{sources} sources send {events} events, some twice, some broken"));
            let told = self.faults(&down, &mut observed).inspect_err(|_| self.pace.abort());
            down.store(false, Ordering::Relaxed);
            for sender in senders {
                sender.join().map_err(|_| Failure::unreachable("a source of the demo broke down"))??;
            }
            told
        })?;
        self.at_once(&mut observed)?;
        self.too_early(&mut observed)?;
        let sent = thousands(self.ledger.sent());
        self.narrator.say(format_args!("everything is sent: {sent} events, each durably taken and answered"));
        self.decide(&mut observed)?;
        self.mend(&mut observed)?;
        self.what_if(&mut observed)?;
        self.converge(&mut observed)?;
        self.sales("strong", &mut observed)?;
        self.foreign_edit(&mut observed)?;
        self.converge(&mut observed)?;
        Ok(observed)
    }

    fn faults(&self, down: &AtomicBool, observed: &mut Observed) -> Result<(), Failure> {
        self.pace.wait_for(POISON);
        self.poison()?;
        self.pace.wait_for(PARKED);
        self.parked(observed)?;
        self.pace.wait_for(KILLED);
        self.projector_killed(observed)?;
        self.pace.wait_for(RESTARTED);
        self.projector_restarted(observed)?;
        self.pace.wait_for(DOWN);
        self.source_down(down, observed)
    }

    /// An event that every contract admits and no fold can apply.
    fn poison(&self) -> Result<(), Failure> {
        send(self.client, self.plan.poison.source, &self.plan.poison.events, self.ledger)?;
        let key = POISON_KEY.join("/");
        self.narrator.say(format_args!(
            "poison: a delivery of 2^63-1 lamps passes every contract; row {key} of inventory cannot hold it \
             and waits, all other rows go on"
        ));
        Ok(())
    }

    /// A bad event, and good ones of its key behind it.
    fn parked(&self, observed: &mut Observed) -> Result<(), Failure> {
        let sending = &self.plan.parked;
        let answers = send(self.client, sending.source, &sending.events, self.ledger)?.results;
        observed.parked_entry = answers.first().and_then(|answer| answer.quarantine_id.clone());
        let mended = send(self.client, self.plan.mended.source, &self.plan.mended.events, self.ledger)?.results;
        observed.mended_entry = mended.first().and_then(|answer| answer.quarantine_id.clone());
        self.narrator.say(format_args!(
            "bad events: the orders {PARKED_ORDER} and {MENDED_ORDER} come with a total of 0.00 and are quarantined; {} \
             corrections of the first wait behind it, in order",
            sending.events.len() - 1
        ));
        Ok(())
    }

    fn projector_killed(&self, observed: &mut Observed) -> Result<(), Failure> {
        let stop = format!("/v1/models/{KILLED_MODEL}/projector/stop");
        self.client.post(&stop, &json!({"reason": "killed by the demo"}))?;
        self.narrator.say(format_args!("the projector of {KILLED_MODEL} is killed; events keep coming"));
        let mut tokens = Vec::new();
        for sending in &self.plan.fresh {
            tokens.push(send(self.client, sending.source, &sending.events, self.ledger)?.token);
        }
        observed.fresh_tokens = tokens.join(",");
        let mut last = 0;
        for share in LOOKS {
            self.pace.wait_for(share);
            let drift = self.drift(KILLED_MODEL)?;
            let lag = count(&drift, &["lag_count"]);
            self.narrator.say(format_args!(
                "  drift: {KILLED_MODEL} is {} ({}), {} events and {:.1} s behind",
                text(&drift, &["status"]),
                text(&drift, &["reason"]),
                thousands(lag),
                number(&drift, &["lag_seconds"]).unwrap_or_default(),
            ));
            observed.must(
                lag > 0 && lag >= last,
                format!("the lag of {KILLED_MODEL} must not shrink while its projector is dead"),
            );
            observed.must(
                text(&drift, &["status"]) == "stalled",
                format!("{KILLED_MODEL} must be stalled while its projector is dead"),
            );
            last = lag;
        }
        self.reads(observed)
    }

    fn projector_restarted(&self, observed: &mut Observed) -> Result<(), Failure> {
        let behind = self.drift(KILLED_MODEL)?;
        let (lag, head) = (count(&behind, &["lag_count"]), count(&behind, &["head"]));
        let since = Instant::now();
        self.client.post(&format!("/v1/models/{KILLED_MODEL}/projector/start"), &json!({}))?;
        self.own_write(observed)?;
        while count(&self.drift(KILLED_MODEL)?, &["position"]) < head {
            if since.elapsed() > CATCH_UP {
                observed.wrong.push(format!("{KILLED_MODEL} did not catch up within {} s", CATCH_UP.as_secs()));
                return Ok(());
            }
            thread::sleep(TICK);
        }
        let caught_up =
            format!("{} events in {:.2} s, from its checkpoint", thousands(lag), since.elapsed().as_secs_f64());
        self.narrator.say(format_args!("the projector of {KILLED_MODEL} runs again and catches up: {caught_up}"));
        observed.healed.push(format!("a dead projector: caught up {caught_up}"));
        Ok(())
    }

    fn source_down(&self, down: &AtomicBool, observed: &mut Observed) -> Result<(), Failure> {
        down.store(true, Ordering::Relaxed);
        self.narrator.say(format_args!("outage: {CHECKOUT} is cut off; orders go unpaid, everything else goes on"));
        self.pace.wait_for(STILL_DOWN);
        let drift = self.drift(KILLED_MODEL)?;
        self.narrator.say(format_args!(
            "  drift: {KILLED_MODEL} is {}, {} events behind: a silent source is not a lag",
            text(&drift, &["status"]),
            count(&drift, &["lag_count"]),
        ));
        self.pace.wait_for(UP);
        let all =
            self.plan.flow.iter().find(|sending| sending.source == CHECKOUT).map_or(0, |sending| sending.events.len());
        // The fresh payment was sent beside the flow.
        let sent = || self.ledger.sent_by(CHECKOUT).saturating_sub(1);
        let due = self.pace.due(all) as u64;
        let backlog = due.saturating_sub(sent());
        down.store(false, Ordering::Relaxed);
        let since = Instant::now();
        while sent() < due && !self.pace.is_aborted() && since.elapsed() < CATCH_UP {
            thread::sleep(TICK);
        }
        let took =
            format!("{} payments and cancellations in {:.2} s", thousands(backlog), since.elapsed().as_secs_f64());
        self.narrator.say(format_args!("{CHECKOUT} is back and sends its backlog: {took}"));
        observed.must(sent() >= due, format!("{CHECKOUT} did not send its backlog"));
        observed.healed.push(format!("a source that was cut off: backlog of {took}"));
        Ok(())
    }

    /// A person's decisions about what waits.
    fn decide(&self, observed: &mut Observed) -> Result<(), Failure> {
        let word = json!({"author": "demo", "note": "the source has sent corrections"});
        if let Some(id) = observed.parked_entry.clone() {
            let released = count(
                self.client.post(&format!("/v1/quarantine/{}/discard", encode(&id)), &word)?.value(),
                &["released"],
            );
            let total = text(self.row("orders", &[PARKED_ORDER], "strong")?.value(), &["data", "total"]).to_owned();
            self.narrator.say(format_args!(
                "decision: the bad order {PARKED_ORDER} ({id}) is discarded; the {released} corrections behind it \
                 are admitted in order, its total is now {total}"
            ));
            observed.must(
                released == self.plan.parked.events.len() as u64 - 1,
                "the corrections must be released by the discard",
            );
            observed.must(total == PARKED_TOTAL, format!("the last correction must win, and the total is {total:?}"));
            observed
                .healed
                .push(format!("an order stuck behind a bad event: {released} held events released in order"));
        } else {
            observed.wrong.push("the bad order must have an entry in the quarantine".into());
        }
        let poisoned = self.wait_for_poison()?;
        let Some(id) = poisoned else {
            observed.wrong.push("the poison must be parked by inventory".into());
            return Ok(());
        };
        let released =
            count(self.client.post(&format!("/v1/quarantine/{}/discard", encode(&id)), &word)?.value(), &["released"]);
        let on_hand = at(self.row("inventory", &POISON_KEY, "eventual")?.value(), &["data", "on_hand"]).as_i64();
        let shown = on_hand.map_or_else(|| "unknown".into(), |sum| sum.to_string());
        let key = POISON_KEY.join("/");
        self.narrator.say(format_args!(
            "decision: the poison ({id}) is discarded; {released} delivery behind it is applied, \
             {key} holds {shown} lamps"
        ));
        observed.must(on_hand == Some(POISON_SUM), format!("{key} must hold {POISON_SUM} lamps, and holds {shown}"));
        observed
            .healed
            .push(format!("a row stuck behind an event that no fold can apply: {released} held event applied"));
        Ok(())
    }

    /// The entry of the poison, once the projector has come to it.
    fn wait_for_poison(&self) -> Result<Option<String>, Failure> {
        let since = Instant::now();
        loop {
            let found =
                self.client.get("/v1/quarantine", &[("reason", "projection_error".into()), ("limit", "10".into())])?;
            let entry = found.items("entries").iter().find(|entry| text(entry, &["model"]) == "inventory");
            let held =
                self.client.get("/v1/quarantine", &[("reason", "held_behind".into()), ("limit", "10".into())])?;
            let behind = held.items("entries").iter().any(|entry| text(entry, &["model"]) == "inventory");
            if let Some(entry) = entry.filter(|_| behind) {
                return Ok(Some(text(entry, &["id"]).to_owned()));
            }
            if since.elapsed() > CATCH_UP {
                return Ok(None);
            }
            thread::sleep(TICK);
        }
    }

    fn converge(&self, observed: &mut Observed) -> Result<(), Failure> {
        let since = Instant::now();
        loop {
            let drift = self.client.get("/v1/drift", &[])?;
            let current =
                |model: &Value| at(model, &["lag_count"]).as_i64() == Some(0) && text(model, &["status"]) == "in_sync";
            if drift.items("models").iter().all(current) {
                self.narrator.say("every model has caught up with the log, and nothing speaks against a row");
                return Ok(());
            }
            if since.elapsed() > CATCH_UP {
                observed.wrong.push(format!("the models did not catch up within {} s", CATCH_UP.as_secs()));
                return Ok(());
            }
            thread::sleep(TICK);
        }
    }

    fn drift(&self, model: &str) -> Result<Value, Failure> {
        let report = self.client.get("/v1/drift", &[("model", model.into())])?;
        Ok(report.items("models").first().cloned().unwrap_or_default())
    }

    pub(super) fn row(&self, model: &str, key: &[&str], level: &str) -> Result<Document, Failure> {
        let key: String = key.iter().map(|part| format!("/{}", encode(part))).collect();
        let query = [("level", level.to_owned()), ("budget_ms", "10000".to_owned())];
        Ok(self.client.get_unless("no-row", &format!("/v1/models/{model}/rows{key}"), &query)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_follow_each_other_and_end_before_the_flow_does() {
        let shares = [POISON, PARKED, KILLED, LOOKS[0], LOOKS[1], RESTARTED, DOWN, STILL_DOWN, UP];
        assert!(shares.is_sorted() && shares[8] < 1.0);
    }
}
