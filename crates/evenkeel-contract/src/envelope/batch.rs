//! The batch mode of CloudEvents: a JSON array of events, cut into their exact bytes.
//!
//! What each of them is, is read in [`super`].
use super::Unreadable;
use serde_json::value::RawValue;

/// The elements of a batch, each with the bytes it was sent as. What is wrong within one element (depth, duplicate
/// keys, invalid UTF-8, not even an object) is its own matter.
///
/// ```
/// use evenkeel_contract::envelope::split_batch;
/// assert_eq!(split_batch(b"[ {\"id\": 1} , 7]")?, [&b"{\"id\": 1}"[..], b"7"]);
/// assert!(split_batch(b"[{]").is_err());
/// # Ok::<(), evenkeel_contract::envelope::Unreadable>(())
/// ```
///
/// # Errors
/// Where the whole is no array of JSON values, so that elements cannot be told apart. Nothing is taken then.
pub fn split_batch(bytes: &[u8]) -> Result<Vec<&[u8]>, Unreadable> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(elements(text)?.into_iter().map(|element| element.get().as_bytes()).collect());
    }
    // Bytes beyond ASCII stand only within strings, where any letter serves to find the string's end. With one in
    // their place the text is UTF-8 and every element lies where it lay.
    let masked: String = bytes.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '?' }).collect();
    let start = masked.as_ptr() as usize;
    let place = |element: &RawValue| {
        let from = (element.get().as_ptr() as usize).checked_sub(start)?;
        bytes.get(from..from + element.get().len())
    };
    let place_of = |element| place(element).ok_or_else(|| Unreadable("the batch cannot be cut into events".into()));
    elements(&masked)?.into_iter().map(place_of).collect()
}

fn elements(text: &str) -> Result<Vec<&RawValue>, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable(format!("expected a JSON array of events: {error}")))
}
