//! Values as bytes, exactly. Reading takes nothing on trust: no length is believed beyond the bytes that are there.
use super::{SnapshotError, damaged};
use crate::{
    json,
    row::{Cell, Key, KeyPart},
    time::Timestamp,
};

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What is longer than 32 bits can tell is longer than a frame, and refused for it.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn put_key(out: &mut Vec<u8>, key: &Key) {
    out.push(u8::try_from(key.0.len()).unwrap_or(u8::MAX));
    for part in &key.0 {
        match part {
            KeyPart::I64(int) => put_int(out, *int),
            KeyPart::Text(text) => put_tagged(out, 1, text),
        }
    }
}

pub(super) fn put_cell(out: &mut Vec<u8>, cell: &Cell) {
    match cell {
        Cell::Null => out.push(0),
        Cell::Text(text) => put_tagged(out, 1, text),
        Cell::I64(int) => put_int(out, *int),
        Cell::Bool(is) => out.extend([3, u8::from(*is)]),
        Cell::Timestamp(at) => {
            out.push(4);
            out.extend_from_slice(&at.as_micros().to_le_bytes());
        }
        Cell::Decimal(decimal) => put_tagged(out, 5, &decimal.to_string()),
        Cell::Date(date) => put_tagged(out, 6, &date.to_string()),
        Cell::Json(value) => put_tagged(out, 7, &value.to_string()),
        Cell::Bytes(bytes) => {
            out.push(8);
            put_bytes(out, bytes);
        }
    }
}

fn put_int(out: &mut Vec<u8>, int: i64) {
    out.push(2);
    out.extend_from_slice(&int.to_le_bytes());
}

fn put_tagged(out: &mut Vec<u8>, tag: u8, text: &str) {
    out.push(tag);
    put_text(out, text);
}

/// The bytes of a frame that are not read yet.
pub(super) struct Bytes<'f>(pub(super) &'f [u8]);

impl<'f> Bytes<'f> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<&'f [u8], SnapshotError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(|| damaged("a frame ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SnapshotError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'f str, SnapshotError> {
        str::from_utf8(self.bytes()?).map_err(|_| damaged("text that is none"))
    }

    fn bytes(&mut self) -> Result<&'f [u8], SnapshotError> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp, SnapshotError> {
        let micros = i64::from_le_bytes(self.array()?);
        let at = Timestamp::from_micros(micros);
        if at.as_micros() == micros { Ok(at) } else { Err(damaged("an instant beyond all years")) }
    }

    pub(super) fn key(&mut self) -> Result<Key, SnapshotError> {
        let parts = self.byte()?;
        let part = |_| match self.byte()? {
            1 => Ok(KeyPart::Text(self.text()?.into())),
            2 => self.array().map(|int| KeyPart::I64(i64::from_le_bytes(int))),
            other => Err(damaged(format!("a part of a key of kind {other}"))),
        };
        (0..parts).map(part).collect::<Result<_, _>>().map(Key)
    }

    pub(super) fn cell(&mut self) -> Result<Cell, SnapshotError> {
        let bad = |text: &str| damaged(format!("{text:?} is no value of its kind"));
        Ok(match self.byte()? {
            0 => Cell::Null,
            1 => Cell::Text(self.text()?.into()),
            2 => Cell::I64(i64::from_le_bytes(self.array()?)),
            3 => match self.byte()? {
                is @ (0 | 1) => Cell::Bool(is == 1),
                other => return Err(damaged(format!("{other} is neither true nor false"))),
            },
            4 => Cell::Timestamp(self.timestamp()?),
            5 => self.text().and_then(|text| text.parse().map(Cell::Decimal).map_err(|_| bad(text)))?,
            6 => self.text().and_then(|text| text.parse().map(Cell::Date).map_err(|_| bad(text)))?,
            7 => self.text().and_then(|text| json::parse(text.as_bytes()).map(Cell::Json).map_err(|_| bad(text)))?,
            8 => Cell::Bytes(self.bytes()?.into()),
            other => return Err(damaged(format!("a cell of kind {other}"))),
        })
    }
}
