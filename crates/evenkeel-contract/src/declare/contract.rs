//! One contract file: its keys, compiled as far as that goes without looking at other files' contents.
//!
//! Not here: whether it fits other files ([`crate::check`]), and applying it ([`crate::gate`]).
use super::{ConditionDecl, condition, version};
use crate::{
    contract::{Contract, Field, FieldKind, FieldType, Invariant, RawAttribute, Unmapped, UpstreamTypes, ValueSource},
    diagnostic::{Diagnostic, Place, did_you_mean},
    reader::{At, Data, Node, Reader, Sink},
    source::SourcePattern,
};
use evenkeel_core::{
    json::Pointer,
    quarantine::{OnQuarantine, Reason},
};

/// A contract with the places of what is checked against other declarations.
#[derive(Debug)]
pub(crate) struct ContractDecl {
    /// Its schema is not compiled yet, and what was wrong is left out.
    pub(crate) contract: Contract,
    pub(crate) name: Place,
    pub(crate) source: Place,
    pub(crate) types: Place,
    /// The places of each field, in the order of `contract.fields`.
    pub(crate) fields: Vec<FieldPlaces>,
    /// The file the schema is in, as written.
    pub(crate) schema: Option<At<String>>,
    /// The conditions of `contract.invariants`.
    pub(crate) conditions: Vec<ConditionDecl>,
    /// The names of all invariants, also of those that could not be read.
    pub(crate) invariant_names: Vec<String>,
    pub(crate) examples: Vec<Example>,
    /// Whether every field's name could be read, so that others are known not to exist.
    pub(crate) fields_known: bool,
}

impl ContractDecl {
    /// The fields, each with its places.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&Field, &FieldPlaces)> {
        self.contract.fields.iter().zip(&self.fields)
    }

    /// The field of this name, and where its name stands.
    pub(crate) fn field(&self, name: &str) -> Option<(&Field, &Place)> {
        self.fields().find(|(field, _)| field.to == name).map(|(field, places)| (field, &places.to))
    }
}

/// Where the parts of a mapped field stand.
#[derive(Debug)]
pub(crate) struct FieldPlaces {
    pub(crate) to: Place,
    pub(crate) from: Place,
    pub(crate) default: Option<Place>,
}

/// A raw event and what the gate must make of it.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) file: At<String>,
    pub(crate) expect: At<String>,
}

/// Reads a contract. `None` where not even its name or source could be read.
pub(crate) fn read(file: &Node, sink: &Sink) -> Option<ContractDecl> {
    let mut reader = Reader::of(file, "a table", sink)?;
    let name: Option<At<String>> = reader.required("contract");
    let version = version(&mut reader);
    reader.demand("from");
    let from = reader.table("from").map(read_from);
    let schema = reader.optional("schema");
    reader.demand("subject");
    let subject = reader.node("subject").and_then(|node| value_source(node, false, sink));
    let on_quarantine = reader.word(
        "on_quarantine",
        &[("park_key", OnQuarantine::ParkKey), ("skip", OnQuarantine::Skip), ("halt_source", OnQuarantine::HaltSource)],
    );
    let unmapped =
        reader.word("unmapped", &[("drop_and_record", Unmapped::DropAndRecord), ("refuse", Unmapped::Refuse)]);
    let map = reader.tables("map", "an array of tables such as [{ from = \"/id\", to = \"id\", type = \"text\" }]");
    let mut fields = Fields { known: true, ..Fields::default() };
    map.into_iter().for_each(|entry| fields.read(entry));
    let invariants =
        reader.tables("invariant", "an array of tables such as [{ name = \"positive\", gt = [\"/data/n\", 0] }]");
    let (invariants, invariant_names) = read_invariants(invariants);
    let examples = reader.tables("example", "an array of tables such as [{ file = \"ok.json\", expect = \"admit\" }]");
    let examples = examples.into_iter().filter_map(read_example).collect();
    reader.not_yet("upcast");
    reader.finish();

    let (name, (source, types)) = (name?, from??);
    if name.value.is_empty() || name.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        sink.error(&name.place, "expected an event type without white space, such as \"order_created\"");
    }
    let (invariants, conditions) = invariants.into_iter().unzip();
    Some(ContractDecl {
        contract: Contract {
            name: name.value.into(),
            version: version.map_or(1, |version| version.value),
            from_source: source.value,
            types: types.value,
            schema: None,
            subject: subject.unwrap_or(ValueSource::Event(RawAttribute::Subject)),
            on_quarantine: on_quarantine.map_or(OnQuarantine::ParkKey, |word| word.value),
            unmapped: unmapped.map_or(Unmapped::DropAndRecord, |word| word.value),
            fields: fields.fields,
            invariants,
        },
        name: name.place,
        source: source.place,
        types: types.place,
        fields: fields.places,
        schema,
        conditions,
        invariant_names,
        examples,
        fields_known: fields.known,
    })
}

fn read_from(mut reader: Reader<'_>) -> Option<(At<SourcePattern>, At<UpstreamTypes>)> {
    let source = reader.required("source");
    reader.demand("type");
    let types = reader.node("type").and_then(|node| upstream_types(node, reader.sink));
    reader.finish();
    Some((source?, types?))
}

fn upstream_types(node: &Node, sink: &Sink) -> Option<At<UpstreamTypes>> {
    let expected = "an upstream type, an array of them, or \"*\"";
    let listed = |item: &Node| match item.as_text() {
        Some("") | None => {
            sink.push(item.mismatch(expected));
            None
        }
        Some(text) => Some(text.to_owned()),
    };
    let value = match &node.value {
        Data::Text(text) if text == "*" => UpstreamTypes::Any,
        Data::Array(items) if items.is_empty() => {
            sink.error(&node.place, format!("expected {expected}, found an empty array"));
            return None;
        }
        Data::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                if item.as_text() == Some("*") {
                    sink.push(Diagnostic::error(&item.place, "`*` cannot stand in a list").help("write type = \"*\""));
                } else if let Some(first) = items[..i].iter().find(|first| first.value == item.value) {
                    let message = format!("`{}` is listed twice", item.as_text().unwrap_or_default());
                    sink.push(Diagnostic::error(&item.place, message).related(&first.place, "first listed here"));
                }
            }
            UpstreamTypes::Listed(items.iter().map(listed).collect::<Option<_>>()?)
        }
        _ => UpstreamTypes::Listed(vec![listed(node)?]),
    };
    Some(At { value, place: node.place.clone() })
}

/// Where a raw value comes from: `"/pointer"`, `{ event = "…" }` or, where `constants` are allowed, `{ value = … }`.
fn value_source(node: &Node, constants: bool, sink: &Sink) -> Option<ValueSource> {
    let expected = if constants {
        "a pointer such as \"/order_id\", { event = \"…\" } or { value = … }"
    } else {
        "a pointer such as \"/order_id\" or { event = \"subject\" }"
    };
    let Data::Table(table) = &node.value else {
        let pointer = node.as_text().and_then(|text| text.parse().ok());
        if pointer.is_none() {
            sink.push(node.mismatch(expected));
        }
        return pointer.map(ValueSource::Data);
    };
    let mut reader = Reader::new(table, &node.place, sink);
    let words: Vec<_> = RawAttribute::ALL.iter().map(|attribute| (attribute.as_str(), *attribute)).collect();
    let has_event = reader.entry("event").is_some();
    let event = reader.word("event", &words).map(|word| ValueSource::Event(word.value));
    let value = reader.node("value");
    if has_event == value.is_some() || (value.is_some() && !constants) {
        sink.error(&node.place, format!("expected {expected}"));
    }
    let value = value.and_then(|node| node.to_json().map_err(|diagnostic| sink.push(diagnostic)).ok());
    reader.finish();
    event.or(value.map(ValueSource::Value))
}

#[derive(Default)]
struct Fields {
    fields: Vec<Field>,
    places: Vec<FieldPlaces>,
    known: bool,
}

impl Fields {
    fn read(&mut self, mut reader: Reader<'_>) {
        let sink = reader.sink;
        reader.demand("from");
        let from_node = reader.node("from");
        let from = from_node.and_then(|node| value_source(node, true, sink));
        let to: Option<At<String>> = reader.required("to");
        let ty = field_type(&mut reader);
        let optional = reader.or("optional", false);
        let default_node = reader.node("default");
        let default = default_node.and_then(|node| node.to_json().map_err(|d| sink.push(d)).ok());
        reader.not_yet("round");
        reader.finish();
        let Some(to) = to else {
            self.known = false;
            return;
        };
        if to.value.is_empty() {
            sink.error(&to.place, "expected a name, found an empty one");
        }
        if let Some((_, first)) = self.fields.iter().zip(&self.places).find(|(field, _)| field.to == to.value) {
            let message = format!("`{}` is mapped twice", to.value);
            sink.push(Diagnostic::error(&to.place, message).related(&first.to, "first mapped here"));
            return;
        }
        let from = from.unwrap_or_else(|| ValueSource::Data(Pointer::default()));
        self.fields.push(Field { to: to.value, ty, from, optional, default });
        self.places.push(FieldPlaces {
            from: from_node.map_or_else(|| to.place.clone(), |node| node.place.clone()),
            default: default_node.map(|node| node.place.clone()),
            to: to.place,
        });
    }
}

/// The type of a field. A wrong one is reported and taken for `json`, which fits everywhere.
fn field_type(reader: &mut Reader<'_>) -> FieldType {
    reader.demand("type");
    let words: Vec<_> = FieldKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let kind = reader.word("type", &words);
    let currency: Option<At<Pointer>> = reader.optional("currency");
    match kind.map(|kind| (kind.value, kind.place)) {
        Some((FieldKind::Money, place)) => match currency {
            Some(currency) => return FieldType::Money { currency: currency.value },
            None => reader.sink.push(
                Diagnostic::error(&place, "money without a currency")
                    .help("add `currency`, a pointer to the currency's code in the raw data"),
            ),
        },
        Some((kind, _)) => {
            if let Some(currency) = currency {
                reader.sink.error(&currency.place, format!("`currency` belongs to type `money`, not to `{kind}`"));
            }
            return plain_type(kind);
        }
        None => {}
    }
    FieldType::Json
}

fn plain_type(kind: FieldKind) -> FieldType {
    match kind {
        FieldKind::Text => FieldType::Text,
        FieldKind::I64 => FieldType::I64,
        FieldKind::Decimal => FieldType::Decimal,
        FieldKind::Iso4217 => FieldType::Iso4217,
        FieldKind::Bool => FieldType::Bool,
        FieldKind::Timestamp => FieldType::Timestamp,
        FieldKind::Date => FieldType::Date,
        FieldKind::Array => FieldType::Array,
        FieldKind::Object => FieldType::Object,
        FieldKind::Json | FieldKind::Money => FieldType::Json,
    }
}

fn read_invariants(readers: Vec<Reader<'_>>) -> (Vec<(Invariant, ConditionDecl)>, Vec<String>) {
    let mut names: Vec<At<String>> = Vec::new();
    let mut invariants = Vec::new();
    for mut reader in readers {
        let sink = reader.sink;
        let name: Option<At<String>> = reader.required("name");
        let given = condition::any(&mut reader);
        let mut found = condition::take(&mut reader).into_iter();
        if !given {
            sink.push(
                Diagnostic::error(&reader.place, "this invariant demands nothing")
                    .help("add one of `gt`, `ge`, `lt`, `le`, `equals`, `not_equals`, `not_empty`, `one_of`"),
            );
        }
        reader.finish();
        let first = found.next();
        for (_, place) in found {
            sink.error(&place, "an invariant has one condition; write a second invariant for this one");
        }
        let Some(name) = name else { continue };
        if let Some(first) = names.iter().find(|other| other.value == name.value) {
            let message = format!("the invariant `{}` is declared twice", name.value);
            sink.push(Diagnostic::error(&name.place, message).related(&first.place, "first declared here"));
        }
        if name.value.is_empty() || is_outcome(&name.value) {
            sink.error(&name.place, format!("an invariant cannot be named `{}`", name.value));
        }
        if let Some((decl, _)) = first {
            invariants.push((Invariant { name: name.value.clone(), condition: decl.condition.clone() }, decl));
        }
        names.push(name);
    }
    (invariants, names.into_iter().map(|name| name.value).collect())
}

/// Whether the name already means an outcome in an example.
fn is_outcome(name: &str) -> bool {
    name == "admit" || Reason::ALL.iter().any(|reason| reason.as_str() == name)
}

fn read_example(mut reader: Reader<'_>) -> Option<Example> {
    let file = reader.required("file");
    let expect = reader.required("expect");
    reader.finish();
    Some(Example { file: file?, expect: expect? })
}

/// Reports examples that expect what their contract has no name for.
pub(crate) fn check_expectations(decl: &ContractDecl, sink: &Sink) {
    let names = || decl.invariant_names.iter().map(String::as_str);
    for Example { expect, .. } in &decl.examples {
        if !is_outcome(&expect.value) && !names().any(|name| name == expect.value) {
            let message = format!("expected `admit`, a reason of quarantine or an invariant, found {:?}", expect.value);
            let known = ["admit"].into_iter().chain(Reason::ALL.iter().map(|reason| reason.as_str())).chain(names());
            sink.push(Diagnostic::error(&expect.place, message).maybe_help(did_you_mean(&expect.value, known)));
        }
    }
}
