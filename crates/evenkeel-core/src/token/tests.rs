//! Tests of tokens: their bytes, what is refused, and the laws of merging.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
use super::*;
use proptest::prelude::*;
use std::sync::Arc;

const ORIGIN: Origin = Origin { log: LogId([0xA1; 16]), epoch: Epoch(0x0102_0304), key: TokenKey([0x42; 32]) };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn token(read: u64, written: u64) -> Token {
    Token::new(&ORIGIN).having_read(Position(read)).having_written(Position(written))
}

fn open(text: &str) -> Result<Token, TokenError> {
    Token::open(text, &ORIGIN, at(1_790_000_000), MAX_AGE)
}

/// Clients keep tokens over an upgrade: this text must be taken for as long as version 1 is.
#[test]
fn the_canonical_bytes_are_these() {
    let text = token(41, 42).seal(&ORIGIN, at(1_790_000_000));
    assert_eq!(text, GOLDEN);
    assert_eq!(open(GOLDEN), Ok(token(41, 42)));
}
const GOLDEN: &str =
    "AaGhoaGhoaGhoaGhoaGhoaEAAAAAAQIDBAAAAAAAAAApAAAAAAAAACoAAAAAarE7gA0b-YJg6nA-KJWfvrE22xZfhgZOgf8feb0tXH97DjW0";

#[test]
fn what_is_not_whole_or_not_ours_is_refused() {
    let text = token(41, 42).seal(&ORIGIN, at(1_790_000_000));
    for cut in 0..text.len() {
        let refused = open(&text[..cut]).unwrap_err();
        assert_eq!(refused, TokenError::Malformed, "{cut}");
    }
    for wrong in ["", "t", "not a token", &format!("{text}="), &format!("{text}A"), &"A".repeat(5000)] {
        assert_eq!(open(wrong), Err(TokenError::Malformed), "{wrong:?}");
    }
    let other = Origin { log: LogId([7; 16]), ..ORIGIN };
    assert_eq!(open(&token_of(&other)), Err(TokenError::Foreign(other.log)));
    assert_eq!(open(&token_of(&Origin { key: TokenKey([7; 32]), ..ORIGIN })), Err(TokenError::Forged));
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
    bytes[0] = 9;
    assert_eq!(open(&BASE64_URL_SAFE_NO_PAD.encode(bytes)), Err(TokenError::Version(9)));
}

fn token_of(origin: &Origin) -> String {
    Token::new(origin).seal(origin, at(1_790_000_000))
}

#[test]
fn no_bit_can_be_changed() {
    let text = token(41, 42).seal(&ORIGIN, at(1_790_000_000));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&BASE64_URL_SAFE_NO_PAD.encode(&changed)).is_err(), "bit {bit}");
    }
}

#[test]
fn a_token_ends_with_its_time() {
    let text = token(1, 1).seal(&ORIGIN, at(0));
    let open = |now| Token::open(&text, &ORIGIN, at(now), Duration::from_secs(10));
    assert!(open(10).is_ok() && open(-5).is_ok());
    assert_eq!(open(11), Err(TokenError::Expired { age_seconds: 11, max_age_seconds: 10 }));
}

#[test]
fn a_lost_history_is_told() {
    let head = |position, epoch| SafeHead {
        position: Position(position),
        epoch: Epoch(epoch),
        at: at(0),
        counts: Arc::default(),
        last_event: None,
    };
    let epoch = ORIGIN.epoch.0;
    assert_eq!(token(41, 42).check(&head(42, epoch)), Ok(()));
    for (position, epoch) in [(41, epoch), (100, epoch + 1)] {
        assert_eq!(token(41, 42).check(&head(position, epoch)).unwrap_err().reason(), "lost_history");
    }
    assert!(token(9, 0).check(&head(8, epoch)).is_err());
    let later = Token::new(&Origin { epoch: Epoch(9), ..ORIGIN });
    assert_eq!(later.merge(token(1, 1)).unwrap_err().reason(), "lost_history");
}

proptest! {
    #[test]
    fn merging_is_pointwise_and_in_any_order(a: (u64, u64), b: (u64, u64), c: (u64, u64)) {
        let [a, b, c] = [a, b, c].map(|(read, written)| token(read, written));
        prop_assert_eq!(a.merge(b), b.merge(a));
        prop_assert_eq!(a.merge(a), Ok(a));
        prop_assert_eq!(a.merge(b).unwrap().merge(c), a.merge(b.merge(c).unwrap()));
        let merged = a.merge(b).unwrap();
        for level in Level::ALL {
            prop_assert_eq!(merged.floor(*level), a.floor(*level).max(b.floor(*level)));
        }
    }

    #[test]
    fn what_is_sealed_is_opened(read: u64, written: u64) {
        prop_assert_eq!(open(&token(read, written).seal(&ORIGIN, at(1_790_000_000))), Ok(token(read, written)));
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC*") {
        prop_assert!(open(&text).is_err());
    }
}
