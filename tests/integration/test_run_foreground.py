"""`psstopd run` in front of a person: live lines on a terminal, Ctrl-C, and the commands that it names at the end."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon import Daemon, children, cmdline, daemon, lives
from tests.faultserver import Fault, Reply, fault_server
from tests.programs import named_programs
from tests.terminal import terminal
from tests.waiting import wait_for

PSSTOPD = (sys.executable, "-m", "psstopd.cli.daemon")
TICK = "  PSS "
UNPRIVILEGED = ("setpriv", "--bounding-set=-sys_ptrace,-perfmon,-sys_admin", *PSSTOPD)


def foreground(running: Daemon) -> tuple[str, ...]:
    """Give the command that a person types."""
    return (*PSSTOPD, "run", "--config", str(running.config))


def test_a_line_for_each_tick_within_the_width(tmp_path: Path) -> None:
    """Names, processes and as many of the largest programs as fit are on one line, a second a line."""
    with daemon(tmp_path) as running, named_programs(*(b"program-%d" % number for number in range(8))) as rules:
        running.configure(names=[], watch=rules)
        with terminal(*foreground(running), columns=80) as shown:
            lines = shown.await_lines(TICK, 3)

    assert all(len(line) <= 80 for line in lines), lines
    assert all(
        re.match(r"\d\d:\d\d:\d\d  8 names  8 processes  PSS [0-9.]+ [KM]iB  program-.*[B)]$", line) for line in lines
    )


def test_changes_are_shown(tmp_path: Path) -> None:
    """What grew since the last line has the difference behind it."""
    with daemon(tmp_path) as running:
        running.configure(names=["psstopd"])
        with terminal(*foreground(running), columns=200) as shown:
            first, *_ = shown.await_lines(TICK, 1)
            (changed, *_) = shown.await_lines(" (+", 1)

    assert re.search(r"psstopd [0-9.]+ [KM]iB$", first)
    assert re.search(r"psstopd [0-9.]+ [KM]iB \(\+[0-9.]+ [KM]?i?B\)$", changed)


def test_ctrl_c_ends_it_and_the_commands_it_names_work(tmp_path: Path) -> None:
    """Ctrl-C stops within two seconds, a request in flight or not, and what is said then can be typed as it is."""
    with (
        fault_server(default=Reply(fault=Fault.SILENCE)) as server,
        daemon(tmp_path) as running,
        named_programs(b"';exit 3;'") as rules,
    ):
        sink = {"url": server.url, "bucket": "b", "flush_interval": "1s"}
        running.configure(names=[], watch=rules, influxdb=sink)
        with terminal(*foreground(running)) as shown:
            shown.await_lines(TICK, 2)
            wait_for(lambda: server.requests, 10, "a request in flight")
            code, seconds = shown.end()
            *_, history, sqlite = [line.strip() for line in shown.await_lines("  ", 4)]
            goodbye = shown.shown()

    samples, rows = (
        subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout.splitlines()
        for command in (history, sqlite)
    )
    assert (code, seconds < 2) == (0, True)
    assert f"stopped. Everything is in {running.journal}; look at it with" in goodbye
    assert "Traceback" not in goodbye
    assert len(samples) == len(rows) + 1 == len(running.ticks()) + 1


@pytest.mark.root
def test_an_unreadable_process_is_explained_once(tmp_path: Path) -> None:
    """Every line counts what could not be read; the reason and its cure come once."""
    name = f"denied-{os.urandom(3).hex()}"
    theirs = ["sh", "-c", f"printf {name} >/proc/self/comm; read _"]
    with daemon(tmp_path) as running, subprocess.Popen(theirs, user="nobody", stdin=subprocess.PIPE):
        running.configure(names=[name])
        with terminal(*UNPRIVILEGED, *foreground(running)[3:], columns=200) as shown:
            shown.await_lines("  1 unreadable", 3)
            explained = shown.await_lines("  unreadable (denied): not permitted: root needs CAP_PERFMON", 1)

    assert len(explained) == 1


def test_a_closed_window_ends_it(tmp_path: Path) -> None:
    """When the terminal is gone, so is the daemon, and the journal has what was shown."""
    with daemon(tmp_path) as running:
        running.configure()
        with terminal(*foreground(running)) as shown:
            shown.await_lines(TICK, 2)
            shown.hang_up()
            wait_for(lambda: shown.process.poll() is not None, 5, "the end of the daemon")

    assert len(running.ticks()) >= 2


def test_without_a_terminal_there_are_log_lines_only(tmp_path: Path) -> None:
    """Into a file go the lines that a log needs: started, stopped, and nothing for a tick."""
    with daemon(tmp_path) as running:
        running.configure(names=["psstopd"])
        running.start()
        running.await_ticks(3)
        code, seconds = running.stop(signal.SIGINT)

    started, stopped = running.errors().splitlines()
    assert (code, seconds < 2) == (0, True)
    assert re.search(r" INFO started: version=\S+ rules=1 interval_seconds=1 journal=\S+ sink=none$", started)
    assert stopped.endswith(f" INFO stopped: journal={running.journal}")


@pytest.mark.parametrize("early", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_in_the_first_moments_is_obeyed(early: signal.Signals, tmp_path: Path) -> None:
    """Before the sampler listens, while it is still being loaded, SIGHUP ends nothing and Ctrl-C shows no traceback."""
    with daemon(tmp_path) as running:
        running.configure()
        running.start()
        wait_for(lambda: b"psstopd.cli.sampler" in cmdline(running.pid), 10, "the sampler's interpreter")
        os.kill(running.pid, early)
        if early == signal.SIGHUP:
            running.await_log("reloaded: ")
            os.kill(running.pid, signal.SIGTERM)
        code = running.wait()

    assert code == 0
    assert "Traceback" not in running.errors()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """After a stop there is no process and no file but the journal's own."""
    with daemon(tmp_path) as running:
        running.configure(influxdb={"url": "http://127.0.0.1:1", "bucket": "b"})
        running.start()
        running.await_ticks()
        family = [running.shipper_pid, *children(running.pid)]
        running.stop()

    assert not [pid for pid in family if lives(pid)]
    assert sorted(file.name for file in tmp_path.glob("journal*")) == [
        "journal-delivery",
        "journal-delivery.lock",
        "journal.db",
        "journal.db.lock",
    ]
    assert [file.name for file in (tmp_path / "journal-delivery").iterdir()] == ["cursor.db"]
