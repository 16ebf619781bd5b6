//! Native conditions: what an invariant demands of a translated event, and when a model's clause applies.
//!
//! Not a language: each condition is one comparison. Expressions (CEL) belong to contracts.
mod pattern;
mod sum;

pub use pattern::{BadPattern, Pattern};
pub use sum::Sum;

use crate::{
    decimal::Decimal,
    event::Found,
    json::{Number, Object, Pointer, Value},
};
use std::cmp::Ordering;

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// What a pointer finds in the event.
    Pointer(Pointer),
    /// A constant.
    Value(Value),
}

/// A condition on one event.
///
/// ```
/// use evenkeel_core::{condition::{Comparison, Condition, Operand}, event::Found, json::parse};
/// let data = parse(br#"{"total": "12.50"}"#)?;
/// let positive = Condition::Compare(Comparison::Gt, Operand::Pointer("/total".parse()?), Operand::Value(0.into()));
/// assert!(positive.holds(|pointer| pointer.get(&data).map(Found::Value)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The two compare so. Numbers, decimals and the amounts of money compare exactly by value, two amounts of money
    /// only within one currency; other text by its characters, which for times in UTC and dates is by time.
    Compare(Comparison, Operand, Operand),
    /// There is text, an array or an object, and it is not empty.
    NotEmpty(Operand),
    /// The first is one of the others.
    OneOf(Operand, Vec<Value>),
    /// There is text, and the pattern is found in it.
    Matches(Operand, Pattern),
    /// What stands in the elements of an array adds up to a value.
    SumEquals(Sum),
}

/// How two values must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Equals,
    /// Not equal; also where either is missing.
    NotEquals,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

impl Condition {
    /// Whether the condition holds, where `at` follows a pointer into the event. What is missing satisfies nothing
    /// but [`Comparison::NotEquals`].
    pub fn holds<'e>(&'e self, at: impl Fn(&Pointer) -> Option<Found<'e>>) -> bool {
        let value = |operand: &'e Operand| match operand {
            Operand::Pointer(pointer) => at(pointer),
            Operand::Value(value) => Some(Found::Value(value)),
        };
        match self {
            Self::Compare(comparison, left, right) => {
                let ordering = value(left).zip(value(right)).map(|(l, r)| compare(&l, &r));
                match comparison {
                    Comparison::Equals => ordering == Some(Some(Ordering::Equal)),
                    Comparison::NotEquals => ordering != Some(Some(Ordering::Equal)),
                    Comparison::Gt => ordering.flatten().is_some_and(Ordering::is_gt),
                    Comparison::Ge => ordering.flatten().is_some_and(Ordering::is_ge),
                    Comparison::Lt => ordering.flatten().is_some_and(Ordering::is_lt),
                    Comparison::Le => ordering.flatten().is_some_and(Ordering::is_le),
                }
            }
            Self::NotEmpty(operand) => match value(operand) {
                Some(Found::Text(text)) => !text.is_empty(),
                Some(Found::Value(Value::String(text))) => !text.is_empty(),
                Some(Found::Value(Value::Array(items))) => !items.is_empty(),
                Some(Found::Value(Value::Object(object))) => !object.is_empty(),
                _ => false,
            },
            Self::OneOf(operand, values) => value(operand)
                .is_some_and(|found| values.iter().any(|v| compare(&found, &Found::Value(v)) == Some(Ordering::Equal))),
            Self::Matches(operand, pattern) => {
                value(operand).is_some_and(|found| found.as_str().is_some_and(|text| pattern.is_in(text)))
            }
            Self::SumEquals(sum) => {
                value(&sum.equals).zip(at(&sum.over)).is_some_and(|(equals, over)| sum.holds(&over, &equals))
            }
        }
    }

    /// The pointers this follows.
    pub fn pointers(&self) -> impl Iterator<Item = &Pointer> {
        let (first, second) = match self {
            Self::Compare(_, left, right) => (left, Some(right)),
            Self::NotEmpty(operand) | Self::OneOf(operand, _) | Self::Matches(operand, _) => (operand, None),
            Self::SumEquals(sum) => (&sum.equals, None),
        };
        let over = match self {
            Self::SumEquals(sum) => Some(&sum.over),
            _ => None,
        };
        let operands = [Some(first), second].into_iter().flatten().filter_map(|operand| match operand {
            Operand::Pointer(pointer) => Some(pointer),
            Operand::Value(_) => None,
        });
        operands.chain(over)
    }
}

/// How two values compare; `None` where they do not.
fn compare(left: &Found<'_>, right: &Found<'_>) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return Some(match (left.parse::<Decimal>(), right.parse::<Decimal>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            _ => left.cmp(right),
        });
    }
    if let (Found::Value(Value::Object(left)), Found::Value(Value::Object(right))) = (left, right) {
        return compare_objects(left, right);
    }
    if let (Some(left), Some(right)) = (decimal(left), decimal(right)) {
        return Some(left.cmp(&right));
    }
    (left.to_value() == right.to_value()).then_some(Ordering::Equal)
}

/// Money compares by amount within one currency. Other objects are equal or do not compare.
fn compare_objects(left: &Object, right: &Object) -> Option<Ordering> {
    if left == right {
        return Some(Ordering::Equal);
    }
    let money = |object: &Object| {
        let amount = decimal(&Found::Value(object.get("amount")?))?;
        (object.len() == 2).then_some((amount, object.get("currency")?.as_str()?.to_owned()))
    };
    let ((left, left_currency), (right, right_currency)) = (money(left)?, money(right)?);
    (left_currency == right_currency).then(|| left.cmp(&right))
}

fn decimal(found: &Found<'_>) -> Option<Decimal> {
    match found {
        Found::Text(text) => text.parse().ok(),
        Found::Int(int) => Some((*int).into()),
        Found::Value(Value::String(text)) => text.parse().ok(),
        Found::Value(Value::Number(Number::Int(int))) => Some((*int).into()),
        Found::Value(Value::Number(Number::Exact(text))) => text.parse().ok(),
        Found::Value(Value::Object(money)) => decimal(&Found::Value(money.get("amount")?)),
        Found::Value(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn holds(condition: &Condition, document: &str) -> bool {
        let document = parse(document.as_bytes()).unwrap();
        condition.holds(|pointer| pointer.get(&document).map(Found::Value))
    }

    fn at(pointer: &str) -> Operand {
        Operand::Pointer(pointer.parse().unwrap())
    }

    #[test]
    fn amounts_compare_by_value() {
        let positive = Condition::Compare(Comparison::Gt, at("/total"), Operand::Value(0.into()));
        for (document, expected) in [
            (r#"{"total":{"amount":"0.01","currency":"EUR"}}"#, true),
            (r#"{"total":"0.00"}"#, false),
            (r#"{"total":"9007199254740993.01"}"#, true),
            (r#"{"total":-1}"#, false),
            (r#"{"total":0.5}"#, true),
            (r#"{"total":"much"}"#, false),
            (r#"{"total":null}"#, false),
            (r#"{}"#, false),
        ] {
            assert_eq!(holds(&positive, document), expected, "{document}");
        }
    }

    #[test]
    fn money_compares_only_within_one_currency() {
        let compared =
            |comparison, document: &str| holds(&Condition::Compare(comparison, at("/a"), at("/b")), document);
        let same = r#"{"a":{"amount":"1.50","currency":"EUR"},"b":{"amount":"1.5","currency":"EUR"}}"#;
        let other = r#"{"a":{"amount":"1.50","currency":"EUR"},"b":{"amount":"1.50","currency":"USD"}}"#;
        let objects = r#"{"a":{"amount":1,"currency":"EUR","x":1},"b":{"amount":1,"currency":"EUR","x":2}}"#;
        assert!(compared(Comparison::Equals, same) && compared(Comparison::Ge, same));
        assert!(!compared(Comparison::Equals, other) && !compared(Comparison::Le, other));
        assert!(compared(Comparison::NotEquals, other) && compared(Comparison::NotEquals, objects));
    }

    #[test]
    fn values_of_different_kinds_do_not_compare() {
        let compared =
            |comparison, document: &str| holds(&Condition::Compare(comparison, at("/a"), at("/b")), document);
        for document in [r#"{"a":"x","b":1}"#, r#"{"a":[1],"b":1}"#, r#"{"a":null,"b":0}"#, r#"{"a":true,"b":1}"#] {
            assert!(compared(Comparison::NotEquals, document), "{document}");
            for comparison in [Comparison::Equals, Comparison::Gt, Comparison::Ge, Comparison::Lt, Comparison::Le] {
                assert!(!compared(comparison, document), "{document}");
            }
        }
        assert!(compared(Comparison::Lt, r#"{"a":"9","b":"10"}"#), "by value");
        assert!(compared(Comparison::Lt, r#"{"a":"10x","b":"9x"}"#), "by characters");
        assert!(compared(Comparison::Equals, r#"{"a":"1.0","b":1}"#));
        assert!(compared(Comparison::Equals, r#"{"a":{"x":[1]},"b":{"x":[1]}}"#));
    }

    #[test]
    fn missing_satisfies_only_not_equals() {
        let x = || Operand::Value("x".into());
        assert!(holds(&Condition::Compare(Comparison::NotEquals, at("/a"), x()), "{}"));
        assert!(!holds(&Condition::Compare(Comparison::Equals, at("/a"), x()), "{}"));
        assert!(!holds(&Condition::NotEmpty(at("/a")), "{}"));
        assert!(!holds(&Condition::NotEmpty(at("/a")), r#"{"a":[]}"#));
        assert!(holds(&Condition::OneOf(at("/a"), vec!["y".into(), "x".into()]), r#"{"a":"x"}"#));
    }
}
