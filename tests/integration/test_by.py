"""`psstop --by` on real processes: ps_mem's numbers where ps_mem is right, and the right ones where it isn't."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.daemon import clean_environ, psstop
from tests.grouping import groups, ps_mem, renamed
from tests.integration.memory_fixture import Family, build
from tests.programs import HOSTILE, named_programs
from tests.terminal import terminal
from tests.waiting import wait_for

KIB, MIB = 1 << 10, 1 << 20
PAGES_OF_10_MIB = 10 * MIB // 4096
COMMAND = (sys.executable, "-m", "psstopd.cli.client")
DEPRIVED = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", *COMMAND)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program under a name that no other test uses."""
    directory = tmp_path_factory.mktemp("by")
    return build(directory).rename(directory / f"by{os.getpid()}")


@pytest.fixture
def families(program: Path) -> Iterator[list[int]]:
    """Give the pids of five programs that share with each other and with themselves, and stand still.

    They are static: what the rest of the machine runs doesn't change their shares.
    """
    file = program.parent / "file"
    file.write_bytes(bytes(400 * 4096))
    modes: list[tuple[str, tuple[Path | int, ...]]] = [
        ("tree", (file, 400, 4)), ("tree", (file, 320, 2)), ("idle", ()), ("workers", (700, 1)), ("workers", (99, 2)),
    ]  # fmt: skip
    with ExitStack() as stack:
        started = [
            stack.enter_context(Family(renamed(program, f"{program.name}-{mode}{number}"), mode, *arguments))
            for number, (mode, arguments) in enumerate(modes)
        ]
        started.append(stack.enter_context(Family(started_again(program), "idle")))
        yield [pid for family in started for pid in family.pids]


def started_again(program: Path) -> Path:
    """Give a name of which the kernel keeps a part."""
    return renamed(program, f"{program.name}-with-a-name-of-more-than-15")


@pytest.mark.parametrize("arguments", [(), ("-S",), ("-d",), ("-s",), ("-t",), ("-S", "-d"), ("-t", "-S")], ids="".join)
def test_the_same_as_ps_mem(families: list[int], arguments: Sequence[str]) -> None:
    """On processes that stand still and show none of its defects, every character is the same."""
    pids = ",".join(map(str, families))
    ours = psstop("--by", "program", "-p", pids, *arguments)

    assert ours.stdout == ps_mem("-p", pids, *arguments)
    assert (ours.returncode, ours.stderr) == (0, "")
    assert len(ours.stdout.splitlines()) >= (1 if "-t" in arguments else 11)


def test_alike_workers_are_counted_in_full(program: Path) -> None:
    """Four workers with 10 MiB each and the same rollup, byte for byte, use 40 MiB; for ps_mem it is 10."""
    with Family(program, "workers", PAGES_OF_10_MIB, 4) as family:
        rollups = {Path(f"/proc/{pid}/smaps_rollup").read_bytes() for pid in family.children}
        pids = ",".join(map(str, family.children))
        (group,) = groups("-p", pids)
        theirs = ps_mem("-p", pids, "-t")

    assert len(rollups) == 1
    assert group["processes"] == 4
    assert 40 * MIB <= group["private_bytes"] <= 40 * MIB + 4 * 64 * KIB
    assert int(theirs) < 11 * MIB


def test_a_shared_address_space_is_counted_once(program: Path) -> None:
    """What vfork and posix_spawn make for a moment, held: two processes, one memory."""
    with Family(program, "clone", PAGES_OF_10_MIB) as family:
        (group,) = groups("-p", program.name)
        by_pid = groups("-p", program.name, "-d", "--sort", "pid")
        table = psstop("--by", "program", "-d", "-p", program.name).stdout

    assert group["processes"] == 2
    assert 10 * MIB <= group["ram_bytes"] <= 12 * MIB
    assert [row["pid"] for row in by_pid] == family.pids
    assert by_pid[1]["ram_bytes"] == 0
    assert [line for line in table.splitlines() if "[" in line][1:] == [
        line for line in table.splitlines() if f"[{family.pid}]" in line
    ]


@pytest.mark.root
def test_by_user_unit_and_cgroup(program: Path) -> None:
    """Users have their names, those without have numbers; every process is in one group of each kind."""
    nameless = 123456789
    with Family(program, "idle"), Family("setpriv", f"--reuid={nameless}", program, "idle"):
        users = {row["name"]: row["processes"] for row in groups("-p", program.name, by="user")}
        units = groups("-p", program.name, by="unit")
        cgroups = groups("-p", program.name, by="cgroup")

    assert users == {"root": 1, str(nameless): 1}
    assert sum(row["processes"] for row in units) == sum(row["processes"] for row in cgroups) == 2
    assert all(row["name"].startswith("/") for row in cgroups)


HUGE_COMMAND_LINE = (
    "ulimit -s 65536; x=$(head -c 100000 /dev/zero | tr '\\0' x);"
    ' exec "$0" idle $(for i in $(seq 40); do echo $x; done)'
)


@pytest.fixture(scope="module")
def hostile(program: Path) -> Iterator[str]:
    """Run programs with the worst command lines there are; give the picks that find them."""
    arguments = [name.decode(errors="surrogateescape") for name in HOSTILE]
    program = renamed(program, f"{program.name}-x")
    with (
        Family(program, "idle", *arguments),
        Family(program, "idle", "\x1b[2J\x1b]0;x\x07", "line\nline", "\udcff\udcfe", "\u202eexe.gpj\u200f", "\u2028"),
        Family("bash", "-c", HUGE_COMMAND_LINE, str(program)),
    ):
        yield program.name


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",), ("-S", "-d")], ids="".join)
def test_hostile_command_lines_forge_nothing(hostile: str, form: Sequence[str]) -> None:
    """Whatever the arguments are: one line or one record each, and no character that a terminal obeys."""
    done = psstop("--by", "program", "-s", "-p", hostile, *form)
    lines = done.stdout.splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert [text for text in done.stdout if unicodedata.category(text)[0] == "C" and text not in "\n\t"] == []
    if form == ("--json",):
        names = [row["name"] for row in json.loads(done.stdout)["groups"]]
    elif form == ("--csv",):
        csv.field_size_limit(1 << 20)
        names = [row["name"] for row in csv.DictReader(io.StringIO(done.stdout))]
    else:
        assert len(lines) == 8
        names = [line.split("\t")[1] for line in lines[2:5]]
    assert len(names) == 3
    assert any(r" \x1b[2J\x1b]0;x\x07 line\x0aline \xff\xfe \u202eexe.gpj\u200f \u2028" in name for name in names)
    assert max(map(len, names)) > 100_000


def test_hostile_names_forge_nothing_in_any_group() -> None:
    """Names of programs are one field too."""
    with named_programs(*HOSTILE):
        done = psstop("--by", "program")

    assert done.returncode == 0
    assert [text for text in done.stdout if unicodedata.category(text)[0] == "C" and text not in "\n\t"] == []


def test_a_terminal_gets_lines_that_fit(hostile: str) -> None:
    """Command lines of 4 MiB are cut to the width of the terminal, tabs and colours counted for what they are."""
    with terminal(*COMMAND, "--by", "program", "-s", "-S", "-p", hostile, columns=72) as shown:
        shown.await_lines("=====", 1)
        text = shown.shown()

    assert text.startswith("\x1b[1m")
    lines = [re.sub(r"\x1b\[\d*m", "", line).expandtabs() for line in text.split("\r\n")]
    assert max(map(len, lines)) == 72
    assert len([line for line in lines if "/" in line]) == 3


def test_what_may_not_be_read_is_counted_with_the_cure(program: Path) -> None:
    """Any user may ask: what is refused is missing from the sums, and said instead of a refusal to run."""
    with Family(program, "workers", 10, 2):
        done = subprocess.run(
            [*DEPRIVED, "--by", "program", "-p", program.name], capture_output=True, text=True, check=False
        )
        total = subprocess.run([*DEPRIVED, "--by", "program", "-t"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("3 not readable: not permitted: root needs CAP_PERFMON")
    assert int(total.stdout) >= 0
    assert " not readable: not permitted" in total.stderr


def test_watching_has_one_header_and_ends_with_what_it_watched(program: Path) -> None:
    """As in ps_mem: the titles once, rows and total on every second, a word when all is gone."""
    with Family(program, "idle") as family:
        command = [*COMMAND, "--by", "program", "-p", program.name, "-w", "1"]
        environ = {**clean_environ(), "PYTHONUNBUFFERED": ""}  # each table has to be seen when it is written
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            began = time.monotonic()
            lines = [process.stdout.readline().rstrip("\n") for _ in range(2 + 4 + 4)]
            took = time.monotonic() - began
            os.kill(family.pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=20)

    assert took < 20
    assert lines[0].endswith("\tProgram")
    assert [line.endswith(f"\t{program.name}") for line in lines[2::4]] == [True, True]
    assert [line[:3] for line in lines[5::4]] == ["===", "==="]
    assert (process.returncode, errors) == (0, f"nothing called {program.name} runs any more\n")


def test_ctrl_c_and_a_closed_pipe_are_silent(program: Path) -> None:
    """No traceback and no word."""
    with Family(program, "idle"), terminal(*COMMAND, "--by", "program", "-p", program.name, "-w", "1") as shown:
        shown.await_lines("=====", 2)
        code, _ = shown.end()
        assert (code, "Traceback" in shown.shown()) == (130, False)
    piped = f"{' '.join(COMMAND)} --by program -w 1 | head -1"
    done = subprocess.run(["bash", "-c", piped], env=clean_environ(), capture_output=True, text=True, check=True)

    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [("--by", "unit", "-s"), ("--by", "user", "-d"), ("--by", "program", "-c"), ("--by", "program", "--sort", "rss")],
    ids=" ".join,
)
def test_what_has_no_meaning_is_refused(arguments: Sequence[str]) -> None:
    """An option that would do nothing is wrong usage."""
    done = psstop(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_psstop_leaves_itself_out() -> None:
    """As ps_mem does: the table is about what runs without it."""
    done = psstop("--by", "program", "-s")

    assert "--by program -s" not in done.stdout


def test_what_is_not_there_is_said() -> None:
    """A name that nothing has is no empty table."""
    done = psstop("--by", "program", "-p", "nobody-has-this")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no process is called nobody-has-this; names are exact, or globs\n"


@pytest.mark.parametrize("arguments", [(), ("-s",)], ids="".join)
def test_processes_that_come_and_go_are_no_error(arguments: Sequence[str]) -> None:
    """Hundreds of processes that are born and die meanwhile are in the table, or not, and that is all."""
    script = "while :; do for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait; done"
    with subprocess.Popen(["bash", "-c", script], start_new_session=True) as churn:
        try:
            done = [psstop("--by", by, "--json", *arguments) for by in ("program",) * 5]
            done += [] if arguments else [psstop("--by", by, "--csv") for by in ("unit", "user", "cgroup")]
        finally:
            os.killpg(churn.pid, signal.SIGKILL)
    wait_for(lambda: churn.poll() is not None, 10, "the end of the churn")

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * len(done)
