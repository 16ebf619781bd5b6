#!/usr/bin/env python3
"""Writes sample.ndjson: a week of an invented shop, as its three systems send it.

    python3 make_sample.py > sample.ndjson

Always the same output. The events are in order of arrival, which is not the order in which things happened: each source
has its own delay, so payments overtake orders. Among the good events are resent copies, events that the gate must
refuse, and one that passes the gate but that a model cannot apply.
"""
import json
import random
import sys
from datetime import datetime, timedelta

START = datetime(2026, 3, 2, 8)
ORDERS = 32
CUSTOMERS = 12
SITES = ("north", "south")
# Prices in minor units, the same number in every currency.
PRICES = {"MUG-01": 950, "TEA-07": 620, "POT-03": 3400, "CUP-12": 480, "TRAY-5": 1890}
# Currency -> digits after the point.
CURRENCIES = {"EUR": 2, "GBP": 2, "JPY": 0}
DELAY_SECONDS = {"shop.orders": 900, "shop.checkout": 60, "warehouse.stock": 300}
RESENT = 5
I64_MAX = 2**63 - 1


def text(minor, currency):
    digits = CURRENCIES[currency]
    return f"{minor // 10**digits}.{minor % 10**digits:0{digits}}" if digits else str(minor)


class Week:
    """The events of the week with the time at which each arrives."""

    def __init__(self, rng):
        self.rng = rng
        self.arrivals = []
        self.last_id = 0

    def send(self, at, source, kind, data, event_id=None, delay=None):
        self.last_id += 1
        event = {
            "specversion": "1.0", "source": source, "id": event_id or f"{kind}-{self.last_id:04}",
            "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "type": kind, "datacontenttype": "application/json",
            "data": data,
        }
        if delay is None:
            delay = self.rng.randrange(DELAY_SECONDS.get(source, 1))
        self.arrivals.append((at + timedelta(seconds=delay), event))
        return event

    def receive(self, at, item, site, quantity, **more):
        data = {"item": item, "site": site, "qty": quantity, "delivery": f"d-{self.last_id:03}"}
        return self.send(at, "warehouse.stock", "StockReceived", data, **more)

    def order(self, at, number):
        """One order: placed, then paid (some in two parts) and reserved, or cancelled."""
        rng, order_id = self.rng, f"o-{1000 + number}"
        currency = rng.choices(list(CURRENCIES), (6, 2, 1))[0]
        lines = [{"sku": sku, "quantity": rng.randrange(1, 4), "unit_price": text(PRICES[sku], currency)}
                 for sku in sorted(rng.sample(sorted(PRICES), rng.randrange(1, 4)))]
        total = sum(PRICES[line["sku"]] * line["quantity"] for line in lines)
        self.send(at, "shop.orders", "OrderPlaced", {
            "order_id": order_id, "customer_ref": f"c-{100 + rng.randrange(CUSTOMERS)}", "line_items": lines,
            "total_amount": text(total, currency), "currency_code": currency, "channel": rng.choice(("web", "app")),
        })
        at += timedelta(seconds=rng.randrange(30, 600))
        if rng.random() < 0.2:
            data = {"orderId": order_id, "cause": rng.choice(("customer", "fraud", "timeout"))}
            self.send(at, "shop.checkout", "OrderCancelled", data)
            return
        first = total // 3 if rng.random() < 0.2 else total
        for part in filter(None, (first, total - first)):
            self.send(at, "shop.checkout", "OrderPaid", {
                "orderId": order_id, "amount": text(part, currency), "currency": currency,
                "method": rng.choice(("card", "transfer", "voucher")),
            })
            at += timedelta(seconds=120)
        picks = [{"sku": line["sku"], "qty": line["quantity"]} for line in lines]
        data = {"for_order": order_id, "site": rng.choice(SITES), "picks": picks}
        self.send(at, "warehouse.stock", "StockReserved", data)

    def bad(self, at):
        """One event for each way to be refused, and one that no fold can apply."""
        line = {"sku": "MUG-01", "quantity": 1, "unit_price": "9.50"}

        def placed(order_id, source="shop.orders", **more):
            self.send(at, source, "OrderPlaced", {
                "order_id": order_id, "customer_ref": "c-100", "line_items": [line], "total_amount": "9.50",
                "currency_code": "EUR", **more,
            })

        placed("o-2001", total_amount="0.00")  # invariant
        placed("o-2002", line_items=[])  # invariant
        placed("o-2003", total_amount=9.5)  # schema
        placed("o-2004", total_amount="9.505")  # mapping
        placed("o-2005", currency_code="ZZZ")  # mapping
        placed("o-2006", source="shop.gifts")  # untrusted_source
        self.send(at, "shop.orders", "OrderReviewed", {"order_id": "o-1001", "stars": 5})  # no_contract
        self.receive(at, "MUG-01", "north", 0)  # invariant
        # The same id again with another content: id_conflict.
        self.receive(at, "MUG-01", "north", 5, event_id="StockReceived-twice", delay=0)
        self.receive(at, "MUG-01", "north", 50, event_id="StockReceived-twice", delay=60)
        # A valid integer that does not fit beside the 12 already there: the row's later events wait behind it.
        self.receive(at, "LAMP-9", "north", 12, delay=0)
        self.receive(at + timedelta(minutes=5), "LAMP-9", "north", I64_MAX, delay=0)
        self.receive(at + timedelta(minutes=10), "LAMP-9", "north", 3, delay=0)


def main():
    rng = random.Random(7)
    week = Week(rng)
    for item in PRICES:
        for site in SITES:
            week.receive(START, item, site, rng.randrange(40, 90))
    for number in range(1, ORDERS + 1):
        week.order(START + timedelta(hours=1, minutes=rng.randrange(6 * 24 * 60)), number)
    for item in ("MUG-01", "TEA-07"):
        week.receive(START + timedelta(days=3), item, "south", 24)
    week.receive(START + timedelta(days=4), "CUP-12", "north", -2)
    week.bad(START + timedelta(days=5))
    lines = [json.dumps(event, separators=(",", ":")) for _, event in sorted(week.arrivals, key=lambda pair: pair[0])]
    for index in sorted(rng.sample(range(len(lines)), RESENT), reverse=True):
        lines.insert(rng.randrange(index + 1, len(lines) + 1), lines[index])
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
