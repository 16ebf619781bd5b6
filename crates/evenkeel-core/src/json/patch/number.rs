//! Whether two JSON numbers are worth the same, however they are written: `1`, `1.0` and `10e-1` are.
//!
//! Decided by their digits, so that no precision is lost and an exponent of any size costs nothing. Arithmetic is
//! [`crate::decimal`]'s.
use super::super::Number;

/// Whether they are worth the same.
pub(super) fn same_number(a: &Number, b: &Number) -> bool {
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        return a == b;
    }
    let (a, b) = (a.to_string(), b.to_string());
    match (Worth::of(&a), Worth::of(&b)) {
        (Some(one), Some(other)) => one == other,
        _ => a == b,
    }
}

/// A number as `digits` times ten to the `exponent`, with neither leading nor trailing zeros among the digits.
#[derive(Debug, PartialEq, Eq)]
struct Worth {
    negative: bool,
    digits: String,
    exponent: i128,
}

impl Worth {
    /// `None` where the exponent itself is beyond counting.
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i128 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_end_matches('0');
        let trailing = i128::try_from(all.len() - digits.len()).ok()?;
        let exponent = exponent.checked_sub(i128::try_from(fraction.len()).ok()?)?.checked_add(trailing)?;
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }
}
