//! The text of a proposed contract and its schema.
//!
//! Not here: what was seen ([`super::observe`]).
use super::observe::Shape;
use crate::{contract::FieldKind, envelope::RawEvent, place};
use evenkeel_core::{
    decimal::{Currency, Money},
    json::{Object, Pointer, Value},
};
use std::{collections::BTreeSet, fmt::Write as _};

/// What is proposed, and from what.
pub(super) struct About<'a> {
    pub(super) contract: &'a str,
    pub(super) source: &'a str,
    pub(super) event_type: &'a str,
    pub(super) events: &'a [(&'a [u8], RawEvent)],
    pub(super) shape: &'a Shape,
    /// Whether invariants are proposed.
    pub(super) rules: bool,
    /// Whether there is a schema.
    pub(super) schema: bool,
}

/// Fewer events than this say nothing about which values there are.
const ENOUGH: usize = 20;

/// A proposed field of the map.
struct Proposed {
    to: String,
    from: String,
    kind: FieldKind,
    /// Pointer to the currency, for money.
    currency: Option<String>,
    optional: bool,
    each: Option<String>,
}

impl Proposed {
    fn line(&self) -> String {
        let mut line = format!("{{ from = {}, to = {}, type = \"{}\"", quoted(&self.from), quoted(&self.to), self.kind);
        if let Some(currency) = &self.currency {
            // Writing to a string does not fail.
            let _ = write!(line, ", currency = {}", quoted(currency));
        }
        if self.optional {
            line.push_str(", optional = true");
        }
        if let Some(each) = &self.each {
            let _ = write!(line, ", each = {each}");
        }
        line + " }"
    }
}

/// The contract's file.
pub(super) fn contract(about: &About<'_>) -> String {
    let About { contract, source, event_type, events, shape, rules, schema } = about;
    let fields = fields(shape, Some(events));
    let mut text = format!(
        "# Proposed from {} events. Everything here is a guess: names, types, and what must always hold.\n\
         contract = {}\nversion = 1\nfrom = {{ source = {}, type = {} }}\n",
        events.len(),
        quoted(contract),
        quoted(source),
        quoted(event_type),
    );
    if *schema {
        let _ = writeln!(text, "schema = {}", quoted(&format!("{contract}.v1.schema.json")));
    }
    text.push('\n');
    let (subject, sure) = subject(about, &fields);
    if !sure {
        text.push_str(
            "# No member looks like the thing this is about: say which it is, or nothing will park in order.\n",
        );
    }
    let _ =
        write!(text, "subject = {subject}\non_quarantine = \"park_key\"\nunmapped = \"drop_and_record\"\n\nmap = [\n");
    for field in &fields {
        let _ = writeln!(text, "  {},", field.line());
    }
    text.push_str("]\n");
    let rules = if *rules { invariants(shape, &fields) } else { Vec::new() };
    if !rules.is_empty() {
        text.push_str("\n# True of every event seen. Keep those that must be true.\ninvariant = [\n");
        for rule in &rules {
            let _ = writeln!(text, "  {rule},");
        }
        text.push_str("]\n");
    }
    let _ = write!(
        text,
        "\n# Add events that must be refused: they show what the contract is for.\nexample = [\n  {{ file = {}, expect = \"admit\" }},\n]\n",
        quoted(&format!("{contract}.ok.json"))
    );
    text
}

/// The fields for the members of `shape`; with `events` also which amounts are money.
fn fields(shape: &Shape, events: Option<&[(&[u8], RawEvent)]>) -> Vec<Proposed> {
    let mut taken = BTreeSet::new();
    let mut fields: Vec<Proposed> = Vec::new();
    for (name, member) in &shape.members {
        if member.present() == 0 || member.has_nul() || name.contains('\0') {
            continue;
        }
        let base = snake(name, "field");
        let to = (1..)
            .map(|n| if n == 1 { base.clone() } else { format!("{base}_{n}") })
            .find(|to| taken.insert(to.clone()));
        let kind = member.kind();
        let each = member.elements.as_deref().filter(|_| kind == FieldKind::Array).and_then(each);
        let from = format!("/{}", place::escape(name));
        let optional = shape.objects < shape.chances || !member.always();
        fields.push(Proposed { to: to.unwrap_or(base), from, kind, currency: None, optional, each });
    }
    if let Some(events) = events {
        money(&mut fields, events);
    }
    fields
}

/// How the elements of an array are made, where all of them are alike.
fn each(elements: &Shape) -> Option<String> {
    let kind = elements.kind();
    if !elements.always() || kind == FieldKind::Json {
        return None;
    }
    if kind != FieldKind::Object {
        let plain = !matches!(kind, FieldKind::Array);
        return plain.then(|| format!("{{ from = \"\", type = \"{kind}\" }}"));
    }
    let fields: Vec<_> = fields(elements, None).iter().map(Proposed::line).collect();
    (!fields.is_empty()).then(|| format!("[\n    {},\n  ]", fields.join(",\n    ")))
}

/// Makes money of amounts that stand beside the one currency there is, and are exact in it in every event.
fn money(fields: &mut [Proposed], events: &[(&[u8], RawEvent)]) {
    let currencies: Vec<_> =
        fields.iter().filter(|field| field.kind == FieldKind::Iso4217 && !field.optional).collect();
    let [currency] = currencies.as_slice() else { return };
    let Ok(at) = currency.from.parse::<Pointer>() else { return };
    let path = currency.from.clone();
    for field in fields.iter_mut() {
        let named =
            ["amount", "total", "price", "cost", "sum", "fee", "tax"].iter().any(|word| field.to.contains(word));
        let Ok(from) = field.from.parse::<Pointer>() else { continue };
        if !named || !matches!(field.kind, FieldKind::Decimal | FieldKind::I64) {
            continue;
        }
        let exact = |(_, event): &(&[u8], RawEvent)| {
            let amount = match from.get(&event.data) {
                None | Some(Value::Null) => return true,
                Some(Value::String(text)) => text.parse(),
                Some(other) => other.to_string().parse(),
            };
            let code = at.get(&event.data).and_then(Value::as_str).and_then(|code| code.parse::<Currency>().ok());
            amount.ok().zip(code).is_some_and(|(amount, code)| Money::new(amount, code).is_ok())
        };
        if events.iter().all(exact) {
            field.kind = FieldKind::Money;
            field.currency = Some(path.clone());
        }
    }
}

/// What the events are about, and whether that is more than a guess.
fn subject(about: &About<'_>, fields: &[Proposed]) -> (String, bool) {
    if about.events.iter().all(|(_, event)| event.subject.is_some()) {
        return ("{ event = \"subject\" }".into(), true);
    }
    let usable = |field: &&Proposed| {
        let member = member(about.shape, field);
        !field.optional
            && matches!(field.kind, FieldKind::Text | FieldKind::I64)
            && member.is_some_and(|member| member.empty == 0)
    };
    // `order_id` of an `order_placed` before any other `…_id`, and that before a bare `id`.
    let rank = |field: &&Proposed| {
        let stem = field.to.strip_suffix("_id").or_else(|| field.to.strip_suffix("_no"));
        match stem {
            Some(stem) if about.contract.contains(stem) => 0,
            _ if field.to == "id" => 1,
            Some(_) => 2,
            None => 3,
        }
    };
    match fields.iter().filter(usable).min_by_key(rank) {
        Some(field) => (quoted(&field.from), rank(&field) < 3),
        None => ("{ event = \"id\" }".into(), false),
    }
}

fn member<'s>(shape: &'s Shape, field: &Proposed) -> Option<&'s Shape> {
    shape.members.iter().find(|(name, _)| format!("/{}", place::escape(name)) == field.from).map(|(_, member)| member)
}

/// What was true of every event.
fn invariants(shape: &Shape, fields: &[Proposed]) -> Vec<String> {
    let mut rules = Vec::new();
    for field in fields.iter().filter(|field| !field.optional) {
        let Some(member) = member(shape, field) else { continue };
        let (to, at) = (&field.to, quoted(&format!("/data/{}", place::escape(&field.to))));
        match (field.kind, member.least) {
            (FieldKind::I64 | FieldKind::Decimal | FieldKind::Money, Some(least)) if !least.is_negative() => {
                let (word, key) = if least == 0.into() { ("not_negative", "ge") } else { ("positive", "gt") };
                rules.push(format!("{{ name = {}, {key} = [{at}, 0] }}", quoted(&format!("{to}_{word}"))));
            }
            (FieldKind::Array, _) if member.empty == 0 => {
                rules.push(format!("{{ name = {}, not_empty = {at} }}", quoted(&format!("{to}_not_empty"))));
            }
            (FieldKind::Text, _)
                if !member.many && member.texts >= ENOUGH && member.different.len() * 4 <= member.texts =>
            {
                let values: Vec<_> = member.different.iter().map(|value| quoted(value)).collect();
                let name = quoted(&format!("{to}_known"));
                rules.push(format!("{{ name = {name}, one_of = [{at}, [{}]] }}", values.join(", ")));
            }
            _ => {}
        }
    }
    rules
}

/// The schema's file.
pub(super) fn schema(shape: &Shape) -> String {
    let mut schema = described(shape);
    schema.insert("$schema", "https://json-schema.org/draft/2020-12/schema".into());
    serde_json::to_string_pretty(&Value::from(schema)).unwrap_or_default() + "\n"
}

fn described(shape: &Shape) -> Object {
    let mut schema = Object::default();
    let types: Vec<Value> = shape.json_types().into_iter().map(Value::from).collect();
    match <[Value; 1]>::try_from(types) {
        Ok([one]) => schema.insert("type", one),
        Err(several) if several.is_empty() => {}
        Err(several) => schema.insert("type", several.into()),
    }
    if !shape.members.is_empty() {
        let mut properties = Object::default();
        shape.members.iter().for_each(|(name, member)| properties.insert(name.as_str(), described(member).into()));
        schema.insert("properties", properties.into());
        let there = |member: &Shape| member.present() + member.nulls == member.chances;
        let required: Vec<Value> =
            shape.members.iter().filter(|(_, member)| there(member)).map(|(name, _)| name.as_str().into()).collect();
        if !required.is_empty() {
            schema.insert("required", required.into());
        }
    }
    if let Some(elements) = &shape.elements {
        schema.insert("items", described(elements).into());
    }
    schema
}

/// A name in lower-case letters, digits and `_`: `OrderPlaced` and `order-placed` become `order_placed`.
pub(super) fn snake(name: &str, otherwise: &str) -> String {
    let mut snake = String::new();
    let mut lower = false;
    for c in name.rsplit(['/', '#']).next().unwrap_or(name).chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && lower {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
            lower = !c.is_ascii_uppercase();
        } else {
            if !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            lower = false;
        }
    }
    let snake = snake.trim_matches('_');
    match snake.chars().next() {
        None => otherwise.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{otherwise}_{snake}"),
        Some(_) => snake.to_owned(),
    }
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
