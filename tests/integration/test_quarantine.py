"""Lines that a real InfluxDB refuses while it takes others: set aside, shown, sent again, and none of them lost."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.journal.cursor import cursor_path, read_delivery
from psstopd.journal.quarantine import Quarantine
from tests.daemon import Daemon, clean_environ, daemon
from tests.servers import InfluxDB, influxdb
from tests.waiting import wait_for

pytestmark = pytest.mark.influxdb

# In InfluxDB a field has one type: from here on the measurement psstop takes no integer pss_bytes.
CONFLICT = b"psstop,host=other,name=other pss_bytes=1.5"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxDB]:
    """Give an InfluxDB whose database refuses every point of psstop, and none of psstopd."""
    with influxdb(tmp_path) as database:
        database.create_database("psstop")
        database.request("/write", {"db": "psstop"}, data=CONFLICT)
        yield database


@pytest.fixture
def refused(tmp_path: Path, server: InfluxDB) -> Iterator[Daemon]:
    """Give a daemon that has set some lines aside."""
    with daemon(tmp_path) as running:
        sink = {"url": server.url, "api": "v1", "bucket": "psstop", "flush_interval": "1s"}
        running.configure(influxdb=sink)
        running.start()
        running.await_ticks(2)
        running.await_delivery()
        yield running


def quarantine(running: Daemon, *arguments: str) -> str:
    """Run `psstopd quarantine` on the daemon's config; give what it prints."""
    command = [sys.executable, "-m", "psstopd.cli.daemon", "quarantine", *arguments, "--config", str(running.config)]
    return subprocess.run(command, env=clean_environ(), capture_output=True, text=True, check=True).stdout


def lines(running: Daemon) -> list[str]:
    """Give what is set aside."""
    with closing(Quarantine(cursor_path(str(running.journal)))) as aside:
        return [row.line for row in aside.rows()]


def test_refused_lines_do_not_hold_up_the_others(refused: Daemon, server: InfluxDB) -> None:
    """What the server takes arrives, what it refuses is kept with its reason, counted and logged."""
    ticks = {tick.time for tick in refused.ticks()}
    wait_for(lambda: ticks <= {row["time"] for row in server.points("psstopd")}, 20, "the daemon's own points")
    delivery = read_delivery(str(refused.journal))

    assert delivery is not None
    assert delivery.quarantined_total >= len(ticks)
    assert all(line.startswith("psstop,") for line in lines(refused))
    assert "field type conflict" in quarantine(refused, "list")
    assert quarantine(refused, "export").splitlines()[: len(ticks)] == lines(refused)[: len(ticks)]
    assert "set aside" in refused.errors()


def test_lines_are_sent_again_when_the_server_is_mended(refused: Daemon, server: InfluxDB) -> None:
    """After a retry every journalled tick is at the server, and nothing is set aside any more."""
    server.query("DROP DATABASE psstop")
    server.create_database("psstop")
    answer = quarantine(refused, "retry")
    wait_for(lambda: not lines(refused), 20, "an empty quarantine")
    ticks = {tick.time for tick in refused.ticks()}
    refused.await_delivery()

    assert answer.endswith(" will be sent again with the next delivery\n")
    assert ticks <= {row["time"] for row in server.points("psstop")}


def test_what_is_dropped_is_gone(refused: Daemon) -> None:
    """Drop removes the lines that are named, and without names all."""
    refused.stop()
    before = lines(refused)

    one = quarantine(refused, "drop", "1")
    after_one = lines(refused)
    quarantine(refused, "drop")

    assert one == "1 line dropped\n"
    assert after_one == before[1:]
    assert lines(refused) == []


def test_without_a_server_nothing_is_set_aside(tmp_path: Path) -> None:
    """Who asks a daemon that never sent anything is told so, and it is no error."""
    with daemon(tmp_path) as running:
        running.configure()

        assert [quarantine(running, action) for action in ("list", "export", "retry", "drop")] == [""] * 4
