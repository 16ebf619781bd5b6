//! The ways in which rows are corrupted: what the foreign client is given, and which rows are wrong then, why, and what
//! they look like. Each way takes keys of its own, from `at` on, so that several can be done at once.
use super::{
    events::{Truth, account, place, place_key},
    world::{World, today},
};
use serde_json::{Value, json};

/// How many keys a way may take.
pub(crate) const SPAN: u64 = 20;

/// A row that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) key: Vec<String>,
    pub(crate) cause: &'static str,
    /// What the log says; `None` for no row.
    pub(crate) expected: Option<Value>,
    /// What is there; `None` for no row.
    pub(crate) actual: Option<Value>,
}

/// A way to corrupt a model.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) sql: String,
    pub(crate) wrong: Vec<Wrong>,
}

/// A model as the foreign client sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) model: &'static str,
    /// Its key columns.
    pub(crate) key: &'static [&'static str],
    /// Its other columns, those of money with their minor units.
    columns: &'static str,
    /// Changes: the assignment, and what a reader sees then in which column, if anything.
    edits: &'static [(&'static str, Option<(&'static str, &'static str)>)],
}

pub(crate) const ACCOUNTS: Target = Target {
    model: "accounts",
    key: &["account"],
    columns: "moves, balance, balance_minor, currency, open, rate, since, last_at, note, extra",
    edits: &[
        ("note = 'forged'", Some(("note", "\"forged\""))),
        ("note = NULL", Some(("note", "null"))),
        ("note = note || ' '", Some(("note", ""))),
        ("moves = moves + 1", Some(("moves", "2000"))),
        ("moves = 9223372036854775807", Some(("moves", "9223372036854775807"))),
        ("balance = '1.00'", Some(("balance", "\"1.00\""))),
        ("balance = balance || '0'", Some(("balance", "0"))),
        ("balance = 'much'", Some(("balance", "\"much\""))),
        ("balance_minor = balance_minor + 1", None),
        ("balance_minor = NULL", None),
        ("currency = 'USD'", Some(("currency", "\"USD\""))),
        ("open = 1 - open", Some(("open", "!"))),
        ("open = 7", Some(("open", "7"))),
        ("since = '2026-02-28'", Some(("since", "\"2026-02-28\""))),
        ("last_at = '2026-12-31T23:59:59.000000Z'", Some(("last_at", "\"2026-12-31T23:59:59.000000Z\""))),
        ("rate = '0.5'", Some(("rate", "\"0.5\""))),
        ("extra = '{\"b\":[]}'", Some(("extra", "{\"b\": []}"))),
        ("extra = ' ' || extra", None),
    ],
};

pub(crate) const STOCK: Target = Target {
    model: "stock",
    key: &["sku", "site"],
    columns: "on_hand, last",
    edits: &[
        ("on_hand = -1", Some(("on_hand", "-1"))),
        ("on_hand = NULL", Some(("on_hand", "null"))),
        ("last = 'nobody'", Some(("last", "\"nobody\""))),
        ("on_hand = 0, last = ''", None),
    ],
};

impl Target {
    /// The key of the `i`th row.
    pub(crate) fn key(&self, i: u64) -> Vec<String> {
        if self.model == "accounts" { vec![account(i)] } else { place_key(place(i)) }
    }

    /// The `i`th row by this truth.
    fn row(&self, truth: &Truth, i: u64) -> Option<Value> {
        if self.model == "accounts" { truth.account(i) } else { truth.stock(place(i)) }
    }

    /// A key that no event ever had.
    fn nobody(&self, i: u64) -> Vec<String> {
        self.key.iter().map(|column| format!("{column} nobody {i}")).collect()
    }

    fn is(&self, key: &[String]) -> String {
        let parts: Vec<_> = self.key.iter().zip(key).map(|(column, part)| format!("{column} = '{part}'")).collect();
        parts.join(" AND ")
    }

    fn keys(&self) -> String {
        self.key.join(", ")
    }

    /// A row of nothing but its key.
    fn empty(&self, key: &[String]) -> Value {
        let mut row = self.row(today(), 0).unwrap();
        row.as_object_mut().unwrap().values_mut().for_each(|value| *value = Value::Null);
        self.with_key(row, key)
    }

    fn with_key(&self, mut row: Value, key: &[String]) -> Value {
        self.key.iter().zip(key).for_each(|(column, part)| row[*column] = json!(part));
        row
    }

    fn wrong(&self, i: u64, cause: &'static str, actual: Option<Value>) -> Wrong {
        Wrong { key: self.key(i), cause, expected: self.row(today(), i), actual }
    }

    /// Every way that triggers note.
    pub(crate) fn ways(&self, at: u64) -> Vec<Way> {
        let ways: [fn(&Self, u64) -> Way; 11] = [
            Self::edits,
            Self::digests,
            Self::deletes,
            Self::inserts,
            Self::renames,
            Self::swaps,
            Self::replaces,
            Self::upserts,
            Self::returns,
            Self::restores,
            Self::undone,
        ];
        ways.iter().zip(0..).map(|(way, number)| way(self, at + number * SPAN)).collect()
    }

    pub(crate) fn edits(&self, at: u64) -> Way {
        let (mut sql, mut wrong) = (String::new(), Vec::new());
        for ((assignment, shown), i) in self.edits.iter().zip(at..) {
            sql += &format!("UPDATE {} SET {assignment} WHERE {};\n", self.model, self.is(&self.key(i)));
            let mut actual = self.row(today(), i).unwrap();
            match *shown {
                Some((column, "!")) => actual[column] = json!(actual[column] == json!(false)),
                Some((column, "2000")) => actual[column] = json!(actual[column].as_u64().unwrap() + 1),
                Some((column, suffix @ ("" | "0"))) => {
                    let suffix = if suffix.is_empty() { " " } else { suffix };
                    actual[column] = json!(format!("{}{suffix}", actual[column].as_str().unwrap()));
                }
                Some((column, text)) => actual[column] = serde_json::from_str(text).unwrap(),
                None if self.model == "stock" => (actual["on_hand"], actual["last"]) = (json!(0), json!("")),
                None => {}
            }
            wrong.push(self.wrong(i, "foreign_edit", Some(actual)));
        }
        Way { name: "edits", sql, wrong }
    }

    /// Only the digest: the columns stay as they are.
    fn digests(&self, at: u64) -> Way {
        let digests = ["NULL", "zeroblob(16)", "x'00'", "(SELECT max(_ek_digest) FROM accounts)"];
        let (mut sql, mut wrong) = (String::new(), Vec::new());
        for (digest, i) in digests.iter().zip(at..) {
            sql += &format!("UPDATE {} SET _ek_digest = {digest} WHERE {};\n", self.model, self.is(&self.key(i)));
            wrong.push(self.wrong(i, "foreign_edit", self.row(today(), i)));
        }
        Way { name: "digests", sql, wrong }
    }

    pub(crate) fn deletes(&self, at: u64) -> Way {
        let keys = at..at + 3;
        let sql = keys.clone().map(|i| format!("DELETE FROM {} WHERE {};\n", self.model, self.is(&self.key(i))));
        let wrong = keys.clone().map(|i| self.wrong(i, "lost_row", None)).collect();
        Way { name: "deletes", sql: sql.collect(), wrong }
    }

    /// Rows of nobody: bare, and with all columns and the digest of another row.
    pub(crate) fn inserts(&self, at: u64) -> Way {
        let (bare, copied) = (self.nobody(at), self.nobody(at + 1));
        let quoted = |key: &[String]| key.iter().map(|part| format!("'{part}'")).collect::<Vec<_>>().join(", ");
        let (model, keys, columns) = (self.model, self.keys(), self.columns);
        let sql = format!(
            "INSERT INTO {model}({keys}) VALUES({});
             INSERT INTO {model}({keys}, {columns}, _ek_digest) SELECT {}, {columns}, _ek_digest FROM {model} WHERE {};\n",
            quoted(&bare),
            quoted(&copied),
            self.is(&self.key(at))
        );
        let copy = self.with_key(self.row(today(), at).unwrap(), &copied);
        let extra = |key: Vec<String>, row| Wrong { key, cause: "extra_row", expected: None, actual: Some(row) };
        let empty = self.empty(&bare);
        Way { name: "inserts", sql, wrong: vec![extra(bare, empty), extra(copied, copy)] }
    }

    /// A row under another key.
    fn renames(&self, at: u64) -> Way {
        let to = self.nobody(at);
        let assignments: Vec<_> =
            self.key.iter().zip(&to).map(|(column, part)| format!("{column} = '{part}'")).collect();
        let sql = format!("UPDATE {} SET {} WHERE {};\n", self.model, assignments.join(", "), self.is(&self.key(at)));
        let actual = self.with_key(self.row(today(), at).unwrap(), &to);
        let extra = Wrong { key: to, cause: "extra_row", expected: None, actual: Some(actual) };
        Way { name: "renames", sql, wrong: vec![self.wrong(at, "lost_row", None), extra] }
    }

    /// Two rows' values exchanged, without and with their digests.
    pub(crate) fn swaps(&self, at: u64) -> Way {
        let (mut sql, mut wrong) = (String::new(), Vec::new());
        for (a, columns) in [(at, self.columns.to_owned()), (at + 2, format!("{}, _ek_digest", self.columns))] {
            let (model, b) = (self.model, a + 1);
            let (is_a, is_b) = (self.is(&self.key(a)), self.is(&self.key(b)));
            sql += &format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM {model} WHERE {is_a};
                 UPDATE {model} SET ({columns}) = (SELECT {columns} FROM {model} WHERE {is_b}) WHERE {is_a};
                 UPDATE {model} SET ({columns}) = (SELECT {columns} FROM kept) WHERE {is_b};
                 DROP TABLE kept;\n"
            );
            for (to, from) in [(a, b), (b, a)] {
                let actual = self.with_key(self.row(today(), from).unwrap(), &self.key(to));
                wrong.push(self.wrong(to, "foreign_edit", Some(actual)));
            }
        }
        Way { name: "swaps", sql, wrong }
    }

    /// `REPLACE` deletes a row without a trigger and inserts one.
    fn replaces(&self, at: u64) -> Way {
        let (model, nobody) = (self.model, self.nobody(at));
        let bare = |key: &[String]| {
            let parts: Vec<_> = key.iter().map(|part| format!("'{part}'")).collect();
            format!("REPLACE INTO {model}({}) VALUES({});\n", self.keys(), parts.join(", "))
        };
        let sql = bare(&self.key(at)) + &bare(&nobody);
        let extra =
            Wrong { key: nobody.clone(), cause: "extra_row", expected: None, actual: Some(self.empty(&nobody)) };
        let actual = self.empty(&self.key(at));
        Way { name: "replaces", sql, wrong: vec![self.wrong(at, "foreign_edit", Some(actual)), extra] }
    }

    fn upserts(&self, at: u64) -> Way {
        let (assignment, (column, text)) = match self.model {
            "accounts" => ("note = 'upserted'", ("note", "upserted")),
            _ => ("last = 'upserted'", ("last", "upserted")),
        };
        let (model, keys, columns) = (self.model, self.keys(), self.columns);
        let sql = format!(
            "INSERT INTO {model}({keys}, {columns}) SELECT {keys}, {columns} FROM {model} WHERE {}
             ON CONFLICT({keys}) DO UPDATE SET {assignment};\n",
            self.is(&self.key(at))
        );
        let mut actual = self.row(today(), at).unwrap();
        actual[column] = json!(text);
        Way { name: "upserts", sql, wrong: vec![self.wrong(at, "foreign_edit", Some(actual))] }
    }

    /// Deleted, and put back without its digest.
    fn returns(&self, at: u64) -> Way {
        let (model, keys, columns) = (self.model, self.keys(), self.columns);
        let is = self.is(&self.key(at));
        let sql = format!(
            "CREATE TEMP TABLE kept AS SELECT * FROM {model} WHERE {is};
             DELETE FROM {model} WHERE {is};
             INSERT INTO {model}({keys}, {columns}) SELECT {keys}, {columns} FROM kept;
             DROP TABLE kept;\n"
        );
        Way { name: "returns", sql, wrong: vec![self.wrong(at, "foreign_edit", self.row(today(), at))] }
    }

    /// Rows as they were yesterday, all of them and their digests: nothing about such a row by itself is wrong.
    pub(crate) fn restores(&self, at: u64) -> Way {
        let yesterday = yesterday();
        let keys: Vec<u64> =
            (at..at + SPAN).filter(|i| self.row(yesterday, *i) != self.row(today(), *i)).take(4).collect();
        assert!(!keys.is_empty(), "no row of {} was changed since yesterday", self.model);
        let (model, columns) = (self.model, self.columns);
        let mut sql = format!("ATTACH 'file:{}?immutable=1' AS was;\n", World::yesterday().display());
        for i in &keys {
            let is = self.is(&self.key(*i));
            sql += &format!(
                "UPDATE main.{model} SET ({columns}, _ek_digest) =
                 (SELECT {columns}, _ek_digest FROM was.{model} WHERE {is}) WHERE {is};\n"
            );
        }
        let of = |i: &u64| self.wrong(*i, "foreign_edit", self.row(yesterday, *i));
        Way { name: "restores", sql: sql + "DETACH was;\n", wrong: keys.iter().map(of).collect() }
    }

    /// Touched, and as it was in the end: suspected, and cleared.
    fn undone(&self, at: u64) -> Way {
        let (model, is) = (self.model, self.is(&self.key(at)));
        let kept = self.is(&self.key(at + 1));
        let sql = format!(
            "CREATE TEMP TABLE kept AS SELECT * FROM {model} WHERE {is};
             DELETE FROM {model} WHERE {is};
             INSERT INTO {model} SELECT * FROM kept;
             DROP TABLE kept;
             UPDATE {model} SET _ek_digest = _ek_digest WHERE {kept};\n"
        );
        Way { name: "undone", sql, wrong: Vec::new() }
    }
}

fn yesterday() -> &'static Truth {
    static TRUTH: std::sync::OnceLock<Truth> = std::sync::OnceLock::new();
    TRUTH.get_or_init(|| Truth::of(0..super::events::ACCOUNTS))
}
