//! Identifiers and positions as newtypes, so that a stream version is never taken for a position.
//!
//! Not here: how identifiers are stored (stores), or the quarantine's ids ([`crate::quarantine`]).
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// Text that was meant as 32 hexadecimal bytes and is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {0:?}")]
pub struct BadHex(pub String);

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = BadHex;
            fn from_str(text: &str) -> Result<Self, BadHex> {
                let bad = || BadHex(text.to_owned());
                // Checked apart: `from_str_radix` would take a sign.
                if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(bad());
                }
                let mut bytes = [0; 32];
                for (i, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

bytes32! {
    /// An event's identity: SHA-256 of `esc(source):raw id`, never truncated and never a hash of the body.
    EventId
}
bytes32! {
    /// SHA-256 of content: of an event's canonical bytes, or of a declaration's.
    Digest
}

impl EventId {
    /// The identity of the event that `source` calls `raw_id`.
    ///
    /// `%` and `:` of the source are escaped, so no two pairs share an input: the mapping is injective.
    ///
    /// ```
    /// use evenkeel_core::EventId;
    /// assert_ne!(EventId::of("a:b", "c"), EventId::of("a", "b:c"));
    /// assert_eq!(EventId::of("shop", "1"), EventId::of("shop", "1"));
    /// ```
    pub fn of(source: &str, raw_id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in source.split_inclusive(['%', ':']) {
            match part.as_bytes().split_last() {
                Some((b'%', head)) => hash.update([head, b"%25"].concat()),
                Some((b':', head)) => hash.update([head, b"%3A"].concat()),
                _ => hash.update(part),
            }
        }
        hash.update(b":");
        hash.update(raw_id);
        Self(hash.finalize().into())
    }
}

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);

            /// The one after this. The last one that 64 bits hold has none after it and stays.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// An event's place in one log: 1, 2, 3… without holes. Zero is "before the first".
    Position
}
number! {
    /// An event's place in its stream (the events of one subject): 1, 2, 3…. Zero is an empty stream.
    StreamVersion
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// One life of a replica's identity. A replica whose memory was lost or restored begins another, so that what its
    /// earlier life may have said and forgotten is never taken for what it says now.
    Incarnation
}

name! {
    /// The name of a replica: a node that accepts writes, and its log.
    ReplicaName
}

impl Default for ReplicaName {
    /// `a`: that of a node to which nobody gave one.
    fn default() -> Self {
        "a".into()
    }
}

name! {
    /// The CloudEvents `source` of an event: which bounded context emitted it.
    SourceName
}
name! {
    /// The type of an admitted event: the name of the contract that produced it.
    EventType
}
name! {
    /// What an event is about; the events of one subject form a stream.
    Subject
}
name! {
    /// The name of a read model, which is also the name of its table.
    ModelName
}

/// One life of a log. A log that was replaced or restored has another epoch, and checkpoints of the old one do not
/// hold in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identity_is_pinned() {
        // printf 'shop%%3Aorders:o-1' | sha256sum
        assert_eq!(
            EventId::of("shop:orders", "o-1").to_string(),
            "3d07871b2faf140aee064a9ff4246829bc0fc76ddf825ebe80d3cb9112d528ca"
        );
        assert_eq!(EventId::of("50%", "x").0, Digest::of(b"50%25:x").0);
    }

    #[test]
    fn only_hexadecimal_digits_are_read() {
        let zeros = "0".repeat(64);
        assert!(zeros.parse::<EventId>().is_ok());
        for bad in [zeros.replacen("00", "+0", 1), zeros.replacen("00", "é", 1), zeros[1..].to_owned(), String::new()]
        {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn there_is_nothing_after_the_last_position() {
        assert_eq!((Position(7).next(), Position(u64::MAX).next()), (Position(8), Position(u64::MAX)));
    }

    proptest! {
        #[test]
        fn identity_is_injective(a in "[a%:]{0,4}", b in "[a%:]{0,4}", c in "[a%:]{0,4}", d in "[a%:]{0,4}") {
            prop_assert_eq!(EventId::of(&a, &b) == EventId::of(&c, &d), (a, b) == (c, d));
        }

        #[test]
        fn hex_round_trips(bytes: [u8; 32]) {
            let id = EventId(bytes);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
        }
    }
}
