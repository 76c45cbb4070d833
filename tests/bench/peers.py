"""What it takes to learn the PSS of many processes, and for how long the largest of them is held: psstop beside others.

All of them look at the same processes in turn, and again, for the reason that tick.py gives. The largest process tells
itself how long it had to wait for its own address space meanwhile, see target.c. Everything is read on each tick; what
psstop saves by not reading is not in here. smem reads smaps, all others smaps_rollup. The exporter also looks at every
thread and every file, of which the tiny processes have one and three.
"""

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import exporter
from tests.bench.contenders import EXPORTER, FLOOR, TICK, Contender, Cost, contenders
from tests.bench.crowd import PREFIX, SERVERS, TINY, Part, compiled, crowd
from tests.bench.dialogue import Dialogue, dialogue
from tests.bench.table import MIB, Row, at_most, spread

BOUND = 0.28
TARGET_MIB = 512
_ROUNDS, _ROUNDS_SHORT = 15, 5
_PASSES = 3  # in each round: an exporter's CPU is known to the hundredth of a second


class Pass(NamedTuple):
    """What one pass of one program took, and the longest that the target had to wait in the passes of one round."""

    cost: Cost
    held_us: float


class Result(NamedTuple):
    """One program: a pass of each round, and its PSS in bytes at the end."""

    name: str
    passes: list[Pass]
    pss: int

    def row(self) -> Row:
        """Tell the medians, but the longest of the waits too."""
        cpu, wall = (statistics.median(column) / 1e3 for column in zip(*(one.cost for one in self.passes), strict=True))
        holds = [one.held_us / 1e3 for one in self.passes]
        measured = (
            f"CPU {cpu:6.1f} ms, wall {wall:6.1f} ms, PSS {self.pss / MIB:5.1f} MiB,"
            f" held {statistics.median(holds):.1f} ms, longest {max(holds):.1f} ms"
        )
        return Row(f"    {self.name}", measured)


class Match(NamedTuple):
    """All programs over one crowd."""

    processes: int
    results: list[Result]

    def ratios(self, name: str, other: str) -> list[float]:
        """Give the ratio of the CPU times of two programs in each round; none when one of them is not there."""
        found = {result.name: result.passes for result in self.results}
        if other not in found:
            return []
        pairs = zip(found[name], found[other], strict=True)
        return [mine.cost.cpu_us / theirs.cost.cpu_us for mine, theirs in pairs]


def bench(*, short: bool) -> list[Row]:
    """Compare all of them over an ordinary crowd, and over one of which most are next to nothing."""
    rounds = _ROUNDS_SHORT if short else _ROUNDS
    rows = [Row("a pass, and the longest wait of a process for its own address space", f"{TARGET_MIB} MiB of 4 KiB")]
    for parts in (SERVERS,) if short else (SERVERS, TINY):
        rows += _rows(measure(parts, rounds))
    return rows


def measure(parts: Sequence[Part], rounds: int) -> Match:
    """Let all of them look at one crowd and the target in turn; the first round is for them to get to know it."""
    with tempfile.TemporaryDirectory() as name, crowd(parts, Path(name)) as pids:
        command = [str(compiled("target.c", Path(name))), f"{PREFIX}00", str(TARGET_MIB), "4k"]
        with dialogue(command) as target:
            target.ask("ready")
            watched = [*pids, target.pid]
            with contenders(watched, has_exporter=exporter.is_installed(), has_smem=_has_smem()) as found:
                taken = [[_pass(one, target) for one in found] for _ in range(1 + rounds)][1:]
                passes = zip(*taken, strict=True)
                results = [Result(one.name, list(its), one.weigh()) for one, its in zip(found, passes, strict=True)]
    return Match(len(watched), results)


def _pass(contender: Contender, target: Dialogue) -> Pass:
    target.ask("forget")
    cost = contender.take(_PASSES)
    (held_us,) = target.ask("tell")
    return Pass(cost, held_us)


def _rows(match: Match) -> list[Row]:
    return [*_compared(match), *(result.row() for result in match.results)]


def _compared(match: Match) -> list[Row]:
    """Compare a tick with a scrape; what the floor has there is the least for anybody who reads everything."""
    what = f"  CPU over {match.processes} processes, a tick / a scrape of prometheus-process-exporter"
    ratios, least = match.ratios(TICK, EXPORTER), match.ratios(FLOOR, EXPORTER)
    if not ratios:
        return [Row(what, f"{exporter.PROGRAM} is not installed")]
    return [
        at_most(what, statistics.median(ratios), BOUND, note=f"pairs: {spread(ratios)}"),
        Row("    the same of the reads alone", f"{statistics.median(least):.4g}"),
    ]


def _has_smem() -> bool:
    return shutil.which("smem") is not None
