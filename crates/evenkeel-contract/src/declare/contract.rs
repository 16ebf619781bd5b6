//! One contract file: its keys, compiled as far as that goes without looking at other files' contents.
//!
//! Not here: whether it fits other files ([`crate::check`]), and applying it ([`crate::gate`]).
use super::{
    field::{self, Allowed, FieldPlaces, Fields},
    invariant::{self, RuleDecl, is_outcome},
    version,
};
use crate::{
    contract::{Contract, Field, RawAttribute, Unmapped, Upcast, UpstreamTypes, ValueSource},
    diagnostic::{Diagnostic, Place, did_you_mean},
    reader::{At, Data, Node, Reader, Sink},
    source::SourcePattern,
};
use evenkeel_core::quarantine::{OnQuarantine, Reason};

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
    /// The rules of `contract.invariants`.
    pub(crate) rules: Vec<RuleDecl>,
    /// What `contract.upcast` says.
    pub(crate) upcast: Option<UpcastDecl>,
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

/// Where the parts of an upcast stand.
#[derive(Debug)]
pub(crate) struct UpcastDecl {
    pub(crate) from: Place,
    pub(crate) keep: Vec<Place>,
    /// The places of each field, in the order of `contract.upcast.fields`.
    pub(crate) fields: Vec<FieldPlaces>,
}

/// A raw event and what the gate must make of it.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) file: At<String>,
    pub(crate) expect: At<String>,
    /// A file with the translated data that must come of it.
    pub(crate) becomes: Option<At<String>>,
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
    let subject = reader.node("subject").and_then(|node| field::source(node, Allowed::SUBJECT, sink));
    let on_quarantine = reader.word(
        "on_quarantine",
        &[("park_key", OnQuarantine::ParkKey), ("skip", OnQuarantine::Skip), ("halt_source", OnQuarantine::HaltSource)],
    );
    let unmapped =
        reader.word("unmapped", &[("drop_and_record", Unmapped::DropAndRecord), ("refuse", Unmapped::Refuse)]);
    let map = reader.tables("map", "an array of tables such as [{ from = \"/id\", to = \"id\", type = \"text\" }]");
    let fields = Fields::read(map, false);
    let invariants =
        reader.tables("invariant", "an array of tables such as [{ name = \"positive\", gt = [\"/data/n\", 0] }]");
    let (invariants, invariant_names) = invariant::read(invariants);
    let examples = reader.tables("example", "an array of tables such as [{ file = \"ok.json\", expect = \"admit\" }]");
    let examples = examples.into_iter().filter_map(read_example).collect();
    let upcast = reader.table("upcast").and_then(read_upcast);
    reader.finish();

    let (name, (source, types)) = (name?, from??);
    if name.value.is_empty() || name.value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        sink.error(&name.place, "expected an event type without white space, such as \"order_created\"");
    }
    let (invariants, rules) = invariants.into_iter().unzip();
    let (upcast, upcast_places) = upcast.unzip();
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
            upcast,
            invariants,
        },
        name: name.place,
        source: source.place,
        types: types.place,
        fields: fields.places,
        schema,
        rules,
        upcast: upcast_places,
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

fn read_upcast(mut reader: Reader<'_>) -> Option<(Upcast, UpcastDecl)> {
    let from: Option<At<u32>> = reader.required("from");
    let keep: Vec<At<String>> = reader.optional("keep").unwrap_or_default();
    let map =
        reader.tables("map", "an array of tables such as [{ from = \"/total\", to = \"total\", type = \"decimal\" }]");
    let fields = Fields::read(map, false);
    for (i, kept) in keep.iter().enumerate() {
        let mapped = fields.fields.iter().zip(&fields.places).find(|(field, _)| field.to == kept.value);
        let first = mapped.map(|(_, places)| &places.to);
        if let Some(first) = first.or_else(|| keep[..i].iter().find(|k| k.value == kept.value).map(|k| &k.place)) {
            let message = format!("`{}` is made twice", kept.value);
            reader.sink.push(Diagnostic::error(&kept.place, message).related(first, "first here"));
        }
    }
    reader.finish();
    let from = from?;
    let (names, places) = keep.into_iter().map(|kept| (kept.value, kept.place)).unzip();
    let upcast = Upcast { from: from.value, keep: names, fields: fields.fields };
    Some((upcast, UpcastDecl { from: from.place, keep: places, fields: fields.places }))
}

fn read_example(mut reader: Reader<'_>) -> Option<Example> {
    let sink = reader.sink;
    let file = reader.required("file");
    let expect: Option<At<String>> = reader.required("expect");
    let becomes: Option<At<String>> = reader.optional("becomes");
    reader.finish();
    let (file, expect) = (file?, expect?);
    if let Some(becomes) = becomes.as_ref().filter(|_| expect.value != "admit") {
        let message = format!("an event that is refused by `{}` becomes nothing", expect.value);
        sink.push(Diagnostic::error(&becomes.place, message).related(&expect.place, "expected here"));
    }
    Some(Example { file, expect, becomes })
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
