//! Writes a snapshot: what is given, in frames.
use super::{
    DIGEST_KEY, FORMAT, FRAME_BYTES, FRAME_BYTES_MAX, Header, MAGIC, SnapshotError, Totals,
    bytes::{put_cell, put_key, put_text},
};
use crate::{
    content::Window,
    digest::{KeyHash, RowHasher, Sum},
    fold::Park,
    ids::Position,
    row::{Key, Row},
    schema::Schema,
};

/// Makes the frames of a snapshot. What it is given comes in the order of the kinds of frames, rows in order of their
/// keys; a call gives back the frame that is full, if one is.
///
/// ```
/// # use evenkeel_core::{Digest, checkpoint::Checkpoint, digest::DigestKey, row::{Key, Row}, Timestamp};
/// # use evenkeel_core::schema::{Column, ColumnType, Merge, Schema};
/// use evenkeel_core::snapshot::{Decoder, Encoder, Header, Part};
/// # let column = Column { name: "id".into(), ty: ColumnType::Text, merge: Merge::Lww };
/// # let schema = Schema { model: "m".into(), version: 1, key: vec![0], columns: vec![column],
/// #     subscribes: Default::default(), fingerprint: Digest::of(b"m 1") };
/// let header = Header::new(&schema, Checkpoint::default(), 1, Timestamp::default(), &DigestKey([0; 32]));
/// let (mut encoder, first) = Encoder::new(&schema, &header)?;
/// let key = Key::text("a");
/// let mut frames = vec![first];
/// frames.extend(encoder.row(&key, &Row::new(&schema, &key))?);
/// frames.extend(encoder.end().0);
///
/// let mut decoder = Decoder::new(&schema, &frames[0])?;
/// assert_eq!(decoder.part(&frames[1])?, Part::Rows(vec![(key.clone(), Row::new(&schema, &key))]));
/// assert!(matches!(decoder.part(&frames[2])?, Part::End(totals) if totals.rows == 1));
/// # Ok::<(), evenkeel_core::snapshot::SnapshotError>(())
/// ```
pub struct Encoder<'s> {
    schema: &'s Schema,
    hasher: blake3::Hasher,
    rows: RowHasher,
    totals: Totals,
    frame: Vec<u8>,
}

impl<'s> Encoder<'s> {
    /// Begins a snapshot of `schema`'s model. Its first frame is the header.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`] where the header is.
    pub fn new(schema: &'s Schema, header: &Header) -> Result<(Self, Vec<u8>), SnapshotError> {
        let mut frame = vec![b'H'];
        frame.extend_from_slice(MAGIC);
        frame.extend_from_slice(&FORMAT.to_le_bytes());
        let too_large = |_| SnapshotError::TooLarge("the header".into());
        serde_json::to_writer(&mut frame, header).map_err(too_large)?;
        let rows = RowHasher::new(&DIGEST_KEY, schema);
        let hasher = blake3::Hasher::new();
        let mut encoder = Self { schema, hasher, rows, totals: Totals::default(), frame: Vec::new() };
        encoder.hash(&frame);
        Ok((encoder, frame))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`]
    pub fn row(&mut self, key: &Key, row: &Row) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.totals.rows += 1;
        self.totals.digests.add(self.rows.row(self.schema, row).0);
        self.add(
            b'R',
            || format!("the row {key}"),
            |out| {
                put_key(out, key);
                row.cells.iter().for_each(|cell| put_cell(out, cell));
            },
        )
    }

    /// Adds the sum of a window.
    ///
    /// # Errors
    /// None; as the others.
    pub fn window(&mut self, window: Window, sum: Sum) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.totals.windows += 1;
        self.add(
            b'W',
            || "a window".into(),
            |out| {
                out.extend_from_slice(&window.0.to_le_bytes());
                out.extend_from_slice(&sum.to_bytes());
            },
        )
    }

    /// Adds an entry of the index of touched keys.
    ///
    /// # Errors
    /// None; as the others.
    pub fn touch(&mut self, hash: KeyHash, position: Position) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.totals.touches += 1;
        self.add(
            b'T',
            || "an entry of the index".into(),
            |out| {
                out.extend_from_slice(&hash.0.to_le_bytes());
                out.extend_from_slice(&position.0.to_le_bytes());
            },
        )
    }

    /// Adds a parked event.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`]
    pub fn park(&mut self, park: &Park) -> Result<Option<Vec<u8>>, SnapshotError> {
        self.totals.parks += 1;
        self.add(
            b'P',
            || format!("the parked event {}", park.event_id),
            |out| {
                out.extend_from_slice(&park.touch.position.0.to_le_bytes());
                out.extend_from_slice(&park.touch.clause.to_le_bytes());
                out.extend_from_slice(&park.touch.element.to_le_bytes());
                out.push(u8::from(park.key.is_some()));
                park.key.iter().for_each(|key| put_key(out, key));
                out.extend_from_slice(&park.event_id.0);
                put_text(out, park.state.as_str());
                put_text(out, &park.error);
                out.extend_from_slice(&park.at.as_micros().to_le_bytes());
            },
        )
    }

    /// The last frames, and what is in the snapshot.
    pub fn end(mut self) -> (Vec<Vec<u8>>, Totals) {
        let mut frames: Vec<Vec<u8>> = self.flush().into_iter().collect();
        let Totals { rows, windows, touches, parks, digests } = self.totals;
        let mut end = vec![b'E'];
        for count in [rows, windows, touches, parks] {
            end.extend_from_slice(&count.to_le_bytes());
        }
        end.extend_from_slice(&digests.to_bytes());
        self.hash(&end);
        end.extend_from_slice(self.hasher.finalize().as_bytes());
        frames.push(end);
        (frames, self.totals)
    }

    fn add(
        &mut self,
        kind: u8,
        name: impl FnOnce() -> String,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Option<Vec<u8>>, SnapshotError> {
        let is_full = self.frame.len() >= FRAME_BYTES || self.frame.first().is_some_and(|other| *other != kind);
        let full = if is_full { self.flush() } else { None };
        if self.frame.is_empty() {
            self.frame.push(kind);
        }
        put(&mut self.frame);
        if self.frame.len() > FRAME_BYTES_MAX { Err(SnapshotError::TooLarge(name())) } else { Ok(full) }
    }

    fn flush(&mut self) -> Option<Vec<u8>> {
        if self.frame.is_empty() {
            return None;
        }
        let frame = std::mem::take(&mut self.frame);
        self.hash(&frame);
        Some(frame)
    }

    fn hash(&mut self, frame: &[u8]) {
        super::hash(&mut self.hasher, frame);
    }
}
