"""Who is there and who is whose, pass by pass."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.config import Watch
from psstopd.kernel.errors import ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.census import Census, Renamed
from psstopd.sampling.rules import Rules
from tests.fakes import PF_KTHREAD, FakeProc, FakeProcess

BY_PROGRAM = Watch(None, None, None, None, None, None, None, group_by="program")
WEB = BY_PROGRAM._replace(name="web", program="nginx", group_by="rule")
LONG = "a-very-long-program-name"
CUT = LONG[:15].encode()


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


def census(proc: FakeProc, *watches: Watch) -> Census:
    """Watch every program, or what the rules say."""
    return Census(proc.procfs, Rules(watches or [BY_PROGRAM]))


def groups(census: Census) -> dict[int, str | None]:
    """Take a pass and confirm its names; give the watched pids and those names."""
    watched = {process.identity.pid: process for process in census.take()}
    for pid in list(watched):
        try:
            census.confirm(pid)
        except Renamed:
            continue
        except ProcessGone:
            del watched[pid]
    census.judge_renamed()
    return {pid: process.group for pid, process in watched.items() if process.group is not None}


def test_only_watched_processes_are_given(proc: FakeProc) -> None:
    """Nobody else is measured."""
    proc.add(FakeProcess(7, b"nginx"), FakeProcess(8, b"sh"), FakeProcess(9, b"nginx"))

    assert groups(census(proc, WEB)) == {7: "web", 9: "web"}


def test_processes_come_and_go(proc: FakeProc) -> None:
    """Each pass knows who started and who ended since the last."""
    seen = census(proc)
    proc.add(FakeProcess(7, b"a"), FakeProcess(8, b"b"))
    first = groups(seen)
    proc.remove(7)
    proc.add(FakeProcess(9, b"c"))

    assert first == {7: "a", 8: "b"}
    assert groups(seen) == {8: "b", 9: "c"}


def test_a_new_name_is_seen_on_the_next_pass(proc: FakeProc) -> None:
    """Exec and prctl change the name of a process that goes on."""
    proc.add(FakeProcess(7, b"sh"))
    seen = census(proc, WEB)

    assert groups(seen) == {}
    proc.change(7, comm=b"nginx")
    assert groups(seen) == {7: "web"}
    proc.change(7, comm=b"nginx2")
    assert groups(seen) == {}


def test_a_program_with_the_same_short_name_is_seen(proc: FakeProc) -> None:
    """When comm was cut, another program may hide behind the same 15 bytes."""
    proc.add(FakeProcess(7, CUT, exe=f"/usr/bin/{LONG}"))
    seen = census(proc)

    assert groups(seen) == {7: LONG}
    proc.change(7, exe=f"/usr/bin/{LONG}2")
    assert groups(seen) == {7: f"{LONG}2"}


def test_what_changes_without_the_name_is_seen(proc: FakeProc) -> None:
    """A process that moves to another unit, or gives up its rights, belongs elsewhere from the next pass on."""
    proc.add(FakeProcess(7, b"sh", cgroup=b"0::/init.scope\n"))
    seen = census(proc, WEB._replace(program=None, unit="web.service"))

    assert groups(seen) == {}
    proc.change(7, cgroup=b"0::/system.slice/web.service\n")
    assert groups(seen) == {7: "web"}


def test_a_reused_pid_is_another_process(proc: FakeProc) -> None:
    """A pid with another start time begins anew, under its own name."""
    proc.add(FakeProcess(7, b"a", start_time=100))
    seen = census(proc)
    first = seen.take()[0]
    proc.remove(7)
    proc.add(FakeProcess(8), FakeProcess(7, b"b", start_time=200))

    second = seen.take()

    assert {process.identity.start_time: process.group for process in second} == {100: "program", 200: "b"}
    assert first not in second


def test_a_new_inode_is_no_new_process(proc: FakeProc) -> None:
    """The kernel drops and remakes directories when it is short of memory; names are read again all the same."""
    proc.add(FakeProcess(7, b"a"))
    seen = census(proc)
    first = seen.take()
    proc.change(7, comm=b"b")
    proc.forget(7)

    second = seen.take()

    assert first == second
    assert second[0].group == "b"


def test_kernel_threads_are_never_watched(proc: FakeProc) -> None:
    """They have no memory, whatever they are called, and are not looked at again."""
    proc.add(FakeProcess(7, b"worker", flags=PF_KTHREAD))
    seen = census(proc)

    assert groups(seen) == {}
    proc.change(7, comm=b"nginx")
    proc.forget(7)
    assert groups(seen) == {}


def test_who_ends_during_the_pass_is_left_out(proc: FakeProc) -> None:
    """A process whose files vanish while they are read is no error and takes nobody along."""
    proc.add(FakeProcess(7, CUT), FakeProcess(8, b"sh"), FakeProcess(9, b"sh"))
    seen = census(proc)
    for path in ("7/exe", "8/stat"):
        (proc.root / path).unlink()

    assert groups(seen) == {9: "sh"}
    (proc.root / "9/comm").unlink()
    assert groups(seen) == {}


@pytest.mark.parametrize(
    ("cmdline", "name"), [((f"/usr/bin/{LONG}".encode(),), LONG), ((b"worker",), CUT.decode()), ((), CUT.decode())]
)
def test_without_the_executable_arguments_tell(proc: FakeProc, cmdline: tuple[bytes, ...], name: str) -> None:
    """A path that the kernel does not tell leaves the command line, then what the process calls itself."""
    proc.add(FakeProcess(7, CUT, cmdline=cmdline))

    assert groups(Census(Untold(str(proc.root)), Rules([BY_PROGRAM]))) == {7: name}


class Untold(Procfs):
    """A /proc with executables whose paths are too long to be told."""

    def exe(self, pid: int) -> bytes:
        """Fail as for a path of more than 4 KiB."""
        raise Unparseable(f"{pid}/exe")


def test_hostile_names_are_written_out(proc: FakeProc) -> None:
    """What a process calls itself is never more than text."""
    proc.add(FakeProcess(7, b"a\nb\xff(\x1b["))

    assert groups(census(proc)) == {7: r"a\x0ab\xff(\x1b["}


def test_new_rules_hold_from_the_next_pass_on(proc: FakeProc) -> None:
    """After a reload everybody is judged anew, and a process stays the one that it was."""
    proc.add(FakeProcess(7, b"nginx"), FakeProcess(8, b"sh"), FakeProcess(9, b"nginx", flags=PF_KTHREAD))
    seen = census(proc)
    before = {process.identity: process for process in seen.take()}

    seen.replace_rules(Rules([WEB]))
    after = seen.take()

    assert [(process.identity.pid, process.group) for process in after] == [(7, "web")]
    assert before[after[0].identity] is after[0]
