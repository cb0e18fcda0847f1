#!/usr/bin/env python3
"""Our request parser against two others, llhttp (by httptools) and h11: `differential.py --seconds 60`.

Each input is read by all three: whether it is a request, what its method, target, version and
fields are, its body, and where it ends. Every disagreement has to be in a class of diff/classes.py, with
its reason; the first ten that are not are shown, and are the exit status.

It needs httptools, h11 and a C compiler; fuzz/README.md says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from diff import readers  # noqa: E402
from diff.classes import Case, agree, classify  # noqa: E402
from diff.inputs import Inputs  # noqa: E402

SHOWN = 10


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--runs", type=int, default=0, help="so many inputs, whatever time it takes"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("input", nargs="*", type=Path, help="files with requests, to begin with")
    return parser.parse_args(arguments)


def compare(options: argparse.Namespace, library: Path) -> tuple[int, Counter[str], list[Case]]:
    """Inputs read, disagreements by class, and those in none."""
    ours = readers.Ours(library)
    others: tuple[readers.Reader, ...] = (readers.Llhttp(), readers.H11())
    inputs = Inputs(options.seed, options.input)
    counts: Counter[str] = Counter()
    unexplained: list[Case] = []
    end = time.monotonic() + options.seconds
    runs = 0
    while runs < options.runs if options.runs else time.monotonic() < end:
        data = inputs.next()
        runs += 1
        reading = ours.read(data)
        for other in others:
            case = Case(other.name, data, reading, other.read(data))
            if agree(case):
                continue
            name = classify(case)
            if name is None:
                unexplained.append(case)
            else:
                counts[f"{other.name}: {name}"] += 1
    return runs, counts, unexplained


def main(arguments: list[str]) -> int:
    """Compare, and report."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        runs, counts, unexplained = compare(options, readers.build(Path(folder)))
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    print(
        f"{runs} inputs, seed {options.seed}: {sum(counts.values())} disagreements in "
        f"{len(counts)} classes, {len(unexplained)} in none"
    )
    for case in unexplained[:SHOWN]:
        print(f"\n{case.data!r}\n  ours   {case.ours}\n  {case.who:6} {case.theirs}")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
