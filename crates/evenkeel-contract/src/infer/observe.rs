//! What values at one place of many events have in common.
//!
//! Not here: what is proposed for it ([`super::write`]).
use crate::contract::FieldKind;
use evenkeel_core::{
    decimal::{Currency, Decimal},
    json::{Number, Value},
    time::{Date, Timestamp},
};
use std::collections::{BTreeMap, BTreeSet};

/// How many different texts are remembered; beyond them a text is no enumeration.
const MAX_TEXTS: usize = 8;

/// What was seen at a place.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// How often there could have been a value.
    pub(super) chances: usize,
    pub(super) nulls: usize,
    pub(super) bools: usize,
    pub(super) ints: usize,
    /// Numbers that are no integers of 64 bits.
    pub(super) numbers: usize,
    pub(super) texts: usize,
    pub(super) arrays: usize,
    pub(super) objects: usize,
    /// The smallest number or decimal, and whether all numbers and texts are decimals.
    pub(super) least: Option<Decimal>,
    pub(super) undecimal: bool,
    /// How many of the texts are of each form.
    timestamps: usize,
    dates: usize,
    currencies: usize,
    pointed: usize,
    pub(super) empty: usize,
    pub(super) nul: bool,
    /// The different texts, as far as they are few.
    pub(super) different: BTreeSet<String>,
    pub(super) many: bool,
    pub(super) members: BTreeMap<String, Shape>,
    pub(super) elements: Option<Box<Shape>>,
}

impl Shape {
    /// Takes in what one event has here.
    pub(super) fn see(&mut self, value: Option<&Value>) {
        self.chances += 1;
        match value {
            None => {}
            Some(Value::Null) => self.nulls += 1,
            Some(Value::Bool(_)) => self.bools += 1,
            Some(Value::Number(number)) => {
                match number {
                    Number::Int(_) => self.ints += 1,
                    Number::Exact(_) => self.numbers += 1,
                }
                self.decimal(number.to_string().parse().ok());
            }
            Some(Value::String(text)) => self.text(text),
            Some(Value::Array(items)) => {
                self.arrays += 1;
                self.empty += usize::from(items.is_empty());
                let elements = self.elements.get_or_insert_default();
                items.iter().for_each(|item| elements.see(Some(item)));
            }
            Some(Value::Object(object)) => {
                // What comes to be known only now was missing before.
                let before = self.objects;
                self.objects += 1;
                for (name, value) in object.iter() {
                    let member = self.members.entry(name.to_owned()).or_default();
                    member.chances = member.chances.max(before);
                    member.see(Some(value));
                }
                for (_, member) in self.members.iter_mut().filter(|(name, _)| object.get(name).is_none()) {
                    member.see(None);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.texts += 1;
        self.empty += usize::from(text.is_empty());
        self.nul |= text.contains('\0');
        self.timestamps += usize::from(text.parse::<Timestamp>().is_ok());
        self.dates += usize::from(text.parse::<Date>().is_ok());
        self.currencies += usize::from(text.parse::<Currency>().is_ok());
        self.pointed += usize::from(text.contains('.'));
        self.decimal(text.parse().ok());
        if self.different.len() < MAX_TEXTS || self.different.contains(text) {
            self.different.insert(text.to_owned());
        } else {
            self.many = true;
        }
    }

    fn decimal(&mut self, decimal: Option<Decimal>) {
        match decimal {
            Some(decimal) => self.least = Some(self.least.map_or(decimal, |least| least.min(decimal))),
            None => self.undecimal = true,
        }
    }

    /// How many values there were.
    pub(super) fn present(&self) -> usize {
        self.bools + self.ints + self.numbers + self.texts + self.arrays + self.objects
    }

    /// Whether a text here or within holds U+0000, which no field takes.
    pub(super) fn has_nul(&self) -> bool {
        let within = |(name, member): (&String, &Self)| name.contains('\0') || member.has_nul();
        self.nul || self.members.iter().any(within) || self.elements.as_ref().is_some_and(|elements| elements.has_nul())
    }

    /// Whether it was always there and never null.
    pub(super) fn always(&self) -> bool {
        self.present() == self.chances && self.chances > 0
    }

    /// The narrowest type that takes every value that was seen.
    pub(super) fn kind(&self) -> FieldKind {
        let all = |count: usize| count > 0 && count == self.present();
        if all(self.ints) {
            FieldKind::I64
        } else if all(self.bools) {
            FieldKind::Bool
        } else if all(self.arrays) {
            FieldKind::Array
        } else if all(self.objects) {
            FieldKind::Object
        } else if all(self.texts) {
            self.text_kind()
        } else if all(self.ints + self.numbers + self.texts) && !self.undecimal {
            FieldKind::Decimal
        } else {
            FieldKind::Json
        }
    }

    fn text_kind(&self) -> FieldKind {
        match self.texts {
            texts if texts == self.timestamps => FieldKind::Timestamp,
            texts if texts == self.dates => FieldKind::Date,
            texts if texts == self.currencies => FieldKind::Iso4217,
            // Digits alone are as likely a number of something as an amount.
            _ if !self.undecimal && self.pointed > 0 => FieldKind::Decimal,
            _ => FieldKind::Text,
        }
    }

    /// The JSON types that were seen, as a schema names them.
    pub(super) fn json_types(&self) -> Vec<&'static str> {
        let seen = [
            ("string", self.texts),
            ("integer", if self.numbers == 0 { self.ints } else { 0 }),
            ("number", self.numbers),
            ("boolean", self.bools),
            ("array", self.arrays),
            ("object", self.objects),
            ("null", self.nulls),
        ];
        seen.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect()
    }
}
