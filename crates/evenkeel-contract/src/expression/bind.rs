//! What an expression names, out of an event, as values of the interpreter.
//!
//! Integers are bound as `int` (the crate's own conversion makes positive ones `uint`), texts are borrowed, and nothing
//! that was not named is touched. A number that neither `int` nor the shortest `double` writes as it was sent is refused
//! rather than judged wrongly.
use super::lint::{Lint, Paths};
use cel::{
    Context,
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
        value::Val,
    },
};
use evenkeel_core::{
    Draft, SourceName,
    decimal::{Decimal, Money},
    json::{Number, Object, Value},
};
use std::collections::HashMap;

/// How much was bound, in values; sixteen bytes of text count as one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Weight(pub(super) u64);

type Bound<'v> = Box<dyn Val + 'v>;
type Members<'v> = HashMap<CelMapKey<'v>, Bound<'v>>;

/// Binds what `lint` found to be named.
pub(super) fn variables<'v>(
    lint: &Lint,
    draft: &'v Draft,
    source: &'v SourceName,
    raw_id: &'v str,
    context: &mut Context<'_, 'v>,
) -> Result<Weight, String> {
    let mut weight = Weight::default();
    if let Some(paths) = &lint.payload {
        context.add_variable_as_val("payload", weight.named(paths, &draft.data)?);
    }
    if let Some(paths) = &lint.event {
        let mut members = Members::new();
        let mut text = |name: &'v str, value: Option<Bound<'v>>| {
            members.extend(value.filter(|_| paths.names(name)).map(|value| (CelMapKey::from(name), value)));
        };
        text("subject", Some(string(draft.subject.as_str())));
        text("type", Some(string(draft.event_type.as_str())));
        text("source", Some(string(source.as_str())));
        text("id", Some(string(raw_id)));
        text("time", draft.time.map(|time| Box::new(CelString::from(time.to_string())) as Bound<'v>));
        for (name, value) in draft.extensions.iter().filter(|(name, _)| paths.names(name)) {
            members.insert(CelMapKey::from(name), weight.whole(value)?);
        }
        if paths.names("data") {
            let named = paths.within.get("data").filter(|_| !paths.whole);
            let data = match named {
                Some(named) => weight.named(named, &draft.data)?,
                None => weight.whole(&draft.data)?,
            };
            members.insert(CelMapKey::from("data"), data);
        }
        context.add_variable_as_val("event", Box::new(CelMap::from(members)));
    }
    Ok(weight)
}

fn string(text: &str) -> Bound<'_> {
    Box::new(CelString::from(text))
}

impl Weight {
    fn named<'v>(&mut self, paths: &Paths, value: &'v Value) -> Result<Bound<'v>, String> {
        match value {
            Value::Object(object) if !paths.whole && !paths.within.is_empty() && minor(object).is_none() => {
                self.0 += 1;
                let mut members = Members::new();
                for (name, paths) in &paths.within {
                    // The name is taken from the event, whose life is long enough.
                    if let Some((name, value)) = member(object, name) {
                        members.insert(CelMapKey::from(name), self.named(paths, value)?);
                    }
                }
                Ok(Box::new(CelMap::from(members)))
            }
            other => self.whole(other),
        }
    }

    fn whole<'v>(&mut self, value: &'v Value) -> Result<Bound<'v>, String> {
        self.0 += 1;
        Ok(match value {
            Value::Null => Box::new(CelNull),
            Value::Bool(b) => Box::new(CelBool::from(*b)),
            Value::Number(Number::Int(int)) => Box::new(CelInt::from(*int)),
            Value::Number(Number::Exact(text)) => {
                let double = double(text).ok_or_else(|| format!("the number {text} cannot be judged exactly"))?;
                Box::new(CelDouble::from(double))
            }
            Value::String(text) => {
                self.0 += text.len() as u64 / 16;
                string(text)
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.whole(item)).collect::<Result<_, _>>()?;
                Box::new(CelList::from(items))
            }
            Value::Object(object) => {
                let mut members = Members::with_capacity(object.len() + 1);
                for (name, value) in object.iter() {
                    members.insert(CelMapKey::from(name), self.whole(value)?);
                }
                if let Some(minor) = minor(object) {
                    members.insert(CelMapKey::from("minor"), Box::new(CelInt::from(minor)));
                }
                Box::new(CelMap::from(members))
            }
        })
    }
}

fn member<'v>(object: &'v Object, name: &str) -> Option<(&'v str, &'v Value)> {
    let value = object.get(name)?;
    object.iter().find(|(_, found)| std::ptr::eq(*found, value))
}

/// The minor units of what looks like money, as every field of type `money` does.
fn minor(object: &Object) -> Option<i64> {
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let (amount, currency) = (object.len() == 2).then(|| text("amount").zip(text("currency")))??;
    Money::new(amount.parse().ok()?, currency.parse().ok()?).ok()?.minor().ok()
}

/// The double that a number is exactly the shortest text of.
fn double(text: &str) -> Option<f64> {
    let double: f64 = text.parse().ok()?;
    let same = text.parse::<Decimal>().ok()? == double.to_string().parse::<Decimal>().ok()?;
    (same && double.is_finite()).then_some(double)
}
