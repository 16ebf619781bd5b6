//! Events parked for one row, applied again in their order.
//!
//! Which of them a person may decide about, and writing it, is the runtime's.
use super::{Fold, Park, ParkState, Touch};
use crate::{
    event::Event,
    merge::Conflict,
    row::{Key, Row},
};

/// What becomes of a row's parked events.
#[derive(Debug, Clone, PartialEq)]
pub struct Released {
    /// The row afterwards; `None` for no row.
    pub row: Option<Row>,
    /// What was decided between writes that did not know each other.
    pub conflicts: Vec<Conflict>,
    /// How many parks, from the first, are resolved.
    pub resolved: usize,
    /// Why the next one cannot be applied; `None` where all are resolved.
    pub error: Option<String>,
}

/// Applies the parked events of `key`, given in log order with their events, up to the first that still cannot be
/// applied. Discarded ones are passed over.
pub fn release(fold: &dyn Fold, key: &Key, row: Option<Row>, parks: &[(Park, Event)]) -> Released {
    let mut released = Released { row, conflicts: Vec::new(), resolved: 0, error: None };
    for (park, event) in parks {
        if park.state != ParkState::Discarded {
            let touch = Touch { key: Ok(key.clone()), clause: park.touch.clause, element: park.touch.element };
            let mut slot = released.row.clone();
            let decided = released.conflicts.len();
            if let Err(error) = fold.apply_recording(&mut slot, event, &touch, key, &mut released.conflicts) {
                released.conflicts.truncate(decided);
                released.error = Some(error.to_string());
                break;
            }
            released.row = slot;
        }
        released.resolved += 1;
    }
    released.conflicts.retain(|conflict| !conflict.is_agreement());
    released
}
