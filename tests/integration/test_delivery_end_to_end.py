"""From real processes to real servers: what the journal has is what arrives, whatever dies or lies on the way."""

import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS
from tests.daemon import Daemon, daemon
from tests.programs import HOSTILE, named_programs, random_name
from tests.servers import InfluxDB, Row, VictoriaMetrics, influxdb, victoriametrics
from tests.waiting import wait_for

LONG = "TORTURE" in os.environ  # a long run of what is short in CI
KILLS = 30 if LONG else 6
TAGS = {"host": "web1", "dc": "fra 1"}

VM_V2 = pytest.param("victoriametrics", "v2", marks=pytest.mark.victoriametrics, id="VictoriaMetrics-v2")
VM_V1 = pytest.param("victoriametrics", "v1", marks=pytest.mark.victoriametrics, id="VictoriaMetrics-v1")
INFLUXDB = pytest.param("influxdb", "v1", marks=pytest.mark.influxdb, id="InfluxDB-1")


@contextmanager
def serving(kind: str, directory: Path) -> Iterator[VictoriaMetrics | InfluxDB]:
    """Run a real server, with the database psstop where it needs one."""
    if kind == "victoriametrics":
        with victoriametrics(directory) as server:
            yield server
    else:
        with influxdb(directory) as database:
            database.create_database("psstop")
            yield database


def configure(running: Daemon, server: VictoriaMetrics | InfluxDB, api: str, **tables: Any) -> None:
    """Write a config that sends to `server` every second."""
    sink = {"url": server.url, "api": api, "bucket": "psstop", "flush_interval": "1s", "timeout": "5s"}
    running.configure(influxdb=sink, tags=TAGS, **tables)


def expected(ticks: Sequence[StoredTick], **tags: str) -> dict[str, list[Row]]:
    """Say what a server should hand out for ticks of the journal."""
    rows: dict[str, list[Row]] = {"psstop": [], "psstop_process": [], "psstopd": []}
    for tick in ticks:
        common: Row = {"time": tick.time, **TAGS, **tags}
        health = dict(zip(HEALTH_FIELDS, tick.health, strict=True))
        rows["psstopd"].append(present({**common, "up": 1, "names": len(tick.samples), **health}))
        for name, values in tick.samples:
            rows["psstop"].append(present({**common, "name": name, **dict(zip(SAMPLE_FIELDS, values, strict=True))}))
        for name, slot, values in tick.processes:
            fields = dict(zip(PROCESS_FIELDS, values, strict=True))
            rows["psstop_process"].append(present({**common, "name": name, "slot": str(slot), **fields}))
    return {measurement: in_order(points) for measurement, points in rows.items()}


def present(row: dict[str, Any]) -> Row:
    """Leave out what was not measured, as line protocol does."""
    return {key: value for key, value in row.items() if value is not None}


def in_order(rows: list[Row]) -> list[Row]:
    """Sort rows, so that two lists of them can be compared."""
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def stored(server: VictoriaMetrics | InfluxDB) -> dict[str, list[Row]]:
    """Read every point back."""
    return {name: in_order(server.points(name)) for name in ("psstop", "psstop_process", "psstopd")}


def await_random_moment() -> None:
    """Let a daemon come to a point that no test would think of."""
    moment = time.monotonic() + random.uniform(0.3, 2.5)  # noqa: S311 - no secret
    wait_for(lambda: time.monotonic() >= moment, 5, "a random moment")


@pytest.mark.parametrize(("kind", "api"), [VM_V2, VM_V1, INFLUXDB])
def test_the_server_has_what_the_journal_has(kind: str, api: str, tmp_path: Path) -> None:
    """Every field of every tick arrives as journalled, under the very names, however hostile, and nothing besides."""
    names = [*HOSTILE, random_name(), random_name()]
    with serving(kind, tmp_path) as server, daemon(tmp_path) as running, named_programs(*names) as rules:
        configure(running, server, api, names=[], watch=rules, sampling={"top_processes": 2})
        running.start()
        running.await_ticks(2)
        running.await_delivery()
        code, _ = running.stop()
        database = {"db": "psstop"} if (kind, api) == ("victoriametrics", "v1") else {}

        assert code == 0
        assert stored(server) == expected(running.ticks(), **database)
        assert {len(tick.samples) for tick in running.ticks()} == {len(names)}
        assert {values[SAMPLE_FIELDS.index("processes")] for _, values in running.ticks()[-1].samples} == {1}
        assert "\x1b" not in running.errors()


@pytest.mark.parametrize(("kind", "api"), [VM_V2, INFLUXDB])
def test_a_killed_daemon_loses_nothing(kind: str, api: str, tmp_path: Path) -> None:
    """SIGKILL at any moment: every tick that the journal committed arrives, and InfluxDB has each point once."""
    with serving(kind, tmp_path) as server, daemon(tmp_path) as running, named_programs(b"a", b"b") as rules:
        configure(running, server, api, names=[], watch=rules)
        for _ in range(KILLS):
            running.start()
            await_random_moment()
            running.kill()
        running.start()
        running.await_ticks()
        running.await_delivery()
        running.stop()
        ticks = running.ticks()

        assert len({tick.time for tick in ticks}) == len(ticks) >= KILLS
        assert stored(server) == expected(ticks)


@pytest.mark.victoriametrics
def test_a_server_that_was_down_from_the_start_gets_everything(tmp_path: Path) -> None:
    """Without a server psstop samples; `status` and one line in the log say so, and later all of it is delivered."""
    with victoriametrics(tmp_path) as server, daemon(tmp_path) as running:
        server.stop()
        configure(running, server, "v2")
        running.start()
        running.await_log("not delivering, keeping everything: ConnectionRefusedError")
        running.await_ticks(2)
        error = running.status()["last_error"]
        server.start()
        running.await_log("delivering again")
        running.await_delivery()
        running.stop()

        assert error == "ConnectionRefusedError: connection refused"
        assert running.errors().count("not delivering") == 1
        assert stored(server) == expected(running.ticks())
