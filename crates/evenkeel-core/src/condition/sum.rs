//! Whether the elements of an array add up, exactly: `total = Σ price · quantity`.
//!
//! Decimals only, no floats: a sum or product with more digits than are kept exactly equals nothing.
use super::{Operand, decimal};
use crate::{
    decimal::Decimal,
    event::Found,
    json::{Pointer, Value},
};

/// A demand that what stands in the elements of an array adds up to a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// The array.
    pub over: Pointer,
    /// What is added up, relative to each element; the empty pointer is the element itself.
    pub value: Pointer,
    /// What each value is multiplied with, relative to its element, such as a quantity.
    pub times: Option<Pointer>,
    /// What it must be.
    pub equals: Operand,
}

impl Sum {
    /// Whether it holds. An empty array adds up to 0. Where amounts of money meet, all are of one currency; an element
    /// without a number equals nothing.
    pub(super) fn holds(&self, over: &Found<'_>, equals: &Found<'_>) -> bool {
        let (Found::Value(Value::Array(elements)), Some(expected)) = (over, decimal(equals)) else { return false };
        let mut one_currency = match equals {
            Found::Value(value) => currency(value),
            _ => None,
        };
        let mut sum = Decimal::default();
        for element in elements {
            let Some(value) = self.value.get(element) else { return false };
            let found = currency(value);
            if found.is_some() && one_currency.is_some() && found != one_currency {
                return false;
            }
            one_currency = one_currency.or(found);
            let times = match &self.times {
                Some(times) => times.get(element).and_then(|times| decimal(&Found::Value(times))),
                None => Some(1.into()),
            };
            let product = decimal(&Found::Value(value)).zip(times).and_then(|(a, b)| a.checked_mul(b).ok());
            match product.and_then(|product| sum.checked_add(product).ok()) {
                Some(added) => sum = added,
                None => return false,
            }
        }
        sum == expected
    }
}

/// The currency of an amount of money.
fn currency(value: &Value) -> Option<&str> {
    value.as_object()?.get("currency")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{condition::Condition, json::parse};

    fn holds(times: bool, document: &str) -> bool {
        let document = parse(document.as_bytes()).unwrap();
        let sum = Sum {
            over: "/lines".parse().unwrap(),
            value: "/price".parse().unwrap(),
            times: times.then(|| "/qty".parse().unwrap()),
            equals: Operand::Pointer("/total".parse().unwrap()),
        };
        Condition::SumEquals(sum).holds(|pointer| pointer.get(&document).map(Found::Value))
    }

    #[test]
    fn sums_are_exact() {
        let eur = |amount: &str| format!(r#"{{"amount":"{amount}","currency":"EUR"}}"#);
        for (times, document, expected) in [
            (false, r#"{"total":"0.3","lines":[{"price":"0.1"},{"price":0.2}]}"#.to_owned(), true),
            (false, r#"{"total":"0.31","lines":[{"price":"0.1"},{"price":0.2}]}"#.to_owned(), false),
            (false, r#"{"total":0,"lines":[]}"#.to_owned(), true),
            (false, r#"{"total":1,"lines":[{}]}"#.to_owned(), false),
            (false, r#"{"total":1,"lines":{}}"#.to_owned(), false),
            (false, r#"{"lines":[]}"#.to_owned(), false),
            (
                false,
                r#"{"total":"9007199254740993.01","lines":[{"price":9007199254740993},{"price":0.01}]}"#.to_owned(),
                true,
            ),
            (true, r#"{"total":"7.05","lines":[{"price":"2.35","qty":3}]}"#.to_owned(), true),
            (true, r#"{"total":"7.05","lines":[{"price":"2.35"}]}"#.to_owned(), false),
            (true, format!(r#"{{"total":{},"lines":[{{"price":{},"qty":2}}]}}"#, eur("3.00"), eur("1.50")), true),
            (
                false,
                format!(r#"{{"total":{{"amount":"1.50","currency":"USD"}},"lines":[{{"price":{}}}]}}"#, eur("1.50")),
                false,
            ),
            (
                false,
                format!(
                    r#"{{"total":"1.50","lines":[{{"price":{}}},{{"price":{{"amount":"0","currency":"USD"}}}}]}}"#,
                    eur("1.50")
                ),
                false,
            ),
        ] {
            assert_eq!(holds(times, &document), expected, "{document}");
        }
    }

    #[test]
    fn what_is_too_long_to_add_exactly_equals_nothing() {
        let long = "9".repeat(28);
        assert!(!holds(false, &format!(r#"{{"total":"{long}","lines":[{{"price":"{long}"}},{{"price":"0.1"}}]}}"#)));
        assert!(!holds(true, &format!(r#"{{"total":"{long}","lines":[{{"price":"{long}","qty":"{long}"}}]}}"#)));
    }
}
