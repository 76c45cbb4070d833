"""A server that dies with points that it had accepted: they are sent again, because the journal still has them."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.journal.cursor import read_delivery
from psstopd.journal.writer import Journal
from tests.daemon import Daemon, daemon
from tests.samples import BOOT, journal_config, tick
from tests.servers import VictoriaMetrics, victoriametrics
from tests.waiting import wait_for


def times(server: VictoriaMetrics) -> set[object]:
    """Give the times of the daemon's own points that the server has."""
    return {row["time"] for row in server.points("psstopd")}


def fails(running: Daemon) -> bool:
    """Tell whether the shipper has noticed that the server is away."""
    delivery = read_delivery(str(running.journal))
    return delivery is not None and delivery.error is not None


@pytest.mark.victoriametrics
def test_what_a_server_lost_after_its_204_is_sent_again(tmp_path: Path) -> None:
    """VictoriaMetrics has accepted points in memory alone for seconds: killed then, it gets them once more."""
    with victoriametrics(tmp_path) as server, daemon(tmp_path) as running:
        running.configure(influxdb={"url": server.url, "bucket": "psstop", "flush_interval": "1s"})
        running.start()
        running.await_ticks(3)
        running.await_delivery()
        accepted = {tick.time for tick in running.ticks()}
        server.kill()
        wait_for(lambda: fails(running), 20, "a failure")
        shipper = running.shipper_pid
        os.kill(shipper, signal.SIGSTOP)  # until the loss has been seen
        server.start()
        lost = accepted - times(server)
        os.kill(shipper, signal.SIGCONT)
        wait_for(lambda: accepted <= times(server), 60, "the points that died with the server")
        running.await_delivery()
        every = {tick.time for tick in running.ticks()[:-1]}

        assert lost
        wait_for(lambda: every <= times(server), 30, "every tick")


@pytest.mark.victoriametrics
def test_a_crash_that_no_request_met_is_noticed(tmp_path: Path) -> None:
    """A server that is back before the next request has lost what it accepted last, and gets that once more."""
    with victoriametrics(tmp_path) as server, daemon(tmp_path) as running:
        running.configure(influxdb={"url": server.url, "bucket": "psstop", "flush_interval": "5s"})
        running.start()
        running.await_ticks(3)
        running.await_delivery()
        accepted = {tick.time for tick in running.ticks()}
        shipper = running.shipper_pid
        os.kill(shipper, signal.SIGSTOP)  # no request meets the crash
        server.kill()
        server.start()
        lost = accepted - times(server)
        os.kill(shipper, signal.SIGCONT)

        wait_for(lambda: accepted <= times(server), 30, "the points that died with the server")
        assert lost
        assert "not delivering" not in running.errors()


@pytest.mark.victoriametrics
def test_an_old_backlog_may_die_with_the_server_too(tmp_path: Path) -> None:
    """What counts is when the server accepted a tick, not how old the tick is."""
    now = int(time.time())
    with closing(Journal(journal_config(tmp_path / "journal.db"), boot_id=BOOT)) as journal:
        for moment in range(now - 4000, now - 3900):
            journal.append(tick(0, time=moment), delivered=None)
    with victoriametrics(tmp_path) as server, daemon(tmp_path) as running:
        running.configure(influxdb={"url": server.url, "bucket": "psstop", "flush_interval": "1s"})
        running.start()
        running.await_ticks(1)
        running.await_delivery()
        wait_for(lambda: now - 3901 in times(server), 20, "the backlog")
        server.kill()
        wait_for(lambda: fails(running), 20, "a failure")
        server.start()
        every = {tick.time for tick in running.ticks()}

        wait_for(lambda: every <= times(server), 60, "the points that died with the server")
