//! Whether a model has reached exactly the events that its log has, up to its checkpoint, by their identities.
//!
//! Asked at every heartbeat and by every strong read, so what was compared once is not compared again: windows that are
//! full do not change. Which events are missing, and which rows that concerns, is [`crate::content`]'s to find.
use evenkeel_core::{
    ModelName,
    content::{Window, compare_windows},
};
use evenkeel_store::{Log, Models, Result, Table};
use parking_lot::Mutex;

/// How often to look again where the model moves on in between.
const ATTEMPTS: usize = 3;

/// What was compared last.
#[derive(Debug, Default)]
pub(crate) struct Compared(Mutex<Option<Agreed>>);

#[derive(Debug, Clone, Copy)]
struct Agreed {
    generation: u64,
    /// How many events of the model's types the log had.
    appended: u64,
    /// Windows before this one agree and are full.
    from: Window,
    agrees: bool,
}

impl Compared {
    /// Whether the identities agree. `None` where the model moved on whenever it was looked at.
    pub(crate) fn agree(&self, log: &dyn Log, models: &dyn Models, model: &ModelName) -> Result<Option<bool>> {
        for _ in 0..ATTEMPTS {
            let Some(state) = models.state(model)? else { return Ok(None) };
            let (types, upto) = (&state.schema.subscribes, state.checkpoint.position);
            let head = log.safe_head()?;
            let count = head.count(types);
            let known = *self.0.lock();
            let is_same = |known: &Agreed| known.generation == state.generation && known.appended == count;
            if let Some(known) = known.filter(is_same) {
                return Ok(Some(known.agrees));
            }
            // At the head with another count than the log's: something is below the checkpoint that was not there before.
            let is_late = upto >= head.position && state.checkpoint.counts.total() != count;
            let known = known.filter(|known| known.agrees && !is_late);
            let from = known.map_or(Window::default(), |known| known.from);
            let applied = models.identities(model, Table::Live, from)?;
            if models.state(model)?.is_none_or(|now| now.generation != state.generation) {
                continue;
            }
            let appended = log.identities(types, from, upto)?;
            let agrees = compare_windows(&appended, &applied).is_empty();
            let from = if agrees { Window::of(upto) } else { Window::default() };
            *self.0.lock() = Some(Agreed { generation: state.generation, appended: count, from, agrees });
            return Ok(Some(agrees));
        }
        Ok(None)
    }

    /// Another table is in the model's place, or its windows were put right.
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}
