"""The numbers of psstop, side by side in one run: `python -m tests.bench [NAME ...] [--short]`."""

import argparse
import sys
from collections.abc import Callable

from tests.bench import (
    backlog,
    client,
    exact,
    fleet,
    giant,
    growth,
    longrun,
    memory,
    overhead,
    peers,
    punctual,
    scale,
    sharers,
    tick,
)
from tests.bench.table import Row, machine_facts, say, show

Bench = Callable[..., list[Row]]

# Killing the daemon again and again, with not a sample lost, has right and wrong and no number: an integration test.
BENCHES: dict[str, Bench] = {
    "tick": tick.bench,
    "scale": scale.bench,
    "peers": peers.bench,
    "growth": growth.bench,
    "client": client.bench,
    "exact": exact.bench,
    "memory": memory.bench,
    "longrun": longrun.bench,
    "sharers": sharers.bench,
    "giant": giant.bench,
    "overhead": overhead.bench,
    "punctual": punctual.bench,
    "backlog": backlog.bench,
    "fleet": fleet.bench,
}


def main() -> int:
    """Run the benches that are named, all by default; 1 when a bound does not hold."""
    options = _parser().parse_args()
    say(machine_facts())
    rows: list[Row] = []
    for name in options.names or BENCHES:
        say(f"{name} ...")
        rows += BENCHES[name](short=options.short)
    show(rows)
    return int(any(row.ok is False for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHES, []], help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--short", action="store_true", help="fewer processes, shorter runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
