"""What a tick costs beside the reads that nobody can do without: CPU of the collector against floor.c.

Both read the same files in turn, A B A B, and each pair of neighbours in time has its ratio. The median of these is
what repeats: on a shared machine the speed drifts by a third within seconds, which both of a pair feel alike, while the
quickest of either may be from different times. Idle or beside three busy programs it stayed within 0.02; the ratio of
the quickest rounds moved by 0.1.
"""

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from psstopd.config import to_json
from tests.bench.configs import watching_crowd
from tests.bench.crowd import FEWER_SERVERS, PREFIX, SERVERS, TINY, Part, compiled, crowd
from tests.bench.dialogue import Dialogue, dialogue, sampler_like
from tests.bench.table import Row, at_most, spread

BOUND, CI_BOUND = 1.10, 1.25
IDLE_BOUND = 0.15
_TICKS_A_ROUND = 3
_ROUNDS = 15
_ACTIVE_PART = 20  # of an idle machine's processes one in so many does something between two ticks
_AN_HOUR = 3600


class Costs(NamedTuple):
    """CPU of one tick and of one round of the floor in microseconds, one of each for every round."""

    processes: int
    ticks: list[float]
    floors: list[float]

    @property
    def ratios(self) -> list[float]:
        """Give the ratio of each pair."""
        return [tick / floor for tick, floor in zip(self.ticks, self.floors, strict=True)]

    @property
    def ratio(self) -> float:
        """Give the median of the pairs' ratios."""
        return statistics.median(self.ratios)

    @property
    def extra_us(self) -> float:
        """Give what a tick takes above the floor for each process, whatever the processes' size."""
        return (
            statistics.median([tick - floor for tick, floor in zip(self.ticks, self.floors, strict=True)])
            / self.processes
        )


def bench(*, short: bool) -> list[Row]:
    """Compare a tick with the floor, over ordinary processes; and over tiny ones, where it weighs the most."""
    costs = measure(FEWER_SERVERS if short else SERVERS)
    rows = [
        at_most(
            f"CPU of a tick over {costs.processes} processes / CPU of floor.c over the same",
            costs.ratio,
            CI_BOUND if short else BOUND,
            note=f"pairs: {spread(costs.ratios)}",
        ),
        Row("  CPU of a tick", f"{statistics.median(costs.ticks) / 1e3:.1f} ms"),
        Row("  above the floor", f"{costs.extra_us:.1f} us a process, whatever its size"),
    ]
    if short:
        return rows
    tiny, idle = measure(TINY), measure_idle(TINY)
    return [
        *rows,
        Row(f"  the same ratio over {tiny.processes} processes, most of them tiny", f"{tiny.ratio:.3f}"),
        at_most(
            f"CPU of a tick where 1 of {_ACTIVE_PART} of {idle.processes} did something / CPU of floor.c over all",
            idle.ratio,
            IDLE_BOUND,
            note=f"pairs: {spread(idle.ratios)}",
        ),
        Row("  CPU of such a tick", f"{statistics.median(idle.ticks) / idle.processes:.1f} us a process"),
    ]


def measure(parts: Sequence[Part]) -> Costs:
    """Run both over one crowd in turn."""
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(parts, Path(directory)) as pids,
        dialogue([str(compiled("floor.c", Path(directory)))]) as floor,
        dialogue(*sampler_like("ticks")) as ticks,
    ):
        ticks.send(to_json(watching_crowd(Path(directory) / "journal.db")))
        rounds = [_round(ticks, floor, pids) for _ in range(1 + _ROUNDS)][1:]
    return Costs(len(pids), [tick for tick, _ in rounds], [cost for _, cost in rounds])


def _round(ticks: Dialogue, floor: Dialogue, pids: list[int]) -> tuple[float, float]:
    """Take some ticks and as many rounds of the floor; both must have read the whole crowd anew."""
    tick_us, _, processes, oldest_ms, _ = ticks.ask(_TICKS_A_ROUND)
    floor_us, _, reads = floor.ask(_TICKS_A_ROUND, *pids)
    assert (processes, reads, oldest_ms) == (len(pids), len(pids), 0), (processes, reads, oldest_ms)
    return tick_us, floor_us


def measure_idle(parts: Sequence[Part]) -> Costs:
    """Run both over one crowd of which few do anything between two ticks."""
    count = sum(part.processes for part in parts) // (_ACTIVE_PART - 1)
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(parts, Path(directory)) as pids,
        _shells(count, Path(directory)) as shells,
        dialogue([str(compiled("floor.c", Path(directory)))]) as floor,
        dialogue(*sampler_like("ticks")) as ticks,
    ):
        ticks.send(to_json(watching_crowd(Path(directory) / "journal.db", max_age=_AN_HOUR)))
        everybody = [*pids, *(shell.pid for shell in shells)]
        rounds = [_idle_round(ticks, floor, everybody, shells) for _ in range(2 + _ROUNDS)][2:]
    return Costs(len(everybody), [tick for tick, _ in rounds], [cost for _, cost in rounds])


@contextmanager
def _shells(count: int, directory: Path) -> Iterator[list[Dialogue]]:
    """Run shells that belong to the crowd by name, and fork, which is a page fault or more, when asked to."""
    program = directory / f"{PREFIX}sh"
    shutil.copy(os.path.realpath("/bin/sh"), program)
    command = [str(program), "-c", "while read word; do (:); echo 1; done"]
    with ExitStack() as stack:
        yield [stack.enter_context(dialogue(command)) for _ in range(count)]


def _idle_round(ticks: Dialogue, floor: Dialogue, pids: list[int], shells: list[Dialogue]) -> tuple[float, float]:
    """Let the shells do something, take one tick, and read everybody once; all but the shells are as they were."""
    for shell in shells:
        shell.ask("go")
    tick_us, _, processes, oldest_ms, read_us = ticks.ask(1)
    floor_us, wall_us, reads = floor.ask(1, *pids)
    assert (processes, reads) == (len(pids), len(pids)), (processes, reads)
    assert read_us > 0
    if oldest_ms > 0:  # all but the first time, when everybody is new
        assert read_us < wall_us / 5, (read_us, wall_us)
    return tick_us, floor_us
