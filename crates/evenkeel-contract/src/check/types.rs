//! Which values fit which columns and fields.
//!
//! Converting is not here: values become fields in [`crate::mapping`], and cells in [`evenkeel_core::row`].
use crate::{
    contract::{FieldKind, RawAttribute},
    declare::model::ColumnKind,
};
use evenkeel_core::{
    decimal::{Currency, Decimal, Money},
    json::Value,
    row::Cell,
    schema::ColumnType,
};

/// Whether the values of a field fit a column. What is `json` may fit; only the event knows.
pub(crate) fn fits(column: ColumnKind, field: FieldKind) -> bool {
    match column {
        _ if field == FieldKind::Json => true,
        ColumnKind::Json => true,
        ColumnKind::Text => {
            !matches!(field, FieldKind::I64 | FieldKind::Bool | FieldKind::Money | FieldKind::Array | FieldKind::Object)
        }
        ColumnKind::I64 => field == FieldKind::I64,
        ColumnKind::Decimal => matches!(field, FieldKind::Decimal | FieldKind::I64),
        ColumnKind::Money => matches!(field, FieldKind::Money | FieldKind::Object),
        ColumnKind::Iso4217 => field == FieldKind::Iso4217,
        ColumnKind::Bool => field == FieldKind::Bool,
        ColumnKind::Timestamp => field == FieldKind::Timestamp,
        ColumnKind::Date => field == FieldKind::Date,
    }
}

/// Whether a constant fits a column.
///
/// # Errors
/// What is expected and found.
pub(crate) fn constant_fits(column: ColumnKind, value: &Value) -> Result<(), String> {
    if column == ColumnKind::Money {
        let text = |name: &str| value.as_object().and_then(|money| money.get(name)).and_then(Value::as_str);
        let amount = text("amount").and_then(|text| text.parse::<Decimal>().ok());
        let currency = text("currency").and_then(|text| text.parse::<Currency>().ok());
        return match amount.zip(currency) {
            None => Err(format!("expected {{ amount = \"1.00\", currency = \"EUR\" }}, found {}", value.kind())),
            Some((amount, currency)) => Money::new(amount, currency).map(|_| ()).map_err(|error| error.to_string()),
        };
    }
    Cell::from_json(plain_type(column), value).map(|_| ()).map_err(|misfit| misfit.to_string())
}

/// Whether a constant or default, in raw form, can become a field.
///
/// # Errors
/// What is expected and found.
pub(crate) fn raw_constant_fits(field: FieldKind, value: &Value) -> Result<(), String> {
    let column = match field {
        FieldKind::Json => return Ok(()),
        FieldKind::Array | FieldKind::Object => {
            let fits =
                matches!((field, value), (FieldKind::Array, Value::Array(_)) | (FieldKind::Object, Value::Object(_)));
            return if fits { Ok(()) } else { Err(format!("expected an {field}, found {}", value.kind())) };
        }
        FieldKind::Text => ColumnType::Text,
        FieldKind::I64 => ColumnType::I64,
        // The currency comes from the raw data; here is only the amount.
        FieldKind::Decimal | FieldKind::Money => ColumnType::Decimal,
        FieldKind::Iso4217 => ColumnType::Iso4217,
        FieldKind::Bool => ColumnType::Bool,
        FieldKind::Timestamp => ColumnType::Timestamp,
        FieldKind::Date => ColumnType::Date,
    };
    Cell::from_json(column, value).map(|_| ()).map_err(|misfit| misfit.to_string())
}

/// Whether an attribute of the raw envelope, which is text, can become a field.
pub(crate) fn attribute_fits(attribute: RawAttribute, field: FieldKind) -> bool {
    match attribute {
        RawAttribute::Time => matches!(field, FieldKind::Timestamp | FieldKind::Text | FieldKind::Json),
        _ => !matches!(field, FieldKind::I64 | FieldKind::Bool | FieldKind::Array | FieldKind::Object),
    }
}

/// The core's type for all columns but money, whose currency's place among the columns it needs.
pub(crate) fn plain_type(column: ColumnKind) -> ColumnType {
    match column {
        ColumnKind::Text => ColumnType::Text,
        ColumnKind::I64 => ColumnType::I64,
        ColumnKind::Decimal | ColumnKind::Money => ColumnType::Decimal,
        ColumnKind::Iso4217 => ColumnType::Iso4217,
        ColumnKind::Bool => ColumnType::Bool,
        ColumnKind::Timestamp => ColumnType::Timestamp,
        ColumnKind::Date => ColumnType::Date,
        ColumnKind::Json => ColumnType::Json,
    }
}
