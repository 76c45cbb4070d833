"""What the sampler weighs in the long run: 50 names, 1,000 processes, and days of ticks one right after the other.

The grid runs ahead with the ticks, and the journal keeps its bounds by it. The collector's own clock is real: at some
hundred ticks a second, `max_age` of a second has everybody read anew as often as a minute has at an interval of 1 s.

The sampler knows everybody on the machine, watched or not. Where others start programs by the thousand
meanwhile, let it run in a namespace of its own: `unshare --pid --fork --mount-proc python -m tests.bench longrun`.
"""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from tests.bench.accelerate import accelerated
from tests.bench.configs import NAMES
from tests.bench.crowd import Part, crowd
from tests.bench.table import MIB, Row, at_most

SAMPLER_BOUND_MIB, GROWTH_BOUND_KIB = 12, 256
WARM_UP = 1000
TICKS, TICKS_SHORT = 100_000, 5000
THOUSAND = (Part(950, 0), Part(50, 8))
_STRETCH = 1000  # ticks between two looks, and as much as the server has to remember
_MAX_AGE_SECONDS = 1


class Weighed(NamedTuple):
    """The sampler's memory after so many ticks, and how many processes there were on this machine."""

    ticks: int
    memory: Memory
    processes: int


class Course(NamedTuple):
    """How the sampler's memory went from the warm-up on, and what the way took."""

    weighed: list[Weighed]
    seconds: float

    @property
    def growth_kib(self) -> float:
        """Give what the sampler's own pages have become more by; shared ones change with who else maps them."""
        return (self.weighed[-1].memory.uss - self.weighed[0].memory.uss) / 1024

    @property
    def pss_growth_kib(self) -> float:
        """Give what the PSS has become more by."""
        return (self.weighed[-1].memory.pss - self.weighed[0].memory.pss) / 1024

    @property
    def most_mib(self) -> float:
        """Give the largest PSS."""
        return max(weighed.memory.pss for weighed in self.weighed) / MIB


def bench(*, short: bool) -> list[Row]:
    """Weigh the sampler, one of two services, after every thousand ticks."""
    ticks = TICKS_SHORT if short else TICKS
    course = measure(ticks)
    processes = sum(part.processes for part in THOUSAND)
    took = f"{course.seconds:.0f} s, {course.seconds / ticks * 1e3:.1f} ms a tick"
    return [
        at_most(
            f"PSS of the sampler at most, {ticks} ticks, {NAMES} names, {processes} processes",
            course.most_mib,
            SAMPLER_BOUND_MIB,
            unit=" MiB",
            note=took,
        ),
        at_most(
            f"  growth of PSS since tick {WARM_UP}",
            course.pss_growth_kib,
            GROWTH_BOUND_KIB,
            unit=" KiB",
            note=f"USS {course.growth_kib:+.0f} KiB",
        ),
        Row("  PSS and USS on the way", ", ".join(map(_words, _some(course.weighed))) + " MiB"),
        Row("  processes on this machine, watched or not", f"up to {max(each.processes for each in course.weighed)}"),
    ]


def measure(ticks: int) -> Course:
    """Let so many ticks be taken, journalled and delivered."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(THOUSAND, Path(directory)),
        accelerated(ships=True, elsewhere=True, max_age=_MAX_AGE_SECONDS) as sampler,
    ):
        weighed = []
        for until in range(WARM_UP, ticks + 1, _STRETCH):
            sampler.run_until(until)
            weighed.append(Weighed(until, sampler.memory()[0], sum(1 for _ in Procfs().pids())))
            if sampler.server is not None:
                sampler.server.requests.clear()
    return Course(weighed, time.monotonic() - began)


def _some(weighed: list[Weighed]) -> list[Weighed]:
    """Give the first, the last and some between them."""
    return [*weighed[:-1][:: max(1, len(weighed) // 5)], weighed[-1]]


def _words(weighed: Weighed) -> str:
    return f"{weighed.ticks}: {weighed.memory.pss / MIB:.2f}/{weighed.memory.uss / MIB:.2f}"
