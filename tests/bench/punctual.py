"""Whether every tick comes, once a second, while the server takes what it is sent and never answers."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS
from tests.bench.configs import as_tables
from tests.bench.crowd import HOUSEHOLD, crowd
from tests.bench.table import Row, at_most
from tests.daemon import daemon
from tests.faultserver import Fault, Reply, fault_server

SECONDS, SECONDS_SHORT = 300, 30
_LATE, _TICK_US = HEALTH_FIELDS.index("late_ticks_total"), HEALTH_FIELDS.index("tick_us")


class Punctuality(NamedTuple):
    """What became of the grid points from the first tick to the stop."""

    due: int
    missing: int
    late: int
    longest_tick_us: int
    requests: int  # that the server took and did not answer
    stop_seconds: float


def bench(*, short: bool) -> list[Row]:
    """Count the ticks of the real daemon."""
    found = measure(SECONDS_SHORT if short else SECONDS)
    return [
        at_most(
            f"ticks late or missing of {found.due}, one a second, while the server swallows packets",
            max(found.missing, found.late),
            0,
            note=f"longest tick {found.longest_tick_us / 1e3:.0f} ms, {found.requests} requests unanswered",
        ),
        Row("  time to stop meanwhile", f"{found.stop_seconds:.2f} s"),
    ]


def measure(seconds: float) -> Punctuality:
    """Run `psstopd run` for so long and read its journal."""
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(HOUSEHOLD, Path(directory)),
        fault_server(default=Reply(fault=Fault.SILENCE)) as server,
        daemon(Path(directory)) as psstop,
    ):
        psstop.configure(**as_tables(server.url))
        psstop.start()
        psstop.await_ticks()
        time.sleep(seconds)
        stopped_at = time.time()
        _, stop_seconds = psstop.stop()
        return _judge(psstop.ticks(), stopped_at, requests=len(server.requests), stop_seconds=stop_seconds)


def _judge(ticks: list[StoredTick], stopped_at: float, *, requests: int, stop_seconds: float) -> Punctuality:
    """Compare the ticks with the grid; the one that was due in the second of the stop may be there or not."""
    due = set(range(ticks[0].time, int(stopped_at)))
    return Punctuality(
        due=len(due),
        missing=len(due - {tick.time for tick in ticks}),
        late=ticks[-1].health[_LATE] or 0,
        longest_tick_us=max(tick.health[_TICK_US] or 0 for tick in ticks),
        requests=requests,
        stop_seconds=stop_seconds,
    )
