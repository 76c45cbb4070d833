"""`psstopd status --cost`: which names take the most reading, how often they are read, and how old readings get."""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from psstopd.config import Overhead
from psstopd.journal.reader import JournalReader, StoredTick
from psstopd.journal.schema import SAMPLE_FIELDS
from psstopd.words import duration

WINDOW_SECONDS = 600
_MOST_POINTS = 200_000  # of a fleet of names every second; then the window is shorter
_MOST_LINES = 20
_PROCESSES, _AGE, _READ = (SAMPLE_FIELDS.index(field) for field in ("processes", "age_ms", "read_us"))


class Cost(NamedTuple):
    """What reading one name has cost in a window of ticks."""

    name: str
    read_us: int  # in all
    share: float | None  # of wall time, over its processes; None where the window is a single tick
    reads_every_s: float | None  # seconds between the ticks that read it; None where it was read less than twice
    age_ms: int  # of its oldest reading now
    processes: int


def recent(path: str) -> list[StoredTick]:
    """Read the ticks of the last WINDOW_SECONDS that the journal has."""
    with closing(JournalReader(path)) as journal:
        last, _ = journal.last_two()
        if last is None:
            return []
        first = journal.last_before(last.time - WINDOW_SECONDS + 1)
        return journal.batch(max(first, journal.newest_batch(first, _MOST_POINTS)), _MOST_POINTS)


def costs(ticks: Sequence[StoredTick]) -> list[Cost]:
    """Add up what each name of the last tick has cost, the most expensive first."""
    if not ticks:
        return []
    read: dict[str, list[int]] = {}
    for tick in ticks:
        for name, values in tick.samples:
            read.setdefault(name, []).append(values[_READ] or 0)
    seconds = ticks[-1].time - ticks[0].time
    found = [
        _cost(name, read[name], seconds, age_ms=values[_AGE] or 0, processes=values[_PROCESSES] or 0)
        for name, values in ticks[-1].samples
    ]
    return sorted(found, key=lambda cost: (-cost.read_us, cost.name))


def _cost(name: str, read: Sequence[int], seconds: int, *, age_ms: int, processes: int) -> Cost:
    """Judge one name; the first tick's reads belong to the time before it."""
    times = sum(read_us > 0 for read_us in read[1:])
    share = sum(read[1:]) / 1e6 / seconds if seconds > 0 else None
    return Cost(name, sum(read), share, seconds / times if times else None, age_ms, processes)


def as_json(found: Sequence[Cost], overhead: Overhead) -> str:
    """Write all of them, with the bounds that they are held to."""
    document: dict[str, Any] = {**overhead._asdict(), "names": [cost._asdict() for cost in found]}
    return json.dumps(document, indent=2)


def show(found: Sequence[Cost], overhead: Overhead, ticks: Sequence[StoredTick]) -> None:
    """Print the most expensive names as a table."""
    if not ticks:
        print("no tick is recorded yet")
        return
    span = duration(ticks[-1].time - ticks[0].time)
    print(
        f"reads in the last {span}; at most {overhead.target_share:.1%} of the time in any one process,"
        f" {overhead.cpu_share:.0%} of a core in all"
    )
    print(f"{'READ':>12} {'SHARE':>8} {'EVERY':>8} {'AGE':>8} {'PROCESSES':>9} NAME")
    for cost in found[:_MOST_LINES]:
        share = "-" if cost.share is None else f"{cost.share:.3%}"
        every = "-" if cost.reads_every_s is None else f"{cost.reads_every_s:.0f} s"
        read, age = cost.read_us / 1e3, cost.age_ms / 1e3
        print(f"{read:>9.1f} ms {share:>8} {every:>8} {age:>6.1f} s {cost.processes:>9} {cost.name}")
    if len(found) > _MOST_LINES:
        print(f"and {len(found) - _MOST_LINES} names that cost less")
