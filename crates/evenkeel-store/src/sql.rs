//! Statements that readers write: what is asked for, what comes back, and why nothing does.
//!
//! Which dialect, and how a statement is kept from doing anything but reading, is each store's. Rows by conditions are
//! [`crate::Selection`]'s.
use crate::{ModelState, StoreError};
use evenkeel_core::{ModelName, json::Value, schema::View};
use std::time::Duration;

/// A statement, and what it may read and cost.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'s> {
    /// The text.
    pub sql: &'s str,
    /// The models it may read, by their names.
    pub models: &'s [ModelName],
    /// The views it may read beside them.
    pub views: &'s [View],
    /// How many rows it may give; what is beyond is left out.
    pub rows: usize,
    /// How many bytes they may take.
    pub bytes: usize,
    /// How long it may run.
    pub within: Duration,
}

/// What a statement gave. Its rows and the states of the models it reads are of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// The names of its columns, in order.
    pub columns: Vec<String>,
    /// Its rows, in order: integers and text exactly as they are stored, and bytes as text in hexadecimal digits.
    pub rows: Vec<Vec<Value>>,
    /// Whether there are more.
    pub more: bool,
}

/// Why a statement gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// It is not understood, or asks for what is not allowed.
    #[error("{message}")]
    Statement {
        /// What is wrong.
        message: String,
        /// Where in the text that is, in bytes from its start, if it is known.
        offset: Option<usize>,
    },
    /// It ran for as long as it may.
    #[error("the statement did not end within {} ms", .0.as_millis())]
    TooLong(Duration),
    /// Its rows take more than they may.
    #[error("the rows of the statement take more than {0} bytes")]
    TooLarge(usize),
    /// The store understands no statements.
    #[error("this store understands no SQL")]
    NoSql,
    /// The store could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SqlError {
    /// A statement that is not understood or allowed.
    pub fn statement(message: impl Into<String>) -> Self {
        Self::Statement { message: message.into(), offset: None }
    }
}

/// Decides, by the models that a statement reads as they are at its moment, whether it is carried out.
pub type Admit<'a> = &'a mut dyn FnMut(&[ModelState]) -> bool;
