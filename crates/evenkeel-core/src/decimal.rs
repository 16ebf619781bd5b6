//! Exact decimals and money: from the text of an event to the text of a table, never through a float.
//!
//! Digits that do not fit are refused, except where somebody asks for [`Rounding`] by name.
use iso_currency::Currency as Iso;
use rust_decimal::RoundingStrategy;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Why a text or an operation does not give an exact value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not written as a decimal number.
    #[error("expected a decimal number such as 12.50, found {0:?}")]
    Syntax(String),
    /// More digits than are kept exactly.
    #[error("{0:?} has more than the 28 digits that are kept exactly")]
    Digits(String),
    /// The result of an addition has more digits than are kept exactly.
    #[error("{0} + {1} has more than the 28 digits that are kept exactly")]
    Overflow(Decimal, Decimal),
    /// The result of a multiplication has more digits than are kept exactly.
    #[error("{0} · {1} has more than the 28 digits that are kept exactly")]
    Product(Decimal, Decimal),
    /// Not a currency of ISO 4217.
    #[error("expected a currency code of ISO 4217 such as EUR, found {0:?}")]
    Currency(String),
    /// An amount finer than its currency's minor unit.
    #[error("{amount} {currency} is finer than the currency's {digits} decimal digits")]
    Minor {
        /// The amount.
        amount: Decimal,
        /// Its currency.
        currency: Currency,
        /// How many digits the currency has.
        digits: u32,
    },
    /// An amount whose minor units do not fit a 64-bit integer.
    #[error("{0} {1} does not fit 64 bits of minor units")]
    Range(Decimal, Currency),
}

/// An exact decimal number of at most 28 digits. Trailing zeros are kept for display and do not count for equality.
///
/// ```
/// use evenkeel_core::decimal::Decimal;
/// let sum = "0.10".parse::<Decimal>()?.checked_add("0.2".parse()?)?;
/// assert_eq!(sum.to_string(), "0.30");
/// assert_eq!(sum, "0.3".parse()?);
/// # Ok::<(), evenkeel_core::decimal::DecimalError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal(rust_decimal::Decimal);

impl Decimal {
    /// The exact sum.
    ///
    /// # Errors
    /// [`DecimalError::Overflow`] where the exact sum has more than 28 digits.
    pub fn checked_add(self, other: Self) -> Result<Self, DecimalError> {
        let overflow = || DecimalError::Overflow(self, other);
        let sum = self.0.checked_add(other.0).ok_or_else(overflow)?;
        // A sum that was rounded to fit has lost scale: it is refused, not kept.
        if sum.scale() < self.0.scale().max(other.0.scale()) && !sum.is_zero() {
            return Err(overflow());
        }
        Ok(Self(sum))
    }

    /// The exact product.
    ///
    /// # Errors
    /// [`DecimalError::Product`] where the exact product has more than 28 digits.
    pub fn checked_mul(self, other: Self) -> Result<Self, DecimalError> {
        let overflow = || DecimalError::Product(self, other);
        let (left, right) = (self.0.normalize(), other.0.normalize());
        if left.is_zero() || right.is_zero() {
            return Ok(Self::default());
        }
        let product = left.checked_mul(right).ok_or_else(overflow)?;
        // A product that was rounded to fit has lost scale: it is refused, not kept.
        if product.scale() < left.scale() + right.scale() {
            return Err(overflow());
        }
        Ok(Self(product))
    }

    /// This with at most `digits` digits after the point, rounded as asked.
    ///
    /// ```
    /// use evenkeel_core::decimal::{Decimal, Rounding};
    /// let half: Decimal = "2.345".parse()?;
    /// assert_eq!(half.rounded(2, Rounding::HalfEven).to_string(), "2.34");
    /// assert_eq!(half.rounded(2, Rounding::HalfUp).to_string(), "2.35");
    /// # Ok::<(), evenkeel_core::decimal::DecimalError>(())
    /// ```
    #[must_use]
    pub fn rounded(self, digits: u32, rounding: Rounding) -> Self {
        let mut rounded = self.0.round_dp_with_strategy(digits, rounding.strategy());
        if rounded.is_zero() {
            rounded.set_sign_positive(true);
        }
        Self(rounded)
    }

    /// This times `10^digits` as an integer, where that is exact and fits 64 bits.
    pub fn scaled(self, digits: u32) -> Option<i64> {
        let normal = self.0.normalize();
        let missing = digits.checked_sub(normal.scale())?;
        i64::try_from(normal.mantissa().checked_mul(10i128.checked_pow(missing)?)?).ok()
    }

    /// Whether this is below zero.
    pub fn is_negative(&self) -> bool {
        self.0.is_sign_negative() && !self.0.is_zero()
    }
}

/// How digits that do not fit are rounded off. The names are those of most decimal libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest; what is half-way to the even neighbour ("banker's rounding").
    HalfEven,
    /// To the nearest; what is half-way away from zero.
    HalfUp,
    /// To the nearest; what is half-way towards zero.
    HalfDown,
    /// Away from zero.
    Up,
    /// Towards zero.
    Down,
    /// Towards plus infinity.
    Ceiling,
    /// Towards minus infinity.
    Floor,
}

impl Rounding {
    /// Every mode with its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("half_even", Self::HalfEven),
        ("half_up", Self::HalfUp),
        ("half_down", Self::HalfDown),
        ("up", Self::Up),
        ("down", Self::Down),
        ("ceiling", Self::Ceiling),
        ("floor", Self::Floor),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::HalfDown => RoundingStrategy::MidpointTowardZero,
            Self::Up => RoundingStrategy::AwayFromZero,
            Self::Down => RoundingStrategy::ToZero,
            Self::Ceiling => RoundingStrategy::ToPositiveInfinity,
            Self::Floor => RoundingStrategy::ToNegativeInfinity,
        }
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self(value.into())
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads the number grammar of JSON: an optional minus, digits without leading zeros, and optionally a fraction
    /// and an exponent.
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let syntax = || DecimalError::Syntax(text.to_owned());
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
        if !digits(whole)
            || (whole.len() > 1 && whole.starts_with('0'))
            || !fraction.is_none_or(digits)
            || !exponent_fits
        {
            return Err(syntax());
        }
        let many = || DecimalError::Digits(text.to_owned());
        let mut value = rust_decimal::Decimal::from_str_exact(&text[..text.len() - unsigned.len() + mantissa.len()])
            .map_err(|_| many())?;
        if let Some(exponent) = exponent {
            value = shift(value, exponent.parse().map_err(|_| many())?).ok_or_else(many)?;
        }
        if value.is_zero() {
            value.set_sign_positive(true);
        }
        Ok(Self(value))
    }
}

/// `value · 10^by`, where that is exact.
fn shift(value: rust_decimal::Decimal, by: i32) -> Option<rust_decimal::Decimal> {
    let scale = i64::from(value.scale()) - i64::from(by);
    if value.is_zero() {
        return Some(rust_decimal::Decimal::ZERO);
    }
    if scale >= 0 {
        return rust_decimal::Decimal::try_from_i128_with_scale(value.mantissa(), u32::try_from(scale).ok()?).ok();
    }
    let power = 10i128.checked_pow(u32::try_from(-scale).ok()?)?;
    rust_decimal::Decimal::try_from_i128_with_scale(value.mantissa().checked_mul(power)?, 0).ok()
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({})", self.0)
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(Iso);

impl Currency {
    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal digits an amount has; none where ISO 4217 names no minor unit.
    pub fn digits(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = DecimalError;
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        Iso::from_code(text).map(Self).ok_or_else(|| DecimalError::Currency(text.to_owned()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in a currency, written with exactly as many digits as the currency has.
///
/// ```
/// use evenkeel_core::decimal::Money;
/// let money = Money::new("12.3".parse()?, "EUR".parse()?)?;
/// assert_eq!(money.amount().to_string(), "12.30");
/// assert_eq!(money.minor()?, 1230);
/// assert!(Money::new("12.345".parse()?, "EUR".parse()?).is_err());
/// # Ok::<(), evenkeel_core::decimal::DecimalError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// # Errors
    /// [`DecimalError::Minor`] where the amount has digits below the currency's minor unit, and
    /// [`DecimalError::Range`] where it is too large to be written in minor units.
    pub fn new(amount: Decimal, currency: Currency) -> Result<Self, DecimalError> {
        let digits = currency.digits();
        let mut value = amount.0;
        if value.normalize().scale() > digits {
            return Err(DecimalError::Minor { amount, currency, digits });
        }
        value.rescale(digits);
        let money = Self { amount: Decimal(value), currency };
        if value != amount.0 {
            return Err(DecimalError::Range(amount, currency));
        }
        money.minor()?;
        Ok(money)
    }

    /// The amount.
    pub fn amount(&self) -> Decimal {
        self.amount
    }

    /// The currency.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The amount as a whole number of minor units (cents).
    ///
    /// # Errors
    /// [`DecimalError::Range`] where that number does not fit 64 bits.
    pub fn minor(&self) -> Result<i64, DecimalError> {
        i64::try_from(self.amount.0.mantissa()).map_err(|_| DecimalError::Range(self.amount, self.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_survives_exactly() {
        for text in ["0", "34.33634285099345", "9007199254740993.01", "-0.10", "79228162514264337593543950335"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!("1.5e3".parse::<Decimal>().unwrap().to_string(), "1500");
        assert_eq!("15E-1".parse::<Decimal>().unwrap().to_string(), "1.5");
        assert_eq!("-0".parse::<Decimal>().unwrap().to_string(), "0");
    }

    #[test]
    fn what_does_not_survive_is_refused() {
        for text in [
            "",
            "+1",
            "1_000",
            "01",
            ".5",
            "5.",
            "1e",
            "NaN",
            "1e400",
            "0.00000000000000000000000000001",
            "1.00000000000000000000000000000001",
            "1e-400",
            " 1",
        ] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
        assert!("9".repeat(28).parse::<Decimal>().unwrap().checked_add("0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn money_knows_its_minor_unit() {
        let money = |amount: &str, currency: &str| Money::new(amount.parse()?, currency.parse()?);
        assert_eq!(money("1", "JPY").unwrap().minor(), Ok(1));
        assert_eq!(money("1", "BHD").unwrap().amount().to_string(), "1.000");
        assert_eq!(money("1.20000", "EUR").unwrap().amount().to_string(), "1.20");
        assert!(money("1.5", "JPY").is_err());
        assert!(money("1", "XYZ").is_err());
        assert!(money("92233720368547758.08", "EUR").is_err());
    }

    #[test]
    fn there_is_no_negative_zero() {
        let sum = |a: &str, b: &str| a.parse::<Decimal>().unwrap().checked_add(b.parse().unwrap()).unwrap();
        for zero in [sum("-1", "1"), sum("1", "-1"), sum("-0.50", "0.5"), "-0.0".parse().unwrap()] {
            assert!(!zero.to_string().contains('-') && !zero.is_negative(), "{zero}");
        }
        assert!(sum("-1", "0.5").is_negative());
    }

    #[test]
    fn rounding_goes_where_it_is_told() {
        let round = |text: &str, mode| text.parse::<Decimal>().unwrap().rounded(1, mode).to_string();
        for (mode, expected) in [
            (Rounding::HalfEven, ["0.2", "0.2", "-0.2", "-0.4", "0.1"]),
            (Rounding::HalfUp, ["0.2", "0.3", "-0.3", "-0.4", "0.1"]),
            (Rounding::HalfDown, ["0.1", "0.2", "-0.2", "-0.3", "0.1"]),
            (Rounding::Up, ["0.2", "0.3", "-0.3", "-0.4", "0.1"]),
            (Rounding::Down, ["0.1", "0.2", "-0.2", "-0.3", "0"]),
            (Rounding::Ceiling, ["0.2", "0.3", "-0.2", "-0.3", "0.1"]),
            (Rounding::Floor, ["0.1", "0.2", "-0.3", "-0.4", "0"]),
        ] {
            let found = ["0.15", "0.25", "-0.25", "-0.35", "0.06"].map(|text| round(text, mode));
            let found = found.each_ref().map(|text| if text == "0.0" { "0" } else { text.as_str() });
            assert_eq!(found, expected, "{mode:?}");
        }
        assert_eq!("-0.01".parse::<Decimal>().unwrap().rounded(1, Rounding::Ceiling).to_string(), "0.0");
        assert_eq!("1.5".parse::<Decimal>().unwrap().rounded(2, Rounding::Up).to_string(), "1.5");
    }

    #[test]
    fn products_and_scaled_integers_are_exact_or_nothing() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(decimal("2.35").checked_mul(decimal("3.00")).unwrap(), decimal("7.05"));
        assert_eq!(decimal("-0").checked_mul(decimal("-5")).unwrap().to_string(), "0");
        assert!(decimal("1.00000000000001").checked_mul(decimal("1.000000000000001")).is_err());
        assert!(decimal(&"9".repeat(28)).checked_mul(decimal("10.1")).is_err());
        assert_eq!(decimal("-12.30").scaled(2), Some(-1230));
        assert_eq!(decimal("12.345").scaled(2), None);
        assert_eq!(decimal("92233720368547758.08").scaled(2), None);
        assert_eq!(decimal("1").scaled(400), None);
    }

    proptest! {
        #[test]
        fn digits_survive(text in "-?(0|[1-9][0-9]{0,13})(\\.[0-9]{1,14})?") {
            let decimal: Decimal = text.parse().unwrap();
            prop_assert_eq!(decimal.to_string(), text.strip_prefix('-').filter(|_| !decimal.is_negative()).unwrap_or(&text));
        }

        #[test]
        fn addition_of_any_scales_is_exact_or_refused(a: i64, b: i64, scales in (0u32..20, 0u32..20)) {
            let sum = Decimal(rust_decimal::Decimal::new(a, scales.0)).checked_add(Decimal(rust_decimal::Decimal::new(b, scales.1)));
            let scale = scales.0.max(scales.1);
            let aligned = |value: i64, own: u32| i128::from(value) * 10i128.pow(scale - own);
            let exact = aligned(a, scales.0) + aligned(b, scales.1);
            match sum {
                Ok(sum) => prop_assert_eq!(Ok(sum.0), rust_decimal::Decimal::try_from_i128_with_scale(exact, scale)),
                Err(_) => prop_assert!(exact.unsigned_abs() >= 10u128.pow(28)),
            }
        }

        #[test]
        fn addition_is_exact(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000_000i64..1_000_000_000_000, scale in 0u32..9) {
            let decimal = |v: i64| Decimal(rust_decimal::Decimal::new(v, scale));
            prop_assert_eq!(decimal(a).checked_add(decimal(b)), Ok(decimal(a + b)));
        }
    }
}
