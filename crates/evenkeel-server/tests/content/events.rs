//! The events of these tests, one for each number, and what must come of them, computed straight: nothing of the
//! product's folds, decimals or stores is used here.
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rows of the model keyed by subject.
pub(crate) const ACCOUNTS: u64 = 100_000;

/// Products, each at so many sites: the rows of the model that is not keyed by subject.
const SKUS: u64 = 4000;
const SITES: u64 = 5;

/// What an event of this number says.
#[derive(Debug, Clone, Copy)]
struct Moved {
    account: u64,
    amount: i64,
    site: u64,
    /// Product and quantity.
    lines: [Option<(u64, i64)>; 2],
}

fn moved(n: u64) -> Moved {
    let lap = n / ACCOUNTS;
    let sku = (n + lap * 7) % SKUS;
    let second = n.is_multiple_of(10).then(|| ((sku + 1) % SKUS, 2));
    Moved {
        account: n % ACCOUNTS,
        amount: i64::try_from(n % 99_991).unwrap() + 1,
        site: n / SKUS % SITES,
        lines: [Some((sku, i64::try_from(n % 17).unwrap() + 1)), second],
    }
}

/// The key of an account.
pub(crate) fn account(number: u64) -> String {
    format!("a{number:06}")
}

/// The key of a product at a site.
fn sku(number: u64) -> String {
    format!("s{number:04}")
}

fn site(number: u64) -> String {
    format!("r{number}")
}

/// The keys that an event touches: its account's, and those of its products at their site.
pub(crate) fn touched(n: u64) -> (u64, Vec<(u64, u64)>) {
    let moved = moved(n);
    (moved.account, moved.lines.into_iter().flatten().map(|(sku, _)| (sku, moved.site)).collect())
}

/// Yen have no minor unit.
fn currency(account: u64) -> &'static str {
    if account % 10 == 3 { "JPY" } else { "EUR" }
}

fn amount(currency: &str, minor: i64) -> String {
    if currency == "JPY" { minor.to_string() } else { format!("{}.{:02}", minor / 100, minor % 100) }
}

fn time(n: u64) -> String {
    let (day, second) = (n / 86_400 + 1, n % 86_400);
    format!("2026-03-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn since(n: u64) -> String {
    format!("2026-01-{:02}", n % 28 + 1)
}

/// The event as its source sends it; with a note of its own where one is given.
pub(crate) fn event(n: u64, note: Option<&str>) -> Vec<u8> {
    let moved = moved(n);
    let currency = currency(moved.account);
    let lines: Vec<Value> =
        moved.lines.iter().flatten().map(|(number, qty)| json!({"sku": sku(*number), "qty": qty})).collect();
    let event = json!({
        "specversion": "1.0", "source": "bank", "type": "Moved", "id": format!("e-{n}"),
        "time": format!("{}Z", time(n)),
        "data": {
            "account": account(moved.account), "amount": amount(currency, moved.amount), "currency": currency,
            "site": site(moved.site), "lines": lines, "note": note.map_or_else(|| format!("note {n}"), str::to_owned),
            "open": n.is_multiple_of(2), "rate": format!("0.{:04}", n % 10_000), "since": since(n), "extra": {"b": [n, null]},
        },
    });
    event.to_string().into_bytes()
}

/// What must be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    /// How often each account moved, its balance in minor units, and the event that was last.
    accounts: BTreeMap<u64, (u64, i64, u64)>,
    /// What is on hand, and the account that moved it last.
    stock: BTreeMap<(u64, u64), (i64, u64)>,
}

impl Truth {
    /// What events of these numbers make, in this order.
    pub(crate) fn of(events: impl IntoIterator<Item = u64>) -> Self {
        let mut truth = Self::default();
        events.into_iter().for_each(|n| truth.apply(n));
        truth
    }

    /// One event more.
    pub(crate) fn apply(&mut self, n: u64) {
        let moved = moved(n);
        let (times, balance, last) = self.accounts.entry(moved.account).or_default();
        (*times, *balance, *last) = (*times + 1, *balance + moved.amount, n);
        for (number, qty) in moved.lines.into_iter().flatten() {
            let (on_hand, by) = self.stock.entry((number, moved.site)).or_default();
            (*on_hand, *by) = (*on_hand + qty, moved.account);
        }
    }

    /// The row of an account, as readers see it.
    pub(crate) fn account(&self, number: u64) -> Option<Value> {
        let (times, balance, n) = *self.accounts.get(&number)?;
        let currency = currency(number);
        Some(json!({
            "account": account(number), "moves": times, "balance": amount(currency, balance), "currency": currency,
            "open": n.is_multiple_of(2), "rate": format!("0.{:04}", n % 10_000), "since": since(n),
            "last_at": format!("{}.000000Z", time(n)), "note": format!("note {n}"), "extra": {"b": [n, null]},
        }))
    }

    /// The row of a product at a site.
    pub(crate) fn stock(&self, key: (u64, u64)) -> Option<Value> {
        let (on_hand, by) = *self.stock.get(&key)?;
        Some(json!({"sku": sku(key.0), "site": site(key.1), "on_hand": on_hand, "last": account(by)}))
    }

    /// Every row of a model in order of keys.
    pub(crate) fn rows(&self, model: &str) -> Vec<Value> {
        match model {
            "accounts" => self.accounts.keys().filter_map(|number| self.account(*number)).collect(),
            _ => self.stock.keys().filter_map(|key| self.stock(*key)).collect(),
        }
    }
}

/// The `i`th product at a site.
pub(crate) fn place(i: u64) -> (u64, u64) {
    (i % SKUS, i / SKUS % SITES)
}

/// The key of a product at a site, its parts as they are written.
pub(crate) fn place_key((number, at): (u64, u64)) -> Vec<String> {
    vec![sku(number), site(at)]
}
