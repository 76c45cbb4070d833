"""`psstopd ship` beside `psstopd run --no-shipper`, as the two services run them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from psstopd import exits
from tests.daemon import Daemon, daemon, lives, stand_still
from tests.faultserver import FaultServer, fault_server
from tests.waiting import wait_for


def sink(server: FaultServer, **changes: Any) -> dict[str, Any]:
    """Give an [influxdb] table for `server` with a send every second."""
    return {"url": server.url, "bucket": "b", "flush_interval": "1s", "timeout": "1s"} | changes


@contextmanager
def both(directory: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """Give a sampler and a keeper, neither of them started, with one config and one journal."""
    with daemon(directory, "--no-shipper") as sampler, daemon(directory, subcommand="ship") as keeper:
        yield sampler, keeper


def test_what_nobody_ships_is_kept_and_counted(tmp_path: Path) -> None:
    """Without a shipper points wait, and everybody says so; one that comes later sends all of them."""
    with fault_server() as server, both(tmp_path) as (sampler, keeper):
        sampler.configure(influxdb=sink(server))
        sampler.start()
        sampler.await_ticks(2)
        alone, words = sampler.status(), sampler.run("status").stdout
        keeper.start()
        sampler.await_delivery()
        wait_for(lambda: sampler.status()["self_pss_bytes"] > 2 * alone["self_pss_bytes"], 5, "the cost of all three")
        together = sampler.status()

    assert (alone["shipping"], alone["pending_points"]) == (False, 2)
    assert "shipper    not running: systemctl start psstop-shipper" in words
    assert "no shipper runs, keeping everything: systemctl start psstop-shipper" in sampler.errors()
    assert (together["shipping"], together["last_error"]) == (True, None)


@pytest.mark.parametrize("subcommand", ["ship", "run"])
def test_a_second_shipper_is_refused(subcommand: str, tmp_path: Path) -> None:
    """Two that move one cursor would lose points: who comes second says who is there, and ends with its own code."""
    with fault_server() as server, both(tmp_path) as (_, keeper):
        keeper.configure(influxdb=sink(server))
        keeper.start()
        keeper.await_log("started:")
        second, words = keeper.run(subcommand), f"journal-delivery: in use by another psstopd (pid {keeper.pid})"

    assert second.returncode == exits.LOCKED
    assert words in second.stderr


def test_a_sampler_with_a_shipper_of_its_own_keeps_others_out(tmp_path: Path) -> None:
    """The child of a plain `psstopd run` counts as well, also when a reload has brought it."""
    with fault_server() as server, daemon(tmp_path) as running:
        running.configure()
        running.start()
        running.await_ticks()
        running.configure(influxdb=sink(server))
        running.reload()
        assert lives(running.shipper_pid)
        second = running.run("ship")

    assert second.returncode == exits.LOCKED


def test_without_a_server_there_is_nothing_to_ship(tmp_path: Path) -> None:
    """It says so in one line and ends well."""
    with both(tmp_path) as (_, keeper):
        keeper.configure()
        done = keeper.run("ship")

    assert done.returncode == exits.OK
    assert "nothing to ship: the config has no [influxdb] section" in done.stderr


def test_the_journal_may_come_later(tmp_path: Path) -> None:
    """A keeper without a journal waits without a word and without a shipper, and stops at once."""
    with fault_server() as server, both(tmp_path) as (sampler, keeper):
        keeper.configure(influxdb=sink(server))
        keeper.start()
        keeper.await_log("started:")
        code, seconds = keeper.stop()
        keeper.start()
        keeper.await_log("started:", count=2)
        early = keeper.find_shipper()
        sampler.start()
        sampler.await_ticks()
        sampler.await_delivery()

    assert (code, seconds < 1, early) == (0, True, None)
    assert "WARNING" not in keeper.errors()


def test_a_shipper_that_stands_still_is_replaced(tmp_path: Path) -> None:
    """The keeper listens to its pulse as a sampler does."""
    with fault_server() as server, both(tmp_path) as (sampler, keeper):
        sampler.configure(influxdb=sink(server))
        sampler.start()
        sampler.await_ticks()
        keeper.start()
        still = keeper.shipper_pid
        stand_still(still)
        wait_for(lambda: keeper.find_shipper() not in {None, still}, 30, "another shipper")
        sampler.await_delivery()

    assert "shipper killed: no progress for 1" in keeper.errors()


def test_a_bad_config_is_refused_by_both(tmp_path: Path) -> None:
    """A reload that can't be used changes nothing; the next one is taken over."""
    with fault_server() as server, both(tmp_path) as (sampler, keeper):
        sampler.configure(influxdb=sink(server))
        sampler.start()
        sampler.await_ticks()
        keeper.start()
        shipper = keeper.shipper_pid
        for change, outcome in (({"bukket": "b"}, "reload refused"), ({"bucket": "c"}, "reloaded: ")):
            assert keeper.find_shipper() == shipper
            sampler.configure(influxdb=sink(server, **change))
            for running in (sampler, keeper):
                running.reload()
                running.await_log(outcome)
        wait_for(lambda: keeper.find_shipper() not in {None, shipper}, 10, "another shipper")
        sampler.await_ticks()
        sampler.await_delivery()

    assert server.requests[-1].query["bucket"] == "c"


def test_the_sampler_takes_no_notice_of_the_token(tmp_path: Path) -> None:
    """What only the shipper may read is none of its business, at the start and in a reload."""
    with fault_server() as server, both(tmp_path) as (sampler, keeper):
        sampler.configure(influxdb=sink(server, token_file="/not/there", cert_file="/nor/there"))
        sampler.start()
        sampler.await_ticks()
        sampler.reload()
        sampler.await_log("reloaded: ")
        refused = keeper.run("ship")

    assert refused.returncode == exits.CONFIG
    assert "influxdb.token_file" in refused.stderr
