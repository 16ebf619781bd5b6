//! Canonical bytes of what names actors: the names first, sorted, and then numbers that point to them.
use crate::{
    clock::{Actor, Actors},
    codec::{CodecError, FORMAT, Reader, put_bytes, put_number},
};

/// The actors of a value by their places among its names.
#[derive(Debug)]
pub struct Names(Vec<(Actor, u32)>);

impl Names {
    /// Appends the place of `actor`.
    pub fn put(&self, actor: Actor, out: &mut Vec<u8>) {
        put_number(out, u128::from(self.place(actor)));
    }

    /// The place of `actor` among the names: the order in which things are written.
    pub fn place(&self, actor: Actor) -> u32 {
        let found = self.0.binary_search_by_key(&actor, |entry| entry.0);
        debug_assert!(found.is_ok(), "Encode::actors left an actor out");
        found.map_or(u32::MAX, |at| self.0[at].1)
    }

    /// Reads the place of an actor among `actors`.
    ///
    /// # Errors
    /// Where there is no such place.
    pub fn read(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Actor, CodecError> {
        let place = usize::try_from(input.number()?).ok();
        place.and_then(|place| actors.get(place).copied()).ok_or(CodecError::NotCanonical("an actor without a name"))
    }
}

/// A state or delta with canonical bytes: format version, type, names, body.
pub trait Encode: Sized {
    /// The type, as it stands in the bytes.
    const TAG: u8;

    /// Names every actor in the value, in any order, as often as it occurs.
    fn actors(&self, see: &mut dyn FnMut(Actor));

    /// Appends the body.
    fn write_body(&self, names: &Names, out: &mut Vec<u8>);

    /// Reads the body; `actors` are those of the names.
    ///
    /// # Errors
    /// Where the bytes are no body of this type.
    fn read_body(input: &mut Reader<'_>, actors: &[Actor]) -> Result<Self, CodecError>;

    /// The canonical bytes.
    ///
    /// # Panics
    /// Where the value names actors of another table.
    fn encode(&self, actors: &Actors) -> Vec<u8> {
        let mut used = Vec::new();
        self.actors(&mut |actor| {
            if used.last() != Some(&actor) {
                used.push(actor);
            }
        });
        used.sort_unstable();
        used.dedup();
        used.sort_unstable_by_key(|&actor| actors.name(actor));
        let mut out = vec![FORMAT, Self::TAG];
        put_number(&mut out, used.len() as u128);
        for &actor in &used {
            put_bytes(&mut out, actors.name(actor).as_str().as_bytes());
        }
        let mut places: Vec<_> = used.into_iter().zip(0..).collect();
        places.sort_unstable();
        self.write_body(&Names(places), &mut out);
        out
    }

    /// Reads [`Encode::encode`]. Names are given numbers only once all of it was found to be sound.
    ///
    /// # Errors
    /// Where the bytes are not what the value would be written as, or there are too many actors.
    fn decode(bytes: &[u8], actors: &mut Actors) -> Result<Self, CodecError> {
        let mut input = Reader::new(bytes);
        input.header(Self::TAG)?;
        let count = input.count()?;
        let (mut own, mut names) = (Actors::with_limit(count), Vec::new());
        for _ in 0..count {
            let name = input.text()?;
            if names.last().is_some_and(|last| *last >= name) {
                return Err(CodecError::NotCanonical("actors out of order"));
            }
            own.intern(name)?;
            names.push(name);
        }
        let body = input.clone();
        let numbers: Vec<_> = (0..count as u32).map(Actor).collect();
        let value = Self::read_body(&mut input, &numbers)?;
        input.end()?;
        // Whatever a body may get wrong (order, repetitions, names that nobody uses), its bytes would be others.
        if value.encode(&own) != bytes {
            return Err(CodecError::NotCanonical("not as it would be written"));
        }
        let interned = names.into_iter().map(|name| actors.intern(name)).collect::<Result<Vec<_>, _>>()?;
        if interned == numbers { Ok(value) } else { Self::read_body(&mut body.clone(), &interned) }
    }
}
