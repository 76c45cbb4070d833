"""How fast a backlog is filled in: a day of fifty names, from the journal to a real VictoriaMetrics on loopback.

The shipper is a process of its own, under an interpreter whose pages nobody shares. Time runs from the first batch that
is accepted to the last, so that its start is not in it.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from psstopd.config import Config, to_json
from psstopd.journal.cursor import Delivery, read_delivery
from psstopd.journal.position import Position
from psstopd.journal.writer import Journal
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.service.handover import in_memory
from tests.bench.configs import INTERVAL_SECONDS, NAMES, watching_crowd
from tests.bench.dialogue import sampler_like
from tests.bench.interpreter import private_copy
from tests.bench.table import MIB, Row, at_least, at_most
from tests.samples import BOOT, DAY, wide_tick
from tests.servers import victoriametrics
from tests.waiting import wait_for

POINTS_A_SECOND_BOUND, SHIPPER_BOUND_MIB = 100_000, 60
TICKS, TICKS_SHORT = DAY // INTERVAL_SECONDS, DAY // INTERVAL_SECONDS // 8
_PATIENCE_SECONDS = 120


class Backfill(NamedTuple):
    """What became of the backlog: `points` accepted after the first batch, `stored` on the server with that batch."""

    points: int
    seconds: float
    journalled: int
    stored: int
    shipper_pss: int  # bytes, the most that was seen

    @property
    def lossless(self) -> bool:
        """Tell whether the server has what the journal has."""
        return self.stored == self.journalled


def bench(*, short: bool) -> list[Row]:
    """Fill in a day, or an eighth of it."""
    found = measure(TICKS_SHORT if short else TICKS)
    rate = found.points / found.seconds
    return [
        at_least(f"points a second of a backlog of {found.journalled} to VictoriaMetrics", rate, POINTS_A_SECOND_BOUND),
        Row("  of those journalled, on the server", f"{found.stored}", f"= {found.journalled}", found.lossless),
        at_most("PSS of the shipper meanwhile", found.shipper_pss / MIB, SHIPPER_BOUND_MIB, unit=" MiB"),
    ]


def measure(ticks: int) -> Backfill:
    """Journal so many ticks, then let a shipper begin."""
    with tempfile.TemporaryDirectory() as name, victoriametrics(Path(name)) as server:
        config = watching_crowd(Path(name) / "journal.db", url=server.url)
        points = _fill(config, ticks)
        with _shipper(config, Path(name)) as pid:
            first = wait_for(lambda: _delivered(config, 1), _PATIENCE_SECONDS, "the first batch")
            began = time.monotonic()
            read, weights = MemoryReader(Procfs()).read, []

            def is_done() -> Delivery | None:
                weights.append(read(pid).memory.pss)
                return _delivered(config, points)

            last = wait_for(is_done, _PATIENCE_SECONDS, "the whole backlog")
            seconds = time.monotonic() - began
        stored = len(server.points("psstop")) + len(server.points("psstopd"))
    return Backfill(last.delivered_total - first.delivered_total, seconds, points, stored, max(weights))


def _fill(config: Config, ticks: int) -> int:
    """Write the journal of a server that was away; give the number of points."""
    with closing(Journal(config.journal, boot_id=BOOT)) as journal:
        begin = int(time.time()) // INTERVAL_SECONDS * INTERVAL_SECONDS - ticks * INTERVAL_SECONDS
        for number in range(ticks):
            tick = wide_tick(number, NAMES, time=begin + number * INTERVAL_SECONDS)
            journal.append(tick, delivered=Position())
    return ticks * (NAMES + 1)


def _delivered(config: Config, points: int) -> Delivery | None:
    """Give the state of delivery once so many points are."""
    delivery = read_delivery(config.journal.path)
    return delivery if delivery is not None and delivery.delivered_total >= points else None


@contextmanager
def _shipper(config: Config, directory: Path) -> Iterator[int]:
    """Run a shipper as the daemon does, but with a Python of its own; give its pid."""
    python = private_copy(directory)
    _, environment = sampler_like("accelerated")
    command = [python.program, "-P", "-m", "psstopd.cli.shipper", str(os.getpid())]
    with in_memory(to_json(config).encode()) as handover:
        process = subprocess.Popen(
            command, stdin=handover, stdout=subprocess.DEVNULL, env=environment | python.environment
        )
    with process:
        try:
            yield process.pid
        finally:
            process.terminate()
