//! JSON Schemas of raw data, compiled once and applied to exact values without copying them.
//!
//! `jsonschema` reads our [`Value`] through its representation traits, so that nothing is rebuilt for each event. Not
//! here: anything about what a schema means; that is the library's business.
use evenkeel_core::json::{Number, Object, Value};
use jsonschema::{
    JsonType, Validator,
    json::{self, Array, Json, JsonNumber, Node, NodeIdentity},
};
use std::{borrow::Cow, fmt, sync::Arc};

/// A compiled JSON Schema with the text it was compiled from. Cheap to clone.
///
/// Draft 2020-12 unless `$schema` says otherwise; `format` is an annotation, as that draft has it; references to other
/// documents are refused, since nothing is fetched. Numbers that are no 64-bit integers are compared as floats: a
/// schema sorts out what is wrong in kind, and exact limits belong to invariants.
#[derive(Clone)]
pub struct Schema {
    text: Arc<str>,
    validator: Arc<Validator<Exact>>,
}

/// Text that is no usable JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", if pointer.is_empty() { String::new() } else { format!(" at {pointer}") })]
pub struct BadSchema {
    /// What is wrong.
    pub message: String,
    /// JSON pointer to the place in the schema; empty for the whole document.
    pub pointer: String,
}

/// Where a value does not fit its schema first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaMisfit {
    /// What is wrong.
    pub message: String,
    /// JSON pointer from the value that was checked.
    pub pointer: String,
}

impl Schema {
    /// Compiles a JSON Schema.
    ///
    /// # Errors
    /// Where the text is not JSON that can be carried exactly, is no schema, or refers to another document.
    ///
    /// ```
    /// use evenkeel_contract::contract::Schema;
    /// assert!(Schema::compile(r#"{"type": "object", "required": ["order_id"]}"#).is_ok());
    /// assert_eq!(Schema::compile(r#"{"type": "objct"}"#).unwrap_err().pointer, "/type");
    /// ```
    pub fn compile(text: &str) -> Result<Self, BadSchema> {
        let document = evenkeel_core::json::parse(text.as_bytes())
            .map_err(|error| BadSchema { message: error.message, pointer: error.pointer })?;
        if let Some(pointer) = beyond_floats(&document) {
            return Err(BadSchema { message: "the number is out of range".into(), pointer });
        }
        let validator = jsonschema::options_for::<Exact>()
            .build(&lossy(&document))
            .map_err(|error| BadSchema { message: error.to_string(), pointer: error.instance_path().to_string() })?;
        Ok(Self { text: text.into(), validator: Arc::new(validator) })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `value` fits.
    ///
    /// # Errors
    /// The first place that does not. A number beyond the range of floats fits no schema: no limit could be held
    /// against it.
    pub fn check(&self, value: &Value) -> Result<(), SchemaMisfit> {
        if let Some(pointer) = beyond_floats(value) {
            return Err(SchemaMisfit { message: "the number is beyond what a schema can judge".into(), pointer });
        }
        self.validator
            .validate(value)
            .map_err(|error| SchemaMisfit { message: error.to_string(), pointer: error.instance_path().to_string() })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.text).finish()
    }
}

impl PartialEq for Schema {
    /// Schemas compiled from the same text are equal.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Pointer to the first number that no finite float stands for.
fn beyond_floats(value: &Value) -> Option<String> {
    match value {
        Value::Number(Number::Exact(text)) => float(text).is_none().then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, item)| beyond_floats(item).map(|rest| format!("/{i}{rest}")))
        }
        Value::Object(object) => object.iter().find_map(|(name, member)| {
            beyond_floats(member).map(|rest| format!("/{}{rest}", crate::place::escape(name)))
        }),
        _ => None,
    }
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

/// For the library's messages and comparisons with constants. Never stored.
fn lossy(value: &Value) -> serde_json::Value {
    value.to_lossy().unwrap_or_default()
}

/// Our exact values as a representation of JSON.
enum Exact {}

impl Json for Exact {
    type Node<'a> = &'a Value;
    type PreparedKey = String;
    type StringBuffer = Value;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(&Value) -> T) -> T {
        *buffer = string.into();
        f(buffer)
    }
}

impl<'a> Node<'a, Exact> for &'a Value {
    type Object = &'a Object;
    type Array = &'a [Value];
    type Number = ExactNumber<'a>;

    fn as_object(&self) -> Option<&'a Object> {
        Value::as_object(self)
    }

    fn as_array(&self) -> Option<&'a [Value]> {
        Value::as_array(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_str().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<ExactNumber<'a>> {
        match self {
            Value::Number(number) => Some(ExactNumber(number)),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        **self == Value::Null
    }

    fn json_type(&self) -> JsonType {
        match self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &serde_json::Value) -> bool {
        match (self, expected) {
            (Value::String(text), serde_json::Value::String(expected)) => text == expected,
            (Value::String(_), _) | (_, serde_json::Value::String(_)) => false,
            _ => json::cmp::equal(&lossy(self), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(lossy(self))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(self) as usize))
    }
}

impl<'a> json::Object<'a, Exact> for &'a Object {
    type Node = &'a Value;
    type MemberName = &'a str;
    type MembersIter = Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>;

    fn len(&self) -> usize {
        Object::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Value> {
        Object::get(self, key)
    }

    fn members(&self) -> Self::MembersIter {
        Box::new(Object::iter(self))
    }
}

impl<'a> Array<'a, Exact> for &'a [Value] {
    type Node = &'a Value;
    type ElementsIter = std::slice::Iter<'a, Value>;

    fn len(&self) -> usize {
        <[Value]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }
}

struct ExactNumber<'a>(&'a Number);

impl JsonNumber for ExactNumber<'_> {
    fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Number::Int(int) => u64::try_from(*int).ok(),
            Number::Exact(text) => text.parse().ok(),
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Number::Int(int) => Some(*int),
            Number::Exact(_) => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Number::Int(int) => Some(*int as f64),
            Number::Exact(text) => float(text),
        }
    }

    fn as_str(&self) -> Cow<'_, str> {
        match self.0 {
            Number::Int(int) => Cow::Owned(int.to_string()),
            Number::Exact(text) => Cow::Borrowed(text),
        }
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(match (self.as_i64(), self.as_u64()) {
            (Some(int), _) => int.into(),
            (_, Some(int)) => int.into(),
            _ => self.as_f64().and_then(serde_json::Number::from_f64).unwrap_or_else(|| 0.into()),
        })
    }

    /// Whether the value is whole, as 2020-12 has it: 1.0 is, 9007199254740993.5 is not though its float would be.
    fn is_integer(&self) -> bool {
        match self.0 {
            Number::Int(_) => true,
            Number::Exact(text) if text.contains(['e', 'E']) => float(text).is_some_and(|float| float.fract() == 0.0),
            Number::Exact(text) => text.split_once('.').is_none_or(|(_, fraction)| fraction.bytes().all(|b| b == b'0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_core::json::parse;
    use proptest::prelude::*;

    fn misfit(schema: &str, document: &str) -> Option<String> {
        let schema = Schema::compile(schema).unwrap();
        schema.check(&parse(document.as_bytes()).unwrap()).err().map(|misfit| misfit.pointer)
    }

    #[test]
    fn misfits_have_pointers() {
        let schema =
            r#"{"properties": {"a/b": {"items": {"type": "integer"}}, "n": {"type": "number"}}, "required": ["n"]}"#;
        assert_eq!(misfit(schema, r#"{"n": 1, "a/b": [1, "2"]}"#).as_deref(), Some("/a~1b/1"));
        assert_eq!(misfit(schema, "{}").as_deref(), Some(""));
        assert_eq!(misfit(schema, r#"{"n": 9007199254740993.01}"#), None);
        assert_eq!(misfit(schema, r#"{"n": 1, "a/b": [1e400]}"#).as_deref(), Some("/a~1b/0"));
    }

    #[test]
    fn whole_numbers_are_told_exactly() {
        let schema = r#"{"type": "integer"}"#;
        for (document, fits) in [
            ("1.0", true),
            ("1e2", true),
            ("18446744073709551616", true),
            ("9007199254740993.5", false),
            ("1.00000000000000000000001", false),
        ] {
            assert_eq!(misfit(schema, document).is_none(), fits, "{document}");
        }
    }

    #[test]
    fn unusable_schemas_are_refused() {
        for text in [
            "",
            "1",
            r#"{"type": 1}"#,
            r#"{"a": 1, "a": 2}"#,
            r#"{"maximum": 1e999}"#,
            r#"{"$ref": "other.json"}"#,
            r#"{"$ref": "https://example.com/other.json"}"#,
        ] {
            assert!(Schema::compile(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// Our representation and the library's own judge alike.
        #[test]
        fn agrees_with_the_librarys_own_values(
            document in "(-?(0|[1-9][0-9]{0,2})(\\.[05])?|\"[a-c]{0,4}\"|null|true|\\[1,1\\]|\\[1,\"a\"\\]|\\{\"a\":1\\}|\\{\"b\":\\[\\]\\})",
            schema in prop::sample::select(vec![
                r#"{"type": "integer"}"#, r#"{"type": ["string", "null"]}"#, r#"{"minimum": 0.5, "maximum": 100}"#,
                r#"{"multipleOf": 0.5}"#, r#"{"multipleOf": 2}"#, r#"{"enum": [1, "a", null, [1, 1]]}"#, r#"{"minLength": 2}"#,
                r#"{"uniqueItems": true}"#, r#"{"required": ["a"]}"#, r#"{"additionalProperties": false, "properties": {"a": {}}}"#,
                r#"{"propertyNames": {"pattern": "^a"}}"#, r#"{"not": {"const": 1}}"#, r#"{"pattern": "^a+$"}"#,
                r#"{"items": {"type": "integer"}}"#, r##"{"anyOf": [{"type": "string"}, {"$ref": "#/$defs/n"}], "$defs": {"n": {"type": "number"}}}"##,
                r#"{"unevaluatedProperties": false, "properties": {"a": true}}"#, r#"{"contains": {"const": "a"}}"#,
            ]),
        ) {
            let theirs: serde_json::Value = serde_json::from_str(&document).unwrap();
            let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
            prop_assert_eq!(misfit(schema, &document).is_none(), validator.is_valid(&theirs), "{} {}", schema, document);
        }
    }
}
