//! Who reconciles a model: one holder at a time, for as long as it says.
//!
//! Whose turn it is within a process is the runtime's (`slot`).
use crate::sqlite::fault::Fallible;
use evenkeel_core::{ModelName, Timestamp};
use rusqlite::Connection;

/// Takes or renews a lease. Whether `holder` has it now.
pub(super) fn take(
    conn: &Connection,
    model: &ModelName,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> Fallible<bool> {
    let mut take = conn.prepare_cached(
        "INSERT INTO _ek_leases(model, holder, until) VALUES(?1, ?2, ?4) ON CONFLICT(model) DO UPDATE \
         SET holder = excluded.holder, until = excluded.until WHERE holder = ?2 OR until <= ?3",
    )?;
    Ok(take.execute((model.as_str(), holder, now.to_string(), until.to_string()))? > 0)
}

/// Gives a lease up.
pub(super) fn release(conn: &Connection, model: &ModelName, holder: &str) -> Fallible<()> {
    let mut delete = conn.prepare_cached("DELETE FROM _ek_leases WHERE model = ?1 AND holder = ?2")?;
    delete.execute((model.as_str(), holder))?;
    Ok(())
}
