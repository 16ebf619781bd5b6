//! The shop's customers and stock as anybody can ask for them, and as simple sums over the log make them: read by key, by
//! conditions, in an order, counted, and in SQL over both, each answer is held against the log up to where it says it is.
use super::{Answer, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Key,
    Condition,
    Order,
    Statement,
    Stock,
    Both,
}

/// The last two read the stock, too.
pub(crate) const WAYS: [Way; 6] = [Way::Key, Way::Condition, Way::Order, Way::Statement, Way::Stock, Way::Both];

/// What was shown.
#[derive(Debug, PartialEq)]
enum What {
    /// How many orders this customer has made.
    Customer(String, i64),
    /// Those of all customers.
    Customers(BTreeMap<String, i64>),
    /// How many orders there are of all customers.
    Orders(i64),
    /// What lies in all places, and how much of it is reserved.
    Stock(i64, i64),
}

/// One thing that an answer showed.
#[derive(Debug)]
pub(crate) struct Shown {
    way: Way,
    level: String,
    /// What the answer says that it is as of.
    position: u64,
    /// What had to be in it by what was asked.
    floor: u64,
    what: What,
}

/// What an answer showed of something: as of which position, and what.
type Part = (u64, What);

impl Way {
    /// Asks, with the parameters of a read.
    pub(crate) fn ask(self, client: &Client, customer: &str, parameters: &str) -> Result<Answer, String> {
        let rows = |model: &str, query: &str| client.try_get(&format!("/v1/models/{model}/rows{query}{parameters}"));
        let query = |sql: &str| {
            let body = json!({ "sql": sql }).to_string();
            client.try_post(&format!("/v1/query?{parameters}"), "application/json", body.as_bytes())
        };
        match self {
            Self::Key => rows("customers", &format!("/{customer}?")),
            Self::Condition => rows("customers", &format!("?where.customer_id=eq.{customer}&count=exact&")),
            Self::Order => rows("customers", "?where.orders=ge.1&order=orders.desc&count=exact&limit=10000&"),
            Self::Stock => rows("inventory", "?limit=10000&count=exact&"),
            Self::Statement => query("SELECT coalesce(sum(orders), 0) AS orders FROM customers"),
            Self::Both => query(
                "SELECT coalesce((SELECT sum(orders) FROM customers), 0) AS orders,
                coalesce(sum(on_hand), 0) AS on_hand, coalesce(sum(reserved), 0) AS reserved FROM inventory",
            ),
        }
    }

    /// What an answer that came at `level` shows. `floor` is the position that had to be in it.
    pub(crate) fn shown(self, answer: &Answer, customer: &str, level: &str, floor: u64) -> Vec<Shown> {
        let body = answer.json();
        let consistency = &body["consistency"];
        let is_none = answer.status == 404 && self == Self::Key && body["type"].as_str().unwrap().ends_with("/no-row");
        assert!(answer.status == 200 || is_none, "{self:?}: {answer:?}");
        // No more was promised than is kept, and no less.
        assert_eq!(consistency["level_served"], level, "{self:?}: {body}");
        if consistency["parked_events"] != 0 {
            // Something is missing, and that is said.
            assert!(consistency["data_stale"] == true && level != "strong", "{self:?}: {body}");
            return Vec::new();
        }
        let parts = self.parts(&body, consistency["position"].as_u64().unwrap(), customer);
        let shown = |(position, what)| Shown { way: self, level: level.to_owned(), position, floor, what };
        parts.into_iter().map(shown).collect()
    }

    fn parts(self, body: &Value, position: u64, customer: &str) -> Vec<Part> {
        let number = |row: &Value, column: &str| row[column].as_i64().unwrap_or_else(|| panic!("{column}: {row}"));
        let rows = body["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(matches!(self, Self::Key | Self::Statement | Self::Both) || body["total"] == rows.len(), "{body}");
        let sum = |column: &str| rows.iter().map(|row| number(row, column)).sum();
        match self {
            Self::Key => {
                let orders = body["data"].as_object().map_or(0, |_| number(&body["data"], "orders"));
                vec![(position, What::Customer(customer.to_owned(), orders))]
            }
            Self::Condition => {
                assert!(rows.len() <= 1 && rows.iter().all(|row| row["customer_id"] == customer), "{body}");
                vec![(position, What::Customer(customer.to_owned(), sum("orders")))]
            }
            Self::Order => {
                assert!(rows.is_sorted_by(|a, b| number(a, "orders") >= number(b, "orders")), "{body}");
                let of = |row: &Value| (row["customer_id"].as_str().unwrap().to_owned(), number(row, "orders"));
                vec![(position, What::Customers(rows.iter().map(of).collect()))]
            }
            Self::Stock => vec![(position, What::Stock(sum("on_hand"), sum("reserved")))],
            Self::Statement => vec![(position, What::Orders(sum("orders")))],
            Self::Both => {
                let of =
                    |model: &str| body["models"].as_array().unwrap().iter().find(|of| of["model"] == model).unwrap();
                let position = |model: &str| of(model)["position"].as_u64().unwrap();
                let stock = What::Stock(sum("on_hand"), sum("reserved"));
                vec![(position("customers"), What::Orders(sum("orders"))), (position("inventory"), stock)]
            }
        }
    }
}

/// What the log makes of customers and stock.
#[derive(Default)]
struct Sums {
    customers: BTreeMap<String, i64>,
    /// What does not fit a row is parked, and may be of any size here.
    on_hand: i128,
    reserved: i128,
}

impl Sums {
    fn apply(&mut self, event: &Value) {
        let data = &event["data"];
        match event["type"].as_str() {
            Some("order_created") => {
                *self.customers.entry(data["customer_id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            Some("stock_received") => self.on_hand += i128::from(data["quantity"].as_i64().unwrap()),
            Some("stock_reserved") => {
                let lines = data["lines"].as_array().unwrap().iter();
                self.reserved += lines.map(|line| i128::from(line["qty"].as_i64().unwrap())).sum::<i128>();
            }
            _ => {}
        }
    }

    fn are(&self, what: &What) -> bool {
        match what {
            What::Customer(name, orders) => self.customers.get(name).copied().unwrap_or_default() == *orders,
            What::Customers(orders) => self.customers == *orders,
            What::Orders(orders) => self.customers.values().sum::<i64>() == *orders,
            What::Stock(on_hand, reserved) => {
                (self.on_hand, self.reserved) == (i128::from(*on_hand), i128::from(*reserved))
            }
        }
    }
}

/// The first answer that is not what the log makes of it up to where the answer says it is, and at least up to where it
/// had to be.
pub(crate) fn first_wrong(mut shown: Vec<Shown>, log: &[Value]) -> Option<String> {
    // A model that follows none of the last events may say an earlier position: they change nothing in it.
    let upto = |shown: &Shown| shown.position.max(shown.floor);
    shown.sort_by_key(upto);
    let (mut sums, mut events) = (Sums::default(), log.iter().peekable());
    for shown in shown {
        while let Some(event) = events.next_if(|event| event["position"].as_u64() <= Some(upto(&shown))) {
            sums.apply(event);
        }
        if !sums.are(&shown.what) || upto(&shown) > log.len() as u64 {
            let Sums { customers, on_hand, reserved } = sums;
            return Some(format!("{shown:?}: the log has {customers:?}, {on_hand} in stock, {reserved} reserved"));
        }
    }
    None
}
