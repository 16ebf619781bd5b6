//! What a changed contract does to an event that was judged before.
//!
//! One event at a time, and pure; reading them, and counting, is the runtime's. Against what is in the log is compared, not
//! against what the contract in force would say: what is there is what models were made of.
use crate::{
    examples::{Difference, differ},
    gate::Gate,
};
use evenkeel_core::{
    Draft, Event, EventType,
    intake::Verdict,
    json::Value,
    quarantine::{Reason, Refusal},
};

/// What the changed contract makes of an event that is in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// It is not this contract's, neither before nor now.
    Elsewhere,
    /// The same.
    Same,
    /// Something else; where, and what: `expected` is what is in the log.
    Otherwise(Vec<Difference>),
    /// Nothing: it would be refused.
    Refused(Box<Refusal>),
}

/// A changed contract among all others.
#[derive(Debug, Clone)]
pub struct Changed<'g> {
    gate: &'g Gate,
    contract: EventType,
}

impl<'g> Changed<'g> {
    /// The contract of this name in a gate; `None` where there is none.
    pub fn new(gate: &'g Gate, contract: &str) -> Option<Self> {
        gate.contracts().any(|other| other.name.as_str() == contract).then(|| Self { gate, contract: contract.into() })
    }

    /// The name of the contract.
    pub fn contract(&self) -> &EventType {
        &self.contract
    }

    /// The gate with the contract in it.
    pub fn gate(&self) -> &'g Gate {
        self.gate
    }

    /// Whether it may have to do with an event of this source that was admitted as `event_type`. Who is told no need not
    /// judge it.
    pub fn concerns(&self, source: &str, event_type: &EventType) -> bool {
        let may_take = || {
            let mut versions = self.gate.contracts().filter(|contract| contract.name == self.contract);
            versions.any(|contract| contract.from_source.matches(source))
        };
        *event_type == self.contract || may_take()
    }

    /// What becomes of an event of the log that was sent as `raw`.
    pub fn of_admitted(&self, event: &Event, raw: Vec<u8>) -> Effect {
        match self.gate.decide(raw, None) {
            Ok(decided) => self.compare(event, decided.arrival.verdict),
            Err(unreadable) => self.compare(
                event,
                Verdict::Quarantine(Refusal {
                    reason: Reason::Malformed,
                    detail: unreadable.to_string(),
                    pointer: None,
                    contract: None,
                    subject: None,
                    parks: None,
                }),
            ),
        }
    }

    /// What becomes of an event of the log on which this is the verdict now.
    pub fn compare(&self, event: &Event, verdict: Verdict) -> Effect {
        let was_ours = event.draft.event_type == self.contract;
        match verdict {
            Verdict::Admit(draft) if was_ours || draft.event_type == self.contract => {
                let mut differences = Vec::new();
                differ(Some(&outside(&event.draft)), Some(&outside(&draft)), String::new(), &mut differences);
                if differences.is_empty() { Effect::Same } else { Effect::Otherwise(differences) }
            }
            Verdict::Quarantine(refusal) if was_ours || self.refuses(&refusal) => Effect::Refused(Box::new(refusal)),
            Verdict::Admit(_) | Verdict::Quarantine(_) => Effect::Elsewhere,
        }
    }

    /// Whether an event that waits under `refusal`, and on which this is the verdict now, is this contract's: before, or now.
    pub fn is_about(&self, refusal: &Refusal, verdict: &Verdict) -> bool {
        let now = match verdict {
            Verdict::Admit(draft) => draft.event_type == self.contract,
            Verdict::Quarantine(refusal) => self.refuses(refusal),
        };
        now || self.refuses(refusal)
    }

    fn refuses(&self, refusal: &Refusal) -> bool {
        refusal.contract.as_ref().is_some_and(|contract| contract.name == self.contract)
    }
}

/// What a contract decides of an event, as pointers name it. Its version is not among that: it is what is being changed.
fn outside(draft: &Draft) -> Value {
    let mut members = evenkeel_core::json::Object::default();
    members.insert("type", draft.event_type.as_str().into());
    members.insert("subject", draft.subject.as_str().into());
    members.insert("data", draft.data.clone());
    members.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diagnostic::Files, project};
    use evenkeel_core::{
        Digest, EventId, Position, StreamVersion, Timestamp,
        quarantine::{ContractRef, Reason},
    };

    const ORDER: &str = r#"contract = "order"
version = 1
from = { source = "shop", type = ["Order", "Rush"] }
schema = "any.json"
subject = "/id"
map = [{ from = "/id", to = "id", type = "text" }, { from = "/n", to = "n", type = "i64" }]
invariant = [{ name = "positive", gt = ["/data/n", 0] }]
"#;
    const OTHER: &str = r#"contract = "other"
version = 1
from = { source = "shop", type = "Other" }
schema = "any.json"
subject = "/id"
map = [{ from = "/id", to = "id", type = "text" }]
"#;

    fn files(order: &str, other: &str) -> Files {
        [
            ("evenkeel.toml", "[[source]]\nname = \"shop\"\n"),
            ("contracts/any.json", "{}"),
            ("contracts/order.toml", order),
            ("contracts/other.toml", other),
        ]
        .into_iter()
        .collect()
    }

    fn gate(order: &str, other: &str) -> Gate {
        let files = files(order, other);
        project::gate(&files, &[]).unwrap_or_else(|wrong| panic!("{}", wrong.render(&files, false))).1
    }

    fn raw(event_type: &str, data: &str) -> Vec<u8> {
        format!(r#"{{"specversion":"1.0","id":"1","source":"shop","type":"{event_type}","data":{data}}}"#).into_bytes()
    }

    fn logged(gate: &Gate, raw: &[u8]) -> Event {
        let arrival = gate.decide(raw.to_vec(), None).unwrap().arrival;
        let Verdict::Admit(draft) = arrival.verdict else { panic!("{:?}", arrival.verdict) };
        Event {
            position: Position(1),
            id: EventId::of("shop", "1"),
            source: "shop".into(),
            raw_id: "1".into(),
            stream_version: StreamVersion(1),
            recorded_at: Timestamp::default(),
            digest: Digest::of(raw),
            replica: "a".into(),
            causality: Default::default(),
            draft,
        }
    }

    /// What a change of the contracts does to an event, in words.
    fn effect(order: &str, other: &str, event_type: &str, data: &str) -> String {
        let (before, after) = (gate(ORDER, OTHER), gate(order, other));
        let raw = raw(event_type, data);
        let changed = Changed::new(&after, "order").unwrap();
        let event = logged(&before, &raw);
        assert!(changed.concerns("shop", &event.draft.event_type));
        match changed.of_admitted(&event, raw) {
            Effect::Otherwise(differences) => {
                let shown = |value: &Option<Value>| value.as_ref().map_or("-".into(), ToString::to_string);
                let one = |d: &Difference| format!("{} {}>{}", d.pointer, shown(&d.expected), shown(&d.found));
                differences.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Effect::Refused(refusal) => format!("{} at {:?}", refusal.reason, refusal.pointer.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_in_the_log_is_compared_with_what_it_would_be() {
        let data = r#"{"id":"o","n":5,"m":7}"#;
        assert_eq!(effect(ORDER, OTHER, "Order", data), "Same");
        assert_eq!(effect(&ORDER.replace("version = 1", "version = 2"), OTHER, "Order", data), "Same");
        let renamed = ORDER.replace(r#"{ from = "/n""#, r#"{ from = "/m""#);
        assert_eq!(effect(&renamed, OTHER, "Order", data), "/data/n 5>7");
        let stricter = ORDER.replace(r#"["/data/n", 0]"#, r#"["/data/n", 5]"#);
        assert_eq!(effect(&stricter, OTHER, "Order", data), r#"invariant at "/data/n""#);
        assert_eq!(effect(&stricter, OTHER, "Order", r#"{"id":"o","n":6}"#), "Same");
    }

    #[test]
    fn what_a_contract_lets_go_of_or_takes_over_is_told() {
        let data = r#"{"id":"o","n":5}"#;
        let fewer = ORDER.replace(r#"["Order", "Rush"]"#, r#""Order""#);
        assert_eq!(effect(&fewer, OTHER, "Rush", data), r#"no_contract at "/type""#);
        assert_eq!(effect(&fewer, OTHER, "Other", data), "Elsewhere");
        // What another contract admitted, and would be this one's.
        let more = ORDER.replace(r#""Rush""#, r#""Other""#);
        let less = OTHER.replace(r#""Other""#, r#""Gone""#);
        let taken = effect(&more, &less, "Other", data);
        assert_eq!(taken, r#"/data/n ->5, /type "other">"order""#);
        assert_eq!(effect(&more, &less, "Other", r#"{"id":"o","n":0}"#), r#"invariant at "/data/n""#);
    }

    #[test]
    fn what_waits_is_the_contracts_that_refused_it_or_takes_it() {
        let gate = gate(ORDER, OTHER);
        let changed = Changed::new(&gate, "order").unwrap();
        assert!(Changed::new(&gate, "nobody").is_none() && !changed.concerns("mill", &"other".into()));
        let verdict =
            |event_type: &str| gate.decide(raw(event_type, r#"{"id":"o","n":5}"#), None).unwrap().arrival.verdict;
        let refusal = |contract: Option<&str>| Refusal {
            reason: Reason::NoContract,
            detail: String::new(),
            pointer: None,
            contract: contract.map(|name| ContractRef { name: name.into(), version: 1 }),
            subject: None,
            parks: None,
        };
        assert!(changed.is_about(&refusal(None), &verdict("Order")));
        assert!(changed.is_about(&refusal(Some("order")), &verdict("Unknown")));
        assert!(!changed.is_about(&refusal(None), &verdict("Unknown")));
        assert!(!changed.is_about(&refusal(Some("other")), &verdict("Other")));
    }

    #[test]
    fn a_file_stands_for_the_version_it_says_it_is() {
        let files = files(ORDER, OTHER);
        let changed = project::standing(&files, "new/draft.toml", ORDER.as_bytes()).unwrap();
        assert_eq!((changed.contract.as_str(), changed.path.as_str()), ("order", "contracts/order.toml"));
        assert_eq!(changed.schema, Some(("contracts/any.json".into(), "any.json".into())));
        let second = ORDER.replace("version = 1", "version = 2");
        let added = project::standing(&files, "draft.toml", second.as_bytes()).unwrap();
        assert_eq!(added.path, "contracts/draft.toml");
        assert_eq!(
            project::standing(&files, "x/other.toml", second.as_bytes()).unwrap().path,
            "contracts/other-2.toml"
        );
        assert_eq!(project::standing(&files, "x.toml", b"version = 1"), None);
    }
}
