//! A compiled contract: what a source's event must satisfy, and how it becomes ours.
//!
//! Plain data with public fields. Declarations are compiled into it (`declare`); the gate ([`crate::gate`]) applies
//! it. Nothing here reads files, and a contract is not checked against others here (`check`).
pub use crate::raw_schema::{BadSchema, Schema};
use crate::source::SourcePattern;
use evenkeel_core::{
    condition::Condition,
    ids::EventType,
    json::{Pointer, Value},
    quarantine::{ContractRef, OnQuarantine},
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A compiled contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Its name, which is the type of the events it produces.
    pub name: EventType,
    /// The version its author gave it.
    pub version: u32,
    /// The sources whose events it takes.
    pub from_source: SourcePattern,
    /// The upstream types it takes.
    pub types: UpstreamTypes,
    /// What the raw data must look like; `None` where nothing is demanded.
    pub schema: Option<Schema>,
    /// Where the subject is: the aggregate, and the key that parks.
    pub subject: ValueSource,
    /// What waits behind an event that this contract refuses.
    pub on_quarantine: OnQuarantine,
    /// What becomes of raw members that nothing reads.
    pub unmapped: Unmapped,
    /// How each field of the translated data is made, in declared order. No two have the same target.
    pub fields: Vec<Field>,
    /// What the translated event must satisfy, in declared order.
    pub invariants: Vec<Invariant>,
}

impl Contract {
    /// Whether events of this source and upstream type are taken.
    pub fn takes(&self, source: &str, upstream_type: &str) -> bool {
        self.from_source.matches(source) && self.types.matches(upstream_type)
    }

    /// The target fields and their kinds. Contracts that produce one (type, version) must have equal shapes.
    pub fn shape(&self) -> Shape {
        Shape { fields: self.fields.iter().map(|field| (field.to.clone(), field.ty.kind())).collect() }
    }

    /// Its name and version.
    pub fn reference(&self) -> ContractRef {
        ContractRef { name: self.name.clone(), version: self.version }
    }
}

/// The upstream types a contract takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamTypes {
    /// Every type. Where another contract lists the type, that one applies.
    Any,
    /// These.
    Listed(Vec<String>),
}

impl UpstreamTypes {
    /// Whether `upstream_type` is one of them.
    pub fn matches(&self, upstream_type: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(types) => types.iter().any(|listed| listed == upstream_type),
        }
    }
}

/// What becomes of raw members that nothing reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmapped {
    /// They are left out, and named in the decision.
    DropAndRecord,
    /// The event is refused.
    Refuse,
}

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
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// Text.
    Text,
    /// An integer of 64 bits with sign.
    I64,
    /// An exact decimal, as text.
    Decimal,
    /// An exact amount with its currency.
    Money {
        /// Where the currency's code is in the raw data.
        currency: Pointer,
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
    /// A place in the raw data.
    Data(Pointer),
    /// An attribute of the raw event's envelope.
    Event(RawAttribute),
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

/// A condition that every translated event satisfies.
#[derive(Debug, Clone, PartialEq)]
pub struct Invariant {
    /// Its name, which the quarantine shows.
    pub name: String,
    /// What must hold; its pointers are those of models (`/data/…`, `/subject`, `/time`…).
    pub condition: Condition,
}

impl Invariant {
    /// What a refusal says when it does not hold.
    pub(crate) fn refusal(&self) -> String {
        format!("the invariant {} does not hold", self.name)
    }
}

/// The target fields of a contract and their kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The kinds by field name.
    pub fields: BTreeMap<String, FieldKind>,
}
