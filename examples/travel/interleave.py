#!/usr/bin/env python3
"""Shuffles events as a network of independent senders would: cases at random, each case in its own order.

Reads CloudEvents of this example, one JSON object a line, from plain or gzipped files; writes the same lines to stdout,
interleaved at random across cases, with copies of some of them resent at random later places. The same seed and files
give the same output. It neither checks nor changes an event.

With --clocks each event also says its number in its source as `vclock`, and then overtakes up to so many others, of its own
case too: who has the numbers can put them right again.

Standard library only. Exit codes: 0 done, 2 a line is not an event of this example or a file cannot be read.
"""
import argparse
import gzip
import json
import random
import sys
from collections import defaultdict


def read_lines(path):
    """The lines of a plain or gzipped file that are not blank, each without its end."""
    with open(path, "rb") as probe:
        opener = gzip.open if probe.read(2) == b"\x1f\x8b" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        yield from (line.rstrip("\r\n") for line in lines if line.strip())


def interleave(lines, rng):
    """Every order that keeps each case's own is equally likely."""
    cases = defaultdict(list)
    turns = []
    for line in lines:
        event = json.loads(line)
        case = (event["source"], event["data"]["case"])
        cases[case].append(line)
        turns.append(case)
    rng.shuffle(turns)
    rest = {case: iter(queue) for case, queue in cases.items()}
    return [next(rest[case]) for case in turns]


def with_duplicates(lines, share, rng):
    """Resends `share` of the lines, each copy somewhere after its original."""
    resent = defaultdict(list)
    for index in rng.sample(range(len(lines)), round(share * len(lines))):
        resent[rng.randrange(index, len(lines))].append(lines[index])
    for index, line in enumerate(lines):
        yield line
        yield from resent.get(index, ())


def numbered(lines):
    """Each event with its number in its source; a copy has that of its original."""
    numbers, counts = {}, defaultdict(int)
    for line in lines:
        event = json.loads(line)
        source = event["source"]
        if (source, event["id"]) not in numbers:
            counts[source] += 1
            numbers[source, event["id"]] = counts[source]
        # Whatever else is in the event stays as it was written.
        yield line.replace("{", f'{{"vclock":"{source}={numbers[source, event["id"]]}",', 1)


def disordered(lines, most, rng):
    """No line overtakes more than about `most` others."""
    places = {index: index + rng.random() * most for index in range(len(lines))}
    return [lines[index] for index in sorted(places, key=places.get)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="+", help="CloudEvents of this example, plain or gzipped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--duplicates", type=float, default=0.05, metavar="SHARE", help="0 to 1 (default 0.05)")
    parser.add_argument("--clocks", type=int, metavar="N", help="number events, and let them overtake up to N others")
    arguments = parser.parse_args()
    if not 0 <= arguments.duplicates <= 1:
        parser.error("--duplicates takes a share from 0 to 1")
    rng = random.Random(arguments.seed)
    try:
        lines = interleave((line for path in arguments.file for line in read_lines(path)), rng)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        print(f"interleave: {error!r}", file=sys.stderr)
        return 2
    lines = list(with_duplicates(lines, arguments.duplicates, rng))
    if arguments.clocks is not None:
        lines = disordered(list(numbered(lines)), arguments.clocks, rng)
    for line in lines:
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
