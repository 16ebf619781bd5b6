//! The place where a page ended, as a text for whoever asks for the next one.
//!
//! Bound to the query: of another model, with other conditions or in another order it is refused, and so is what was cut
//! or changed. It is no secret and grants nothing: whoever may ask the query may name any place in it.
use super::{Place, Query, QueryError, Test, text};
use crate::{
    json::{self, Value},
    row::Cell,
    schema::ColumnType,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// The first byte of every cursor of this form.
const VERSION: u8 = 1;
const HASH: usize = 16;

impl Query {
    /// The cursor of a place.
    pub fn cursor(&self, place: &Place) -> String {
        let body = Value::Array(place.0.iter().map(Cell::to_json).collect()).to_string();
        let mut bytes = vec![VERSION];
        bytes.extend(self.binding(body.as_bytes()));
        bytes.extend(body.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor of this query names.
    ///
    /// # Errors
    /// Where it is none, or of another query.
    pub fn place_of(&self, cursor: &str) -> Result<Place, QueryError> {
        let none = || QueryError::new("cursor", "expected the `next` of an earlier page");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| none())?;
        let body = bytes.strip_prefix(&[VERSION]).ok_or_else(none)?;
        let (hash, body) = body.split_at_checked(HASH).ok_or_else(none)?;
        if hash != self.binding(body) {
            let message = "it is of another query, or was changed: model, conditions and order must be those of the page it came with";
            return Err(QueryError::new("cursor", message));
        }
        let cells = json::parse(body).map_err(|_| none())?;
        let cells = cells.as_array().filter(|cells| cells.len() == self.order.len()).ok_or_else(none)?;
        let cells = self.order.iter().zip(cells).map(|(sort, value)| cell(self.ty(sort.column), value));
        Ok(Place(cells.collect()))
    }

    /// A hash over the query and what a cursor of it holds.
    fn binding(&self, body: &[u8]) -> [u8; HASH] {
        let mut hasher = blake3::Hasher::new_derive_key("evenkeel 2026 cursor of rows");
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        add(self.model.as_str().as_bytes());
        // Conditions are one set, whatever order they were named in.
        let mut conditions: Vec<_> = self.conditions.iter().map(|of| self.words(of.column, &of.test)).collect();
        conditions.sort_unstable();
        add(&(conditions.len() as u64).to_be_bytes());
        for words in conditions.iter().flatten() {
            add(words.as_bytes());
        }
        for sort in &self.order {
            let column = &self.columns[sort.column];
            add(column.name.as_bytes());
            add(column.ty.name().as_bytes());
            add(&[u8::from(sort.descending)]);
        }
        add(body);
        let mut hash = [0; HASH];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }

    fn words(&self, column: usize, test: &Test) -> Vec<String> {
        let column = &self.columns[column];
        let mut words = vec![column.name.clone(), column.ty.name().to_owned()];
        match test {
            Test::Compare(comparison, value) => words.extend([format!("{comparison:?}"), text(value).into_owned()]),
            Test::In(values) => {
                words.push(format!("in {}", values.len()));
                words.extend(values.iter().map(|value| text(value).into_owned()));
            }
            Test::Like(pattern) => words.extend(["like".to_owned(), pattern.to_string()]),
            Test::Null(is_null) => words.push(format!("null {is_null}")),
        }
        words
    }
}

/// The cell that was written so, where it came from a column of this type.
fn cell(ty: ColumnType, value: &Value) -> Cell {
    match (ty, value) {
        (_, Value::Null) => Cell::Null,
        (_, Value::Bool(b)) => Cell::Bool(*b),
        (_, value) if value.as_i64().is_some() => Cell::I64(value.as_i64().unwrap_or_default()),
        (ColumnType::Text | ColumnType::Iso4217, Value::String(text)) => Cell::Text(text.clone()),
        (_, Value::String(text)) => Cell::from_json(ty, value).unwrap_or_else(|_| Cell::Text(text.clone())),
        (_, other) => Cell::Json(other.clone()),
    }
}
