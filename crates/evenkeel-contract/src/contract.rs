//! A compiled contract: what a source's event must satisfy, and how it becomes ours.
//!
//! Plain data with public fields. Declarations are compiled into it (`declare`); the gate ([`crate::gate`]) applies
//! it. Nothing here reads files, and a contract is not checked against others here (`check`).
mod field;

pub use crate::{
    expression::{BadExpression, Expression},
    raw_schema::{BadSchema, Schema},
};
pub use field::{Each, Field, FieldKind, FieldType, RawAttribute, Round, UnknownKind, ValueSource, Values};

use crate::source::SourcePattern;
use evenkeel_core::{
    condition::Condition,
    ids::EventType,
    quarantine::{ContractRef, OnQuarantine},
};
use std::collections::BTreeMap;

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
    /// How an event of an earlier version becomes one of this version.
    pub upcast: Option<Upcast>,
    /// What the translated event must satisfy, in declared order.
    pub invariants: Vec<Invariant>,
}

/// How an event that an earlier version of a contract has translated becomes one of a later version.
#[derive(Debug, Clone, PartialEq)]
pub struct Upcast {
    /// The earlier version.
    pub from: u32,
    /// Fields that are taken over as they are.
    pub keep: Vec<String>,
    /// How the others are made; their pointers start from the earlier event's data.
    pub fields: Vec<Field>,
}

impl Contract {
    /// Whether events of this source and upstream type are taken.
    pub fn takes(&self, source: &str, upstream_type: &str) -> bool {
        self.from_source.matches(source) && self.types.matches(upstream_type)
    }

    /// The target fields and their kinds. Contracts that produce one (type, version) must have equal shapes.
    pub fn shape(&self) -> Shape {
        let mut shape = Shape::default();
        self.fields.iter().for_each(|field| field.add_to(&mut shape, ""));
        shape
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

/// A condition that every translated event satisfies.
#[derive(Debug, Clone, PartialEq)]
pub struct Invariant {
    /// Its name, which the quarantine shows.
    pub name: String,
    /// What must hold.
    pub rule: Rule,
}

/// What an invariant demands.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// A native condition; its pointers are those of models (`/data/…`, `/subject`, `/time`…).
    Native(Condition),
    /// An expression that must be true.
    Cel(Expression),
}

impl Invariant {
    /// What a refusal says when it does not hold.
    pub(crate) fn refusal(&self) -> String {
        format!("the invariant {} does not hold", self.name)
    }

    /// Whether `refusal` was said by this one.
    pub(crate) fn refused(&self, refusal: &str) -> bool {
        refusal.strip_prefix(&self.refusal()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    }
}

/// The target fields of a contract and their kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The kinds by field name; of parts of the elements of an array as `items[].sku`.
    pub fields: BTreeMap<String, FieldKind>,
}
