//! The fields of a map as a contract's file writes them.
//!
//! Not here: whether constants and attributes fit their types ([`crate::check`]).
use crate::{
    contract::{Each, Field, FieldKind, FieldType, RawAttribute, Round, ValueSource, Values},
    diagnostic::{Diagnostic, Place},
    reader::{At, Data, Node, Reader, Sink},
};
use evenkeel_core::{
    decimal::Rounding,
    json::{Pointer, Value},
};

/// Where the parts of a mapped field stand.
#[derive(Debug)]
pub(crate) struct FieldPlaces {
    pub(crate) to: Place,
    pub(crate) from: Place,
    pub(crate) currency: Option<Place>,
    pub(crate) default: Option<Place>,
    /// The places of what each raw value becomes, in the order of the keys.
    pub(crate) values: Vec<(String, Place)>,
    /// The places of the parts of its elements.
    pub(crate) each: Vec<FieldPlaces>,
}

/// What a value may come from, beside a pointer and an attribute.
#[derive(Clone, Copy)]
pub(crate) struct Allowed {
    constants: bool,
    /// The whole data, from within an element.
    whole: bool,
}

impl Allowed {
    pub(crate) const SUBJECT: Self = Self { constants: false, whole: false };

    fn expected(self) -> &'static str {
        match (self.constants, self.whole) {
            (false, _) => "a pointer such as \"/order_id\" or { event = \"subject\" }",
            (true, false) => {
                "a pointer such as \"/order_id\", { event = \"…\" }, { extension = \"…\" } or { value = … }"
            }
            (true, true) => {
                "a pointer into the element such as \"/sku\", { data = \"/…\" }, { event = \"…\" }, { extension = \"…\" } or \
                 { value = … }"
            }
        }
    }
}

/// Where a raw value comes from: `"/pointer"`, `{ event = "…" }`, `{ extension = "…" }`, and where they are allowed
/// `{ value = … }` and `{ data = "/pointer" }`.
pub(crate) fn source(node: &Node, allowed: Allowed, sink: &Sink) -> Option<ValueSource> {
    let Data::Table(table) = &node.value else {
        let pointer = node.as_text().and_then(|text| text.parse().ok());
        if pointer.is_none() {
            sink.push(node.mismatch(allowed.expected()));
        }
        return pointer.map(ValueSource::Data);
    };
    let mut reader = Reader::new(table, &node.place, sink);
    let words: Vec<_> = RawAttribute::ALL.iter().map(|attribute| (attribute.as_str(), *attribute)).collect();
    let given = ["event", "extension", "value", "data"].into_iter().filter(|key| reader.entry(key).is_some()).count();
    let event = reader.word("event", &words).map(|word| ValueSource::Event(word.value));
    let extension: Option<At<String>> = reader.optional("extension");
    let value = reader.node("value");
    let data = reader.entry("data");
    reader.finish();
    if given != 1 || (value.is_some() && !allowed.constants) || (data.is_some() && !allowed.whole) {
        sink.error(&node.place, format!("expected {}", allowed.expected()));
        return None;
    }
    if let Some(name) = &extension
        && (name.value.is_empty() || !name.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    {
        sink.error(&name.place, "an extension attribute's name is made of lower-case letters and digits");
    }
    let whole = data.and_then(|entry| match entry.node.as_text().and_then(|text| text.parse().ok()) {
        Some(pointer) => Some(ValueSource::Whole(pointer)),
        None => {
            sink.push(entry.node.mismatch("a JSON pointer into the whole data such as \"/currency\""));
            None
        }
    });
    let value = value.and_then(|node| node.to_json().map_err(|diagnostic| sink.push(diagnostic)).ok());
    event.or(extension.map(|name| ValueSource::Extension(name.value))).or(whole).or(value.map(ValueSource::Value))
}

/// The fields of a map.
#[derive(Default)]
pub(crate) struct Fields {
    pub(crate) fields: Vec<Field>,
    pub(crate) places: Vec<FieldPlaces>,
    /// Whether every name could be read.
    pub(crate) known: bool,
}

impl Fields {
    /// Reads a map; `element` says whether it is that of an array's elements.
    pub(crate) fn read(map: Vec<Reader<'_>>, element: bool) -> Self {
        let mut fields = Self { known: true, ..Self::default() };
        map.into_iter().for_each(|entry| fields.add(entry, element));
        fields
    }

    fn add(&mut self, mut reader: Reader<'_>, element: bool) {
        let sink = reader.sink;
        let to: Option<At<String>> = reader.required("to");
        let (mut field, places) = field(&mut reader, to.as_ref().map(|to| &to.place), element);
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
        field.to = to.value;
        self.fields.push(field);
        self.places.push(places);
    }
}

/// Everything of a field but its name.
fn field(reader: &mut Reader<'_>, to: Option<&Place>, element: bool) -> (Field, FieldPlaces) {
    let sink = reader.sink;
    reader.demand("from");
    let allowed = Allowed { constants: true, whole: element };
    let from_node = reader.node("from");
    let from = from_node.and_then(|node| source(node, allowed, sink));
    let (ty, currency) = field_type(reader, allowed);
    let optional = reader.or("optional", false);
    let default_node = reader.node("default");
    let default = default_node.and_then(|node| node.to_json().map_err(|d| sink.push(d)).ok());
    let (values, value_places) = values(reader, ty.kind());
    let round = round(reader, ty.kind());
    let (each, each_places) = each(reader, ty.kind());
    let to = to.unwrap_or(&reader.place).clone();
    let from = from.unwrap_or_else(|| ValueSource::Data(Pointer::default()));
    let places = FieldPlaces {
        from: from_node.map_or_else(|| to.clone(), |node| node.place.clone()),
        currency,
        default: default_node.map(|node| node.place.clone()),
        values: value_places,
        each: each_places,
        to,
    };
    (Field { optional, default, values, round, each: each.map(Box::new), ..Field::new("", ty, from) }, places)
}

/// The type of a field. A wrong one is reported and taken for `json`, which fits everywhere.
fn field_type(reader: &mut Reader<'_>, allowed: Allowed) -> (FieldType, Option<Place>) {
    reader.demand("type");
    let sink = reader.sink;
    let words: Vec<_> = FieldKind::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
    let kind = reader.word("type", &words);
    let currency_node = reader.node("currency");
    let currency = currency_node.and_then(|node| source(node, allowed, sink));
    let place = currency_node.map(|node| node.place.clone());
    match kind.map(|kind| (kind.value, kind.place)) {
        Some((FieldKind::Money, kind)) => match (currency, &place) {
            (Some(currency), _) => return (FieldType::Money { currency }, place),
            (None, Some(_)) => {}
            (None, None) => sink.push(
                Diagnostic::error(&kind, "money without a currency")
                    .help("add `currency`, a pointer to the currency's code in the raw data, or { value = \"EUR\" }"),
            ),
        },
        Some((kind, _)) => {
            if let Some(place) = &place {
                sink.error(place, format!("`currency` belongs to type `money`, not to `{kind}`"));
            }
            return (plain_type(kind), None);
        }
        None => {}
    }
    (FieldType::Json, None)
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

/// `values = { NEW = "open", PAID = "paid" }`.
fn values(reader: &mut Reader<'_>, kind: FieldKind) -> (Option<Values>, Vec<(String, Place)>) {
    let sink = reader.sink;
    let Some(entry) = reader.entry("values") else { return (None, Vec::new()) };
    let expected = "a table of what each raw value becomes, such as { NEW = \"open\", PAID = \"paid\" }";
    let Data::Table(table) = &entry.node.value else {
        sink.push(entry.node.mismatch(expected));
        return (None, Vec::new());
    };
    if matches!(kind, FieldKind::Array | FieldKind::Object) {
        sink.error(&entry.key.place, format!("`values` lists single values, and this field is of type `{kind}`"));
    }
    if table.iter().next().is_none() {
        sink.error(&entry.node.place, format!("expected {expected}, found an empty one: every event would be refused"));
    }
    let mut listed = Values::new();
    let mut places = Vec::new();
    for entry in table.iter() {
        let value: Option<Value> = entry.node.to_json().map_err(|diagnostic| sink.push(diagnostic)).ok();
        if let Some(value) = value {
            listed.insert(entry.key.value.clone(), value);
            places.push((entry.key.value.clone(), entry.node.place.clone()));
        }
    }
    (Some(listed), places)
}

/// `round = "half_even"` for money, `round = { mode = "half_even", digits = 2 }` for decimals.
fn round(reader: &mut Reader<'_>, kind: FieldKind) -> Option<Round> {
    let sink = reader.sink;
    let entry = reader.entry("round")?;
    if let Data::Table(table) = &entry.node.value {
        let mut inner = Reader::new(table, &entry.node.place, sink);
        inner.demand("mode");
        let mode = inner.word("mode", &Rounding::ALL);
        let digits: Option<At<u32>> = inner.required("digits");
        inner.finish();
        let (mode, digits) = (mode?, digits?);
        if digits.value > 28 {
            sink.error(&digits.place, format!("expected at most 28 digits, found {}", digits.value));
        }
        if kind == FieldKind::Money {
            sink.push(
                Diagnostic::error(&digits.place, "money has the digits of its currency")
                    .help(format!("write round = \"{}\"", mode.value.as_str())),
            );
        } else if kind != FieldKind::Decimal {
            not_rounded(&entry.key.place, kind, sink);
        }
        return Some(Round { mode: mode.value, digits: Some(digits.value) });
    }
    let mode = reader.word("round", &Rounding::ALL)?;
    match kind {
        FieldKind::Money => {}
        FieldKind::Decimal => sink.push(
            Diagnostic::error(&mode.place, "a decimal is rounded to so many digits")
                .help(format!("write round = {{ mode = \"{}\", digits = 2 }}", mode.value.as_str())),
        ),
        kind => not_rounded(&entry.key.place, kind, sink),
    }
    Some(Round { mode: mode.value, digits: None })
}

fn not_rounded(place: &Place, kind: FieldKind, sink: &Sink) {
    sink.error(place, format!("`round` belongs to types `money` and `decimal`, not to `{kind}`"));
}

/// `each = [{ from = "/sku", to = "sku", type = "text" }]`, or `each = { from = "", type = "text" }`.
fn each(reader: &mut Reader<'_>, kind: FieldKind) -> (Option<Each>, Vec<FieldPlaces>) {
    let sink = reader.sink;
    let Some(entry) = reader.entry("each") else { return (None, Vec::new()) };
    if kind != FieldKind::Array {
        sink.error(&entry.key.place, format!("`each` belongs to type `array`, not to `{kind}`"));
    }
    if let Data::Table(table) = &entry.node.value {
        let mut inner = Reader::new(table, &entry.node.place, sink);
        let (field, places) = field(&mut inner, Some(&entry.node.place), true);
        inner.finish();
        return (Some(Each::Value(field)), vec![places]);
    }
    let expected = "the fields of each element such as [{ from = \"/sku\", to = \"sku\", type = \"text\" }], or one value \
                    such as { from = \"\", type = \"text\" }";
    let fields = Fields::read(reader.tables("each", expected), true);
    if fields.fields.is_empty() && fields.known {
        sink.error(&entry.node.place, format!("expected {expected}"));
    }
    (Some(Each::Fields(fields.fields)), fields.places)
}
