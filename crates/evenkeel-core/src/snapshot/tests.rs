//! A snapshot comes back as it was, and only as it was: whatever is changed, cut off or left out is refused.
use super::*;
use crate::{
    content::Window,
    digest::KeyHash,
    fold::{Park, ParkState, TouchId},
    ids::{Epoch, EventId, Position},
    json,
    row::{Cell, Key, KeyPart, Row},
    schema::{Column, ColumnType, Merge},
};
use proptest::prelude::*;
use smallvec::smallvec;

fn schema() -> Schema {
    let column = |name: &str, ty| Column { name: name.into(), ty, merge: Merge::Lww };
    Schema {
        model: "stock".into(),
        version: 3,
        key: vec![0, 1],
        columns: vec![
            column("product", ColumnType::Text),
            column("place", ColumnType::I64),
            column("price", ColumnType::Money { currency: 3 }),
            column("currency", ColumnType::Iso4217),
            column("sold", ColumnType::Bool),
            column("at", ColumnType::Timestamp),
            column("day", ColumnType::Date),
            column("more", ColumnType::Json),
        ],
        subscribes: Default::default(),
        fingerprint: Digest::of(b"stock 3"),
    }
}

fn header(rows: usize) -> Header {
    let checkpoint = Checkpoint {
        position: Position(5),
        epoch: Some(Epoch(9)),
        last_event: Some(EventId([1; 32])),
        last_write: Some(Timestamp::from_micros(7)),
        counts: crate::checkpoint::Counts { applied: 3, ignored: 1, parked: 1 },
    };
    Header::new(&schema(), checkpoint, rows as u64, Timestamp::from_micros(1_700_000_000_000_001), &DigestKey([2; 32]))
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    rows: Vec<(Key, Row)>,
    windows: Vec<(Window, Sum)>,
    touches: Vec<(KeyHash, Position)>,
    parks: Vec<Park>,
}

fn row(product: &str, place: i64, cells: [Cell; 6]) -> (Key, Row) {
    let key = Key(smallvec![KeyPart::Text(product.into()), KeyPart::I64(place)]);
    (key, Row { cells: [Cell::Text(product.into()), Cell::I64(place)].into_iter().chain(cells).collect() })
}

fn content() -> Content {
    let full = [
        Cell::Decimal("12.30".parse().unwrap()),
        Cell::Text("EUR".into()),
        Cell::Bool(true),
        Cell::Timestamp("2026-01-31T10:20:30.000001Z".parse().unwrap()),
        Cell::Date("2026-01-31".parse().unwrap()),
        Cell::Json(json::parse(br#"{"a":[1,0.10,null,"\u00e9"]}"#).unwrap()),
    ];
    let park = |element, key, state| Park {
        touch: TouchId { position: Position(4), clause: 2, element },
        key,
        event_id: EventId([8; 32]),
        state,
        error: "it does not fit".into(),
        at: Timestamp::from_micros(-1),
        decision: None,
    };
    let (key, full) = row("mug", 1, full);
    Content {
        rows: vec![(key.clone(), full), row("mug", 2, Default::default()), row("ähre", -1, Default::default())],
        windows: vec![(Window(0), Sum { count: 5, total: u128::MAX })],
        touches: vec![(KeyHash(1), Position(1)), (KeyHash(u64::MAX), Position(5))],
        parks: vec![park(0, Some(key), ParkState::Poison), park(1, None, ParkState::Discarded)],
    }
}

fn frames(content: &Content) -> Vec<Vec<u8>> {
    let schema = schema();
    let (mut encoder, first) = Encoder::new(&schema, &header(content.rows.len())).unwrap();
    let mut frames = vec![first];
    content.rows.iter().for_each(|(key, row)| frames.extend(encoder.row(key, row).unwrap()));
    content.touches.iter().for_each(|(hash, position)| frames.extend(encoder.touch(*hash, *position).unwrap()));
    content.windows.iter().for_each(|(window, sum)| frames.extend(encoder.window(*window, *sum).unwrap()));
    content.parks.iter().for_each(|park| frames.extend(encoder.park(park).unwrap()));
    frames.extend(encoder.end().0);
    frames
}

fn read(frames: &[Vec<u8>]) -> Result<Content, SnapshotError> {
    let schema = schema();
    let mut frames = frames.iter();
    let mut decoder = Decoder::new(&schema, frames.next().map(Vec::as_slice).unwrap_or_default())?;
    let mut content = Content::default();
    for frame in frames {
        match decoder.part(frame)? {
            Part::Rows(rows) => content.rows.extend(rows),
            Part::Windows(windows) => content.windows.extend(windows),
            Part::Touches(touches) => content.touches.extend(touches),
            Part::Parks(parks) => content.parks.extend(parks),
            Part::End(_) => {}
        }
    }
    if decoder.has_ended() { Ok(content) } else { Err(damaged("no end")) }
}

#[test]
fn a_snapshot_comes_back_as_it_was() {
    assert_eq!(read(&frames(&content())), Ok(content()));
    assert_eq!(read(&frames(&Content::default())), Ok(Content::default()));
    assert_eq!(Header::read(&frames(&content())[0]), Ok(header(3)));
}

/// What is written today is read for ever: these bytes may only change with [`FORMAT`].
#[test]
fn the_bytes_of_the_format_stay_as_they_are() {
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let frames = frames(&content());
    assert_eq!(frames.len(), 6);
    assert!(text(&frames[0]).starts_with("48656b6d6f64656c010000007b226d6f64656c223a2273746f636b22"));
    assert_eq!(text(&frames[1]), ROWS);
    assert_eq!(text(&frames[3]), "5700000000000000000500000000000000ffffffffffffffffffffffffffffffff");
    assert_eq!(text(&frames[2]), "5401000000000000000100000000000000ffffffffffffffff0500000000000000");
    let all: Vec<u8> = frames.concat();
    assert_eq!(blake3::hash(&all).to_hex().as_str(), GOLDEN);
}

const ROWS: &str = concat!(
    "52",
    "0201030000006d7567020100000000000000",
    "01030000006d7567020100000000000000050500000031322e3330010300000045555203010481377270ac490600",
    "060a000000323032362d30312d333107180000007b2261223a5b312c302e31302c6e756c6c2c22c3a9225d7d",
    "0201030000006d7567020200000000000000",
    "01030000006d7567020200000000000000000000000000",
    "020105000000c3a4687265",
    "02ffffffffffffffff",
    "0105000000c3a468726502ffffffffffffffff000000000000",
);

const GOLDEN: &str = "f1d48e8f37c17ccb1c4762e6eef274a8b05814117da8a5b4822b999597b48e68";

#[test]
fn every_changed_byte_is_refused() {
    let good = frames(&content());
    for (number, frame) in good.iter().enumerate() {
        for at in 0..frame.len() {
            for bit in [1u8, 0x80] {
                let mut bad = good.clone();
                bad[number][at] ^= bit;
                assert!(read(&bad).is_err(), "frame {number}, byte {at}, bit {bit:#x}");
            }
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let good = frames(&content());
    for (number, frame) in good.iter().enumerate() {
        for length in 0..frame.len() {
            let mut bad = good.clone();
            bad[number].truncate(length);
            assert!(read(&bad).is_err(), "frame {number} cut to {length}");
        }
        assert!(read(&good[..number]).is_err(), "the first {number} frames");
        let mut bad = good.clone();
        bad.remove(number);
        assert!(read(&bad).is_err(), "without frame {number}");
        let mut bad = good.clone();
        bad.insert(number, good[number].clone());
        assert!(read(&bad).is_err(), "frame {number} twice");
    }
    let (schema, few) = (schema(), Content { rows: content().rows[..1].to_vec(), ..content() });
    let (mut encoder, first) = Encoder::new(&schema, &header(2)).unwrap();
    few.rows.iter().for_each(|(key, row)| drop(encoder.row(key, row).unwrap()));
    let other = [vec![first], encoder.end().0].concat();
    assert!(read(&other).is_err(), "fewer rows than the header says");
    let mut bad = good.clone();
    bad.push(b"E".to_vec());
    assert!(read(&bad).is_err());
}

#[test]
fn what_is_of_another_model_version_or_format_is_told() {
    let first = frames(&content()).remove(0);
    let other = |change: fn(&mut Schema)| {
        let mut schema = schema();
        change(&mut schema);
        Decoder::new(&schema, &first).map(drop)
    };
    assert!(matches!(other(|schema| schema.model = "other".into()), Err(SnapshotError::Other { version: 3, .. })));
    assert!(matches!(other(|schema| schema.version = 4), Err(SnapshotError::Other { .. })));
    assert!(matches!(other(|schema| schema.fingerprint = Digest::of(b"")), Err(SnapshotError::Other { .. })));
    let mut newer = first;
    newer[8] = 2;
    assert_eq!(Header::read(&newer), Err(SnapshotError::Newer { found: 2 }));
}

#[test]
fn the_key_of_the_hashes_is_told_from_others_and_not_told() {
    let (one, other) = (DigestKey([2; 32]), DigestKey([3; 32]));
    assert_eq!(header(0).hashed_with, hashed_with(&one));
    assert_ne!(hashed_with(&one), hashed_with(&other));
    assert_ne!(hashed_with(&one).0, one.0);
}

#[test]
fn rows_fill_many_frames() {
    let rows: Vec<_> = (0..20_000).map(|place| row("mug", place, Default::default())).collect();
    let content = Content { rows, ..Content::default() };
    let frames = frames(&content);
    assert!(frames.len() > 3, "{}", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < 2 * FRAME_BYTES));
    assert_eq!(read(&frames), Ok(content));
}

#[test]
fn bytes_come_back_and_cut_ones_are_refused() {
    let mut out = Vec::new();
    let cell = Cell::Bytes([0, 0xff, 7].into());
    bytes::put_cell(&mut out, &cell);
    assert_eq!(bytes::Bytes(&out).cell().unwrap(), cell);
    assert!((0..out.len()).all(|cut| bytes::Bytes(&out[..cut]).cell().is_err()));
}

fn cells() -> impl Strategy<Value = [Cell; 6]> {
    let null = |some: BoxedStrategy<Cell>| prop_oneof![1 => Just(Cell::Null), 3 => some];
    let decimal = (any::<i64>(), 0u32..19).prop_map(|(n, scale)| {
        let (sign, n) = (if n < 0 { "-" } else { "" }, n.unsigned_abs());
        let unit = 10u64.pow(scale);
        let text = match scale {
            0 => format!("{sign}{n}"),
            _ => format!("{sign}{}.{:0width$}", n / unit, n % unit, width = scale as usize),
        };
        Cell::Decimal(text.parse().unwrap())
    });
    let json = prop_oneof![
        any::<i64>().prop_map(json::Value::from),
        any::<String>().prop_map(|text| json::Value::from(text.as_str())),
    ];
    let day = (1i32..9999, 1u32..13, 1u32..29);
    let day = day.prop_map(|(y, m, d)| Cell::Date(format!("{y:04}-{m:02}-{d:02}").parse().unwrap()));
    (
        null(decimal.boxed()),
        null(any::<String>().prop_map(|text| Cell::Text(text.into())).boxed()),
        null(any::<bool>().prop_map(Cell::Bool).boxed()),
        null(any::<i64>().prop_map(|at| Cell::Timestamp(Timestamp::from_micros(at))).boxed()),
        null(day.boxed()),
        null(json.prop_map(Cell::Json).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
}

fn contents() -> impl Strategy<Value = Content> {
    let rows = proptest::collection::btree_map((any::<String>(), any::<i64>()), cells(), 0..20);
    let rows = rows.prop_map(|rows| rows.into_iter().map(|((a, b), cells)| row(&a, b, cells)).collect());
    let windows = proptest::collection::vec((any::<u64>(), any::<i64>(), any::<u128>()), 0..9).prop_map(|windows| {
        windows.into_iter().map(|(window, count, total)| (Window(window), Sum { count, total })).collect()
    });
    let touches = proptest::collection::vec((any::<u64>(), any::<u64>()), 0..9)
        .prop_map(|touches| touches.into_iter().map(|(hash, at)| (KeyHash(hash), Position(at))).collect());
    let park =
        (any::<u64>(), any::<u16>(), any::<u32>(), proptest::option::of(any::<i64>()), any::<String>(), 0..3usize);
    let park = park.prop_map(|(position, clause, element, key, error, state)| Park {
        touch: TouchId { position: Position(position), clause, element },
        key: key.map(|n| Key(smallvec![KeyPart::I64(n)])),
        event_id: EventId([position as u8; 32]),
        state: ParkState::ALL[state],
        error,
        at: Timestamp::from_micros(element.into()),
        decision: None,
    });
    (rows, windows, touches, proptest::collection::vec(park, 0..9))
        .prop_map(|(rows, windows, touches, parks)| Content { rows, windows, touches, parks })
}

proptest! {
    #[test]
    fn any_content_comes_back_as_it_was(content in contents()) {
        prop_assert_eq!(read(&frames(&content)), Ok(content));
    }

    #[test]
    fn any_changed_byte_is_refused(content in contents(), at: prop::sample::Index, by in 1u8..) {
        let mut frames = frames(&content);
        let at = at.index(frames.iter().map(Vec::len).sum());
        let mut bytes = frames.iter_mut().flatten();
        *bytes.nth(at).unwrap() ^= by;
        prop_assert!(read(&frames).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_panic(mut frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..4), kind in 0usize..5) {
        frames.insert(0, super::tests::frames(&Content::default()).remove(0));
        frames[1].insert(0, b"RTWPE"[kind]);
        prop_assert!(read(&frames).is_err());
    }
}
