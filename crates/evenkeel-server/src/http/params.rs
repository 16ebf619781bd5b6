//! Query parameters and path parts, read strictly: what is not understood is refused and named, never passed over.
//!
//! Bodies are [`super::body`]'s.
use super::problem::{BAD_PARAMETER, NOT_OFFERED, Problem};
use axum::http::{HeaderMap, HeaderName, Uri};
use evenkeel::core::token::TokenError;
use std::{fmt::Display, str::FromStr};

/// Parameters that are known by name and not offered yet.
const LATER: [&str; 1] = ["key"];

/// What the names of conditions begin with; a column may have several.
const WHERE: &str = "where.";

/// The parameters of a request; each is taken out once.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// The query of an address.
    ///
    /// # Errors
    /// 400 where a parameter is there twice or is not UTF-8.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decode(&name.replace('+', " ")), decode(&value.replace('+', " "))) else {
                return Err(Problem::new(
                    BAD_PARAMETER,
                    format!("the parameter {pair:?} is not UTF-8 in percent-encoding"),
                ));
            };
            if !name.starts_with(WHERE) && params.iter().any(|(other, _)| *other == name) {
                return Err(Problem::new(BAD_PARAMETER, format!("the parameter {name:?} is there twice")));
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// A parameter as text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// The conditions on columns, by their names.
    pub(crate) fn conditions(&mut self) -> Vec<(String, String)> {
        let (conditions, others) =
            std::mem::take(&mut self.0).into_iter().partition(|(name, _)| name.starts_with(WHERE));
        self.0 = others;
        let named = |(name, text): (String, String)| (name[WHERE.len()..].to_owned(), text);
        Vec::into_iter(conditions).map(named).collect()
    }

    /// A parameter of a type; `expected` says in words what it should look like.
    ///
    /// # Errors
    /// 400 where it is there and does not look like that.
    pub(crate) fn get<T: FromStr>(&mut self, name: &str, expected: impl Display) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Problem::new(BAD_PARAMETER, format!("{name}: expected {expected}, found {text:?}"))),
        }
    }

    /// A whole number from `range`.
    ///
    /// # Errors
    /// 400 where it is there and is none.
    pub(crate) fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse().ok().filter(|number| digits && range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let (least, most) = range.into_inner();
                let expected = if most == u64::MAX {
                    format!("a whole number of at least {least}")
                } else {
                    format!("a whole number from {least} to {most}")
                };
                Err(Problem::new(BAD_PARAMETER, format!("{name}: expected {expected}, found {text:?}")))
            }
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// 400, naming what is.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.0.into_iter().next() else { return Ok(()) };
        if LATER.contains(&name.as_str()) {
            return Err(Problem::new(NOT_OFFERED, format!("the parameter {name:?} is not offered yet")));
        }
        Err(Problem::new(BAD_PARAMETER, format!("there is no parameter {name:?} here")))
    }
}

/// The header that carries tokens both ways.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("consistency-token");

/// The tokens that the headers hand in, with commas between.
///
/// # Errors
/// 400 where one is not text.
pub(crate) fn tokens(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = Vec::new();
    for value in headers.get_all(TOKEN) {
        all.push(value.to_str().map_err(|_| TokenError::Malformed)?);
    }
    Ok((!all.is_empty()).then(|| all.join(",")))
}

/// The parts of a path after the first `skip`, decoded one by one, so that a key may hold a slash.
///
/// # Errors
/// 400 where one is not UTF-8.
pub(crate) fn path_parts(uri: &Uri, skip: usize) -> Result<Vec<String>, Problem> {
    let part = |part: &str| {
        decode(part).ok_or_else(|| {
            Problem::new(BAD_PARAMETER, format!("the path part {part:?} is not UTF-8 in percent-encoding"))
        })
    };
    uri.path().split('/').skip(skip + 1).map(part).collect()
}

/// Undoes percent-encoding. A `%` must have two hexadecimal digits after it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (hex, after) = rest.split_at_checked(2)?;
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(hex[0])? << 4 | digit(hex[1])?);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_once_or_refused() {
        assert_eq!(decode("a%2Fb%20%E2%82%AC%2525").as_deref(), Some("a/b €%25"));
        for bad in ["%", "%4", "%zz", "%+1", "%FF", "%E2%82"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_may_hold_a_slash() {
        let uri = Uri::from_static("/v1/models/m/rows/a%2Fb/c+d");
        assert_eq!(path_parts(&uri, 4).unwrap(), ["a/b", "c+d"]);
    }

    #[test]
    fn parameters_are_taken_once_and_nothing_may_be_left() {
        let uri = Uri::from_static("/?limit=5&cursor=%5B%22a%22%5D&x=1+2");
        let mut params = Params::of(&uri).unwrap();
        assert_eq!(params.number("limit", 1..=10).unwrap(), Some(5));
        assert_eq!(params.text("cursor").as_deref(), Some("[\"a\"]"));
        assert_eq!(params.text("x").as_deref(), Some("1 2"));
        assert_eq!(params.text("x"), None);
        params.finish().unwrap();
        let mut params = Params::of(&Uri::from_static("/?where.a=ge.1&x=1&where.a=lt.9&where.b.c=is.null")).unwrap();
        let conditions = [("a", "ge.1"), ("a", "lt.9"), ("b.c", "is.null")];
        assert_eq!(params.conditions(), conditions.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert!(params.finish().is_err());
        assert!(Params::of(&Uri::from_static("/?a=1&a=1")).is_err());
        assert!(Params::of(&Uri::from_static("/?a=%FF")).is_err());
        assert!(Params::of(&Uri::from_static("/?a")).unwrap().finish().is_err());
    }

    #[test]
    fn numbers_are_plain_digits_in_range() {
        let number = |uri: &'static str| Params::of(&Uri::from_static(uri)).unwrap().number("n", 1..=100).ok();
        assert_eq!((number("/?n=1"), number("/?n=100"), number("/")), (Some(Some(1)), Some(Some(100)), Some(None)));
        for bad in ["/?n=0", "/?n=101", "/?n=%2B5", "/?n=", "/?n=1e1", "/?n=99999999999999999999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
