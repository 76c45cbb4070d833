"""Whoever is killed or stands still, at whatever moment: every point arrives, and the ticks keep their time."""

import json
import os
import random
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from psstopd.journal.reader import JournalReader, StoredTick
from psstopd.journal.schema import HEALTH_FIELDS
from tests.daemon import Daemon, daemon
from tests.integration.test_delivery_end_to_end import INFLUXDB, TAGS, VM_V2, expected, serving, stored
from tests.mayhem import Mayhem, Span, Victim, send
from tests.programs import named_programs
from tests.servers import InfluxDB, Row, VictoriaMetrics
from tests.waiting import wait_for

LONG = "TORTURE" in os.environ  # a long run of what is short in CI
MOMENTS = 200 if LONG else 12
SEED = int(os.environ.get("TORTURE_SEED") or random.randrange(2**32))  # noqa: S311 - no secret
LATE = HEALTH_FIELDS.index("late_ticks_total")

TICK_SECONDS = 0.5  # in which a tick that is due gets into the journal: a sampler that is hit before may miss it

Server = VictoriaMetrics | InfluxDB


def sampler(running: Daemon) -> Victim:
    """Give the sampler, started again as systemd would; it is back with its first tick."""
    before = 0

    def kill(_pid: int) -> None:
        nonlocal before
        running.kill()
        before = newest_tick(running)

    return Victim(
        "sampler",
        lambda: running.pid if running.runs else None,
        kill=kill,
        start=running.start,
        is_back=lambda: running.runs and newest_tick(running) > before,
    )


def shipper(running: Daemon) -> Victim:
    """Give the shipper, which the sampler starts again, also in place of one that stands still."""
    return Victim(
        "shipper",
        lambda: running.find_shipper() if running.runs else None,
        kill=lambda pid: send(pid, signal.SIGKILL),
    )


def database(server: Server) -> Victim:
    """Give the database, started again on the same data."""
    return Victim(
        "database",
        lambda: server.pid if server.runs else None,
        kill=lambda _: server.kill(),
        start=server.launch,
    )


def newest_tick(running: Daemon) -> int:
    """Give the id of the newest tick in the journal."""
    with closing(JournalReader(str(running.journal))) as journal:
        return journal.newest_tick()


def configure(running: Daemon, server: Server, api: str, rules: Sequence[Mapping[str, str]]) -> None:
    """Write a config that sends to `server` every second and has little patience."""
    sink = {"url": server.url, "api": api, "bucket": "psstop", "flush_interval": "1s", "timeout": "1s"}
    running.configure(influxdb=sink, tags=TAGS, names=[], watch=rules)


def points(rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """Write every point with all its fields as a word that can be compared."""
    return [json.dumps([measurement, row], sort_keys=True) for measurement, some in rows.items() for row in some]


def times(some: Iterable[str]) -> list[int]:
    """Give the times at which there are points of `some`."""
    return sorted({json.loads(point)[1]["time"] for point in some})


def lost(server: Server, ticks: Sequence[StoredTick]) -> set[str]:
    """Give the points of `ticks` that the server does not have."""
    return set(points(expected(ticks))) - set(points(stored(server)))


def await_arrival(running: Daemon, server: Server) -> list[StoredTick]:
    """Wait until all that is journalled by now has arrived, or will not any more; give those ticks."""
    ticks = running.await_ticks()
    server.await_answer()
    running.await_delivery(seconds=180)
    with suppress(TimeoutError):  # the test says what is missing
        wait_for(lambda: not lost(server, ticks), 30, "every point")
    return ticks


def gaps(ticks: Sequence[StoredTick]) -> list[int]:
    """Give the grid points without a tick."""
    taken = {tick.time for tick in ticks}
    return sorted(set(range(min(taken), max(taken))) - taken)


def is_excused(moment: int, absences: Sequence[Span]) -> bool:
    """Tell whether the sampler was away at a grid point, or was hit before its tick could be in the journal."""
    return any(began - TICK_SECONDS <= moment <= ended for began, ended in absences)


def own_count(ticks: Sequence[StoredTick]) -> int:
    """Sum up late_ticks_total, which begins anew with every life of the sampler."""
    counts = [tick.health[LATE] or 0 for tick in ticks]
    return sum(after - before if after >= before else after for before, after in pairwise(counts))


class Outcome(NamedTuple):
    """What went wrong, each with its grid points; `excused` did not."""

    lost: list[int]
    strange: list[int]  # in the database as it never was in the journal
    twice: int
    late: list[int]
    excused: int

    @property
    def is_flawless(self) -> bool:
        """Tell whether the database has what the journal has, and the journal every tick that it could."""
        return not (self.lost or self.strange or self.twice or self.late)


def outcome(
    awaited: Sequence[StoredTick], ticks: Sequence[StoredTick], arrived: Sequence[str], absences: Sequence[Span]
) -> Outcome:
    """Compare what the database has with the ticks of the journal, of which those `awaited` must have arrived."""
    late = [moment for moment in gaps(ticks) if not is_excused(moment, absences)]
    return Outcome(
        lost=times(set(points(expected(awaited))) - set(arrived)),
        strange=times(set(arrived) - set(points(expected(ticks)))),
        twice=len(arrived) - len(set(arrived)) + len(ticks) - len({tick.time for tick in ticks}),
        late=late,
        excused=len(gaps(ticks)) - len(late),
    )


@pytest.mark.parametrize(("kind", "api"), [VM_V2, INFLUXDB])
def test_nothing_is_lost_whatever_is_hit(kind: str, api: str, tmp_path: Path) -> None:
    """Kills and halts of sampler, shipper and database lose no point, make none twice, and no other tick late."""
    with (
        serving(kind, tmp_path) as server,
        daemon(tmp_path) as running,
        named_programs(b"a", b"b", b"c") as rules,
    ):
        configure(running, server, api, rules)
        running.start()
        running.await_ticks()
        hit, replaced = sampler(running), shipper(running)
        mayhem = Mayhem((hit, replaced, database(server)), SEED, stops_for_ever=(replaced,))
        mayhem.rage(MOMENTS)
        awaited = await_arrival(running, server)
        code, _ = running.stop()
        ticks, arrived = running.ticks(), points(stored(server))

    result = outcome(awaited, ticks, arrived, hit.absences)
    story = (
        f"TORTURE_SEED={SEED} {mayhem} ticks={len(ticks)} points={len(arrived)} own_late={own_count(ticks)} {result}"
    )
    print(f"\n{story}")  # noqa: T201 - for pytest -s
    assert code == 0
    assert result.is_flawless, f"{story} absences={hit.absences}"


@pytest.mark.victoriametrics
def test_a_shipper_that_stands_still_is_replaced(tmp_path: Path) -> None:
    """A shipper that was stopped and never continued is killed by its sampler, and another delivers everything."""
    with serving("victoriametrics", tmp_path) as server, daemon(tmp_path) as running:
        configure(running, server, "v2", [{"comm": "nobody-has-this"}])
        running.start()
        running.await_ticks()
        running.await_delivery()
        still = running.shipper_pid
        os.kill(still, signal.SIGSTOP)
        wait_for(lambda: running.find_shipper() not in {None, still}, 60, "another shipper")
        ticks = await_arrival(running, server)
        running.stop()

        assert not lost(server, ticks)
        assert gaps(running.ticks()) == []
