//! What a page of rows is made of: the query that was asked, for the table that is there.
//!
//! An attempt at a page is [`super::Reader::try_rows`]. What a query means is [`evenkeel_core::query`]'s.
use super::RowsRequest;
use crate::ReadError;
use evenkeel_core::{
    json::Object,
    query::{Place, Query, QueryError},
    row::Row,
    schema::Schema,
};
use std::time::Duration;

/// A request, as it was understood for a table of some shape.
pub(super) struct Wanted {
    pub(super) query: Query,
    pub(super) after: Option<Place>,
    /// The columns that are shown; all where `None`.
    columns: Option<Vec<usize>>,
}

impl Wanted {
    /// What a request asks of the table that is there.
    pub(super) fn of(request: &RowsRequest, stored: &Schema, declared: &Schema) -> Result<Self, ReadError> {
        match Self::read(request, stored) {
            Ok(wanted) => Ok(wanted),
            // Of a column that the declared version has, but not the table.
            Err(_) if !stored.same_as(declared) && Self::read(request, declared).is_ok() => {
                let reason = "the model is declared anew and not rebuilt yet, and its table lacks what is asked for";
                Err(ReadError::NotMet { reason: reason.into(), retry_after: Duration::from_secs(1), label: None })
            }
            Err(error) => Err(ReadError::Parameter(error.to_string())),
        }
    }

    fn read(request: &RowsRequest, schema: &Schema) -> Result<Self, QueryError> {
        let query = Query::parse(schema, &request.query)?;
        let after = request.cursor.as_deref().map(|cursor| query.place_of(cursor)).transpose()?;
        let columns = request.select.as_deref().map(|text| Query::columns(schema, text)).transpose()?;
        Ok(Self { query, after, columns })
    }

    /// A row as it is shown.
    pub(super) fn show(&self, schema: &Schema, row: &Row, is_parked: bool) -> Object {
        let mut object = match &self.columns {
            None => row.to_json(schema),
            Some(columns) => {
                let mut object = Object::default();
                for &column in columns {
                    object.insert(schema.columns[column].name.clone(), row.cells[column].to_json());
                }
                object
            }
        };
        object.insert("_parked", is_parked.into());
        object
    }
}
