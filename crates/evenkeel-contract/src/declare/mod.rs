//! What contract and model files say, read key by key, with the place of everything that is checked later.
//!
//! Syntax only: whether names, pointers and types fit each other is [`crate::check`]'s business.
pub(crate) mod condition;
pub(crate) mod contract;
pub(crate) mod field;
pub(crate) mod invariant;
pub(crate) mod model;
mod operand;

pub(crate) use condition::ConditionDecl;
pub(crate) use contract::ContractDecl;
pub(crate) use field::FieldPlaces;
pub(crate) use invariant::RuleDecl;
pub(crate) use model::{ClauseDecl, ColumnDecl, ModelDecl, OpDecl};

use crate::reader::{At, Reader};

/// Reads `version`, which starts at 1.
fn version(reader: &mut Reader<'_>) -> Option<At<u32>> {
    let version: At<u32> = reader.required("version")?;
    if version.value == 0 {
        reader.sink.error(&version.place, "expected a version of at least 1, found 0");
    }
    Some(version)
}
