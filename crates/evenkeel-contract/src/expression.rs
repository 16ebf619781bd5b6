//! CEL expressions over translated events: compiled and linted once, judged without a clock, never a panic.
//!
//! The language is the `cel` crate's. It has no cost limit, so an expression is limited twice: what it may say
//! ([`lint`], at `check`), and how large an event it may be let loose on ([`bind`], at each event). Only what it names is
//! bound. Not here: native conditions ([`evenkeel_core::condition`]).
mod bind;
mod lint;

pub(crate) use lint::Use;

use cel::{
    Context, Env, ExecutionError,
    common::{
        types::{CelInt, CelString, INT_TYPE, STRING_TYPE},
        value::CowVal,
    },
    objects::Value as Cel,
    parser::Expression as Ast,
};
use evenkeel_core::{Draft, SourceName, decimal::Decimal, event::Found, json::Value};
use lint::Lint;
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

/// A CEL expression that must be true of a translated event. Cheap to clone.
///
/// It sees `payload`, the event's data, and `event`, the whole event (`event.subject`, `event.type`, `event.time`…).
/// Integers are `int`, decimals text, money `{amount, currency, minor}` with its minor units as `int`;
/// `scaled(text, digits)` makes a decimal an `int`.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    compiled: Arc<Compiled>,
}

struct Compiled {
    ast: Ast,
    lint: Lint,
}

/// Text that is no usable expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadExpression(pub(crate) String);

/// Longest expression: what is longer belongs into several invariants.
const MAX_BYTES: usize = 1000;

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Where it is no CEL, is too long, too deep or too costly, or names what there is not.
    ///
    /// ```
    /// use evenkeel_contract::contract::Expression;
    /// assert!(Expression::compile("size(payload.items) > 0").is_ok());
    /// assert!(Expression::compile("size(items) > 0").is_err());
    /// ```
    pub fn compile(text: &str) -> Result<Self, BadExpression> {
        if text.len() > MAX_BYTES {
            let message = format!("the expression has {} bytes, and {MAX_BYTES} are the most", text.len());
            return Err(BadExpression(message));
        }
        let panicked = |_| Err(BadExpression("the expression cannot be read".into()));
        let ast = catch_unwind(|| parse(text)).unwrap_or_else(panicked)?;
        let lint = Lint::of(&ast)?;
        Ok(Self { text: text.into(), compiled: Arc::new(Compiled { ast, lint }) })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it names in the event.
    pub(crate) fn uses(&self) -> &[Use] {
        &self.compiled.lint.uses
    }

    /// Whether it is true of an event of `source`, called `raw_id` there.
    ///
    /// # Errors
    /// Why it could not be judged, in words: an invariant that cannot be judged does not hold.
    pub fn holds(&self, draft: &Draft, source: &SourceName, raw_id: &str) -> Result<bool, String> {
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge(draft, source, raw_id)));
        judged.unwrap_or_else(|_| Err("the expression could not be judged: its interpreter failed".into()))
    }

    fn judge(&self, draft: &Draft, source: &SourceName, raw_id: &str) -> Result<bool, String> {
        let Compiled { ast, lint } = &*self.compiled;
        let mut context = Context::with_env(Arc::clone(&ENV));
        let bound = bind::variables(lint, draft, source, raw_id, &mut context)?;
        lint.affordable(bound)?;
        for named in lint.uses.iter().filter(|named| named.in_order) {
            if let Some(Found::Value(Value::Object(_))) = draft.at(source, raw_id, &named.pointer) {
                return Err(format!("{} is an object, whose members have no order", named.pointer));
            }
        }
        match Cel::resolve(ast, &context) {
            Ok(Cel::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it gives {}, not true or false", other.type_of())),
            Err(error) => Err(told(&error)),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    /// Expressions compiled from the same text are equal.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The standard library and our own function.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // The name is free, so neither can fail; were it not, expressions that use it would be refused.
    drop(env.add_overload("scaled", "scaled_string_int", vec![STRING_TYPE, INT_TYPE], scaled));
    drop(env.add_overload("scaled", "scaled_int_int", vec![INT_TYPE, INT_TYPE], scaled));
    Arc::new(env)
});

/// `scaled(decimal, digits)`: the decimal times a power of ten, where that is a whole number of 64 bits.
fn scaled<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let fail = |message: String| ExecutionError::function_error("scaled", message);
    let int = |index: usize| args.get(index).and_then(|value| value.downcast_ref::<CelInt>()).map(|int| *int.inner());
    let text = args.first().and_then(|value| value.downcast_ref::<CelString<'_>>()).map(CelString::inner);
    let decimal: Decimal = match (text, int(0)) {
        (Some(text), _) => text.parse().map_err(|error| fail(format!("{error}")))?,
        (None, Some(int)) => int.into(),
        (None, None) => return Err(fail("expected a decimal".into())),
    };
    let digits = int(1).and_then(|digits| u32::try_from(digits).ok()).ok_or_else(|| fail("bad digits".into()))?;
    let scaled = decimal.scaled(digits);
    let scaled = scaled.ok_or_else(|| fail(format!("{decimal} is no whole number of 64 bits at {digits} digits")))?;
    Ok(CowVal::owned(CelInt::from(scaled)))
}

fn parse(text: &str) -> Result<Ast, BadExpression> {
    let parser = ENV.parser().max_recursion_depth(lint::MAX_DEPTH);
    parser.parse(text).map_err(|errors| {
        let first = errors.errors.first().map(|error| format!("{} at character {}", error.msg, error.pos.1));
        BadExpression(first.unwrap_or_else(|| "not an expression".into()))
    })
}

/// An error of the interpreter in words. What it quotes of the event is left out: it may be of any length.
fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".into(),
        ExecutionError::Overflow(..) => "an integer does not fit 64 bits".into(),
        ExecutionError::IndexOutOfBounds(_) => "there is no element of this index".into(),
        ExecutionError::UnexpectedType { got, want } => format!("expected {want}, found {got}"),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => format!("`{operator}` does not take such values"),
        ExecutionError::ValuesNotComparable(..) => "such values do not compare".into(),
        _ => "it cannot be judged for this event".into(),
    }
}

#[cfg(test)]
mod tests;
