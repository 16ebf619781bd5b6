//! Events of the shop, invented without end: orders and their payments, stock and reservations, and a few that wait in
//! quarantine or at a model.
use super::super::common::Random;
use std::fmt::Write as _;

/// What tells events apart: the source and the id it gave.
pub(crate) type Identity = (String, String);

/// One event as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) identity: Identity,
    pub(crate) raw: String,
}

/// One sender's events. Senders share products and customers, never an order or an id.
pub(crate) struct Events {
    sender: usize,
    made: u64,
    pub(crate) random: Random,
}

impl Events {
    pub(crate) fn new(sender: usize, random: Random) -> Self {
        Self { sender, made: 0, random }
    }

    /// An event nobody has sent before.
    pub(crate) fn next(&mut self) -> Event {
        self.made += 1;
        match self.random.below(100) {
            0..45 => self.order(),
            45..65 => self.payment(),
            65..80 => self.delivery(),
            80..95 => self.reservation(),
            95..98 => self.event("shop.orders", "OrderForgotten", "{}"),
            _ => self.event("nobody.knows", "OrderPlaced", "{}"),
        }
    }

    /// An order that is new, or one of the latest again. A few are for nothing: refused, and the order's later ones
    /// wait behind.
    fn order(&mut self) -> Event {
        let order = if self.random.percent(80) { self.made } else { self.recent() };
        let (cents, customer) = (1 + self.random.below(99_999), self.random.below(40));
        let total = if self.random.percent(6) { "0.00".into() } else { euros(cents) };
        let data = format!(
            r#"{{"order_id":"o-{}-{order}","customer_ref":"c-{customer}","line_items":[{}],"total_amount":"{total}","currency_code":"EUR"}}"#,
            self.sender,
            items(1 + self.random.below(3), |n| format!(r#"{{"sku":"P-{n}","quantity":1,"unit_price":"1.00"}}"#)),
        );
        self.event("shop.orders", "OrderPlaced", &data)
    }

    /// A part of an order's price. A few are in another currency, which the model of orders cannot add.
    fn payment(&mut self) -> Event {
        let (order, cents) = (self.recent(), 1 + self.random.below(9_999));
        let currency = if self.random.percent(4) { "USD" } else { "EUR" };
        let data = format!(
            r#"{{"orderId":"o-{}-{order}","amount":"{}","currency":"{currency}","method":"card"}}"#,
            self.sender,
            euros(cents)
        );
        self.event("shop.checkout", "OrderPaid", &data)
    }

    fn delivery(&mut self) -> Event {
        // Nothing delivered is refused, and nothing waits behind it.
        let (item, quantity) = (self.random.below(12), self.random.below(30));
        let data = format!(r#"{{"item":"P-{item}","site":"north","qty":{quantity},"delivery":"d"}}"#);
        self.event("warehouse.stock", "StockReceived", &data)
    }

    fn reservation(&mut self) -> Event {
        let (order, first) = (self.recent(), self.random.below(12));
        let picks =
            items(1 + self.random.below(4), |n| format!(r#"{{"sku":"P-{}","qty":{}}}"#, (first + n) % 12, n + 1));
        let data = format!(r#"{{"for_order":"o-{}-{order}","site":"north","picks":[{picks}]}}"#, self.sender);
        self.event("warehouse.stock", "StockReserved", &data)
    }

    /// The number of an order of the latest.
    fn recent(&mut self) -> u64 {
        self.made.saturating_sub(self.random.below(30)).max(1)
    }

    fn event(&self, source: &str, event_type: &str, data: &str) -> Event {
        let id = format!("{}-{}", self.sender, self.made);
        let minute = self.made % 60;
        let raw = format!(
            r#"{{"specversion":"1.0","source":"{source}","id":"{id}","time":"2026-03-02T09:{minute:02}:00Z","type":"{event_type}","data":{data}}}"#
        );
        Event { identity: (source.into(), id), raw }
    }
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn items(count: u64, item: impl Fn(u64) -> String) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{}", if n == 0 { "" } else { "," }, item(n));
        text
    })
}
