//! What an expression names, and what judging it may cost, found once from its syntax.
//!
//! The cost is a power of how much is bound: a loop over an event's elements that looks only at its element is as cheap
//! as reading the event once, and each loop that looks at something else multiplies. The interpreter itself knows no
//! limit.
use super::{BadExpression, bind::Weight};
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue,
    operators::{
        ADD, DIVIDE, EQUALS, GREATER, GREATER_EQUALS, INDEX, LESS, LESS_EQUALS, MODULO, MULTIPLY, NOT_EQUALS, SUBSTRACT,
    },
};
use evenkeel_core::json::Pointer;
use std::collections::{BTreeMap, BTreeSet};

/// How deeply an expression may be nested.
pub(super) const MAX_DEPTH: u16 = 32;
/// How deeply loops may be nested.
const MAX_LOOPS: usize = 3;
/// How many steps an expression may take on one event, by the estimate.
const MAX_STEPS: u64 = 10_000_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Lint {
    pub(super) payload: Option<Paths>,
    pub(super) event: Option<Paths>,
    pub(super) uses: Vec<Use>,
    /// The power of what is bound that judging costs.
    degree: u32,
}

/// The parts of a value that are named, as a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) whole: bool,
    pub(super) within: BTreeMap<String, Paths>,
}

impl Paths {
    /// Whether the part called `name` is named.
    pub(super) fn names(&self, name: &str) -> bool {
        self.whole || self.within.contains_key(name)
    }

    fn add(&mut self, path: &[&str]) {
        path.iter().fold(self, |paths, name| paths.within.entry((*name).to_owned()).or_default()).whole = true;
    }
}

/// A place that an expression names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    /// As in native conditions.
    pub(crate) pointer: Pointer,
    /// The operator it is an operand of, where that is a comparison or arithmetic.
    pub(crate) operand_of: Option<String>,
    /// Whether its elements are taken in their order.
    pub(crate) in_order: bool,
}

/// What a part of an expression costs, and which names it depends on.
#[derive(Default)]
struct Part {
    degree: u32,
    loops: usize,
    free: BTreeSet<String>,
}

impl Part {
    fn and(mut self, other: Self) -> Self {
        self.free.extend(other.free);
        Self { degree: self.degree.max(other.degree), loops: self.loops.max(other.loops), free: self.free }
    }
}

/// The functions an expression may call; operators are known by having no letter first.
const FUNCTIONS: [&str; 9] =
    ["size", "contains", "startsWith", "endsWith", "int", "double", "string", "bool", "scaled"];

/// The operators whose operands must be what they look like, as they are written.
const OPERATORS: [(&str, &str); 11] = [
    (EQUALS, "=="),
    (NOT_EQUALS, "!="),
    (LESS, "<"),
    (LESS_EQUALS, "<="),
    (GREATER, ">"),
    (GREATER_EQUALS, ">="),
    (ADD, "+"),
    (SUBSTRACT, "-"),
    (MULTIPLY, "*"),
    (DIVIDE, "/"),
    (MODULO, "%"),
];

impl Lint {
    pub(super) fn of(ast: &IdedExpr) -> Result<Self, BadExpression> {
        let mut lint = Self::default();
        let part = lint.walk(ast, &[], 0)?;
        if part.loops > MAX_LOOPS {
            return bad(format!("loops are nested {} deep, and {MAX_LOOPS} are the most", part.loops));
        }
        if lint.uses.is_empty() {
            return bad("the expression names nothing of `payload` or `event`");
        }
        lint.degree = part.degree.max(1);
        Ok(lint)
    }

    /// Whether the expression may be judged on so much.
    pub(super) fn affordable(&self, Weight(bound): Weight) -> Result<(), String> {
        let steps = bound.max(64).checked_pow(self.degree);
        if self.degree == 1 || steps.is_some_and(|steps| steps <= MAX_STEPS) {
            return Ok(());
        }
        Err(format!(
            "the event is too large for this expression, whose cost grows with its size to the {}",
            self.degree
        ))
    }

    fn walk(&mut self, node: &IdedExpr, variables: &[&str], depth: u16) -> Result<Part, BadExpression> {
        if depth > MAX_DEPTH {
            return bad(format!("the expression is nested more than {MAX_DEPTH} deep"));
        }
        if let Some((root, path)) = path(node)
            && !variables.contains(&root)
        {
            return self.name(root, &path, None, false);
        }
        let depth = depth + 1;
        match &node.expr {
            Expr::Literal(_) => Ok(Part::default()),
            Expr::Ident(name) => Ok(Part { degree: 1, free: BTreeSet::from([name.clone()]), ..Part::default() }),
            Expr::Select(select) => self.walk(&select.operand, variables, depth),
            Expr::Call(call) => self.call(call, variables, depth),
            Expr::List(list) => self.all(&list.elements, variables, depth),
            Expr::Map(map) => {
                let mut part = Part::default();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        part = part.and(self.walk(&entry.key, variables, depth)?);
                        part = part.and(self.walk(&entry.value, variables, depth)?);
                    }
                }
                Ok(part)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, variables, depth),
            Expr::Struct(_) | Expr::Unspecified => bad("an expression makes no messages"),
        }
    }

    fn all(&mut self, nodes: &[IdedExpr], variables: &[&str], depth: u16) -> Result<Part, BadExpression> {
        nodes.iter().try_fold(Part::default(), |part, node| Ok(part.and(self.walk(node, variables, depth)?)))
    }

    fn call(&mut self, call: &CallExpr, variables: &[&str], depth: u16) -> Result<Part, BadExpression> {
        let name = call.func_name.as_str();
        if name.starts_with(|c: char| c.is_alphabetic()) && !FUNCTIONS.contains(&name) {
            return bad(format!("`{name}` is no function an expression may call; there are {}", FUNCTIONS.join(", ")));
        }
        let operator = OPERATORS.iter().find(|(known, _)| *known == name).map(|(_, written)| *written);
        let mut part = Part::default();
        for node in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
            part = part.and(match (operator, path(node)) {
                (Some(operator), Some((root, path))) if !variables.contains(&root) => {
                    self.name(root, &path, Some(operator), false)?
                }
                _ => self.walk(node, variables, depth)?,
            });
        }
        Ok(part)
    }

    fn comprehension(
        &mut self,
        comprehension: &ComprehensionExpr,
        variables: &[&str],
        depth: u16,
    ) -> Result<Part, BadExpression> {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, .. } = comprehension;
        if iter_var2.is_some() || ["payload", "event"].contains(&iter_var.as_str()) {
            return bad(format!("a loop's variable cannot be `{iter_var}` here"));
        }
        // An object has no order, so what depends on one must not be made of it.
        let in_order = matches!(accu_init.expr, Expr::List(_));
        let range = match path(iter_range).filter(|(root, _)| !variables.contains(root)) {
            Some((root, path)) => self.name(root, &path, None, in_order)?,
            None if in_order && !is_list(iter_range) => {
                return bad("`map` and `filter` need a list that is named from `payload` on");
            }
            None => self.walk(iter_range, variables, depth)?,
        };
        let inner: Vec<&str> = variables.iter().copied().chain([iter_var.as_str(), accu_var.as_str()]).collect();
        let mut body = Part::default();
        for node in [accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            body = body.and(self.walk(node, &inner, depth)?);
        }
        body.free.remove(iter_var);
        body.free.remove(accu_var);
        let (outer, inside) = (range.degree.max(1), body.degree.max(1));
        let degree = if body.free.is_empty() { outer + inside - 1 } else { outer + inside };
        let loops = range.loops.max(body.loops + 1);
        body.free.extend(range.free);
        Ok(Part { degree, loops, free: body.free })
    }

    /// Notes that a place is named.
    fn name(
        &mut self,
        root: &str,
        path: &[&str],
        operand_of: Option<&str>,
        in_order: bool,
    ) -> Result<Part, BadExpression> {
        let (paths, prefix) = match root {
            "payload" => (&mut self.payload, "/data"),
            "event" => (&mut self.event, ""),
            _ => return bad(format!("an expression sees `payload` and `event`, and nothing called `{root}`")),
        };
        if path.len() > usize::from(MAX_DEPTH) {
            return bad(format!("the expression is nested more than {MAX_DEPTH} deep"));
        }
        paths.get_or_insert_default().add(path);
        let escaped = path.iter().map(|name| format!("/{}", crate::place::escape(name)));
        let pointer = format!("{prefix}{}", escaped.collect::<String>()).parse();
        let pointer = pointer.map_err(|error| BadExpression(format!("{error}")))?;
        self.uses.push(Use { pointer, operand_of: operand_of.map(ToOwned::to_owned), in_order });
        Ok(Part { degree: 1, free: BTreeSet::from([root.to_owned()]), ..Part::default() })
    }
}

/// The name an expression starts from and the parts it selects: `payload.a["b"]` is (`payload`, [`a`, `b`]).
fn path(node: &IdedExpr) -> Option<(&str, Vec<&str>)> {
    match &node.expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) => {
            let (root, mut path) = path(&select.operand)?;
            path.push(&select.field);
            Some((root, path))
        }
        Expr::Call(CallExpr { func_name, target: None, args }) if func_name == INDEX => {
            let [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice() else {
                return None;
            };
            let (root, mut path) = path(of)?;
            path.push(name.inner());
            Some((root, path))
        }
        _ => None,
    }
}

fn is_list(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::List(_) => true,
        Expr::Comprehension(comprehension) => matches!(comprehension.accu_init.expr, Expr::List(_)),
        _ => false,
    }
}

fn bad<T>(message: impl Into<String>) -> Result<T, BadExpression> {
    Err(BadExpression(message.into()))
}
