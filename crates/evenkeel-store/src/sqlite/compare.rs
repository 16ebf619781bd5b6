//! How SQLite compares what it knows no type for: decimals, which are stored as text, and text with a pattern.
//!
//! Both are the core's ([`evenkeel_core::query`]) under names of ours. They are known to our own connections only, and in
//! no table's definition, so that any SQL tool can open the file.
use super::fault::Fallible;
use evenkeel_core::query::{Pattern, order_decimal_texts};
use rusqlite::{Connection, functions::FunctionFlags};

/// The collation of decimals.
pub(super) const DECIMAL: &str = "ek_decimal";
/// The function of a pattern and a text, whether the text is like that.
pub(super) const LIKE: &str = "ek_like";

/// Makes them known to a connection.
pub(super) fn register(conn: &Connection) -> Fallible<()> {
    conn.create_collation(DECIMAL, order_decimal_texts)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function(LIKE, 2, flags, |context| {
        let parse =
            |pattern: rusqlite::types::ValueRef<'_>| -> Result<Pattern, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Pattern::parse(pattern.as_str()?)?)
            };
        let pattern = context.get_or_create_aux(0, parse)?;
        // What is no text, as a foreign edit may leave, is told as the nearest text.
        Ok(context.get_raw(1).as_bytes_or_null()?.map(|bytes| pattern.matches(&String::from_utf8_lossy(bytes))))
    })?;
    Ok(())
}
