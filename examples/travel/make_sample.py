#!/usr/bin/env python3
"""Writes sample.ndjson: invented expense cases in the shape that the two upstream systems send.

    python3 make_sample.py > sample.ndjson

Always the same output. Every name, case and amount is made up here; nothing is taken from real data.
"""
import json
import random
import sys
from datetime import datetime, timedelta

CASES_PER_SOURCE = 20
UNITS = ("unit Harbour Lab", "unit Field Station", "unit Archive", "unit Workshop", "unit Reading Room")
# Amounts that are easily got wrong: trailing zeros, more digits than a float holds, one cent.
AWKWARD = ("84.50", "120.000", "9007199254740993.01", "1204.050300000000000000000007", "0.01")
RESENT = 4


class Case:
    """One case: who asks, for how much, and the steps it takes."""

    def __init__(self, source, prefix, number, amount, unit):
        self.source, self.prefix, self.number, self.amount, self.unit = source, prefix, number, amount, unit
        self.name = f"{'request' if source == 'finance.payments' else 'declaration'}-{number:04}"

    def steps(self, rng):
        """The activities of the case; some are rejected once, some saved first, some never paid."""
        p = self.prefix
        steps = [f"{p} SAVED by EMPLOYEE"] if rng.random() < 0.1 else []
        steps.append(f"{p} SUBMITTED by EMPLOYEE")
        if rng.random() < 0.25:
            steps += [f"{p} REJECTED by ADMINISTRATION", f"{p} REJECTED by EMPLOYEE", f"{p} SUBMITTED by EMPLOYEE"]
        steps += [f"{p} APPROVED by ADMINISTRATION"]
        if rng.random() < 0.2:
            steps.append(f"{p} APPROVED by BUDGET OWNER")
        steps += [f"{p} FINAL_APPROVED by SUPERVISOR", "Request Payment", "Payment Handled"]
        return steps if rng.random() < 0.75 else steps[: rng.randrange(1, len(steps))]

    def data(self, step, activity, amount):
        person = " by " in activity
        common = {
            "id": f"step {self.name}_{step}",
            "activity": activity,
            "resource": "STAFF MEMBER" if person else "SYSTEM",
            "role": activity.rpartition(" by ")[2] if person else "UNDEFINED",
            "case": self.name,
        }
        if self.source == "finance.payments":
            return {
                "transition": "complete", "Activity": "UNKNOWN", "Cost_Type": "0", "OrganizationalEntity": self.unit,
                "Project": f"project {self.number % 6}", "RequestedAmount": amount,
                "RfpNumber": f"request number {self.number}", "Rfp_id": f"request {self.number}", "Task": "UNKNOWN",
                **common,
            }
        return {
            "transition": "complete", "Amount": amount, "BudgetNumber": f"budget {self.number % 4}",
            "DeclarationNumber": f"declaration number {self.number}", **common,
        }

    def events(self, rng):
        """The events of the case with their local times."""
        at = datetime(2025, 1, 6, 8) + timedelta(minutes=rng.randrange(200 * 24 * 60), seconds=rng.randrange(60))
        for step, activity in enumerate(self.steps(rng), 1):
            amount = self.amount if isinstance(self.amount, str) else self.amount[min(step, len(self.amount)) - 1]
            # Summer time from April to October, close enough for invented data.
            offset = "+02:00" if 4 <= at.month <= 10 else "+01:00"
            yield at, {
                "specversion": "1.0", "source": self.source, "id": f"{self.name}#{step}",
                "time": at.strftime("%Y-%m-%dT%H:%M:%S.000") + offset, "type": activity,
                "datacontenttype": "application/json", "data": self.data(step, activity, amount),
            }
            at += timedelta(minutes=rng.randrange(1, 5000), seconds=rng.randrange(60))


def amount(rng, number):
    """Every case has another kind of amount: the awkward ones first, two that are zero, then ordinary ones."""
    if number <= len(AWKWARD):
        return AWKWARD[number - 1]
    if number == len(AWKWARD) + 1:
        return "0.0"
    if number == len(AWKWARD) + 2:
        # Sent as zero at first and corrected later: the later events are good, and wait behind the first.
        return ("0.00", "61.25")
    return f"{rng.randrange(5, 900)}.{rng.randrange(1, 10**rng.randrange(2, 14))}"


def main():
    rng = random.Random(2020)
    events = []
    for source, prefix in (("finance.payments", "Request For Payment"), ("travel.declarations", "Declaration")):
        for number in range(1, CASES_PER_SOURCE + 1):
            case = Case(source, prefix, number, amount(rng, number), rng.choice(UNITS))
            events += case.events(rng)
    # Stable, so a case's own order stays.
    lines = [json.dumps(event, separators=(",", ":")) for _, event in sorted(events, key=lambda pair: pair[0])]
    for index in sorted(rng.sample(range(len(lines)), RESENT), reverse=True):
        lines.insert(rng.randrange(index + 1, len(lines) + 1), lines[index])
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
