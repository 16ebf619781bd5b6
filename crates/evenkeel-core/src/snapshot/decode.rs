//! Reads a snapshot, frame by frame, and takes none of it on trust.
use super::{DIGEST_KEY, FORMAT, Header, MAGIC, SnapshotError, Totals, bytes::Bytes, damaged};
use crate::{
    content::Window,
    digest::{KeyHash, RowHasher, Sum},
    fold::{Park, TouchId},
    ids::{EventId, Position},
    row::{Key, Row},
    schema::Schema,
};

/// What a frame after the header holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Rows, in order of their keys.
    Rows(Vec<(Key, Row)>),
    /// Sums of identities, in order of their windows.
    Windows(Vec<(Window, Sum)>),
    /// Entries of the index of touched keys.
    Touches(Vec<(KeyHash, Position)>),
    /// Parked events.
    Parks(Vec<Park>),
    /// The end, and all that came before it is as it was written.
    End(Totals),
}

/// Reads the frames of a snapshot in their order. What it gives is not to be relied on before [`Part::End`] was.
pub struct Decoder<'s> {
    schema: &'s Schema,
    header: Header,
    hasher: blake3::Hasher,
    rows: RowHasher,
    totals: Totals,
    last_key: Option<Key>,
    /// The place of the last frame among the kinds of frames.
    stage: usize,
    has_ended: bool,
}

/// The kinds of frames after the header, in their order.
const KINDS: &[u8; 5] = b"RTWPE";

impl<'s> Decoder<'s> {
    /// Begins with the first frame of a snapshot that is to be of `schema`'s model.
    ///
    /// # Errors
    /// [`SnapshotError`] where it is no header, of a newer format, or of something else.
    pub fn new(schema: &'s Schema, frame: &[u8]) -> Result<Self, SnapshotError> {
        let header = header(frame)?;
        if !header.is_of(schema) {
            return Err(SnapshotError::Other { model: header.model, version: header.version });
        }
        let mut hasher = blake3::Hasher::new();
        super::hash(&mut hasher, frame);
        let rows = RowHasher::new(&DIGEST_KEY, schema);
        let totals = Totals::default();
        Ok(Self { schema, header, hasher, rows, totals, last_key: None, stage: 0, has_ended: false })
    }

    /// What it is of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether all frames were read.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads the next frame.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`]; nothing of the snapshot can be relied on then.
    pub fn part(&mut self, frame: &[u8]) -> Result<Part, SnapshotError> {
        let (kind, rest) = frame.split_first().ok_or_else(|| damaged("an empty frame"))?;
        let stage = KINDS.iter().position(|known| known == kind);
        let stage = stage.ok_or_else(|| damaged(format!("a frame of kind {kind}")))?;
        if self.has_ended || stage < self.stage {
            return Err(damaged("a frame after its place"));
        }
        self.stage = stage;
        let mut bytes = Bytes(rest);
        if *kind == b'E' {
            return self.end(frame, &mut bytes).map(Part::End);
        }
        super::hash(&mut self.hasher, frame);
        Ok(match kind {
            b'R' => Part::Rows(self.all(&mut bytes, Self::row)?),
            b'W' => Part::Windows(self.all(&mut bytes, Self::window)?),
            b'T' => Part::Touches(self.all(&mut bytes, Self::touch)?),
            _ => Part::Parks(self.all(&mut bytes, Self::park)?),
        })
    }

    fn all<T>(
        &mut self,
        bytes: &mut Bytes<'_>,
        read: fn(&mut Self, &mut Bytes<'_>) -> Result<T, SnapshotError>,
    ) -> Result<Vec<T>, SnapshotError> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            all.push(read(self, bytes)?);
        }
        Ok(all)
    }

    fn row(&mut self, bytes: &mut Bytes<'_>) -> Result<(Key, Row), SnapshotError> {
        let key = bytes.key()?;
        if key.0.len() != self.schema.key.len() || self.last_key.as_ref().is_some_and(|last| *last >= key) {
            return Err(damaged(format!("the row {key} out of its place")));
        }
        let cells = self.schema.columns.iter().map(|_| bytes.cell()).collect::<Result<_, _>>()?;
        let row = Row { cells };
        self.totals.rows += 1;
        self.totals.digests.add(self.rows.row(self.schema, &row).0);
        self.last_key = Some(key.clone());
        Ok((key, row))
    }

    fn window(&mut self, bytes: &mut Bytes<'_>) -> Result<(Window, Sum), SnapshotError> {
        self.totals.windows += 1;
        let window = Window(bytes.u64()?);
        Ok((window, sum(bytes)?))
    }

    fn touch(&mut self, bytes: &mut Bytes<'_>) -> Result<(KeyHash, Position), SnapshotError> {
        self.totals.touches += 1;
        Ok((KeyHash(bytes.u64()?), Position(bytes.u64()?)))
    }

    fn park(&mut self, bytes: &mut Bytes<'_>) -> Result<Park, SnapshotError> {
        self.totals.parks += 1;
        let touch = TouchId {
            position: Position(bytes.u64()?),
            clause: u16::from_le_bytes(bytes.array()?),
            element: u32::from_le_bytes(bytes.array()?),
        };
        let key = match bytes.byte()? {
            0 => None,
            1 => Some(bytes.key()?),
            other => return Err(damaged(format!("{other} keys of one parked event"))),
        };
        let event_id = EventId(bytes.array()?);
        let state = bytes.text()?;
        let state = state.parse().map_err(|_| damaged(format!("a parked event that is {state:?}")))?;
        let (error, at) = (bytes.text()?.to_owned(), bytes.timestamp()?);
        // What persons decide is in no snapshot.
        Ok(Park { touch, key, event_id, state, error, at, decision: None })
    }

    fn end(&mut self, frame: &[u8], bytes: &mut Bytes<'_>) -> Result<Totals, SnapshotError> {
        let (rows, windows, touches, parks) = (bytes.u64()?, bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let said = Totals { rows, windows, touches, parks, digests: sum(bytes)? };
        super::hash(&mut self.hasher, &frame[..frame.len() - bytes.0.len()]);
        let digest: [u8; 32] = bytes.array()?;
        if !bytes.is_empty() {
            return Err(damaged("more than the end in its last frame"));
        }
        if blake3::Hash::from_bytes(digest) != self.hasher.finalize() {
            return Err(damaged("its digest is another"));
        }
        if said != self.totals || rows != self.header.rows {
            return Err(damaged("what it holds does not add up"));
        }
        self.has_ended = true;
        Ok(said)
    }
}

fn sum(bytes: &mut Bytes<'_>) -> Result<Sum, SnapshotError> {
    Sum::from_bytes(bytes.take(Sum::BYTES)?).ok_or_else(|| damaged("a sum of another size"))
}

pub(super) fn header(frame: &[u8]) -> Result<Header, SnapshotError> {
    let none = || damaged("it does not begin as a snapshot does");
    let rest = frame.strip_prefix(b"H").and_then(|rest| rest.strip_prefix(MAGIC)).ok_or_else(none)?;
    let mut bytes = Bytes(rest);
    match u32::from_le_bytes(bytes.array()?) {
        FORMAT => serde_json::from_slice(bytes.0).map_err(|error| damaged(format!("its header: {error}"))),
        0 => Err(none()),
        found => Err(SnapshotError::Newer { found }),
    }
}
