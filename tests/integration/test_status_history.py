"""`psstopd status` and `psstop history`: what they say of a daemon that runs, has ended, or never was."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from psstopd.config import JournalConfig
from psstopd.journal.schema import HEALTH_FIELDS
from psstopd.journal.writer import Journal
from tests.daemon import Daemon, clean_environ, daemon, psstop
from tests.programs import named_programs

NAME = "ünï\tname"
SHOWN = r"ünï\x09name"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Give a daemon that has recorded three ticks of one program and has ended."""
    with daemon(tmp_path_factory.mktemp("ended")) as running, named_programs(NAME.encode()) as rules:
        running.configure(names=[], watch=rules)
        running.start()
        running.await_ticks(3)
        running.stop()
        yield running


def test_status_of_a_running_daemon(tmp_path: Path) -> None:
    """Pid, names, the last tick, the server's answers and psstop's own cost, in words and as JSON."""
    with daemon(tmp_path) as running:
        running.configure(names=["psstopd"], influxdb={"url": "http://127.0.0.1:1", "bucket": "b"})
        running.start()
        running.await_ticks(2)
        text, state = running.run("status"), running.status()

        assert text.returncode == 0
        assert re.fullmatch(
            rf"psstopd    running, pid {running.pid}\n"
            r"watching   1 name by 1 rule, every 1 s\n"
            rf"journal    {running.journal}\n"
            r"last tick  [01] s ago: \d+ process\w*, PSS [\d.]+ MiB, 0 unreadable, took [\d.]+ ms, 0 late since start\n"
            r"server     http://127.0.0.1:1\n"
            r"delivered  never; \d+ points pending, 0 dropped\n"
            r"(error      for \d+ s: ConnectionRefusedError: connection refused\n)?"
            r"own cost   PSS [\d.]+ MiB, CPU [\d.]+% of a core\n",
            text.stdout,
        )
        assert (state["running"], state["pid"], state["server"]) == (True, running.pid, "http://127.0.0.1:1")


def test_status_takes_no_token(ended: Daemon, tmp_path: Path) -> None:
    """Whoever may read the journal, and not the shipper's token, can ask how things stand."""
    influxdb = {"url": "http://127.0.0.1:1", "bucket": "b", "token_file": str(tmp_path / "unreadable")}
    with daemon(tmp_path) as running:
        running.configure(influxdb=influxdb, journal={"path": str(ended.journal)})
        status, quarantine = running.run("status"), running.run("quarantine", "list")

    assert (status.returncode, status.stderr) == (3, "")
    assert (quarantine.returncode, quarantine.stderr) == (0, "nothing is set aside\n")


def test_status_of_a_daemon_that_has_ended(ended: Daemon) -> None:
    """It says so, how to start one, and exits with 3; what is recorded is still told."""
    done = ended.run("status")

    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("psstopd    not running: systemctl start psstop\n")
    assert "overdue" not in done.stdout
    assert ended.status()["last_tick"] == ended.ticks()[-1].time


def test_status_without_a_journal(tmp_path: Path) -> None:
    """Where nothing was ever recorded, the message says what to check."""
    with daemon(tmp_path) as running:
        running.configure()
        done = running.run("status")

    assert done.returncode == 73
    assert done.stderr.startswith(f"journal: {running.journal}: unable to open database file; is this the daemon's")


def test_status_keys_stay(ended: Daemon, tmp_path: Path) -> None:
    """Before the first tick the JSON has the same keys, with null for what nobody knows yet."""
    with daemon(tmp_path) as empty:
        empty.configure()
        Journal(JournalConfig(str(empty.journal), 3600, 3600, 8 << 20), boot_id="b").close()
        state = empty.status()
        done = empty.run("status")

    assert state.keys() == ended.status().keys()
    assert {state[field] for field in HEALTH_FIELDS} == {None}
    assert done.stdout.endswith("last tick  none yet\n")


def test_history_lists_the_names(ended: Daemon) -> None:
    """Without a name, all that have been recorded, a line each: what they have now comes first, their name last."""
    done = psstop("history", "--config", str(ended.config))

    heading, row = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert heading.split() == ["NOW", "1H", "24H", "7D", "24", "HOURS", "NAME"]
    assert re.fullmatch(rf" +[\d.]+ [KM]iB( +-){{3}}  {' ' * 23}[▁▄] {re.escape(SHOWN)}", row)


def test_history_of_one_name(ended: Daemon) -> None:
    """A line for each tick, oldest first, below a heading."""
    done = psstop("history", SHOWN, "--journal", str(ended.journal))

    heading, *lines = done.stdout.splitlines()
    times = [str(datetime.fromtimestamp(tick.time)) for tick in ended.ticks()]  # noqa: DTZ006 - as people have it
    assert (done.returncode, done.stderr) == (0, "")
    assert heading.split() == ["TIME", "PSS", "SWAPPSS", "USS", "RSS", "PROCESSES", "UNREADABLE", "STARTS"]
    assert [line[:19] for line in lines] == times
    assert all(re.search(r" [\d.]+ [KM]iB +0 B +[\d.]+ [KM]iB +[\d.]+ [KM]iB +1 +0 +1$", line) for line in lines)


@pytest.mark.parametrize("since", ["30m", "1d", "99999999999999999999d", "2020-01-01", "2020-01-01T08:00"])
def test_history_since(since: str, ended: Daemon) -> None:
    """Durations and dates, in any size, choose where to begin."""
    done = psstop("history", SHOWN, "--since", since, "--journal", str(ended.journal))

    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1 + len(ended.ticks()))


@pytest.mark.parametrize("since", ["", "h", "yesterday", "2h30m", "1" * 5000 + "d", "2020-13-01"])
def test_history_since_nonsense(since: str, ended: Daemon) -> None:
    """What is neither a duration nor a date is answered with examples of both."""
    done = psstop("history", SHOWN, f"--since={since}", "--journal", str(ended.journal))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(": write 30m, 2h, 7d, 2026-11-20 or 2026-11-20T08:00\n")


def test_history_of_nothing(ended: Daemon, tmp_path: Path) -> None:
    """An unknown name, a time without samples, one to come and a missing journal have a message each, and no table."""
    soon = (datetime.now().astimezone() + timedelta(minutes=5)).isoformat()
    unknown = psstop("history", "nope", "--journal", str(ended.journal))
    earlier = psstop("history", SHOWN, "--since=2020-01-01", "--until=2020-01-02", "--journal", str(ended.journal))
    later = psstop("history", SHOWN, "--since", soon, "--journal", str(ended.journal))
    nowhere = psstop("history", "x", "--journal", str(tmp_path / "none.db"))

    exits = [(done.returncode, done.stdout) for done in (unknown, earlier, later, nowhere)]
    assert exits == [(1, ""), (1, ""), (2, ""), (73, "")]
    assert unknown.stderr == "nope: nothing recorded since then; `psstop history` lists the names there are\n"
    assert earlier.stderr == (
        f"{SHOWN}: nothing recorded from 2020-01-01 00:00:00 to 2020-01-02 00:00:00; try a longer --since\n"
    )
    assert later.stderr.startswith(f"--since {soon}: ")
    assert later.stderr.endswith(" is still to come\n")
    assert nowhere.stderr.startswith(f"journal: {tmp_path / 'none.db'}: unable to open database file; is the path")


def test_history_on_a_poor_terminal(ended: Daemon) -> None:
    """What the terminal's encoding lacks is written in escapes or in ASCII, not answered with a defect."""
    environ = clean_environ() | {"PYTHONIOENCODING": "ascii"}
    names = psstop("history", "--journal", str(ended.journal), environ=environ)
    plot = psstop("history", SHOWN, "--plot", "--journal", str(ended.journal), environ=environ)

    assert (names.returncode, plot.returncode) == (0, 0)
    assert names.stdout.endswith(" \\xfcn\\xef\\x09name\n")
    assert plot.stdout.startswith("\\xfcn\\xef\\x09name  pss_bytes  ")
    assert " +" in plot.stdout
