"""Servers that are wrong, silent or closed, and readers that leave: nothing is late, nothing is lost, nothing leaks."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from line_protocol_parser import parse_line

from psstopd.delivery.lineprotocol import Encoder
from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS
from tests.daemon import Daemon, daemon, lives
from tests.faultserver import Fault, FaultServer, Reply, fault_server
from tests.programs import HOSTILE, named_programs
from tests.waiting import wait_for

LONG = "TORTURE" in os.environ  # a long run of what is short in CI
SILENT_TICKS = 300 if LONG else 20
LATE = HEALTH_FIELDS.index("late_ticks_total")
TOKEN = "sesame-open-5c1f"


@contextmanager
def sending(directory: Path, server: FaultServer, **sink: Any) -> Iterator[Daemon]:
    """Run a daemon that sends to `server` every second, with little patience."""
    with daemon(directory) as running:
        table = {"url": server.url, "bucket": "b", "flush_interval": "1s", "timeout": "2s"} | sink
        running.configure(influxdb=table, tags={"host": "web1"})
        running.start()
        yield running


def lines_of(ticks: Sequence[StoredTick]) -> list[str]:
    """Say in which lines ticks of the journal leave the house."""
    return [line for tick in ticks for line in Encoder("web1", {}).lines(tick)]


def received(server: FaultServer, since: int) -> set[str]:
    """Give the lines of all requests after the first `since`."""
    return {line for request in server.requests[since:] for line in request.body.decode().splitlines()}


def test_a_server_that_swallows_packets_makes_nothing_late(tmp_path: Path) -> None:
    """In front of a black hole every second has its tick, a stop takes under two seconds, and later all arrives."""
    with fault_server(default=Reply(fault=Fault.SILENCE)) as server, sending(tmp_path, server) as running:
        ticks = running.await_ticks(SILENT_TICKS)
        running.stop()
        asked = len(server.requests)
        running.start()
        wait_for(lambda: len(server.requests) > asked, 10, "a request in flight")
        stopped, seconds = running.stop()
        late = {tick.health[LATE] for tick in running.ticks()}
        steps = {after.time - before.time for before, after in pairwise(ticks)}
        print(f"stopped in {seconds:.2f} s with a request in flight")  # noqa: T201 - for pytest -s
        server.default = Reply()
        answered = len(server.requests)
        running.start()
        running.await_ticks()
        running.await_delivery()
        running.stop()

    assert (stopped, late, steps) == (0, {0}, {1})
    assert seconds < 2
    assert received(server, answered) == set(lines_of(running.ticks()))


def test_a_server_that_is_mended_gets_everything(tmp_path: Path) -> None:
    """500, 401, 404: `status` says what stands in the way, the log has a line for each change, and nothing is lost."""
    with fault_server(default=Reply(500, b"trouble")) as server, sending(tmp_path, server) as running:
        running.await_log("status 500 trouble")
        server.default = Reply(401)
        running.await_log("status 401")
        server.default = Reply(404)
        running.await_log("status 404")
        error = running.status()["last_error"]
        shown = running.run("status").stdout
        server.default = Reply()
        refused = len(server.requests)
        running.await_log("delivering again")
        running.await_delivery()
        running.stop()

    assert error == "status 404"
    assert "status 404" in shown
    assert running.errors().count("not delivering") == 3
    assert received(server, refused) == set(lines_of(running.ticks()))


def test_hostile_answers_stay_words(tmp_path: Path) -> None:
    """A server that answers with terminal sequences and line ends gets neither into the log nor into `status`."""
    body = "\x1b[2J\n<3>forged\r\u202e日本".encode() * 50
    with fault_server(default=Reply(500, body)) as server, sending(tmp_path, server) as running:
        running.await_log("not delivering")
        status = running.run("status").stdout
        running.stop()

    assert "\x1b" not in running.errors() + status
    assert not [line for line in running.errors().splitlines() if line.startswith("<3>")]
    assert r"\x1b[2J\x0a<3>forged\x0d\u202e" in status


def test_a_clock_that_is_not_the_servers_is_said(tmp_path: Path) -> None:
    """A host two days ahead of its server is told so in the log, in `status` and to systemd: its points may be lost."""
    behind = Reply(headers={"Date": formatdate(time.time() - 3 * 86400, usegmt=True)})
    with fault_server(default=behind) as server, sending(tmp_path, server) as running:
        running.await_log("this host's clock is not the server's, which may drop points: ahead_seconds=")
        words = running.run("status").stdout
        ahead = running.status()["clock_ahead_s"]
        server.default = Reply(headers={"Date": formatdate(time.time(), usegmt=True)})
        running.await_log("this host's clock agrees with the server's again")
        running.stop()

    assert "clock      3 d ahead of the server's, which may drop points silently: set it right\n" in words
    assert ahead == pytest.approx(3 * 86400, abs=30)


def test_a_request_that_drips_is_shown_as_the_failure_that_it_is(tmp_path: Path) -> None:
    """The shipper that its deadline ended can't say why: the next one does, so that `status` shows it."""
    dripping = Reply(200, b"x" * 1000, drip_seconds=0.2)
    with fault_server(default=dripping) as server, sending(tmp_path, server, timeout="1s") as running:
        running.await_log("shipper ended: a request was over its deadline")
        wait_for(lambda: running.status()["last_error"] == "no answer in 3 s", 20, "the reason in status")
        server.default = Reply()
        running.await_delivery()
        error = running.status()["last_error"]
        running.stop()

    assert error is None


def test_the_token_is_seen_nowhere(tmp_path: Path) -> None:
    """The server gets the token; log, status, process list, environment, check-config and journal never have it."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    echo = Reply(401, f"bad token {TOKEN}".encode())
    with fault_server(default=echo) as server, sending(tmp_path, server, token_file=str(token_file)) as running:
        running.await_log("not delivering")
        pids = (running.pid, running.shipper_pid)
        visible = [Path(f"/proc/{pid}/{name}").read_bytes() for pid in pids for name in ("cmdline", "environ")]
        commands = [running.run("status"), running.run("status", "--json"), running.run("check-config", "--connect")]
        running.stop()

    assert server.requests[0].headers["authorization"] == f"Token {TOKEN}"
    assert TOKEN.encode() not in b"".join(visible)
    assert TOKEN not in running.errors() + "".join(command.stdout + command.stderr for command in commands)
    files = [file for file in (*tmp_path.glob("journal*"), *tmp_path.glob("journal*/*")) if file.is_file()]
    assert len(files) > 1
    assert not [file for file in files if TOKEN.encode() in file.read_bytes()]


def test_a_token_in_the_config_leaves_no_file_behind(tmp_path: Path) -> None:
    """What the daemon hands to its shipper is gone once it has been read: no descriptor of either holds the token."""
    with fault_server() as server, sending(tmp_path, server, token=TOKEN) as running:
        running.await_ticks()
        running.await_delivery()
        descriptors = [fd for pid in (running.pid, running.shipper_pid) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        held = [fd.read_bytes() for fd in descriptors if "memfd:" in str(fd.readlink())]

        assert held == [b""]


def test_a_token_file_may_change(tmp_path: Path) -> None:
    """A token that is mended while the daemon runs is used without a reload, and an empty one sends nothing."""
    token_file = tmp_path / "token"
    token_file.write_text("wrong")
    with (
        fault_server(default=Reply(401)) as server,
        sending(tmp_path, server, token_file=str(token_file)) as running,
    ):
        running.await_log("status 401")
        token_file.write_text("")
        running.await_log(f"token_file {token_file}: empty")
        refused = len(server.requests)
        server.default = Reply()
        token_file.write_text(TOKEN)
        running.await_log("delivering again")

    assert {request.headers["authorization"] for request in server.requests[refused:]} == {f"Token {TOKEN}"}


def test_standard_output_has_the_same_lines(tmp_path: Path) -> None:
    """`--stdout` prints every tick from the first one on, in line protocol that another implementation can read."""
    with daemon(tmp_path, "--stdout") as running, named_programs(*HOSTILE) as rules:
        running.configure(names=[], watch=rules, tags={"host": "web1"})
        running.start()
        ticks = running.await_ticks(3)
        wait_for(lambda: str(ticks[-1].time) in running.output.read_text(), 5, "the newest tick on standard output")
        code, seconds = running.stop()
        printed = running.output.read_text().splitlines()
        read_back = {parse_line(line)["tags"].get("name") for line in printed}

    assert (code, seconds < 2) == (0, True)
    assert printed == lines_of(running.ticks())
    assert len(read_back) == len(HOSTILE) + 1


@pytest.mark.parametrize("reader_leaves", ["at once", "later"])
def test_a_reader_that_leaves_ends_the_daemon(reader_leaves: str, tmp_path: Path) -> None:
    """When nobody reads standard output any more, the daemon ends with 74 and without a word too many."""
    read, write = os.pipe()
    with daemon(tmp_path, "--stdout") as running:
        running.configure()
        running.start(stdout=write)
        os.close(write)
        if reader_leaves == "later":
            assert os.read(read, 1)
        os.close(read)
        code = running.wait()

    assert code == 74
    assert running.ticks()
    assert [line.split()[3] for line in running.errors().splitlines()] == ["started:", "not", "stopped:"]


def test_a_slow_reader_gets_whole_lines(tmp_path: Path) -> None:
    """A full pipe holds up neither ticks nor the stop, and what was printed are whole lines but for the last."""
    read, write = os.pipe()
    with daemon(tmp_path, "--stdout") as running:
        running.configure(names=[f"name-{number}" for number in range(300)], tags={"host": "web1"})
        running.start(stdout=write)
        os.close(write)
        ticks = running.await_ticks(4)
        code, seconds = running.stop()
        with os.fdopen(read) as pipe:
            *whole, _ = pipe.read().split("\n")

    assert (code, seconds < 2) == (0, True)
    assert {tick.health[LATE] for tick in ticks} == {0}
    assert whole == lines_of(running.ticks())[: len(whole)]


def test_the_shipper_dies_with_its_daemon(tmp_path: Path) -> None:
    """However the sampler ends, no process of it stays behind, not even one in the middle of a request."""
    with fault_server(default=Reply(fault=Fault.SILENCE)) as server, sending(tmp_path, server) as running:
        shipper = running.shipper_pid
        wait_for(lambda: server.requests, 10, "a request in flight")
        running.kill()

        wait_for(lambda: not lives(shipper), 5, "the end of the shipper")


def test_a_shipper_whose_daemon_has_gone_does_not_begin(tmp_path: Path) -> None:
    """A daemon that dies while its shipper is being started leaves none behind: another process is its parent then."""
    with daemon(tmp_path) as stranger:
        command = [*stranger.command[:2], "psstopd.cli.shipper", "1"]
        done = subprocess.run(command, input=b"{}", capture_output=True, timeout=20, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
