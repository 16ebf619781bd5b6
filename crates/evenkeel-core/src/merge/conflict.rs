//! What was decided between two writes to a column that did not know each other: kept whole, so that it can be decided again.
//!
//! Not here: what the winner does to the column ([`super::Column`]), and where records are kept (stores).
use super::Mark;
use crate::{
    clock::Relation,
    ids::{EventId, Incarnation, ModelName, Position, ReplicaName},
    json::{self, Value},
    order::{Rule, Stamp, WriteKind},
    row::{Key, KeyPart},
    schema::Merge,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, fmt, str::FromStr};

/// One of two writes between which is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contender {
    /// Its mark.
    pub mark: Mark,
    /// What it does.
    pub kind: WriteKind,
    /// What it writes; null where it deletes the row.
    #[serde(with = "text")]
    pub value: Value,
    /// Of a version, whose name is the identity of its event, that and what it names as its base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Named>,
}

/// What a version is called and what it is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The identity of the event that wrote it.
    pub id: EventId,
    /// That of the version it changes.
    pub based_on: Option<EventId>,
}

/// The value as its JSON text: exact, whatever reads the record.
mod text {
    use super::{Value, json};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        json::parse(String::deserialize(deserializer)?.as_bytes()).map_err(D::Error::custom)
    }
}

impl Contender {
    /// The deletion of a row by the event of this mark.
    pub fn deletion(mark: Mark) -> Self {
        Self { mark, kind: WriteKind::Delete, value: Value::Null, version: None }
    }

    fn stamp(&self) -> Stamp {
        let (hlc, replica) = (self.mark.hlc, ReplicaName::from(self.mark.by.name()));
        Stamp { hlc, replica, incarnation: Incarnation::ZERO, kind: self.kind }
    }

    /// How this stands to `other`, by what was known or, of versions, by what they are based on.
    fn relation(&self, other: &Self) -> Relation {
        match (&self.version, &other.version) {
            (Some(a), Some(b)) if a.id == b.id => Relation::Equal,
            (Some(a), Some(b)) => match (b.based_on == Some(a.id), a.based_on == Some(b.id)) {
                (true, false) => Relation::Before,
                (false, true) => Relation::After,
                _ => Relation::Concurrent,
            },
            _ => self.mark.relation(&other.mark),
        }
    }
}

/// What is decided between two writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Whether the first of the two stands.
    pub first_wins: bool,
    /// How the first stands to the second.
    pub relation: Relation,
    /// What decided.
    pub rule: Rule,
}

/// Decides between two writes to a column: whoever knew the other stands; of two that did not know each other a write prevails
/// over a deletion, and otherwise the total order decides ([`crate::order`]). The same for the same two, whichever comes first.
pub fn decide(a: &Contender, b: &Contender) -> Decided {
    let relation = a.relation(b);
    let kinds = (a.kind == WriteKind::Set, b.kind == WriteKind::Set);
    let (first_wins, rule) = match (relation, kinds) {
        (Relation::Before, _) => (false, Rule::Cause),
        (Relation::After, _) => (true, Rule::Cause),
        (_, (true, false)) => (true, Rule::AddWins),
        (_, (false, true)) => (false, Rule::AddWins),
        (..) => match a.stamp().decided(&b.stamp()) {
            (Ordering::Equal, _) => {
                let order = a.value.to_string().cmp(&b.value.to_string());
                (order.is_ge(), if order.is_eq() { Rule::Same } else { Rule::Bytes })
            }
            (order, rule) => (order.is_gt(), rule),
        },
    };
    Decided { first_wins, relation, rule }
}

/// What names a conflict: the same however events were batched, and after every rebuild.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConflictId(pub [u8; 16]);

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("c-")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConflictId({self})")
    }
}

impl FromStr for ConflictId {
    type Err = crate::quarantine::BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || crate::quarantine::BadId(text.to_owned());
        let digits = text.strip_prefix("c-").ok_or_else(bad)?;
        let is_hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let number = u128::from_str_radix(if is_hex { digits } else { "-" }, 16).map_err(|_| bad())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A resolved conflict: two writes to one column of one row of which at least the loser did not know the winner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The row.
    pub key: Key,
    /// The column.
    pub column: String,
    /// How the column merges.
    pub strategy: Merge,
    /// How the winner stands to the loser.
    pub relation: Relation,
    /// What decided.
    pub rule: Rule,
    /// The write that stands.
    pub winner: Contender,
    /// The write that does not.
    pub loser: Contender,
    /// When the log recorded the later of the two.
    pub at: Timestamp,
}

impl Conflict {
    /// What was decided between two writes, `earlier` of them in the log before the one recorded `at`.
    pub(crate) fn between(earlier: Contender, later: Contender, decided: Decided) -> Settled {
        let first = decided.first_wins;
        let (winner, loser) = if first { (earlier, later) } else { (later, earlier) };
        let relation = if first { decided.relation } else { decided.relation.reversed() };
        Settled { winner, loser, relation, rule: decided.rule }
    }

    /// Its name in `model`.
    pub fn id(&self, model: &ModelName) -> ConflictId {
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        put(model.as_str().as_bytes());
        for part in &self.key.0 {
            match part {
                KeyPart::I64(int) => put(&int.to_le_bytes()),
                KeyPart::Text(text) => put(text.as_bytes()),
            }
        }
        put(self.column.as_bytes());
        let mut dots = [&self.winner, &self.loser].map(|write| (&write.mark.by, write.mark.seq));
        dots.sort_unstable();
        for (by, seq) in dots {
            put(by.name().as_bytes());
            put(&seq.to_le_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        ConflictId(id)
    }

    /// Whether both write the same: whichever stands, nothing is lost, and there is nothing to record.
    pub fn is_agreement(&self) -> bool {
        self.winner.kind == self.loser.kind && self.winner.value == self.loser.value
    }

    /// Whether `other` is of the same row, column and two events.
    pub(crate) fn is_between_those_of(&self, other: &Self) -> bool {
        let events = |conflict: &Self| {
            let [winner, loser] = [&conflict.winner, &conflict.loser].map(|write| write.mark.position);
            (winner.min(loser), winner.max(loser))
        };
        (&self.column, &self.key, events(self)) == (&other.column, &other.key, events(other))
    }

    /// Decides again, from what is recorded and nothing else: whether the same write stands for the same reason.
    pub fn replay(&self) -> bool {
        let again = decide(&self.winner, &self.loser);
        let mirrored = decide(&self.loser, &self.winner);
        let is_one_order = again.rule == Rule::Same || !mirrored.first_wins;
        is_one_order && (again.first_wins, again.relation, again.rule) == (true, self.relation, self.rule)
    }

    /// Where in the log the later of the two is.
    pub fn position(&self) -> Position {
        self.winner.mark.position.max(self.loser.mark.position)
    }
}

/// A decision before it is known which row it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub(crate) winner: Contender,
    pub(crate) loser: Contender,
    pub(crate) relation: Relation,
    pub(crate) rule: Rule,
}
