//! What happened, in the order in which it did, as `docs/history.md` describes it.
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One for all clients: the order of its lines is what is true of all of them.
#[derive(Default)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<Value>>,
}

impl Recorder {
    /// Something begins, or has ended.
    pub(crate) fn line(&self, line: Value) {
        self.lines().push(line);
    }

    /// The log, at the end.
    pub(crate) fn log(&self, events: &[Value]) {
        let line = |event: &Value| json!({"type": "log", "position": event["position"], "id": event["id"], "key": event["subject"]});
        self.lines().extend(events.iter().map(line));
    }

    /// Everything.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.lines())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
