//! Actors: the sources and replicas whose events clocks count, as small numbers.
//!
//! Names come from the wire and go back to it; in between, an [`Actor`] is an index into one table, so that clocks
//! compare and merge without touching text. An index means nothing outside its table: encodings carry names, and two
//! nodes that met the same actors in another order write the same bytes. Not here: who is active ([`super::Members`]).
use crate::ids::SourceName;
use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::BuildHasherDefault,
};

/// A source or replica, by its place in one [`Actors`] table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor(pub u32);

impl Actor {
    /// The place in the table.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// An event's unique mark: who caused it, and the how manyth of that actor's it is, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dot {
    /// Who caused the event.
    pub actor: Actor,
    /// Its number among the events of that actor: 1, 2, 3….
    pub seq: u64,
}

impl Dot {
    /// The dot of `actor`'s event number `seq`.
    pub const fn new(actor: Actor, seq: u64) -> Self {
        Self { actor, seq }
    }
}

/// A name that the table does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActorsError {
    /// The table is full.
    #[error("{limit} actors are known, and no more are taken")]
    Full {
        /// How many it may hold.
        limit: usize,
    },
    /// An actor needs a name, of at most [`Actors::MAX_NAME_BYTES`] bytes.
    #[error("the name of an actor has 1 to {} bytes, found {found}", Actors::MAX_NAME_BYTES)]
    Name {
        /// How many bytes it has.
        found: usize,
    },
}

/// The names of actors, each with its number. Bounded: what comes from the wire cannot grow it without end.
///
/// ```
/// use evenkeel_core::clock::Actors;
/// let mut actors = Actors::default();
/// let orders = actors.intern("shop.orders")?;
/// assert_eq!(actors.intern("shop.orders")?, orders);
/// assert_eq!(actors.name(orders).as_str(), "shop.orders");
/// # Ok::<(), evenkeel_core::clock::ActorsError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Actors {
    names: Vec<SourceName>,
    // A hash without a random key: a table of at most `limit` names is searched in the worst case, never more.
    by_name: HashMap<SourceName, Actor, BuildHasherDefault<DefaultHasher>>,
    /// After which actor which one was named last time: clocks name the same actors in the same order again and again.
    follows: Vec<Actor>,
    limit: usize,
}

impl Default for Actors {
    fn default() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }
}

impl Actors {
    /// How many names a table takes unless it is told otherwise.
    pub const DEFAULT_LIMIT: usize = 4096;

    /// The longest name.
    pub const MAX_NAME_BYTES: usize = 1024;

    /// A table that takes `limit` names.
    pub fn with_limit(limit: usize) -> Self {
        let limit = limit.min(u32::MAX as usize);
        Self { names: Vec::new(), by_name: HashMap::default(), follows: Vec::new(), limit }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The actor of this name, which gets a number if it has none.
    ///
    /// # Errors
    /// Where the name is new and the table full, or it is no name.
    pub fn intern(&mut self, name: &str) -> Result<Actor, ActorsError> {
        if let Some(actor) = self.get(name) {
            return Ok(actor);
        }
        if name.is_empty() || name.len() > Self::MAX_NAME_BYTES {
            return Err(ActorsError::Name { found: name.len() });
        }
        if self.names.len() >= self.limit {
            return Err(ActorsError::Full { limit: self.limit });
        }
        let actor = Actor(self.names.len() as u32);
        let name = SourceName::from(name);
        self.names.push(name.clone());
        self.by_name.insert(name, actor);
        self.follows.push(actor);
        Ok(actor)
    }

    /// As [`Actors::intern`], where `before` was named just before: the usual one after it is tried first, which costs
    /// a comparison instead of a search.
    pub(super) fn intern_after(&mut self, before: Option<Actor>, name: &str) -> Result<Actor, ActorsError> {
        let guess = before.map_or(Actor(0), |before| self.follows[before.index()]);
        if self.names.get(guess.index()).is_some_and(|guessed| guessed.as_str() == name) {
            return Ok(guess);
        }
        let actor = self.intern(name)?;
        if let Some(before) = before {
            self.follows[before.index()] = actor;
        }
        Ok(actor)
    }

    /// The actor of this name, if it is known.
    pub fn get(&self, name: &str) -> Option<Actor> {
        self.by_name.get(name).copied()
    }

    /// The name of an actor of this table.
    ///
    /// # Panics
    /// Where the actor is another table's.
    pub fn name(&self, actor: Actor) -> &SourceName {
        &self.names[actor.index()]
    }

    /// Every actor with its name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Actor, &SourceName)> {
        self.names.iter().enumerate().map(|(index, name)| (Actor(index as u32), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_takes_no_new_name_but_knows_the_old() {
        let mut actors = Actors::with_limit(2);
        let a = actors.intern("a").unwrap();
        actors.intern("b").unwrap();
        assert_eq!(actors.intern("c"), Err(ActorsError::Full { limit: 2 }));
        assert_eq!((actors.intern("a"), actors.len()), (Ok(a), 2));
        assert_eq!(Actors::default().intern(""), Err(ActorsError::Name { found: 0 }));
        assert!(Actors::default().intern(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn guesses_are_checked() {
        let mut actors = Actors::default();
        for order in ["abc", "acb", "abc", "cba", "abc"] {
            let mut before = None;
            for name in order.split_inclusive(|_| true) {
                let actor = actors.intern_after(before, name).unwrap();
                assert_eq!(actors.name(actor).as_str(), name);
                before = Some(actor);
            }
        }
        assert_eq!(actors.len(), 3);
    }
}
