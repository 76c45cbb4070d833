"""What a very large process feels of being watched: how long its page tables are read, and how long it waits for that.

The share of time comes from both sides: from the journal, as what the reads took, and from the process itself, whose
thread maps and unmaps one page over and over and waits while a read goes on. What it takes beside the reads is compared
in pairs of neighbours in time, with psstop and with psstop standing still, for the reason that tick.py gives.
"""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, SAMPLE_FIELDS
from tests.bench.crowd import PREFIX, compiled
from tests.bench.dialogue import Dialogue, dialogue
from tests.bench.table import MIB, Row, at_most, spread
from tests.daemon import Daemon, daemon, stand_still

TARGET_SHARE, SHARE_BOUND, LATENCY_BOUND = 0.005, 0.0055, 1.05
NAME = f"{PREFIX}big"
SMALL_NAMES = 8
_SMALL_MIB = 4
_PAUSE_US, _SMALL_PAUSE_US = 100, 50_000  # a small one moves on every tick
_AGE_MS, _READ_US, _PSS = (SAMPLE_FIELDS.index(name) for name in ("age_ms", "read_us", "pss_bytes"))
_CPU = HEALTH_FIELDS.index("self_cpu_us_total")


class Scale(NamedTuple):
    """How large the giant is and how long it is watched; `pairs` of windows compare its latency."""

    mib: int
    seconds: float
    pairs: int = 0
    window_seconds: float = 0.0
    target_share: float = TARGET_SHARE


FULL = Scale(8192, 300, pairs=20, window_seconds=5)
SHORT = Scale(1024, 40, pairs=6, window_seconds=2)


class Felt(NamedTuple):
    """What the giant's thread felt for some time; nanoseconds. What took half a read or longer is a hold."""

    calls: float
    p999: float
    longest: float
    holds: float
    held: float


class Watched(NamedTuple):
    """The time under watch: all from the journal but `felt` and `felt_seconds`."""

    seconds: float
    read_seconds: list[float]  # of each read of the giant
    age_errors_ms: list[int]  # of each tick: its age against the time since the last tick that read
    other_ages_ms: list[int]  # of each tick and other name
    missing: int  # ticks, or names in them
    cpu_seconds: float  # of all of psstop
    felt: Felt
    felt_seconds: float

    @property
    def share(self) -> float:
        """Give the share of wall time in which the giant was being read."""
        return sum(self.read_seconds) / self.seconds

    @property
    def felt_share(self) -> float:
        """Give the share of wall time in which the giant could not map a page."""
        return self.felt.held / 1e9 / self.felt_seconds


class Pair(NamedTuple):
    """Latency with psstop, and while it stood still, one right after the other."""

    watched: Felt
    alone: Felt

    @property
    def ratio(self) -> float:
        """Give what the one is in parts of the other."""
        return self.watched.p999 / self.alone.p999


def bench(*, short: bool) -> list[Row]:
    """Watch a giant and some small programs, once a second."""
    scale = SHORT if short else FULL
    watched, pairs = measure(scale)
    return [*_shares(scale, watched), *_ages(watched), *_latencies(watched, pairs)]


def measure(scale: Scale) -> tuple[Watched, list[Pair]]:
    """Run the real daemon beside the giant."""
    with tempfile.TemporaryDirectory() as name, _programs(scale.mib, Path(name)) as giant, daemon(Path(name)) as psstop:
        psstop.configure(
            names=[],
            watch=[{"comm": f"{PREFIX}*", "group_by": "program"}],
            overhead={"target_share": scale.target_share},
        )
        psstop.start()
        psstop.await_ticks()
        watched = _watch(psstop, giant, scale.seconds)
        hold_ns = int(_hold_ns(watched.read_seconds))
        return watched, [_pair(psstop, giant, hold_ns, scale.window_seconds) for _ in range(scale.pairs)]


def reads_of_giant(ticks: list[StoredTick]) -> list[tuple[int, float]]:
    """Give time and seconds of each read: a tick that carries the reading over has spent nothing on it."""
    samples = [(tick.time, dict(tick.samples).get(NAME)) for tick in ticks]
    return [(moment, (values[_READ_US] or 0) / 1e6) for moment, values in samples if values and values[_READ_US]]


@contextmanager
def _programs(mib: int, directory: Path) -> Iterator[Dialogue]:
    """Run the giant and the small ones until the block ends; all of them have touched their memory."""
    program = str(compiled("giant.c", directory))
    with ExitStack() as stack:
        small = [[program, f"{PREFIX}{number}", str(_SMALL_MIB), str(_SMALL_PAUSE_US)] for number in range(SMALL_NAMES)]
        others = [stack.enter_context(dialogue(command)) for command in small]
        giant = stack.enter_context(dialogue([program, NAME, str(mib), str(_PAUSE_US)]))
        for each in (*others, giant):
            each.ask(0)
        yield giant


def _watch(psstop: Daemon, giant: Dialogue, seconds: float) -> Watched:
    giant.ask(0)
    began = time.monotonic()
    time.sleep(seconds)
    ticks = psstop.ticks()
    reads = reads_of_giant(ticks)
    felt = Felt(*giant.ask(int(_hold_ns([took for _, took in reads]))))
    span = ticks[-1].time - ticks[0].time + 1
    return Watched(
        span,
        [took for _, took in reads],
        _age_errors(ticks),
        [values[_AGE_MS] or 0 for tick in ticks for name, values in tick.samples if name != NAME],
        span * (1 + SMALL_NAMES) - sum(values[_PSS] is not None for tick in ticks for _, values in tick.samples),
        ((ticks[-1].health[_CPU] or 0) - (ticks[0].health[_CPU] or 0)) / 1e6,
        felt,
        time.monotonic() - began,
    )


def _hold_ns(read_seconds: list[float]) -> float:
    return statistics.median(read_seconds) / 2 * 1e9


def _age_errors(ticks: list[StoredTick]) -> list[int]:
    """Compare the age of each sample with the time since the last tick that says it has read the giant."""
    errors, read_at = [], ticks[0].time
    for tick in ticks:
        values = dict(tick.samples)[NAME]
        read_at = tick.time if values[_READ_US] else read_at
        errors.append(abs((values[_AGE_MS] or 0) - (tick.time - read_at) * 1000))
    return errors


def _pair(psstop: Daemon, giant: Dialogue, hold_ns: int, seconds: float) -> Pair:
    watched = _feel(giant, hold_ns, seconds)
    stand_still(psstop.pid)
    alone = _feel(giant, hold_ns, seconds)
    os.kill(psstop.pid, signal.SIGCONT)
    return Pair(watched, alone)


def _feel(giant: Dialogue, hold_ns: int, seconds: float) -> Felt:
    giant.ask(hold_ns)
    time.sleep(seconds)
    return Felt(*giant.ask(hold_ns))


def _shares(scale: Scale, watched: Watched) -> list[Row]:
    reads = watched.read_seconds
    what = f"share of wall time in reads of a process of {scale.mib * MIB >> 30} GiB, target {scale.target_share:g}"
    note = f"{len(reads)} reads in {watched.seconds:.0f} s, {statistics.median(reads) * 1e3:.1f} ms each"
    felt = watched.felt
    return [
        at_most(f"{what}, from the journal", watched.share, SHARE_BOUND, note=note),
        at_most(
            "  as its own thread waited",
            watched.felt_share,
            SHARE_BOUND,
            note=f"{felt.holds:.0f} times; where that is more than reads, others on this machine read it too",
        ),
        Row("  CPU of all of psstop meanwhile", f"{watched.cpu_seconds / watched.seconds * 100:.2f} % of one core"),
    ]


def _ages(watched: Watched) -> list[Row]:
    others = watched.other_ages_ms
    return [
        at_most("  its age_ms against the ticks that read it", max(watched.age_errors_ms), 1000, unit=" ms"),
        at_most(f"  oldest of the other {SMALL_NAMES} names, all of them moving", max(others), 999, unit=" ms"),
        at_most("  samples missing or without a size", watched.missing, 0),
    ]


def _latencies(watched: Watched, pairs: list[Pair]) -> list[Row]:
    ratios = [pair.ratio for pair in pairs]
    alone_us = statistics.median(pair.alone.p999 for pair in pairs) / 1e3
    holds = sum(pair.watched.holds for pair in pairs)
    return [
        at_most(
            "p99.9 of mmap and munmap in it outside of reads / the same without psstop",
            statistics.median(ratios),
            LATENCY_BOUND,
            note=f"{alone_us:.1f} us without; pairs: {spread(ratios)}",
        ),
        Row("  longest wait for a read", f"{watched.felt.longest / 1e6:.1f} ms"),
        Row(
            "  waits of half a read or longer in these pairs",
            f"{holds:.0f} with, {sum(pair.alone.holds for pair in pairs):.0f} without",
        ),
    ]
