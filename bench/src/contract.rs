//! The gate's whole decision about one order of 1 KB, beside parsing the same bytes into a `serde_json::Value`.
//!
//! Envelope, identity, digest, schema, five mapped fields, two invariants; nothing is stored. One thread.
use crate::{
    Result,
    figure::{Plan, Table, Unit},
};
use evenkeel::{
    contract::{diagnostic::Files, gate::Gate, project},
    core::intake::Verdict,
};
use std::{hint::black_box, time::Instant};

const EVENTS: usize = 40_000;

const SCHEMA: &str = r#"{"type": "object", "required": ["order_id", "line_items", "total_amount", "currency_code"],
  "properties": {
    "order_id": {"type": "string", "minLength": 1}, "customer_ref": {"type": "string"},
    "total_amount": {"type": ["string", "number"]}, "currency_code": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "line_items": {"type": "array", "items": {"type": "object", "required": ["sku", "qty"],
      "properties": {"sku": {"type": "string"}, "qty": {"type": "integer", "minimum": 1}}}}}}"#;

const NATIVE: &str = r#"{ name = "total_positive", gt = ["/data/total", 0] },
  { name = "items_not_empty", not_empty = "/data/items" },"#;
const CEL: &str = r#"{ name = "total_positive", cel = "payload.total.minor > 0" },
  { name = "items_not_empty", cel = "size(payload.items) > 0" },"#;

fn gate(invariants: &str) -> Result<Gate> {
    let contract = format!(
        r#"contract = "order_created"
version = 1
from = {{ source = "shop", type = "OrderPlaced" }}
schema = "schema.json"
subject = "/order_id"
map = [
  {{ from = "/order_id", to = "order_id", type = "text" }},
  {{ from = "/customer_ref", to = "customer_id", type = "text" }},
  {{ from = "/line_items", to = "items", type = "array" }},
  {{ from = "/total_amount", to = "total", type = "money", currency = "/currency_code" }},
  {{ from = "/currency_code", to = "currency", type = "iso4217" }},
]
invariant = [
  {invariants}
]
"#
    );
    let files: Files = [
        ("evenkeel.toml", "[[source]]\nname = \"shop\"\n"),
        ("contracts/order_created.toml", contract.as_str()),
        ("contracts/schema.json", SCHEMA),
    ]
    .into_iter()
    .collect();
    Ok(project::compile(&files, &[]).map_err(|wrong| wrong.render(&files, false))?.gate)
}

/// An order of about 1 KB; its amount as text or, as many send it, as a number.
fn order(number: usize, amount: &str) -> Vec<u8> {
    let line = |i: usize| {
        let name = format!("Mug with handle, series {i}");
        format!(r#"{{"sku":"MUG-{number}-{i}","qty":{},"name":"{name}","weight_grams":{}}}"#, i + 1, 300 + i)
    };
    let lines: Vec<_> = (0..6).map(line).collect();
    format!(
        r#"{{"specversion":"1.0","id":"e-{number}","source":"shop","type":"OrderPlaced","time":"2026-01-31T10:00:00Z","data":{{"order_id":"o-{number}","customer_ref":"c-{}","currency_code":"EUR","total_amount":{amount},"channel":"web","note":"Please ring twice; the dog is friendly, the neighbour is not.","address":{{"street":"Long Street 17","city":"Bergen","zip":"5003","country":"NO"}},"consents":[true,false,true],"line_items":[{}]}}}}"#,
        number % 5000,
        lines.join(",")
    )
    .into_bytes()
}

/// Measures all of it.
pub(crate) fn measure(plan: &Plan, table: &mut Table) -> Result<()> {
    let count = plan.events(EVENTS, 1);
    for (amount, how) in [("\"1234.50\"", "amount as text"), ("1234.50", "amount as number")] {
        let orders: Vec<_> = (0..count).map(|number| order(number, amount)).collect();
        eprintln!("{} bytes an event", orders.iter().map(Vec::len).sum::<usize>() / orders.len().max(1));
        for (invariants, kind, target) in [(NATIVE, "native", Some(0.33)), (CEL, "CEL", None)] {
            let gate = gate(invariants)?;
            let pair = plan.beside(|| decide(&gate, &orders), || parse(&orders))?;
            table.add(&format!("gate, {kind}, {how}"), "serde_json::Value", pair, Unit::PerSecond, target);
        }
    }
    Ok(())
}

fn decide(gate: &Gate, orders: &[Vec<u8>]) -> Result<f64> {
    let copies = orders.to_vec();
    let start = Instant::now();
    for raw in copies {
        let decided = black_box(gate.decide(raw, None).map_err(|unreadable| unreadable.to_string())?);
        if let Verdict::Quarantine(refusal) = decided.arrival.verdict {
            return Err(refusal.detail.into());
        }
    }
    Ok(orders.len() as f64 / start.elapsed().as_secs_f64())
}

fn parse(orders: &[Vec<u8>]) -> Result<f64> {
    let start = Instant::now();
    for raw in orders {
        drop(black_box(serde_json::from_slice::<serde_json::Value>(raw)?));
    }
    Ok(orders.len() as f64 / start.elapsed().as_secs_f64())
}
