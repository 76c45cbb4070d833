"""The daemon while it runs: a changed config, a missing one, a shipper that is killed or stands still."""

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from psstopd.journal.schema import HEALTH_FIELDS
from tests.daemon import Daemon, daemon, lives, stand_still
from tests.faultserver import Fault, FaultServer, Reply, fault_server
from tests.waiting import wait_for

LATE = HEALTH_FIELDS.index("late_ticks_total")


def sink(server: FaultServer, **changes: Any) -> dict[str, Any]:
    """Give an [influxdb] table for `server` with a send every second."""
    return {"url": server.url, "bucket": "b", "flush_interval": "1s", "timeout": "2s"} | changes


def names(running: Daemon) -> list[str]:
    """Give the names in the newest tick."""
    return [name for name, _ in running.ticks()[-1].samples]


def assert_undisturbed(running: Daemon) -> None:
    """Every second has its tick, and none was late."""
    ticks = running.ticks()
    assert {after.time - before.time for before, after in pairwise(ticks)} <= {1}
    assert {tick.health[LATE] for tick in ticks} == {0}


def test_sighup_takes_a_changed_config(tmp_path: Path) -> None:
    """Other names are watched from the next tick on, without a gap."""
    with daemon(tmp_path) as running:
        running.configure(names=["one"])
        running.start()
        running.await_ticks(2)
        running.configure(names=["two", "three"])
        running.reload()
        running.await_log("reloaded: rules=2 interval_seconds=1")
        running.await_ticks()

        assert names(running) == ["two", "three"]
        assert_undisturbed(running)


@pytest.mark.parametrize("fault", ["bad", "missing"])
def test_sighup_refuses_what_it_cannot_use(fault: str, tmp_path: Path) -> None:
    """A bad file, or none, is logged with its cure; the daemon goes on as before and takes the mended one later."""
    with daemon(tmp_path) as running:
        running.configure(names=["one"])
        running.start()
        running.await_ticks()
        running.config.write_text("nmaes = []") if fault == "bad" else running.config.unlink()
        running.reload()
        running.await_log("reload refused, going on with the old config:\n" + str(running.config))
        running.await_ticks()
        unchanged = names(running)
        running.configure(names=["two"])
        running.reload()
        running.await_log("reloaded: ")
        running.await_ticks()

        assert (unchanged, names(running)) == (["one"], ["two"])
        assert ("did you mean names?" if fault == "bad" else "no such file") in running.errors()
        assert_undisturbed(running)


def test_another_journal_needs_a_restart(tmp_path: Path) -> None:
    """A reload with another journal path is refused in words, as a whole."""
    with daemon(tmp_path) as running:
        running.configure(names=["one"])
        running.start()
        running.await_ticks()
        running.configure(names=["two"], journal={"path": str(tmp_path / "other.db")})
        running.reload()
        running.await_log("other.db: another journal needs a restart")
        running.await_ticks()

        assert names(running) == ["one"]


def test_a_config_larger_than_a_pipe_is_taken(tmp_path: Path) -> None:
    """Thousands of names, more than a pipe holds, are reloaded and handed to the shipper like any others."""
    many = [f"program-{number:05d}" for number in range(1500)]
    with fault_server() as server, daemon(tmp_path) as running:
        running.configure(names=["one"])
        running.start()
        running.await_ticks()
        running.configure(names=many, influxdb=sink(server))
        running.reload()
        running.await_log("reloaded: rules=1500")
        running.await_ticks()
        running.await_delivery()

        assert names(running) == many
        assert_undisturbed(running)


def test_the_last_of_many_reloads_counts(tmp_path: Path) -> None:
    """A file that changes again while it is being read is read again."""
    with daemon(tmp_path) as running:
        running.configure(names=["one"])
        running.start()
        running.await_ticks()
        for number in range(4):
            running.configure(names=[f"name-{number}"])
            running.reload()
        running.await_log("reloaded: ", count=2)
        running.await_ticks()

        assert names(running) == ["name-3"]


def test_the_interval_may_change(tmp_path: Path) -> None:
    """Ticks lie on the new grid from the next point on."""
    with daemon(tmp_path) as running:
        running.configure()
        running.start()
        before = running.await_ticks()
        running.configure(sampling={"interval": "2s"})
        running.reload()
        running.await_log("interval_seconds=2")
        after = running.await_ticks(2)[len(before) :]

    assert {tick.time % 2 for tick in after[-2:]} == {0}
    assert after[-1].time - after[-2].time == 2
    assert {tick.health[LATE] for tick in after} == {0}


def test_a_server_may_come_and_go(tmp_path: Path) -> None:
    """An [influxdb] section added at run time starts a shipper, which sends the past too; without it there is none."""
    with fault_server() as server, daemon(tmp_path) as running:
        running.configure()
        running.start()
        first, *_ = running.await_ticks(2)
        alone = running.find_shipper()
        running.configure(influxdb=sink(server))
        running.reload()
        shipper = running.shipper_pid
        running.await_delivery()
        running.configure()
        running.reload()
        wait_for(lambda: not lives(shipper), 5, "the end of the shipper")
        running.await_ticks()

        assert alone is None
        assert f" {first.time}".encode() in server.requests[0].body
        assert running.find_shipper() is None
        assert "shipper ended" not in running.errors()
        assert_undisturbed(running)


def test_another_server_waits_for_nothing(tmp_path: Path) -> None:
    """A shipper that hangs in a request makes no tick late when it is replaced, and the new one has what it had not."""
    with (
        fault_server(default=Reply(fault=Fault.SILENCE)) as silent,
        fault_server() as server,
        daemon(tmp_path) as running,
    ):
        running.configure(influxdb=sink(silent, timeout="1m"))
        running.start()
        wait_for(lambda: silent.requests, 10, "a request in flight")
        stand_still(running.shipper_pid)
        running.configure(influxdb=sink(server))
        running.reload()
        running.await_delivery()
        running.await_ticks(2)

        assert len(server.requests) >= 1
        assert_undisturbed(running)


def test_a_killed_shipper_is_started_again(tmp_path: Path) -> None:
    """The shipper's death costs no sample and no point; the log says what happened and when it goes on."""
    with fault_server() as server, daemon(tmp_path) as running:
        running.configure(influxdb=sink(server))
        running.start()
        running.await_ticks()
        first = running.shipper_pid
        os.kill(first, signal.SIGKILL)
        running.await_log("shipper ended: exit_code=-9, next_start_in_seconds=1")
        second = running.shipper_pid
        running.await_ticks()
        running.await_delivery()

        assert second != first
        assert_undisturbed(running)


def test_a_shipper_is_started_again_between_ticks(tmp_path: Path) -> None:
    """With a tick an hour the next shipper comes after seconds all the same: the watchdog's rhythm wakes the daemon."""
    with fault_server() as server, daemon(tmp_path, environ={"WATCHDOG_USEC": "2000000"}) as running:
        running.configure(influxdb=sink(server), sampling={"interval": "1h"})
        running.start()
        running.await_ticks()
        first = running.shipper_pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: running.find_shipper() not in {None, first}, 5, "another shipper")
        ticks = running.ticks()

    assert len(ticks) == 1


def test_a_stopped_shipper_disturbs_nothing(tmp_path: Path) -> None:
    """A shipper that stands still holds up neither samples nor the stop, and is not left behind."""
    with fault_server() as server, daemon(tmp_path) as running:
        running.configure(influxdb=sink(server))
        running.start()
        running.await_ticks()
        shipper = running.shipper_pid
        stand_still(shipper)
        running.await_ticks(3)
        code, seconds = running.stop()
        print(f"stopped in {seconds:.2f} s with a shipper that stands still")  # noqa: T201 - for pytest -s

    assert (code, seconds < 2, lives(shipper)) == (0, True, False)
    assert_undisturbed(running)


def test_a_reload_that_hangs_is_not_left_behind(tmp_path: Path) -> None:
    """A config on a pipe that nobody writes to disturbs no tick, and its reader ends with the daemon."""
    with daemon(tmp_path) as running:
        running.configure()
        running.start()
        running.await_ticks()
        running.config.unlink()
        os.mkfifo(running.config)
        running.reload()
        reader = wait_for(running.find_reader, 5, "the reader of the config")
        running.await_ticks(2)
        code, seconds = running.stop()

    assert (code, seconds < 2, lives(reader)) == (0, True, False)
    assert_undisturbed(running)
