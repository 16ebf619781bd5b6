//! Where the clients find the server, whose lives are short, and what they are doing when it dies.
use super::super::common::{Answer, Client, HANGS};
use std::{
    net::SocketAddr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// The way to the server of the moment.
#[derive(Default)]
pub(crate) struct Door {
    state: Mutex<State>,
    changed: Condvar,
    failed: AtomicBool,
    /// Requests under way that publish.
    pub(crate) publishing: AtomicUsize,
    /// Requests under way that rebuild a model.
    pub(crate) rebuilding: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// How many servers were let in.
    life: u64,
    addr: Option<SocketAddr>,
    finishing: bool,
}

impl Door {
    /// Lets clients in to a server that is ready.
    pub(crate) fn open(&self, addr: SocketAddr) {
        let mut state = self.state();
        state.life += 1;
        state.addr = Some(addr);
        self.changed.notify_all();
    }

    /// The server is dead.
    pub(crate) fn close(&self) {
        self.state().addr = None;
    }

    /// Lets everybody end what they are at, with a server that nobody kills.
    pub(crate) fn finish(&self) {
        self.state().finishing = true;
        self.changed.notify_all();
    }

    /// Whether to begin nothing new.
    pub(crate) fn is_finishing(&self) -> bool {
        self.failed() || self.state().finishing
    }

    /// Whether somebody has given up, so that no answer will come.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits a little, less where the end is near.
    pub(crate) fn pause(&self, ms: u64) {
        let waited = self.changed.wait_timeout_while(self.state(), Duration::from_millis(ms), |state| !state.finishing);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server after that of life `life`; nothing where the test has failed.
    fn next(&self, life: u64) -> Option<(u64, SocketAddr)> {
        let waits = |state: &mut State| !self.failed() && (state.addr.is_none() || state.life <= life);
        let waited = self.changed.wait_timeout_while(self.state(), HANGS, waits);
        let (state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timed_out.timed_out(), "the server of life {life} does not answer, and nobody has killed it");
        state.addr.filter(|_| !self.failed()).map(|addr| (state.life, addr))
    }
}

/// Whoever holds this ends the others' work when it panics.
pub(crate) struct Alarm<'d>(pub(crate) &'d Door);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
            self.0.finish();
        }
    }
}

/// One client, who follows the server from life to life.
pub(crate) struct Visitor<'d> {
    door: &'d Door,
    at: Option<Client>,
    life: u64,
}

impl<'d> Visitor<'d> {
    pub(crate) fn new(door: &'d Door) -> Self {
        Self { door, at: None, life: 0 }
    }

    /// The life of the server that was asked last.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// Asks once. Nothing where no answer came: the server may have done it or not. Where it is dead this waits for the
    /// next one first.
    pub(crate) fn ask(
        &mut self,
        counter: Option<&AtomicUsize>,
        request: impl FnOnce(&Client) -> Result<Answer, String>,
    ) -> Option<Answer> {
        if self.at.is_none() {
            let (life, addr) = self.door.next(self.life)?;
            self.life = life;
            self.at = Some(Client::new(addr));
        }
        let client = self.at.as_ref()?;
        let nobody = AtomicUsize::new(0);
        let counter = counter.unwrap_or(&nobody);
        counter.fetch_add(1, Ordering::SeqCst);
        let answer = request(client);
        counter.fetch_sub(1, Ordering::SeqCst);
        if answer.is_err() {
            self.at = None;
        }
        answer.ok()
    }
}
