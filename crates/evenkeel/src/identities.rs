//! Whether a model has reached exactly the events that its log has, up to its checkpoint, by their identities.
//!
//! Asked at every heartbeat and by every strong read, so what was compared once is not compared again: windows that are
//! full do not change. Which events are missing, and which rows that concerns, is [`crate::content`]'s to find.
use evenkeel_core::{
    EventType, ModelName, Position,
    checkpoint::SafeHead,
    content::{Window, compare_windows},
};
use evenkeel_store::{Log, Models, Result, Table};
use parking_lot::Mutex;
use std::collections::BTreeSet;

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
            // Another count than the log has up to there: something is below the checkpoint that was not there before.
            let is_late = state.checkpoint.counts.total() != count.saturating_sub(after(log, types, upto, &head)?);
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

/// How many events of these types the log has after `upto` and up to its head.
fn after(log: &dyn Log, types: &BTreeSet<EventType>, upto: Position, head: &SafeHead) -> Result<u64> {
    if upto >= head.position {
        return Ok(0);
    }
    // From the window that `upto` is in: of those before it nothing need be read.
    let count = |last| -> Result<u64> {
        let sums = log.identities(types, Window::of(upto), last)?;
        Ok(sums.iter().map(|(_, sum)| sum.count.unsigned_abs()).sum())
    };
    Ok(count(head.position)?.saturating_sub(count(upto)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::{
        Projector,
        tests::{Does, fold, now, store_of},
    };
    use evenkeel_core::fold::Fold;
    use evenkeel_store::memory::Volatile;
    use std::sync::Arc;

    #[test]
    fn an_event_that_appears_below_the_checkpoint_is_seen_while_others_are_still_to_be_applied() {
        let acts = |second| [(1, Does::Adds(1)), second, (3, Does::Adds(3)), (4, Does::Adds(4))];
        let store = store_of(&acts((2, Does::IsOfNoConcern)));
        let fold = fold();
        let model = &fold.schema().model.clone();
        store.models.register(fold.schema()).unwrap();
        let mut projector = Projector::open(Arc::new(fold), &*store.models, Table::Live, 2).unwrap();
        projector.advance(&*store.log, &*store.models, now(), None).unwrap();
        let compared = Compared::default();
        assert_eq!(compared.agree(&*store.log, &*store.models, model).unwrap(), Some(true));
        store.log.restore(store_of(&acts((2, Does::Adds(2)))).log.image());
        assert_eq!(compared.agree(&*store.log, &*store.models, model).unwrap(), Some(false));
    }
}
