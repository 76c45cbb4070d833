"""How wrong the sums become because who did not move is not read again, while processes that share memory come and go.

Two collectors look at the same processes at the same moments, when nothing moves: one leaves the unmoved alone for
`max_age`, one reads everybody. Between two ticks lies a second on their clock, of which only the reads are real time.

Bounds are promised among the watched. One workload shows where there are none until `max_age`: when who comes to share
is somebody whom nobody watches.
`python -m tests.bench.sharers` prints all of it as a table for docs/overhead.md.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from psstopd.kernel.procfs import Procfs
from psstopd.sampling.collector import Collection, Collector
from tests.bench.configs import watching_crowd
from tests.bench.crowd import PREFIX, Part, compiled, crowd
from tests.bench.dialogue import Dialogue, dialogue
from tests.bench.table import MIB, Row, at_most, say

MEDIAN_BOUND, MAX_BOUND = 0.5, 5.0  # percent
MAX_AGE_SECONDS = 60
TICKS, TICKS_SHORT = 300, 20
_LOOKS = 5  # in the end: other programs on this machine come and go between two reads, and have the C library too
_SHARED_MIB = 200
_WORKERS = 8
_WRITTEN_PAGES = 256  # by each worker
_REWRITTEN_PAGES = 256  # each second
_WAVE = 15  # seconds
_MORE, _LESS = (1, 0, 0, 0), (0, 1, 0, 0)
_IDLE = (Part(90, 0), Part(10, 32))

Step = Callable[[], object]


class Workload(NamedTuple):
    """Processes, and what becomes of them each second; `is_bounded` where the bounds are promised."""

    what: str
    run: Callable[[Path], AbstractContextManager[Step]]
    is_bounded: bool = True


class Found(NamedTuple):
    """Errors of the total in percent, tick by tick; in the end bytes, once all has stood still for `max_age`."""

    what: str
    is_bounded: bool
    total_mib: float
    errors: list[float]
    left_bytes: int
    read_share: float  # time of reads, in parts of that of reading everybody

    @property
    def median(self) -> float:
        """Give the median error in percent."""
        return statistics.median(self.errors)

    @property
    def most(self) -> float:
        """Give the largest error in percent."""
        return max(self.errors)


class Skipping:
    """A clock that runs, and skips the seconds between two ticks."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        """Give the time on a clock that never steps back."""
        return time.monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped += seconds


class Sums(NamedTuple):
    """Bytes of all names, and what that took to read."""

    pss: int
    read_us: int


def bench(*, short: bool) -> list[Row]:
    """Compare the totals of both collectors in each workload."""
    return [row for found in measure_all(TICKS_SHORT if short else TICKS) for row in _rows(found)]


def markdown(findings: Sequence[Found]) -> str:
    """Write what was found as the table of docs/overhead.md."""
    lines = [
        "| each second | memory | median error | largest error | after `max_age` | time of reads |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| {found.what} | {found.total_mib:.0f} MiB | {found.median:.3f} % | {found.most:.3f} %"
            f" | {found.left_bytes} bytes | {found.read_share * 100:.0f} % |"
            for found in findings
        ),
    ]
    return "\n".join(lines)


def measure_all(ticks: int) -> list[Found]:
    """Measure each workload in turn."""
    return [measure(workload, ticks) for workload in WORKLOADS]


def measure(workload: Workload, ticks: int) -> Found:
    """Let both collectors take so many ticks, and one more after all has stood still for long enough."""
    with tempfile.TemporaryDirectory() as name, workload.run(Path(name)) as step:
        clock = Skipping()
        sparing, reading = (_collector(Path(name), clock, max_age) for max_age in (MAX_AGE_SECONDS, 0))
        _ = _sums(sparing.collect()), _sums(reading.collect())
        pairs = []
        for number in range(ticks):
            step()
            clock.skip(1)
            pairs.append(_both(sparing, reading, in_turn=number % 2 == 0))
        left = min(_left(sparing, reading, clock) for _ in range(_LOOKS))
    return Found(
        workload.what,
        workload.is_bounded,
        pairs[-1][1].pss / MIB,
        [abs(spared.pss - read.pss) / read.pss * 100 for spared, read in pairs],
        left,
        sum(spared.read_us for spared, _ in pairs) / sum(read.read_us for _, read in pairs),
    )


def _both(sparing: Collector, reading: Collector, *, in_turn: bool) -> tuple[Sums, Sums]:
    """Take both; which is first changes, since the second finds the page tables in the caches."""
    collectors = (sparing, reading) if in_turn else (reading, sparing)
    first, second = (_sums(collector.collect()) for collector in collectors)
    return (first, second) if in_turn else (second, first)


def _left(sparing: Collector, reading: Collector, clock: Skipping) -> int:
    clock.skip(MAX_AGE_SECONDS)
    return abs(_sums(sparing.collect()).pss - _sums(reading.collect()).pss)


def _collector(directory: Path, clock: Skipping, max_age: int) -> Collector:
    config = watching_crowd(directory / "journal.db", max_age=max_age)
    config = config._replace(sampling=config.sampling._replace(interval=1))
    return Collector(config, procfs=Procfs(), newest_starts={}, monotonic=clock.now)


def _sums(collection: Collection) -> Sums:
    return Sums(
        sum(sample.memory.pss for sample in collection.samples if sample.memory is not None),
        sum(sample.read_us for sample in collection.samples),
    )


def _rows(found: Found) -> list[Row]:
    what = f"error of {found.total_mib:.0f} MiB with max_age {MAX_AGE_SECONDS} s: {found.what}"
    note = f"reads take {found.read_share * 100:.0f} % of the time that reading everybody takes"
    left = at_most("  after max_age with all still", found.left_bytes, 0, unit=" bytes")
    if not found.is_bounded:
        return [Row(what, f"median {found.median:.3g} %, largest {found.most:.3g} % ({note})"), left]
    return [
        at_most(f"{what}, median", found.median, MEDIAN_BOUND, unit=" %", note=note),
        at_most("  the largest", found.most, MAX_BOUND, unit=" %"),
        left,
    ]


@contextmanager
def _copy_on_write(directory: Path) -> Iterator[Step]:
    """Run a parent and its workers, of which the oldest is replaced each second."""
    with _sharers(directory, f"{PREFIX}web", _SHARED_MIB) as web:
        web.ask(_WORKERS, 0, _WRITTEN_PAGES, 0)
        yield lambda: web.ask(1, 1, _WRITTEN_PAGES, 0)


@contextmanager
def _one_file(directory: Path) -> Iterator[Step]:
    """Run processes of one name that map a file, one more or one less each second."""
    with _sharers(directory, f"{PREFIX}db", _SHARED_MIB, _file(directory)) as database:
        database.ask(_WORKERS, 0, 0, 0)
        yield _one_more_one_less(database)


@contextmanager
def _a_file_of_two_names(directory: Path) -> Iterator[Step]:
    """Run a process that stands still, and others of another name that map its file: up to 16, then down to one."""
    with _mapped_by_others(directory, f"{PREFIX}db") as step:
        yield step


@contextmanager
def _a_file_of_the_unwatched(directory: Path) -> Iterator[Step]:
    """Run the same, but of the others the watch rule knows nothing."""
    with _mapped_by_others(directory, f"not-{PREFIX}db") as step:
        yield step


@contextmanager
def _mapped_by_others(directory: Path, others: str) -> Iterator[Step]:
    file = _file(directory)
    still, more = (_sharers(directory, name, _SHARED_MIB, file) for name in (f"{PREFIX}still", others))
    with still, more as mapping:
        moves = cycle([_MORE] * _WAVE + [_LESS] * _WAVE)
        yield lambda: mapping.ask(*next(moves))


@contextmanager
def _rewriting(directory: Path) -> Iterator[Step]:
    """Run a process and one that it forked; the first rewrites what they share, and the other stands still."""
    with _sharers(directory, f"{PREFIX}redis", _SHARED_MIB) as redis:
        redis.ask(1, 0, 0, 0)
        yield lambda: redis.ask(0, 0, 0, _REWRITTEN_PAGES)


@contextmanager
def _independent(directory: Path) -> Iterator[Step]:
    """Run processes that share only a C library; one more or one less of a further name each second."""
    with crowd(_IDLE, directory), _sharers(directory, f"{PREFIX}cron", 0) as cron:
        yield _one_more_one_less(cron)


@contextmanager
def _household(directory: Path) -> Iterator[Step]:
    """Run all of these at once."""
    with ExitStack() as stack:
        steps = [stack.enter_context(run(directory)) for run in (_copy_on_write, _one_file, _independent)]
        yield lambda: [step() for step in steps]


WORKLOADS = (
    Workload("a worker of eight ends, another is forked from the parent's 200 MiB", _copy_on_write),
    Workload("one process more, or less, of a name whose nine map one file of 200 MiB", _one_file),
    Workload("one process more, or less, beside a hundred independent ones", _independent),
    Workload("all of these at once", _household),
    Workload(
        "one process more, up to 16, then one less, maps 200 MiB of an idle one of another name",
        _a_file_of_two_names,
    ),
    Workload(
        "a process rewrites 1 MiB of the 200 that it shares with an idle one that it forked",
        _rewriting,
    ),
    Workload(
        "one process more, up to 16, then one less, maps 200 MiB of an idle one, and nobody watches them",
        _a_file_of_the_unwatched,
        is_bounded=False,
    ),
)


@contextmanager
def _sharers(directory: Path, name: str, mib: int, *file: str) -> Iterator[Dialogue]:
    program = str(compiled("sharers.c", directory))
    with dialogue([program, name[:15], str(mib), *file]) as sharers:
        sharers.ask(0, 0, 0, 0)
        yield sharers


def _one_more_one_less(sharers: Dialogue) -> Step:
    moves = cycle([_MORE, _LESS])
    return lambda: sharers.ask(*next(moves))


def _file(directory: Path) -> str:
    file = directory / "file"
    with file.open("wb") as out:
        out.truncate(_SHARED_MIB * MIB)
    return str(file)


def main() -> int:
    """Print the table."""
    say(markdown(measure_all(TICKS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
