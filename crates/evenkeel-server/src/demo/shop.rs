//! The events of the demo: what three systems of a shop and a stranger send, and what must become of each.
//!
//! Everything follows from a seed. Not here: sending them.
use evenkeel::core::{Timestamp, quarantine::Reason};
use serde_json::{Value, json};

/// The web shop.
pub(super) const ORDERS: &str = "shop.orders";
/// The payment service.
pub(super) const CHECKOUT: &str = "shop.checkout";
/// The warehouses.
pub(super) const STOCK: &str = "warehouse.stock";
/// Somebody nobody declared.
pub(super) const STRANGER: &str = "shop.gifts";

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// It gets into the log.
    Admit,
    /// It waits for what it knew, and gets into the log then.
    Waits,
    /// It was sent before.
    Duplicate,
    /// It waits in quarantine.
    Quarantine(Reason),
    /// It waits in quarantine until a person corrects it.
    Mended(Reason),
}

/// An event to be sent, and what must become of it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    /// Its CloudEvents id.
    pub(super) id: String,
    /// The CloudEvent.
    pub(super) raw: String,
    /// What must become of it.
    pub(super) expect: Expect,
}

/// What a source sends, in order.
#[derive(Debug)]
pub(super) struct Sending {
    /// The source.
    pub(super) source: &'static str,
    /// Its events.
    pub(super) events: Vec<Planned>,
}

/// Everything that is sent.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the sources send over the whole time.
    pub(super) flow: Vec<Sending>,
    /// A delivery, one that no number can hold, and one after it, all for one row.
    pub(super) poison: Sending,
    /// An order worth nothing, and three corrections that must wait behind it.
    pub(super) parked: Sending,
    /// Another one, which a person corrects.
    pub(super) mended: Sending,
    /// An order and its payment, sent while its projector is down.
    pub(super) fresh: [Sending; 2],
    /// An order, its payment, and its cancellation by somebody who has not seen that.
    pub(super) shared: [Sending; 3],
    /// A cancellation that arrives before the order's payment, which it knew, and that payment.
    pub(super) early: [Sending; 2],
}

impl Plan {
    /// Everything that is sent, by source.
    pub(super) fn sendings(&self) -> impl Iterator<Item = &Sending> {
        self.flow.iter().chain([&self.poison, &self.parked, &self.mended]).chain(self.singles())
    }

    /// What is sent event by event.
    fn singles(&self) -> impl Iterator<Item = &Sending> {
        self.fresh.iter().chain(&self.shared).chain(&self.early)
    }

    /// How many events are sent.
    pub(super) fn len(&self) -> usize {
        self.sendings().map(|sending| sending.events.len()).sum()
    }
}

/// The order that cannot be admitted at first.
pub(super) const PARKED_ORDER: &str = "o-parked";
/// What its last correction says it is worth.
pub(super) const PARKED_TOTAL: &str = "33.00";
/// The order that a person corrects.
pub(super) const MENDED_ORDER: &str = "o-mended";
/// What it is worth then.
pub(super) const MENDED_TOTAL: &str = "21.00";
/// The order placed while the projector is down.
pub(super) const FRESH_ORDER: &str = "o-fresh";
/// What it is worth.
pub(super) const FRESH_TOTAL: &str = "19.00";
/// The order that is paid and cancelled at once.
pub(super) const SHARED_ORDER: &str = "o-shared";
/// The order whose cancellation arrives first.
pub(super) const EARLY_ORDER: &str = "o-early";
/// The product and place whose number overflows.
pub(super) const POISON_KEY: [&str; 2] = ["LAMP-9", "north"];
/// What lies there once the poison is discarded.
pub(super) const POISON_SUM: i64 = 12 + 3;

const SITES: [&str; 2] = ["north", "south"];
/// Prices in minor units, the same number in every currency.
const PRICES: [(&str, u64); 5] =
    [("MUG-01", 950), ("TEA-07", 620), ("POT-03", 3400), ("CUP-12", 480), ("TRAY-5", 1890)];
/// Currencies with their digits after the point; the first is the usual one.
const CURRENCIES: [(&str, usize); 4] = [("EUR", 2), ("EUR", 2), ("GBP", 2), ("JPY", 0)];
/// 2026-03-02T08:00:00Z.
const OPENS_SECONDS: i64 = 1_772_438_400;

/// Of a thousand events, how many were sent before.
const DUPLICATES_PER_MILLE: u64 = 50;
/// Of a thousand events, how many are bad.
const BAD_PER_MILLE: u64 = 10;
/// How many events the source that nobody declared sends at most: well within what may wait of it.
const MOST_STRANGE: usize = 50;
/// How far back a resent event lies.
const RESENT_WITHIN: usize = 200;

/// Plans `events` events, at least 200.
pub(super) fn plan(seed: u64, events: usize) -> Plan {
    let mut plan = Plan {
        flow: Vec::new(),
        poison: poison(),
        parked: parked(),
        mended: mended(),
        fresh: fresh(),
        shared: shared(),
        early: early(),
    };
    let special = plan.len();
    let strange = (events / 500).clamp(3, MOST_STRANGE);
    let rest = events.saturating_sub(special + strange);
    let (orders, checkout) = (rest * 34 / 100, rest * 34 / 100);
    plan.flow = vec![
        Source::new(seed, ORDERS, order_placed, bad_order).plan(orders),
        Source::new(seed, CHECKOUT, order_settled, bad_payment).plan(checkout),
        Source::new(seed, STOCK, stock_moved, bad_stock).plan(rest - orders - checkout),
        Sending { source: STRANGER, events: (0..strange).map(|k| stranger(seed, k as u64)).collect() },
    ];
    plan
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    /// The stream of draws for one purpose.
    fn of(seed: u64, purpose: &str, number: u64) -> Self {
        let mixed = purpose.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).draw());
        Self(mixed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`. The bias of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    fn choose<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).unwrap_or_default()]
    }
}

/// Plans the events of one source.
struct Source {
    seed: u64,
    name: &'static str,
    /// The good event of this number.
    good: fn(u64, u64) -> Planned,
    /// The bad event of this number; it may take a good one for its model.
    bad: fn(u64, u64, &Planned) -> Planned,
}

impl Source {
    fn new(
        seed: u64,
        name: &'static str,
        good: fn(u64, u64) -> Planned,
        bad: fn(u64, u64, &Planned) -> Planned,
    ) -> Self {
        Self { seed, name, good, bad }
    }

    fn plan(self, events: usize) -> Sending {
        let mut random = Random::of(self.seed, self.name, 0);
        let mut planned: Vec<Planned> = Vec::with_capacity(events);
        let mut sent: Vec<usize> = Vec::new();
        let (mut goods, mut bads) = (0, 0);
        while planned.len() < events {
            let roll = random.below(1000);
            let recent = &sent[sent.len().saturating_sub(RESENT_WITHIN)..];
            let earlier = (!recent.is_empty()).then(|| random.choose(recent)).map(|index| &planned[index]);
            let next = match earlier {
                Some(earlier) if roll < DUPLICATES_PER_MILLE => {
                    Planned { expect: Expect::Duplicate, ..earlier.clone() }
                }
                Some(earlier) if roll < DUPLICATES_PER_MILLE + BAD_PER_MILLE => {
                    bads += 1;
                    (self.bad)(self.seed, bads, earlier)
                }
                _ => {
                    goods += 1;
                    sent.push(planned.len());
                    (self.good)(self.seed, goods)
                }
            };
            planned.push(next);
        }
        Sending { source: self.name, events: planned }
    }
}

/// One order, the same for all systems that know of it.
struct Order {
    id: String,
    currency: &'static str,
    lines: Vec<(&'static str, u64, String)>,
    total: String,
    random: Random,
}

fn order(seed: u64, number: u64) -> Order {
    let mut random = Random::of(seed, "order", number);
    let (currency, digits) = random.choose(&CURRENCIES);
    let first = random.below(PRICES.len() as u64);
    let mut total = 0;
    let lines = (0..=random.below(3)).map(|line| {
        let (sku, price) = PRICES[usize::try_from((first + line) % PRICES.len() as u64).unwrap_or_default()];
        let quantity = 1 + random.below(3);
        total += price * quantity;
        (sku, quantity, amount(price, digits))
    });
    let lines = lines.collect();
    Order { id: format!("o-{number}"), currency, lines, total: amount(total, digits), random }
}

/// Minor units as text.
fn amount(minor: u64, digits: usize) -> String {
    match digits {
        0 => minor.to_string(),
        _ => format!("{}.{:02}", minor / 100, minor % 100),
    }
}

fn event(source: &str, id: String, kind: &str, second: u64, data: &Value, expect: Expect) -> Planned {
    let seconds = OPENS_SECONDS.saturating_add(i64::try_from(second).unwrap_or(i64::MAX / 2_000_000));
    let raw = json!({
        "specversion": "1.0", "source": source, "id": id, "type": kind,
        "time": Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string(),
        "datacontenttype": "application/json", "data": data,
    });
    Planned { raw: raw.to_string(), id, expect }
}

fn order_placed(seed: u64, number: u64) -> Planned {
    let Order { id, currency, lines, total, mut random } = order(seed, number);
    let items: Vec<_> = lines
        .iter()
        .map(|(sku, quantity, price)| json!({"sku": sku, "quantity": quantity, "unit_price": price}))
        .collect();
    let customers = 50 + number / 10;
    let data = json!({
        "order_id": id, "customer_ref": format!("c-{}", random.below(customers)), "line_items": items,
        "total_amount": total, "currency_code": currency, "channel": random.choose(&["web", "app"]),
    });
    event(ORDERS, format!("placed-{number}"), "OrderPlaced", number, &data, Expect::Admit)
}

fn order_settled(seed: u64, number: u64) -> Planned {
    let Order { id, currency, total, mut random, .. } = order(seed, number);
    let second = number + 30 + random.below(600);
    if random.below(5) == 0 {
        let data = json!({"orderId": id, "cause": random.choose(&["customer", "fraud", "timeout"])});
        return event(CHECKOUT, format!("cancelled-{number}"), "OrderCancelled", second, &data, Expect::Admit);
    }
    let method = random.choose(&["card", "transfer", "voucher"]);
    let data = json!({"orderId": id, "amount": total, "currency": currency, "method": method});
    event(CHECKOUT, format!("paid-{number}"), "OrderPaid", second, &data, Expect::Admit)
}

/// Deliveries first and now and then, reservations otherwise.
fn stock_moved(seed: u64, number: u64) -> Planned {
    let mut random = Random::of(seed, "stock", number);
    let products = (PRICES.len() * SITES.len()) as u64;
    if number <= products || random.below(10) == 0 {
        let (item, _) = PRICES[usize::try_from(number % PRICES.len() as u64).unwrap_or_default()];
        let site = SITES[usize::try_from(number / PRICES.len() as u64 % 2).unwrap_or_default()];
        let data = json!({"item": item, "site": site, "qty": 20 + random.below(80), "delivery": format!("d-{number}")});
        return event(STOCK, format!("received-{number}"), "StockReceived", number, &data, Expect::Admit);
    }
    let Order { id, lines, .. } = order(seed, number);
    let picks: Vec<_> = lines.iter().map(|(sku, quantity, _)| json!({"sku": sku, "qty": quantity})).collect();
    let data = json!({"for_order": id, "site": random.choose(&SITES), "picks": picks});
    event(STOCK, format!("reserved-{number}"), "StockReserved", number, &data, Expect::Admit)
}

fn placed(source: &str, id: String, order: &str, total: &Value, items: &Value, expect: Expect) -> Planned {
    let data = json!({
        "order_id": order, "customer_ref": "c-0", "line_items": items, "total_amount": total, "currency_code": "EUR",
    });
    event(source, id, "OrderPlaced", 0, &data, expect)
}

fn one_mug() -> Value {
    json!([{"sku": "MUG-01", "quantity": 1, "unit_price": "9.50"}])
}

fn bad_order(_: u64, number: u64, _: &Planned) -> Planned {
    let (id, order) = (format!("bad-order-{number}"), format!("o-bad-{number}"));
    let refused = |total: Value, items: Value, reason| {
        placed(ORDERS, id.clone(), &order, &total, &items, Expect::Quarantine(reason))
    };
    match number % 5 {
        0 => refused(json!("0.00"), one_mug(), Reason::Invariant),
        1 => refused(json!(9.5), one_mug(), Reason::Schema),
        2 => refused(json!("9.505"), one_mug(), Reason::Mapping),
        3 => refused(json!("9.50"), json!([]), Reason::Invariant),
        _ => {
            let data = json!({"order_id": order, "stars": 5});
            event(ORDERS, id, "OrderReviewed", 0, &data, Expect::Quarantine(Reason::NoContract))
        }
    }
}

fn bad_payment(_: u64, number: u64, _: &Planned) -> Planned {
    let (amount, method, reason) = match number % 2 {
        0 => ("-4.00", "card", Reason::Invariant),
        _ => ("4.00", "barter", Reason::Schema),
    };
    let data = json!({"orderId": format!("o-bad-{number}"), "amount": amount, "currency": "EUR", "method": method});
    event(CHECKOUT, format!("bad-payment-{number}"), "OrderPaid", 0, &data, Expect::Quarantine(reason))
}

/// The id of an earlier event with another content, or a delivery of nothing.
fn bad_stock(_: u64, number: u64, earlier: &Planned) -> Planned {
    if number.is_multiple_of(2) {
        let data = json!({"item": "MUG-01", "site": "north", "qty": 0});
        return event(
            STOCK,
            format!("bad-stock-{number}"),
            "StockReceived",
            0,
            &data,
            Expect::Quarantine(Reason::Invariant),
        );
    }
    let data = json!({"item": "MUG-01", "site": "north", "qty": 1_000_000 + number});
    event(STOCK, earlier.id.clone(), "StockReceived", 0, &data, Expect::Quarantine(Reason::IdConflict))
}

fn stranger(_: u64, number: u64) -> Planned {
    let (id, order) = (format!("gift-{number}"), format!("o-gift-{number}"));
    placed(STRANGER, id, &order, &json!("9.50"), &one_mug(), Expect::Quarantine(Reason::UntrustedSource))
}

/// Valid by every contract; the second does not fit beside the first in 64 bits, so the third waits behind it.
fn poison() -> Sending {
    let [item, site] = POISON_KEY;
    let receive = |number: u64, quantity: i64| {
        let data = json!({"item": item, "site": site, "qty": quantity});
        event(STOCK, format!("lamp-{number}"), "StockReceived", number, &data, Expect::Admit)
    };
    Sending { source: STOCK, events: vec![receive(1, 12), receive(2, i64::MAX), receive(3, 3)] }
}

fn parked() -> Sending {
    let send = |number: u64, total: &str, expect| {
        placed(ORDERS, format!("parked-{number}"), PARKED_ORDER, &json!(total), &one_mug(), expect)
    };
    let held = Expect::Quarantine(Reason::HeldBehind);
    let events = vec![
        send(1, "0.00", Expect::Quarantine(Reason::Invariant)),
        send(2, "11.00", held),
        send(3, "22.00", held),
        send(4, PARKED_TOTAL, held),
    ];
    Sending { source: ORDERS, events }
}

fn mended() -> Sending {
    let expect = Expect::Mended(Reason::Invariant);
    let order = placed(ORDERS, "mended-1".into(), MENDED_ORDER, &json!("0.00"), &one_mug(), expect);
    Sending { source: ORDERS, events: vec![order] }
}

fn fresh() -> [Sending; 2] {
    let order = placed(ORDERS, "fresh-placed".into(), FRESH_ORDER, &json!(FRESH_TOTAL), &one_mug(), Expect::Admit);
    let data = json!({"orderId": FRESH_ORDER, "amount": FRESH_TOTAL, "currency": "EUR", "method": "card"});
    let paid = event(CHECKOUT, "fresh-paid".into(), "OrderPaid", 60, &data, Expect::Admit);
    [single(ORDERS, order), single(CHECKOUT, paid)]
}

fn single(source: &'static str, event: Planned) -> Sending {
    Sending { source, events: vec![event] }
}

fn shared() -> [Sending; 3] {
    let order = placed(ORDERS, "shared-placed".into(), SHARED_ORDER, &json!(FRESH_TOTAL), &one_mug(), Expect::Admit);
    let (paid, cancelled) = closed(SHARED_ORDER, "shared", [None, None], Expect::Admit);
    [single(ORDERS, order), single(CHECKOUT, paid), single(CHECKOUT, cancelled)]
}

/// The payment service numbers these two.
fn early() -> [Sending; 2] {
    let clocks = ["shop.checkout=1", "shop.checkout=2"].map(Some);
    let (paid, cancelled) = closed(EARLY_ORDER, "early", clocks, Expect::Waits);
    [single(CHECKOUT, cancelled), single(CHECKOUT, paid)]
}

/// An order's payment, and its cancellation, of which this becomes.
fn closed(order: &str, name: &str, clocks: [Option<&str>; 2], cancelled: Expect) -> (Planned, Planned) {
    let data = json!({"orderId": order, "amount": FRESH_TOTAL, "currency": "EUR", "method": "card"});
    let paid = clocked(event(CHECKOUT, format!("{name}-paid"), "OrderPaid", 60, &data, Expect::Admit), clocks[0]);
    let data = json!({"orderId": order, "cause": "customer"});
    let event = event(CHECKOUT, format!("{name}-cancelled"), "OrderCancelled", 61, &data, cancelled);
    (paid, clocked(event, clocks[1]))
}

/// With what its writer knew, where it says that.
fn clocked(event: Planned, vclock: Option<&str>) -> Planned {
    let Some(vclock) = vclock else { return event };
    let raw = event.raw.replacen('{', &format!(r#"{{"vclock":"{vclock}","#), 1);
    Planned { raw, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SHOP_FILES;
    use evenkeel::{
        contract::{diagnostic::Files, project},
        core::intake::Verdict,
    };
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_plans_the_same_and_exactly_as_many() {
        let text =
            |seed| plan(seed, 3000).sendings().flat_map(|s| &s.events).map(|e| e.raw.clone()).collect::<Vec<_>>();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        for events in [200, 201, 3000] {
            assert_eq!(plan(7, events).len(), events);
        }
    }

    /// The gate of the example, asked about every event, says what the plan expects of it: so nothing that the plan
    /// expects was copied from what the node answered.
    #[test]
    fn what_is_expected_is_what_the_contracts_say() {
        let files: Files = SHOP_FILES.iter().map(|(name, text)| (*name, *text)).collect();
        let gate = project::compile(&files, &[]).unwrap().gate;
        let plan = plan(7, 5000);
        let mut reasons = HashSet::new();
        for sending in plan.sendings() {
            let mut sent = HashSet::new();
            for planned in &sending.events {
                let verdict = gate.decide(planned.raw.clone().into_bytes(), None).unwrap().arrival.verdict;
                match (planned.expect, verdict) {
                    (Expect::Admit | Expect::Waits, Verdict::Admit(_)) => {
                        assert!(sent.insert(&planned.id), "{}", planned.id)
                    }
                    // The log's facts decide these: an identity it knows, or a key that waits.
                    (Expect::Duplicate | Expect::Quarantine(Reason::IdConflict), Verdict::Admit(_)) => {
                        assert!(sent.contains(&planned.id), "{}", planned.id);
                    }
                    (Expect::Quarantine(Reason::HeldBehind), Verdict::Admit(_)) => {}
                    (Expect::Quarantine(reason) | Expect::Mended(reason), Verdict::Quarantine(refusal)) => {
                        assert_eq!(refusal.reason, reason, "{}", planned.raw);
                        reasons.insert(reason.as_str());
                    }
                    (expected, found) => panic!("{}: expected {expected:?}, found {found:?}", planned.raw),
                }
            }
        }
        let all = ["untrusted_source", "no_contract", "schema", "mapping", "invariant"];
        assert_eq!(reasons, HashSet::from(all));
    }
}
