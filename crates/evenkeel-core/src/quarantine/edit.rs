//! Changing an event in quarantine: a chain of patches over an event that itself stays as it arrived.
//!
//! Not here: who may change what when ([`crate::intake::edit`]), and that an edit leaves the event's identity alone, which
//! only who reads envelopes can tell (the gate).
use super::{Decision, Entry};
use crate::{
    json::{self, Patch, PatchError, Pointer, Value},
    time::Timestamp,
};
use std::borrow::Cow;

/// How many edits an entry may have: each is a person's, and each is applied whenever the event is judged.
pub const MAX_EDITS: usize = 100;

/// One change of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What was changed of the event as it was then, in the CloudEvents JSON format.
    pub patch: Patch,
    /// Who changed it, and why.
    pub decision: Decision,
    /// When.
    pub at: Timestamp,
}

impl Entry {
    /// The event as it is with its edits: as it arrived, where there are none.
    ///
    /// # Errors
    /// Where they cannot be applied, which they could when they were kept.
    pub fn edited(&self) -> Result<Cow<'_, [u8]>, PatchError> {
        if self.edits.is_empty() {
            return Ok(Cow::Borrowed(&self.raw));
        }
        self.patched(self.edits.iter().map(|edit| &edit.patch)).map(Cow::Owned)
    }

    /// The event as one more patch would make it.
    ///
    /// # Errors
    /// Where the patch cannot be applied, the event is no JSON that could be patched, or there are [`MAX_EDITS`].
    pub fn edited_with(&self, patch: &Patch) -> Result<Vec<u8>, PatchError> {
        if self.edits.len() >= MAX_EDITS {
            let message = format!("the event was edited {MAX_EDITS} times, which is as often as it can be");
            return Err(PatchError { operation: None, message });
        }
        self.patched(self.edits.iter().map(|edit| &edit.patch).chain([patch]))
    }

    /// Which edit, counted from 0, was the last to change what stands at each of these places; `None` where it stands as it
    /// arrived.
    ///
    /// # Errors
    /// As [`Self::edited`].
    pub fn last_changed(&self, places: &[Pointer]) -> Result<Vec<Option<usize>>, PatchError> {
        // What cannot be read has no places: everything is then by who replaced it.
        let mut document = json::parse(&self.raw).ok();
        let mut last = vec![None; places.len()];
        for (number, edit) in self.edits.iter().enumerate() {
            let after = edit.patch.apply(document.clone().unwrap_or(Value::Null))?;
            for (place, last) in places.iter().zip(&mut last) {
                if document.as_ref().and_then(|before| place.get(before)) != place.get(&after) {
                    *last = Some(number);
                }
            }
            document = Some(after);
        }
        Ok(last)
    }

    fn patched<'p>(&self, patches: impl Iterator<Item = &'p Patch>) -> Result<Vec<u8>, PatchError> {
        let mut patches = patches.peekable();
        let whole = patches.peek().is_some_and(|first| first.replaces_the_whole());
        let document = match json::parse(&self.raw) {
            Ok(document) => document,
            // What cannot be carried exactly has no parts that could be named, but something else can stand for it.
            Err(_) if whole => Value::Null,
            Err(error) => {
                let message = format!(
                    "the event cannot be read ({error}), so no part of it can be changed; replace it as a whole, at the \
                     path \"\""
                );
                return Err(PatchError { operation: None, message });
            }
        };
        let edited = patches.try_fold(document, |document, patch| patch.apply(document))?;
        Ok(edited.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{Digest, EventId},
        quarantine::{EntryVersion, QuarantineId, Reason, Refusal, State},
    };

    fn entry(raw: &str, patches: &[&str]) -> Entry {
        let at = Timestamp::from_micros(0);
        let edit = |patch: &&str| Edit { patch: patch.parse().unwrap(), decision: Decision::default(), at };
        let (reason, detail) = (Reason::Schema, String::new());
        Entry {
            id: QuarantineId(1),
            event_id: EventId::of("s", "1"),
            digest: Digest::of(raw.as_bytes()),
            source: "s".into(),
            raw_id: "1".into(),
            raw: raw.into(),
            refusal: Refusal { reason, detail, pointer: None, contract: None, subject: None, parks: None },
            state: State::Quarantined,
            version: EntryVersion(1 + patches.len() as u64),
            edits: patches.iter().map(edit).collect(),
            received_at: at,
            changed_at: at,
            position: None,
            decision: None,
            hlc: crate::clock::Hlc::ZERO,
            recall: None,
            saw: None,
        }
    }

    fn set(n: usize) -> String {
        format!(r#"[{{"op":"replace","path":"/n","value":{n}.00}}]"#)
    }

    #[test]
    fn edits_are_applied_in_their_order_and_the_original_stays() {
        let raw = r#"{ "n": 9007199254740993.01 }"#;
        assert_eq!(*entry(raw, &[]).edited().unwrap(), *raw.as_bytes());
        let copy = r#"[{"op":"copy","from":"/n","path":"/was"}]"#;
        let edited = entry(raw, &[copy, &set(2)]);
        assert_eq!(*edited.edited().unwrap(), *br#"{"n":2.00,"was":9007199254740993.01}"#);
        assert_eq!(edited.edited_with(&set(3).parse().unwrap()).unwrap(), br#"{"n":3.00,"was":9007199254740993.01}"#);
        assert_eq!(edited.raw, raw.as_bytes());
    }

    #[test]
    fn what_cannot_be_read_can_only_be_replaced() {
        let twice = entry(r#"{"n":1,"n":2}"#, &[]);
        let error = twice.edited_with(&set(3).parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("stands twice") && error.to_string().contains("as a whole"), "{error}");
        let whole: Patch = r#"[{"op":"replace","path":"","value":{"n":7}}]"#.parse().unwrap();
        assert_eq!(twice.edited_with(&whole).unwrap(), br#"{"n":7}"#);
        let edited = Entry { edits: vec![Edit { patch: whole, ..entry("", &["[]"]).edits[0].clone() }], ..twice };
        assert_eq!(edited.edited_with(&set(3).parse().unwrap()).unwrap(), br#"{"n":3.00}"#);
    }

    #[test]
    fn a_place_is_by_the_last_edit_that_changed_what_stands_there() {
        let raw = r#"{"n":1,"same":[1,2],"gone":0}"#;
        let insert = r#"[{"op":"add","path":"/same/0","value":2}]"#;
        let edited = entry(
            raw,
            &[&set(2), insert, r#"[{"op":"replace","path":"/n","value":2.00}]"#, r#"[{"op":"remove","path":"/gone"}]"#],
        );
        let places = ["/n", "/same/0", "/same/1", "/same/2", "/gone", "/never", ""];
        let places: Vec<Pointer> = places.iter().map(|place| place.parse().unwrap()).collect();
        let last = edited.last_changed(&places).unwrap();
        // What is put in front moves the others to other places; a value that is written again stays what it was.
        assert_eq!(last, [Some(0), Some(1), Some(1), Some(1), Some(3), None, Some(3)]);
        let whole = entry(r#"{"n":1,"n":2}"#, &[r#"[{"op":"replace","path":"","value":{"n":7}}]"#]);
        assert_eq!(whole.last_changed(&places[..2]).unwrap(), [Some(0), None]);
        assert_eq!(entry(raw, &[]).last_changed(&places[..1]).unwrap(), [None]);
    }

    #[test]
    fn an_event_is_edited_only_so_often() {
        let sets: Vec<String> = (0..MAX_EDITS).map(set).collect();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        assert!(entry(r#"{"n":1}"#, &sets[1..]).edited_with(&set(1).parse().unwrap()).is_ok());
        let full = entry(r#"{"n":1}"#, &sets);
        assert!(full.edited().is_ok());
        assert!(full.edited_with(&set(1).parse().unwrap()).unwrap_err().to_string().contains("100 times"));
    }
}
