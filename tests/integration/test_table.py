"""`psstop` on real processes: the right numbers in the right order, on a terminal, in a pipe, and for programs."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory, Unreadable
from psstopd.sampling.names import printable
from psstopd.words import cure
from tests.bench.crowd import PREFIX, Part, crowd
from tests.daemon import clean_environ, psstop
from tests.programs import HOSTILE, named_programs, random_name
from tests.terminal import terminal
from tests.waiting import wait_for

MIB = 1 << 20
SIZES = (8, 1, 32, 2)
COMMAND = (sys.executable, "-m", "psstopd.cli.client")


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[list[int]]:
    """Give four processes of SIZES MiB of memory of their own, each under a name of its own."""
    with crowd([Part(1, mib) for mib in SIZES], tmp_path) as pids:
        yield pids


def rows(*arguments: str) -> list[dict[str, Any]]:
    """Give the processes of the crowd as JSON has them."""
    done = psstop("-p", f"{PREFIX}*", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["processes"]
    return found


def test_the_numbers_are_the_kernels(pids: list[int]) -> None:
    """Every size of a process that stands still is what its rollup says, and its own memory is the least of it."""
    read = MemoryReader(Procfs()).read

    def look() -> tuple[dict[int, Memory], list[dict[str, Any]]] | None:
        """Ask the kernel, psstop and the kernel again; None where a page of a library became its own, or somebody's."""
        before, found = {pid: read(pid).memory for pid in pids}, rows()
        return (before, found) if all(read(pid).memory.uss == before[pid].uss for pid in pids) else None

    expected, found = wait_for(look, 10, "a look while nobody begins or ceases to share")

    assert [row["pid"] for row in found] == sorted(pids, key=lambda pid: expected[pid].pss)
    for row in found:
        memory = expected[row["pid"]]
        assert {name: row[f"{name}_bytes"] for name in ("swap_pss", "uss", "pss_anon")} == {
            "swap_pss": memory.swap_pss, "uss": memory.uss, "pss_anon": memory.pss_anon,
        }  # fmt: skip
        assert memory.pss <= row["rss_bytes"] <= memory.rss + MIB  # libc's pages come in when its neighbours' do
        assert SIZES[pids.index(row["pid"])] * MIB <= row["pss_bytes"] <= memory.pss + MIB


@pytest.mark.smem
def test_smem_agrees(pids: list[int]) -> None:
    """A peer that sums mappings itself comes to the same USS, and to the same PSS but for its rounding."""
    told = subprocess.run(["smem", "-H", "-c", "pid uss pss swap"], capture_output=True, text=True, check=True).stdout
    peer = {int(pid): tuple(map(int, sizes)) for pid, *sizes in map(str.split, told.splitlines())}

    for row in rows():
        uss, pss, swap = (kib * 1024 for kib in peer[row["pid"]])
        mappings = len(Path(f"/proc/{row['pid']}/maps").read_text().splitlines())
        assert (row["uss_bytes"], row["swap_pss_bytes"]) == (uss, swap)
        assert abs(row["pss_bytes"] - pss) <= 1024 * mappings
    assert len(rows()) == len(pids)


def test_the_biggest_is_at_the_prompt(pids: list[int]) -> None:
    """Ascending by PSS; other orders, and fewer rows, as asked; the totals are of all whatever is shown."""
    by_size = [pids[index] for index in (1, 3, 0, 2)]

    assert [row["pid"] for row in rows()] == by_size
    assert [row["pid"] for row in rows("-r")] == by_size[::-1]
    assert [row["pid"] for row in rows("-n", "2")] == by_size[2:]
    assert [row["pid"] for row in rows("--sort", "pid")] == sorted(pids)
    assert [row["name"] for row in rows("--sort", "name", "-r")] == [f"{PREFIX}0{number}" for number in (3, 2, 1, 0)]
    table = psstop("-p", f"{PREFIX}*", "-n", "1").stdout.splitlines()
    assert re.fullmatch(r"PSS +4\d\.\d MiB, SwapPss 0 B in 4 processes", table[-1])
    assert len(table) == 3


def test_the_table_is_aligned_and_names_are_last(pids: list[int]) -> None:
    """Sizes and pids end in one column each, under their titles; a pipe gets no colour and whole names."""
    header, *lines = psstop("-p", f"{PREFIX}*").stdout.splitlines()[:5]

    assert header.split() == ["PSS", "SWAPPSS", "USS", "RSS", "PID", "NAME"]
    ends = [match.end() for match in re.finditer(r"\S+", header)][:5]
    for line, pid in zip(lines, (pids[1], pids[3], pids[0], pids[2]), strict=True):
        assert line[: ends[4]].endswith(f" {pid}")
        assert all(line[end - 1] in "Bi" for end in ends[:4])
        assert line[ends[4] + 1 :] == f"{PREFIX}0{pids.index(pid)}"


@pytest.mark.parametrize(
    ("picks", "expected"),
    [(["{name}0"], [0]), (["{name}0", "{name}2"], [0, 2]), (["{name}[13]"], [1, 3]), (["{pid}"], [0])],
)
def test_picks(pids: list[int], picks: list[str], expected: list[int]) -> None:
    """Names are exact or globs, pids are taken too, and each further -p adds to them."""
    arguments = [word for pick in picks for word in ("-p", pick.format(name=f"{PREFIX}0", pid=pids[0]))]
    found = json.loads(psstop(*arguments, "--json").stdout)["processes"]

    assert sorted(pids.index(row["pid"]) for row in found) == expected


def test_what_is_not_there_is_said() -> None:
    """A name that nothing has is no empty table."""
    done = psstop("-p", "nobody-has-this")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no process is called nobody-has-this; names are exact, or globs\n"


def test_csv_has_a_header_and_bytes(pids: list[int]) -> None:
    """What a spreadsheet takes, in the columns that JSON names."""
    found = list(csv.DictReader(io.StringIO(psstop("-p", f"{PREFIX}*", "--csv").stdout)))

    assert [int(row["pid"]) for row in found] == [row["pid"] for row in rows()]
    assert [int(row["uss_bytes"]) for row in found] == [row["uss_bytes"] for row in rows()]
    assert {row["unreadable"] for row in found} == {""}
    assert len(pids) == len(found)


@pytest.mark.parametrize(("unit", "size"), [("B", 33554432), ("KiB", 32768), ("MiB", 32), ("GiB", 0.03)])
def test_units(pids: list[int], unit: str, size: float) -> None:
    """One unit for all sizes is for those who compute with the table."""
    line = psstop("-p", str(pids[2]), "--units", unit).stdout.splitlines()[1].split()

    assert float(line[2]) == pytest.approx(size, rel=0.2)
    assert len(line) == 6


def test_names_from_the_command_line(pids: list[int]) -> None:
    """With -c a process is called what it was started as, whatever it calls itself since."""
    found = json.loads(psstop("-c", "-p", "crowd", "--json").stdout)["processes"]

    assert {row["pid"] for row in found} >= set(pids)


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",), ("-c",)])
def test_hostile_names_forge_nothing(form: tuple[str, ...]) -> None:
    """Whatever a process calls itself: one line, or one record, and no character that a terminal obeys."""
    names = [*HOSTILE, random_name(), random_name()]
    with named_programs(*names):
        done = psstop(*form)

    assert done.returncode == 0
    hidden = [text for text in done.stdout if unicodedata.category(text)[0] == "C" and text != "\n"]
    assert hidden == []
    if form == ("--json",):
        found = {row["name"] for row in json.loads(done.stdout)["processes"]}
    elif form == ("--csv",):
        found = {row["name"] for row in csv.DictReader(io.StringIO(done.stdout))}
    else:
        found = {line[49:] for line in done.stdout.splitlines()}
    if form != ("-c",):
        assert {printable(name) for name in names} <= found


def test_what_may_not_be_read_is_counted_with_the_cure(pids: list[int]) -> None:
    """Absent is not zero: without rights a process has no row, but is in the count, and the way to read it is named."""
    deprived = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", *COMMAND]
    done = subprocess.run([*deprived, "-p", f"{PREFIX}*"], capture_output=True, text=True, check=False)
    as_json = subprocess.run([*deprived, "-p", f"{PREFIX}*", "--json"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "PSS 0 B, SwapPss 0 B in 0 processes",
        f"4 not readable: {cure(Unreadable.DENIED, 0)}",
    ]
    found = json.loads(as_json.stdout)
    assert [(row["pid"], row["reason"]) for row in found["unreadable"]] == [(pid, "denied") for pid in sorted(pids)]
    assert found["total"]["unreadable"] == 4


def test_a_closed_pipe_is_silent() -> None:
    """`psstop | head -1` has no more to say than its first line."""
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} | head -1"],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_a_terminal_gets_colour_and_no_line_too_many(pids: list[int]) -> None:
    """The table fits the width of the terminal, whose names are cut; the header is bold."""
    with terminal(*COMMAND, "-p", f"{PREFIX}*", columns=56) as shown:
        shown.await_lines("in 4 processes", 1)
        text = shown.shown()

    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in text.split("\r\n")]
    assert len(pids) == 4
    assert text.startswith("\x1b[1m")
    assert max(map(len, lines)) <= 56
    assert len([line for line in lines if PREFIX[:3] in line]) == 4


def test_no_color_is_obeyed(pids: list[int]) -> None:
    """NO_COLOR with anything in it: none."""
    with terminal("env", "NO_COLOR=1", *COMMAND, "-p", str(pids[0])) as shown:
        shown.await_lines("in 1 process", 1)

        assert "\x1b" not in shown.shown()


def test_watching_shows_the_change_and_ends_with_what_it_watched(pids: list[int]) -> None:
    """Each table comes on its second with the change since the last and the first; when all is gone, a word and 0."""
    command = [*COMMAND, "-p", f"{PREFIX}*", "-w", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(12)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, os.WNOHANG)
        _, errors = process.communicate(timeout=20)
        pids.clear()

    assert [len(line.split()) for line in (lines[0], lines[6])] == [6, 9]
    assert process.returncode == 0
    assert errors == f"nothing called {PREFIX}* runs any more\n"


def test_ctrl_c_ends_watching_silently(pids: list[int]) -> None:
    """No traceback, no word, the shell's code for it."""
    with terminal(*COMMAND, "-p", str(pids[0]), "-w", "1") as shown:
        shown.await_lines("in 1 process", 2)
        code, _ = shown.end()

        assert code == 130
        assert "Traceback" not in shown.shown()


def test_processes_that_come_and_go_are_no_error(tmp_path: Path) -> None:
    """Hundreds of processes that are born and die while the table is made are in it, or not, and that is all."""
    script = "while :; do for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait; done"
    with subprocess.Popen(["bash", "-c", script], cwd=tmp_path, start_new_session=True) as churn:
        try:
            done = [psstop("--json") for _ in range(5)]
        finally:
            os.killpg(churn.pid, signal.SIGKILL)
    wait_for(lambda: churn.poll() is not None, 10, "the end of the churn")

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 5


@pytest.mark.root
def test_a_proc_that_hides_others_is_no_error(pids: list[int]) -> None:
    """Under hidepid=1 who has no rights may not even know the names of others' processes: counted, with the cure."""
    deprived = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", *COMMAND]
    script = f"mount -t proc -o hidepid=1 proc /proc && exec {' '.join(deprived)}"
    done = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True, check=False)
    counted = re.search(r"^(\d+) not readable: not permitted", done.stdout, re.MULTILINE)

    assert (done.returncode, done.stderr) == (0, "")
    assert counted is not None
    assert int(counted[1]) >= len(pids)
