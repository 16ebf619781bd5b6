//! Whether declarations fit each other: names, pointers, types, shapes.
//!
//! Everything is checked and reported, also where something else is wrong already; what could not be read is left out
//! of later checks, so that one mistake gives one message.
pub(crate) mod columns;
pub(crate) mod contracts;
pub(crate) mod examples;
pub(crate) mod expressions;
pub(crate) mod fields;
pub(crate) mod models;
pub(crate) mod pointer;
pub(crate) mod types;
pub(crate) mod versions;
pub(crate) mod views;

use crate::declare::ContractDecl;
use std::collections::{BTreeMap, BTreeSet};

/// The event types there are, with the contracts that produce them.
#[derive(Debug, Default)]
pub(crate) struct Catalogue<'d> {
    by_name: BTreeMap<&'d str, Vec<&'d ContractDecl>>,
    /// Types that a contract file that could not be read may produce.
    broken: BTreeSet<&'d str>,
}

impl<'d> Catalogue<'d> {
    pub(crate) fn new(contracts: &'d [ContractDecl], broken: impl IntoIterator<Item = &'d str>) -> Self {
        let mut catalogue = Self { broken: broken.into_iter().collect(), ..Self::default() };
        for decl in contracts {
            catalogue.by_name.entry(decl.contract.name.as_str()).or_default().push(decl);
        }
        catalogue
    }

    /// The contracts that produce events of this type.
    pub(crate) fn producers(&self, event: &str) -> &[&'d ContractDecl] {
        self.by_name.get(event).map_or(&[], Vec::as_slice)
    }

    /// Whether a contract that could not be read may produce it.
    pub(crate) fn may_exist(&self, event: &str) -> bool {
        self.broken.contains(event)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'d str> {
        self.by_name.keys().copied()
    }
}
