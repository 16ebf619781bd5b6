//! Where each field of a translated event came from: which places of which raw event, under which contract.
//!
//! Told again from the raw bytes by the contract that decides about them now; an event that was admitted under another
//! version may have another lineage. Which edit made the bytes is the quarantine's to say.
use crate::{
    contract::{Contract, Each, Field, FieldType, RawAttribute, Upcast, ValueSource},
    envelope::RawEvent,
    gate::Gate,
    mapping, place,
};
use evenkeel_core::{
    EventId,
    json::{Pointer, Value},
    quarantine::{ContractRef, Refusal},
};

/// The lineage of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Lineage {
    /// The event's identity.
    pub event_id: EventId,
    /// The contracts it went through: the one that decided, and those that made it into later versions.
    pub contracts: Vec<ContractRef>,
    /// Its subject and every field it has, in order of their places. The parts of what is taken over whole are not told
    /// one by one.
    pub fields: Vec<Origin>,
    /// Places of the raw event that nothing was made from.
    pub dropped: Vec<String>,
}

/// Where a field came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The place in the translated event.
    pub field: String,
    /// The places in the raw event; empty for a constant, and for a default.
    pub from: Vec<String>,
    /// What was done to the value, in words: its type and what the contract declares.
    pub conversion: String,
}

impl Gate {
    /// Where each field of the event that is made of `raw` comes from.
    ///
    /// # Errors
    /// Why the event is not admitted; `None` where not even its identity can be read.
    pub fn lineage(&self, raw: &[u8]) -> Result<Lineage, Option<Box<Refusal>>> {
        let traced = self.trace(raw)?;
        let mut way = traced.contracts.iter();
        let first = way.next().ok_or(None)?;
        let event = &traced.event;
        let mut fields = of_fields(&first.fields, &At { event, here: &event.data, ours: "/data", raw: "/data" });
        let mut older = traced.older.iter();
        for contract in way {
            if let (Some(upcast), Some(older)) = (&contract.upcast, older.next()) {
                fields = upcasted(upcast, event, older, &fields);
            }
        }
        let from = mapping::attribute_place(&first.subject).into_iter().collect();
        fields.push(Origin { field: "/subject".into(), from, conversion: "subject".into() });
        fields.sort_by(|a, b| a.field.cmp(&b.field));
        Ok(Lineage {
            event_id: EventId::of(event.source.as_str(), &event.id),
            contracts: traced.contracts.iter().map(|contract| contract.reference()).collect(),
            fields,
            dropped: traced.dropped,
        })
    }
}

/// What an admitted event went through.
pub(crate) struct Traced<'g> {
    pub(crate) event: RawEvent,
    pub(crate) contracts: Vec<&'g Contract>,
    /// What each contract but the last made of it.
    pub(crate) older: Vec<Value>,
    pub(crate) dropped: Vec<String>,
}

/// A place in the raw event and what is made of it.
struct At<'a> {
    event: &'a RawEvent,
    here: &'a Value,
    ours: &'a str,
    raw: &'a str,
}

fn of_fields(fields: &[Field], at: &At<'_>) -> Vec<Origin> {
    let mut origins = Vec::new();
    for field in fields {
        let ours = format!("{}/{}", at.ours, place::escape(&field.to));
        of_field(field, at, ours, &mut origins);
    }
    origins
}

fn of_field(field: &Field, at: &At<'_>, ours: String, origins: &mut Vec<Origin>) {
    let raw = mapping::place_from(&field.from, at.raw);
    let value = match &field.from {
        ValueSource::Data(pointer) => pointer.get(at.here),
        ValueSource::Whole(pointer) => pointer.get(&at.event.data),
        ValueSource::Extension(name) => at.event.extensions.get(name),
        ValueSource::Event(_) | ValueSource::Value(_) => None,
    };
    let missing = match &field.from {
        ValueSource::Event(RawAttribute::Time) => at.event.time.is_none(),
        ValueSource::Event(RawAttribute::Subject) => at.event.subject.is_none(),
        ValueSource::Event(_) | ValueSource::Value(_) => false,
        _ => value.is_none_or(|value| *value == Value::Null && field.ty != FieldType::Json),
    };
    if missing && field.default.is_none() {
        return;
    }
    if let (Some(each), Some(Value::Array(items)), Some(raw)) = (field.each.as_deref(), value, &raw) {
        for (index, here) in items.iter().enumerate() {
            let (ours, raw) = (format!("{ours}/{index}"), format!("{raw}/{index}"));
            let at = At { event: at.event, here, ours: &ours, raw: &raw };
            match each {
                Each::Value(element) => of_field(element, &at, ours.clone(), origins),
                Each::Fields(fields) => origins.extend(of_fields(fields, &at)),
            }
        }
        if !items.is_empty() {
            return;
        }
    }
    let mut from: Vec<String> = raw.into_iter().filter(|_| !missing).collect();
    if let FieldType::Money { currency } = &field.ty {
        from.extend(mapping::place_from(currency, at.raw));
    }
    origins.push(Origin { field: ours, from, conversion: conversion(field, missing) });
}

/// What is done to a value, in words.
fn conversion(field: &Field, missing: bool) -> String {
    let mut words = vec![field.ty.kind().to_string()];
    if missing {
        words.push("default".into());
    } else if matches!(field.from, ValueSource::Value(_)) {
        words.push("constant".into());
    }
    if field.values.is_some() {
        words.push("listed value".into());
    }
    if let Some(round) = field.round {
        words.push(format!("rounded {}", round.mode.as_str()));
    }
    words.join(", ")
}

/// The origins of what an upcast makes, by those of the older event.
fn upcasted(upcast: &Upcast, event: &RawEvent, older: &Value, origins: &[Origin]) -> Vec<Origin> {
    let within = |name: &str| {
        let place = format!("/data/{}", place::escape(name));
        origins.iter().filter(move |origin| {
            origin.field.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let mut made: Vec<Origin> = upcast.keep.iter().flat_map(|name| within(name)).cloned().collect();
    for mut origin in of_fields(&upcast.fields, &At { event, here: older, ours: "/data", raw: "/data" }) {
        let in_older = |place: &String| match origin_of(place, origins) {
            Some(older) => older,
            None if place.starts_with("/data") => Vec::new(),
            None => vec![place.clone()],
        };
        let mut from: Vec<String> = origin.from.iter().flat_map(in_older).collect();
        from.dedup();
        origin.from = from;
        made.push(origin);
    }
    made
}

/// The raw places of a place in the older event: those of the field it is, is part of, or that are parts of it.
fn origin_of(place: &str, origins: &[Origin]) -> Option<Vec<String>> {
    let above = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let found: Vec<_> =
        origins.iter().filter(|origin| above(&origin.field, place) || above(place, &origin.field)).collect();
    (!found.is_empty()).then(|| found.iter().flat_map(|origin| origin.from.clone()).collect())
}

impl Lineage {
    /// The origin of a place in the translated event, or of what it is a part of.
    pub fn of(&self, pointer: &Pointer) -> Option<&Origin> {
        let place = pointer.to_string();
        let holds = |origin: &&Origin| {
            place.strip_prefix(&origin.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.fields.iter().find(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diagnostic::Files, project};
    use std::collections::BTreeSet;

    const V1: &str = r#"contract = "order_created"
version = 1
from = { source = "shop", type = "OrderPlaced" }
schema = "v1.json"
subject = "/id"
map = [
  { from = "/id", to = "order_id", type = "text" },
  { from = "/t", to = "total", type = "decimal", round = { mode = "half_even", digits = 2 } },
  { from = "/state", to = "status", type = "text", values = { N = "new" }, default = "N" },
  { from = { event = "type" }, to = "kind", type = "text" },
  { from = { event = "time" }, to = "at", type = "timestamp", optional = true },
  { from = { value = 1 }, to = "one", type = "i64" },
  { from = "/gone", to = "gone", type = "text", optional = true },
  { from = "/lines", to = "lines", type = "array", each = [
    { from = "/s", to = "sku", type = "text" },
    { from = "/p", to = "price", type = "money", currency = { data = "/cur" } },
  ] },
]
"#;
    const V2: &str = r#"contract = "order_created"
version = 2
from = { source = "shop", type = "OrderPlaced" }
schema = "v2.json"
subject = "/id"
map = [
  { from = "/id", to = "order_id", type = "text" },
  { from = "/x", to = "sum", type = "money", currency = "/cur" },
  { from = "/lines", to = "lines", type = "array", each = [
    { from = "/s", to = "sku", type = "text" },
    { from = "/p", to = "price", type = "money", currency = { data = "/cur" } },
  ] },
]
[upcast]
from = 1
keep = ["order_id", "lines"]
map = [{ from = "/total", to = "sum", type = "money", currency = "/lines/0/price/currency" }]
"#;
    const RAW: &str = r#"{"specversion":"1.0","id":"1","source":"shop","type":"OrderPlaced","data":{"id":"o-1","t":1.005,"cur":"EUR",
        "more":1,"lines":[{"s":"A","p":1},{"s":"B","p":2}]}}"#;

    fn gate(contracts: &[&str]) -> Gate {
        let mut files: Files = [
            ("evenkeel.toml", "[[source]]\nname = \"shop\"\n"),
            ("contracts/v1.json", "{}"),
            ("contracts/v2.json", r#"{"required": ["x"]}"#),
        ]
        .into_iter()
        .collect();
        contracts.iter().enumerate().for_each(|(i, text)| files.insert(format!("contracts/{i}.toml"), *text));
        project::compile(&files, &[]).unwrap_or_else(|wrong| panic!("{}", wrong.render(&files, false))).gate
    }

    fn told(lineage: &Lineage) -> Vec<String> {
        let told = |origin: &Origin| format!("{} <- {} ({})", origin.field, origin.from.join(" "), origin.conversion);
        lineage.fields.iter().map(told).collect()
    }

    #[test]
    fn every_field_says_where_it_is_from() {
        let lineage = gate(&[V1]).lineage(RAW.as_bytes()).unwrap();
        assert_eq!(
            told(&lineage),
            [
                "/data/kind <- /type (text)",
                "/data/lines/0/price <- /data/lines/0/p /data/cur (money)",
                "/data/lines/0/sku <- /data/lines/0/s (text)",
                "/data/lines/1/price <- /data/lines/1/p /data/cur (money)",
                "/data/lines/1/sku <- /data/lines/1/s (text)",
                "/data/one <-  (i64, constant)",
                "/data/order_id <- /data/id (text)",
                "/data/status <-  (text, default, listed value)",
                "/data/total <- /data/t (decimal, rounded half_even)",
                "/subject <- /data/id (subject)",
            ]
        );
        assert_eq!(lineage.dropped, ["/data/more"]);
        assert_eq!(lineage.event_id, EventId::of("shop", "1"));
        let amount = lineage.of(&"/data/lines/1/price/amount".parse().unwrap()).unwrap();
        assert_eq!(amount.field, "/data/lines/1/price");
        assert_eq!(lineage.of(&"/data/gone".parse().unwrap()), None);
    }

    #[test]
    fn an_upcast_leads_back_to_what_was_sent() {
        let lineage = gate(&[V1, V2]).lineage(RAW.replace("1.005", "1.25").as_bytes()).unwrap();
        let versions: Vec<_> = lineage.contracts.iter().map(|contract| contract.version).collect();
        assert_eq!(versions, [1, 2]);
        assert_eq!(
            told(&lineage),
            [
                "/data/lines/0/price <- /data/lines/0/p /data/cur (money)",
                "/data/lines/0/sku <- /data/lines/0/s (text)",
                "/data/lines/1/price <- /data/lines/1/p /data/cur (money)",
                "/data/lines/1/sku <- /data/lines/1/s (text)",
                "/data/order_id <- /data/id (text)",
                "/data/sum <- /data/t /data/lines/0/p /data/cur (money)",
                "/subject <- /data/id (subject)",
            ]
        );
    }

    #[test]
    fn what_is_refused_has_no_lineage() {
        let gate = gate(&[V1]);
        let refusal = gate.lineage(RAW.replace("1.005", "true").as_bytes()).unwrap_err().unwrap();
        assert_eq!(refusal.pointer.as_deref(), Some("/data/t"));
        assert_eq!(gate.lineage(b"{}"), Err(None));
    }

    /// Each place of the raw data is read by a field, or is dropped; and nothing is made of a place that is not there.
    #[test]
    fn places_are_told_completely() {
        let gate = gate(&[V1]);
        let lineage = gate.lineage(RAW.as_bytes()).unwrap();
        let event = evenkeel_core::json::parse(RAW.as_bytes()).unwrap();
        let told: BTreeSet<&String> =
            lineage.fields.iter().flat_map(|origin| &origin.from).chain(&lineage.dropped).collect();
        for place in &told {
            assert!(place.parse::<Pointer>().unwrap().get(&event).is_some(), "{place}");
        }
        for member in event.as_object().unwrap().get("data").unwrap().as_object().unwrap().iter() {
            let place = format!("/data/{}", member.0);
            assert!(told.iter().any(|told| told.starts_with(&place)), "{place}");
        }
    }
}
