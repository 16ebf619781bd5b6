//! A field of translated data: what it is, and what raw value it is made of.
//!
//! Plain data; [`crate::mapping`] makes the values.
use super::Shape;
use evenkeel_core::{
    decimal::Rounding,
    json::{Pointer, Value},
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// One field of the translated data.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name in the translated data.
    pub to: String,
    /// Its type, which decides how the raw value is converted.
    pub ty: FieldType,
    /// Where the raw value comes from.
    pub from: ValueSource,
    /// Whether the field may be absent when the raw value is missing.
    pub optional: bool,
    /// What stands in for a missing raw value. It is in raw form: it is converted like a value that was sent.
    pub default: Option<Value>,
    /// What each raw value becomes; one that is not listed is refused. `None` takes values as they are.
    pub values: Option<Values>,
    /// How digits that do not fit are rounded off; `None` refuses them.
    pub round: Option<Round>,
    /// How each element of an array is made; `None` takes elements as they are.
    pub each: Option<Box<Each>>,
}

impl Field {
    /// A field that must be there and is taken as it is.
    pub fn new(to: impl Into<String>, ty: FieldType, from: ValueSource) -> Self {
        Self { to: to.into(), ty, from, optional: false, default: None, values: None, round: None, each: None }
    }

    /// Adds what it and its parts are to a shape.
    pub(super) fn add_to(&self, shape: &mut Shape, prefix: &str) {
        let name = format!("{prefix}{}", self.to);
        match self.each.as_deref() {
            None => {}
            Some(Each::Value(element)) => element.add_to(shape, &format!("{name}[]")),
            Some(Each::Fields(fields)) => fields.iter().for_each(|field| field.add_to(shape, &format!("{name}[]."))),
        }
        shape.fields.insert(name, self.ty.kind());
    }
}

/// What each raw value becomes: text by itself, an integer by its digits, a boolean as `true` or `false`.
pub type Values = BTreeMap<String, Value>;

/// A declared rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// How.
    pub mode: Rounding,
    /// Digits after the point that stay; `None` for as many as the currency has.
    pub digits: Option<u32>,
}

/// How the elements of an array are made. Pointers are relative to the element.
#[derive(Debug, Clone, PartialEq)]
pub enum Each {
    /// Each becomes an object of these fields. No two have the same target.
    Fields(Vec<Field>),
    /// Each becomes a value like this. Its target has no name.
    Value(Field),
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldType {
    /// Text.
    Text,
    /// An integer of 64 bits with sign.
    I64,
    /// An exact decimal, as text.
    Decimal,
    /// An exact amount with its currency.
    Money {
        /// Where the currency's code comes from.
        currency: ValueSource,
    },
    /// A currency code.
    Iso4217,
    /// True or false.
    Bool,
    /// An instant, as RFC 3339 text in UTC with six digits of a second.
    Timestamp,
    /// A calendar date, as text.
    Date,
    /// Any JSON.
    Json,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl FieldType {
    /// The type without where its parts come from.
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Text => FieldKind::Text,
            Self::I64 => FieldKind::I64,
            Self::Decimal => FieldKind::Decimal,
            Self::Money { .. } => FieldKind::Money,
            Self::Iso4217 => FieldKind::Iso4217,
            Self::Bool => FieldKind::Bool,
            Self::Timestamp => FieldKind::Timestamp,
            Self::Date => FieldKind::Date,
            Self::Json => FieldKind::Json,
            Self::Array => FieldKind::Array,
            Self::Object => FieldKind::Object,
        }
    }

    /// Whether a value of this type is taken over with its parts as they are.
    pub(crate) fn keeps_parts(&self) -> bool {
        matches!(self, Self::Json | Self::Array | Self::Object)
    }
}

/// What a field's values are, whatever raw data they are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FieldKind {
    /// `text`
    Text,
    /// `i64`
    I64,
    /// `decimal`
    Decimal,
    /// `money`
    Money,
    /// `iso4217`
    Iso4217,
    /// `bool`
    Bool,
    /// `timestamp`
    Timestamp,
    /// `date`
    Date,
    /// `json`
    Json,
    /// `array`
    Array,
    /// `object`
    Object,
}

impl FieldKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Text,
        Self::I64,
        Self::Decimal,
        Self::Money,
        Self::Iso4217,
        Self::Bool,
        Self::Timestamp,
        Self::Date,
        Self::Json,
        Self::Array,
        Self::Object,
    ];

    /// The word contract files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::I64 => "i64",
            Self::Decimal => "decimal",
            Self::Money => "money",
            Self::Iso4217 => "iso4217",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no field type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a field type")]
pub struct UnknownKind(pub String);

impl FromStr for FieldKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Where a raw value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueSource {
    /// A place in the raw data; within an element of an array, in that element.
    Data(Pointer),
    /// A place in the whole raw data, also within an element.
    Whole(Pointer),
    /// An attribute of the raw event's envelope.
    Event(RawAttribute),
    /// An extension attribute of the raw event's envelope, by name.
    Extension(String),
    /// A constant, in raw form: it is converted like a value that was sent.
    Value(Value),
}

/// An attribute of the raw event's envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawAttribute {
    /// What its source calls the kind of event.
    Type,
    /// What its source calls the event.
    Id,
    /// When it happened, by its source.
    Time,
    /// What it is about, by its source.
    Subject,
    /// Who sent it.
    Source,
}

impl RawAttribute {
    /// Every attribute.
    pub const ALL: &[Self] = &[Self::Type, Self::Id, Self::Time, Self::Subject, Self::Source];

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Id => "id",
            Self::Time => "time",
            Self::Subject => "subject",
            Self::Source => "source",
        }
    }
}
