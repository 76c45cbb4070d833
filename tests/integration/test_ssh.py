"""`psstop` over SSH, through a real sshd: a terminal there is one here, a pipe is a pipe, and nothing outlives it."""

import re
import sys
from collections.abc import Iterator

import pytest

from tests.bench.crowd import PREFIX, Part, crowd
from tests.daemon import cmdline, lives
from tests.sshd import Sshd, sshd
from tests.terminal import terminal
from tests.waiting import wait_for

pytestmark = pytest.mark.ssh

SIZES = (8, 1, 2)
PSSTOP = (sys.executable, "-m", "psstopd.cli.client", "-p", f"{PREFIX}*")
NAMES = {f"{PREFIX}0{number}" for number in range(len(SIZES))}
TOTAL = f"in {len(SIZES)} processes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run a server for all tests here."""
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(autouse=True, scope="module")
def _programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the processes that are looked at."""
    with crowd([Part(1, mib) for mib in SIZES], tmp_path_factory.mktemp("crowd")):
        yield


def plain(text: str) -> list[str]:
    """Give the lines as they are seen."""
    return re.sub(r"\x1b\[\d*m", "", text).split("\r\n")


@pytest.mark.parametrize("columns", [56, 120])
def test_a_terminal_over_there_has_the_width_of_this_one(server: Sshd, columns: int) -> None:
    """With -t the table is coloured, and names are cut where the window here ends, and nowhere else."""
    with terminal(*server.ssh(*PSSTOP, options=("-t",)), columns=columns) as shown:
        shown.await_lines(TOTAL, 1)
        text = shown.shown()

    rows = [line for line in plain(text) if PREFIX[:3] in line]
    assert text.startswith("\x1b[1m")
    assert len(rows) == len(SIZES)
    assert [len(row) for row in rows] == [min(columns, 49 + len(f"{PREFIX}00"))] * len(SIZES)


def test_without_a_terminal_over_there_nothing_is_cut_or_coloured(server: Sshd) -> None:
    """What goes through `ssh host psstop | …` is whole, however narrow the window here is."""
    with terminal(*server.ssh(*PSSTOP), columns=20) as shown:
        shown.await_lines(TOTAL, 1)
        text = shown.shown()

    assert "\x1b" not in text
    assert {line[49:] for line in plain(text)} >= NAMES


def test_the_exit_code_comes_through(server: Sshd) -> None:
    """Scripts here can tell that there is no such program over there."""
    with terminal(*server.ssh(*PSSTOP[:-1], "nobody-has-this")) as shown:
        shown.await_lines("no process is called nobody-has-this", 1)
        code = shown.process.wait(10)

    assert code == 1


def test_ctrl_c_ends_watching_over_there(server: Sshd) -> None:
    """It goes through as a key: psstop ends with the shell's code for it, without a word, and is gone."""
    with terminal(*server.ssh(*PSSTOP, "-w", "1", options=("-t",))) as shown:
        shown.await_lines(TOTAL, 2)
        pid = psstop_behind(server)
        code, _ = shown.end()
        *tables, last = plain(shown.shown())

    assert code == 130
    assert (TOTAL in tables[-1], last) == (True, "^C")
    wait_for(lambda: not lives(pid), 10, f"the end of {pid}")


@pytest.mark.parametrize("options", [("-t",), ()], ids=["terminal", "pipe"])
def test_a_connection_that_breaks_ends_watching(server: Sshd, options: tuple[str, ...]) -> None:
    """When nobody is here any more, psstop over there ends with its next table at the latest."""
    with terminal(*server.ssh(*PSSTOP, "-w", "1", options=options)) as shown:
        shown.await_lines(TOTAL, 2)
        pid = psstop_behind(server)
        shown.process.kill()

        wait_for(lambda: not lives(pid), 10, f"the end of {pid}")


def psstop_behind(server: Sshd) -> int:
    """Give the pid of the psstop that a connection runs; the shell that started it may have become it."""
    (pid,) = (pid for pid in server.descendants() if b"psstopd.cli.client" in cmdline(pid))
    return pid
