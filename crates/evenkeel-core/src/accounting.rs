//! Books on what was received: every event that was taken is in one place, and the places add up.
//!
//! Entries are made where it is decided what becomes of an event ([`crate::intake`]) and written in the same transaction, so
//! that no crash parts them. Not here: the places themselves, which a store counts afresh to compare.
use crate::quarantine::State;
use serde::Serialize;
use std::ops::AddAssign;

/// What became of the events of one source; or, as a change of that, how much more or less of each there is.
///
/// Every event that was taken counts once, as long as it is in one of the places: a resent event counts each time it is
/// taken, as a duplicate. What was not taken (a version conflict, a refused request) does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Events taken.
    pub received: i64,
    /// In the log, at once or later.
    pub admitted: i64,
    /// Known before, from the log or the quarantine.
    pub duplicate: i64,
    /// Waiting for what they depend on.
    pub waiting: i64,
    /// In quarantine, for a person or behind another entry.
    pub quarantined: i64,
    /// Those of them that wait behind another entry.
    pub held: i64,
    /// Given up.
    pub discarded: i64,
}

impl Account {
    /// An event that was taken and is in the log.
    pub const ADMITTED: Self = Self { received: 1, admitted: 1, ..Self::NOTHING };
    /// An event that was taken and known before.
    pub const DUPLICATE: Self = Self { received: 1, duplicate: 1, ..Self::NOTHING };
    /// An event that was taken and waits for what it depends on.
    pub const WAITING: Self = Self { received: 1, waiting: 1, ..Self::NOTHING };
    /// Nothing at all.
    pub const NOTHING: Self =
        Self { received: 0, admitted: 0, duplicate: 0, waiting: 0, quarantined: 0, held: 0, discarded: 0 };

    /// An event that was taken and has a new entry in this state.
    pub fn entered(state: State) -> Self {
        Self { received: 1, ..Self::of_entry(state) }
    }

    /// An entry that went from one state to another. `appended` says whether what was admitted was new to the log.
    pub fn moved(from: State, to: State, appended: bool) -> Self {
        let place = match to {
            State::Admitted if !appended => Self { duplicate: 1, ..Self::NOTHING },
            to => Self::of_entry(to),
        };
        place.without(Self::of_entry(from))
    }

    /// An event that waited for what it depends on and is now where an entry in this state would be.
    pub fn waited(to: State) -> Self {
        Self { waiting: -1, ..Self::of_entry(to) }
    }

    /// Where an entry in this state counts.
    pub fn of_entry(state: State) -> Self {
        match state {
            State::Quarantined => Self { quarantined: 1, ..Self::NOTHING },
            State::Held => Self { quarantined: 1, held: 1, ..Self::NOTHING },
            State::Admitted => Self { admitted: 1, ..Self::NOTHING },
            State::Discarded => Self { discarded: 1, ..Self::NOTHING },
        }
    }

    /// Whether everything received is in one of the places.
    pub fn is_balanced(&self) -> bool {
        let Self { received, admitted, duplicate, waiting, quarantined, held, discarded } = *self;
        let places = [admitted, duplicate, waiting, quarantined, discarded];
        places.iter().sum::<i64>() == received && places.iter().all(|n| *n >= 0) && (0..=quarantined).contains(&held)
    }

    /// Whether the places that can be counted afresh are as they were `counted`: in the log, waiting, in quarantine, given
    /// up.
    pub fn agrees_with(&self, counted: &Self) -> bool {
        let countable = |of: &Self| (of.admitted, of.waiting, of.quarantined, of.held, of.discarded);
        countable(self) == countable(counted)
    }

    fn without(mut self, other: Self) -> Self {
        self.admitted -= other.admitted;
        self.quarantined -= other.quarantined;
        self.held -= other.held;
        self.discarded -= other.discarded;
        self
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.admitted += other.admitted;
        self.duplicate += other.duplicate;
        self.waiting += other.waiting;
        self.quarantined += other.quarantined;
        self.held += other.held;
        self.discarded += other.discarded;
    }
}

/// The books on one source, and what was found when it was counted afresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// As they were kept.
    pub account: Account,
    /// What there is, where it was counted: only what is in the log, waits, is in quarantine, or was given up.
    pub counted: Option<Account>,
}

impl Books {
    /// Whether they add up, and agree with what was counted where that was done.
    pub fn are_right(&self) -> bool {
        self.account.is_balanced() && self.counted.is_none_or(|counted| self.account.agrees_with(&counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_becomes_of_an_event_the_books_are_balanced() {
        for first in [State::Quarantined, State::Held] {
            for then in State::ALL {
                for appended in [true, false] {
                    let mut account = Account::entered(first);
                    assert!(account.is_balanced(), "{account:?}");
                    account += Account::moved(first, *then, appended);
                    assert!(account.is_balanced(), "{first} to {then}: {account:?}");
                    let place = if *then == State::Admitted && !appended {
                        Account::DUPLICATE
                    } else {
                        Account::entered(*then)
                    };
                    assert_eq!(account, place);
                }
            }
        }
        for then in State::ALL {
            let mut account = Account::WAITING;
            account += Account::waited(*then);
            assert_eq!(account, Account::entered(*then));
        }
        assert!(
            Account::WAITING.is_balanced()
                && Account::ADMITTED.is_balanced()
                && Account::DUPLICATE.is_balanced()
                && Account::NOTHING.is_balanced()
        );
    }

    #[test]
    fn books_that_are_wrong_are_seen() {
        let lost = Account { received: 2, ..Account::ADMITTED };
        let below = Account { admitted: -1, duplicate: 1, ..Account::NOTHING };
        let held = Account { held: 2, ..Account::entered(State::Held) };
        assert!(!lost.is_balanced() && !below.is_balanced() && !held.is_balanced());
        let books = |counted| Books { account: Account::ADMITTED, counted };
        assert!(books(None).are_right() && books(Some(Account::of_entry(State::Admitted))).are_right());
        assert!(!books(Some(Account::NOTHING)).are_right());
    }
}
