"""What a tick costs beside the reads that nobody can do without: CPU of the collector against floor.c.

Both read the same files in turn, A B A B, and each pair of neighbours in time has its ratio. The median of these is
what repeats: on a shared machine the speed drifts by a third within seconds, which both of a pair feel alike, while the
quickest of either may be from different times. Idle or beside three busy programs it stayed within 0.02; the ratio of
the quickest rounds moved by 0.1.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from psstopd.config import to_json
from tests.bench.configs import watching_crowd
from tests.bench.crowd import SERVERS, TINY, Part, compiled, crowd
from tests.bench.dialogue import Dialogue, dialogue, sampler_like
from tests.bench.table import Row, at_most, spread

BOUND = 1.25
_TICKS_A_ROUND = 3
_ROUNDS = 15


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
    """Compare a tick with the floor."""
    costs = measure(SERVERS)
    rows = [
        at_most(
            f"CPU of a tick over {costs.processes} processes / CPU of floor.c over the same",
            costs.ratio,
            BOUND,
            note=f"pairs: {spread(costs.ratios)}",
        ),
        Row("  CPU of a tick", f"{statistics.median(costs.ticks) / 1e3:.1f} ms"),
        Row("  above the floor", f"{costs.extra_us:.1f} us a process, whatever its size"),
    ]
    if short:
        return rows
    tiny = measure(TINY)
    return [*rows, Row(f"  the same ratio over {tiny.processes} processes, most of them tiny", f"{tiny.ratio:.3f}")]


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
    tick_us, _, processes, oldest_ms = ticks.ask(_TICKS_A_ROUND)
    floor_us, _, reads = floor.ask(_TICKS_A_ROUND, *pids)
    assert (processes, reads, oldest_ms) == (len(pids), len(pids), 0), (processes, reads, oldest_ms)
    return tick_us, floor_us
