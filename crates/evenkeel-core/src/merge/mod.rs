//! What becomes of a column when writes to it meet: who knew whom, which write stands, and what is recorded of it.
//!
//! [`Mark`] is what must be kept of a write to tell later whether another knew it; [`State`] keeps the marks of a row's
//! columns, in the row; [`Column`] merges a write into a column; [`Conflict`] records what was decided between two writes
//! that did not know each other, so that it can be decided again ([`Conflict::replay`]). All of it is pure and depends on
//! the events alone, in the log's order: a row folded anew has the same state and gives the same records.
//!
//! These are the rules of [`crate::crdt`] on the values of a table: the log has put the writes in an order that agrees
//! with cause and effect, so a column needs the marks of what stands in it and no context of everything ever seen. Not here:
//! which events write what ([`crate::fold`]), and where records are kept (stores).
mod column;
mod conflict;
mod contribution;
mod mark;
mod state;

pub(crate) use column::version_of;
pub use column::{Column, Elements};
pub use conflict::{Conflict, ConflictId, Contender, Decided, Named, Settled, decide};
pub use contribution::{Contribution, Contributor};
pub use mark::{Counted, Mark, OrderBy};
pub use state::{BadState, Slot, State};

#[cfg(test)]
mod tests;
