#!/usr/bin/env python3
"""Recomputes from raw events what Evenkeel must hold for this example.

Not a use of Evenkeel: the rules of contracts/ and models/ are written out again in plain Python, so that agreement of
the two means something. It reads CloudEvents, one JSON object a line, from plain or gzipped files in the order given,
and prints one JSON document:

    admitted, quarantined   events per source
    reasons                 why events were quarantined, per source
    duplicates              copies of admitted events, per source
    repeated                copies of quarantined events, per source: publishing answers them with "quarantined" again
    models                  rows in order of their keys, as the read API gives them (without `_parked`)

Standard library only. Exit codes: 0 done, 2 a line is not a CloudEvent or a file cannot be read.
"""
import argparse
import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

# source -> (contract, field of the amount, other fields that must be there)
CONTRACTS = {
    "finance.payments": ("payment_step", "RequestedAmount", ("OrganizationalEntity",)),
    "travel.declarations": ("declaration_step", "Amount", ()),
}
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))")
MAX_SCALE = 28
MAX_MANTISSA = 2**96 - 1


class BadInput(Exception):
    """A line or file that cannot be read: a message for the user."""


class Refused(Exception):
    """The gate does not admit the event; the argument is the reason."""


def read_lines(path):
    """The lines of a plain or gzipped file that are not blank."""
    with open(path, "rb") as probe:
        opener = gzip.open if probe.read(2) == b"\x1f\x8b" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from (line for line in lines if line.strip())


def read_events(path):
    for number, line in enumerate(read_lines(path), 1):
        try:
            event = json.loads(line, parse_float=Decimal)
            identity(event)
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path}, event {number}: {error!r}") from error
        yield event


def identity(event):
    return (event["source"], event["id"])


def utc(text):
    """RFC 3339 in UTC with six digits of a second; such texts sort as the instants do. Finer digits are cut."""
    match = TIME.fullmatch(text)
    if not match:
        raise Refused("malformed")
    date, clock, fraction, _, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    micros = int(((fraction or "") + "000000")[:6])
    try:
        local = datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=timezone.utc, microsecond=micros)
        instant = local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError) as error:
        raise Refused("malformed") from error
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def exact(text):
    """The decimal as sent, refused where it has more digits than are kept exactly."""
    fraction = text.partition(".")[2]
    if len(fraction) > MAX_SCALE or int(text.lstrip("-").replace(".", "")) > MAX_MANTISSA:
        raise Refused("mapping")
    return text


def translate(event):
    """What the gate makes of an event: the fields that the models use."""
    if event["source"] not in CONTRACTS:
        raise Refused("untrusted_source")
    time = utc(event["time"]) if "time" in event else None
    _, amount_field, others = CONTRACTS[event["source"]]
    data = event.get("data")
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise Refused("schema")
    if not all(data.get(field) for field in ("case", "activity", "resource", amount_field, *others)):
        raise Refused("schema")
    if not DECIMAL.fullmatch(data[amount_field]) or data.get("transition", "complete") != "complete":
        raise Refused("schema")
    amount = exact(data[amount_field])
    if Decimal(amount) <= 0:
        raise Refused("invariant")
    return {
        "case_id": data["case"],
        "activity": event["type"],
        "amount": amount,
        "resource": data["resource"],
        "unit": data.get("OrganizationalEntity"),
        "time": time,
    }


class Gate:
    """Duplicates, refusals, and the cases that wait behind a refused event."""

    def __init__(self):
        self.known = {}  # identity -> each content it was seen with, and what counts copies of that
        self.parked = set()
        self.admitted = Counter()
        self.duplicates = Counter()
        self.repeated = Counter()
        self.reasons = defaultdict(Counter)

    def take(self, event):
        """The translated event, or None where it is a duplicate or does not get past."""
        source = event["source"]
        known = self.known.setdefault(identity(event), [])
        for content, counter in known:
            if content == event:
                counter[source] += 1
                return None
        try:
            if known:
                raise Refused("id_conflict")
            step = self.translate_or_park(event)
        except Refused as refused:
            self.reasons[source][str(refused)] += 1
            known.append((event, self.repeated))
            return None
        self.admitted[source] += 1
        known.append((event, self.duplicates))
        return step

    def translate_or_park(self, event):
        data = event.get("data")
        case = (event["source"], data.get("case") if isinstance(data, dict) else None)
        try:
            step = translate(event)
        except Refused:
            # A case that cannot be read parks nothing.
            if isinstance(case[1], str) and event["source"] in CONTRACTS:
                self.parked.add(case)
            raise
        if case in self.parked:
            raise Refused("held_behind")
        return step


def fold_case(rows, step):
    row = rows.setdefault(step["case_id"], {
        "case_id": step["case_id"], "activity": None, "status_changes": 0, "amount": None,
        "submitted_at": None, "last_at": None, "resource_last": None, "paid": False,
    })
    row["activity"] = step["activity"]
    row["status_changes"] += 1
    row["amount"] = step["amount"]
    row["resource_last"] = step["resource"]
    row["paid"] = row["paid"] or step["activity"] == "Payment Handled"
    if step["time"] is not None:
        row["submitted_at"] = row["submitted_at"] or step["time"]
        row["last_at"] = max(row["last_at"] or step["time"], step["time"])


def fold_unit(rows, step):
    row = rows.setdefault(step["unit"], {"unit": step["unit"], "events": 0, "payments_handled": 0})
    row["events"] += 1
    row["payments_handled"] += step["activity"] == "Payment Handled"


def recompute(events):
    gate = Gate()
    models = {"declarations": {}, "payments": {}, "units": {}}
    for event in events:
        step = gate.take(event)
        if step is None:
            continue
        if event["source"] == "finance.payments":
            fold_case(models["payments"], step)
            fold_unit(models["units"], step)
        else:
            fold_case(models["declarations"], step)
    return {
        "admitted": dict(sorted(gate.admitted.items())),
        "quarantined": {source: sum(reasons.values()) for source, reasons in sorted(gate.reasons.items())},
        "reasons": {source: dict(sorted(reasons.items())) for source, reasons in sorted(gate.reasons.items())},
        "duplicates": dict(sorted(gate.duplicates.items())),
        "repeated": dict(sorted(gate.repeated.items())),
        "models": {name: [rows[key] for key in sorted(rows)] for name, rows in models.items()},
    }


def in_order_of(events, order):
    """Events that `order` names come first, in its order; the others follow as they were read."""
    rank = {}
    for event in order:
        rank.setdefault(identity(event), len(rank))
    return sorted(events, key=lambda event: rank.get(identity(event), len(rank)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="+", help="CloudEvents, one JSON object a line, plain or gzipped")
    parser.add_argument("--order", metavar="FILE", help="lines with `source` and `id`, in the log's order")
    arguments = parser.parse_args()
    try:
        events = [event for path in arguments.file for event in read_events(path)]
        if arguments.order:
            events = in_order_of(events, read_events(arguments.order))
    except (OSError, EOFError, BadInput) as error:
        print(f"recompute: {error}", file=sys.stderr)
        return 2
    json.dump(recompute(events), sys.stdout, indent=1, ensure_ascii=False)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
