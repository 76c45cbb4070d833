"""What psstop weighs after a thousand ticks of fifty names: the sampler, and its shipper, as one service and as two.

Both map the same interpreter, and each counts half of it. A sampler that only keeps a journal counts all of it, and is
the heavier on paper by what the shipper would take over; on a server where other programs are Python it is the lighter.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from psstopd.model import Memory
from tests.bench.accelerate import accelerated
from tests.bench.crowd import HOUSEHOLD, crowd
from tests.bench.table import MIB, Row, at_most

SAMPLER_BOUND_MIB, TOGETHER_BOUND_MIB = 12, 50
EARLY, TICKS = 100, 1000


class Weights(NamedTuple):
    """Memory after EARLY and after TICKS ticks: of the sampler, of a keeper and of the shipper, if there are these."""

    early: list[Memory]
    late: list[Memory]

    @property
    def pss_mib(self) -> float:
        """Give the PSS of all in the end."""
        return sum(memory.pss for memory in self.late) / MIB


def bench(*, short: bool) -> list[Row]:
    """Weigh the sampler with its shipper, and without one, on a machine where nothing else is Python."""
    del short  # a thousand ticks are what the bound is about
    together, alone, apart = measure(ships=True), measure(ships=False), measure(ships=True, elsewhere=True)
    sampler, shipper = together.late
    first, keeper, last = apart.late
    return [
        at_most(f"PSS of the sampler after {TICKS} ticks", sampler.pss / MIB, SAMPLER_BOUND_MIB, unit=" MiB"),
        Row("  what it is", _composition(sampler)),
        Row("  the same without a shipper to share pages with", _composition(alone.late[0])),
        at_most("PSS of sampler and shipper", together.pss_mib, TOGETHER_BOUND_MIB, unit=" MiB"),
        Row("  the shipper, after full batches", _composition(shipper)),
        Row(f"  growth since tick {EARLY}", f"sampler {_growth(together, 0)}, shipper {_growth(together, 1)}"),
        at_most("PSS of the sampler of two services", first.pss / MIB, SAMPLER_BOUND_MIB, unit=" MiB"),
        at_most("PSS of sampler, keeper and shipper", apart.pss_mib, TOGETHER_BOUND_MIB, unit=" MiB"),
        Row("  the keeper", _composition(keeper)),
        Row("  the shipper", _composition(last)),
    ]


def measure(*, ships: bool, elsewhere: bool = False) -> Weights:
    """Take the ticks and weigh twice."""
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(HOUSEHOLD, Path(directory)),
        accelerated(ships=ships, elsewhere=elsewhere) as sampler,
    ):
        sampler.run_until(EARLY)
        early = sampler.memory()
        sampler.run_until(TICKS)
        return Weights(early, sampler.memory())


def _composition(memory: Memory) -> str:
    parts = {"PSS": memory.pss, "USS": memory.uss, "anon": memory.pss_anon, "file": memory.pss_file, "RSS": memory.rss}
    return ", ".join(f"{name} {size / MIB:.2f}" for name, size in parts.items() if size is not None) + " MiB"


def _growth(weights: Weights, index: int) -> str:
    return f"{(weights.late[index].uss - weights.early[index].uss) / 1024:+.0f} KiB USS"
