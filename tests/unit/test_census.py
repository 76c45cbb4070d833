"""Who is there and who is whose, pass by pass."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psstopd.config import Watch
from psstopd.kernel.errors import Unparseable
from psstopd.sampling.census import LOOK_AGAIN_SECONDS, Census, Process
from psstopd.sampling.cmdlines import DEADLINE_SECONDS, PatientProcfs
from psstopd.sampling.rules import Rules
from tests.fakes import PF_KTHREAD, Clock, FakeProc, FakeProcess
from tests.waiting import wait_for

BY_PROGRAM = Watch(None, None, None, None, None, None, None, group_by="program")
WEB = BY_PROGRAM._replace(name="web", program="nginx", group_by="rule")
LONG = "a-very-long-program-name"
CUT = LONG[:15].encode()


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


class Passes:
    """A census of a clock that moves on a minute before each pass: by then it has looked at everybody again."""

    def __init__(self, procfs: PatientProcfs, *watches: Watch) -> None:
        self._clock = Clock(0)
        self.census = Census(procfs, Rules(watches or [BY_PROGRAM]), monotonic=self._clock.now, most_kept_files=0)

    def take(self) -> list[Process]:
        """Take a pass."""
        self._clock.wait(LOOK_AGAIN_SECONDS)
        return self.census.take()


def census(proc: FakeProc, *watches: Watch) -> Passes:
    """Watch every program, or what the rules say."""
    return Passes(PatientProcfs(str(proc.root)), *watches)


def groups(passes: Passes) -> dict[int, str | None]:
    """Take a pass; give the watched pids and their names."""
    return {process.identity.pid: process.group for process in passes.take()}


def test_only_watched_processes_are_given(proc: FakeProc) -> None:
    """Nobody else is measured."""
    proc.add(FakeProcess(7, b"nginx"), FakeProcess(8, b"sh"), FakeProcess(9, b"nginx"))

    assert groups(census(proc, WEB)) == {7: "web", 9: "web"}


def test_processes_keep_the_order_of_the_listing(proc: FakeProc) -> None:
    """The kernel's is that of pids, in which its own structures lie: any other makes a pass dearer."""
    proc.add(*(FakeProcess(pid, b"sh") for pid in range(100, 200)))

    assert list(groups(census(proc))) == [pid for pid, _ in proc.procfs.pids()]


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
    proc.change(7, exe=f"/usr/bin/{LONG}2", faults=1)
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


def test_a_doubt_hides_no_movement(proc: FakeProc) -> None:
    """Who moved far stays one of the first to be read, whatever else happens to its name."""
    proc.add(FakeProcess(7, b"nginx", faults=1000))
    (process,) = Census(PatientProcfs(proc.procfs.root), Rules([WEB])).take()
    process.doubt(1 << 20)
    far = process.faults - process.asked_faults
    process.doubt()

    assert far == process.faults - process.asked_faults == 1000


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
    (proc.root / "9/stat").unlink()
    assert groups(seen) == {}


@pytest.mark.parametrize(
    ("cmdline", "name"), [((f"/usr/bin/{LONG}".encode(),), LONG), ((b"worker",), CUT.decode()), ((), CUT.decode())]
)
def test_without_the_executable_arguments_tell(proc: FakeProc, cmdline: tuple[bytes, ...], name: str) -> None:
    """A path that the kernel does not tell leaves the command line, then what the process calls itself."""
    proc.add(FakeProcess(7, CUT, cmdline=cmdline))

    assert groups(Passes(Untold(str(proc.root)))) == {7: name}


class Untold(PatientProcfs):
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

    seen.census.replace_rules(Rules([WEB]))
    after = seen.take()

    assert [(process.identity.pid, process.group) for process in after] == [(7, "web")]
    assert before[after[0].identity] is after[0]


class Counting(PatientProcfs):
    """A /proc that counts how many short names are read."""

    comms = 0

    def comm(self, pid: int) -> bytes:
        """Count one."""
        self.comms += 1
        return super().comm(pid)


@pytest.mark.parametrize(("interval", "most"), [(1, 5), (10, 50), (3600, 300)])
def test_who_is_not_watched_is_looked_at_within_a_minute(proc: FakeProc, interval: int, most: int) -> None:
    """By time, whatever the interval: a slice on each pass, so that no pass pays for all of them."""
    crowd = range(1000, 1300)
    proc.add(*(FakeProcess(pid, b"sh") for pid in crowd))
    clock, procfs = Clock(0), Counting(str(proc.root))
    seen = Census(procfs, Rules([WEB]), monotonic=clock.now, most_kept_files=0)
    for _ in range(2):  # on the second pass newcomers are looked at
        seen.take()
    for pid in (1000, 1150, 1299):
        proc.change(pid, comm=b"nginx")
    found = []
    for _ in range(max(1, 60 // interval)):
        procfs.comms = 0
        clock.wait(interval)
        found.append(len(seen.take()))
        assert procfs.comms <= most + 1

    assert found[-1] == 3


def test_a_minute_is_enough_for_everybody(proc: FakeProc) -> None:
    """When all rename themselves at once, and slices get smaller with those who are left, the last one is in time."""
    crowd = range(1000, 1100)
    proc.add(*(FakeProcess(pid, b"sh") for pid in crowd))
    clock = Clock(0)
    seen = Census(PatientProcfs(str(proc.root)), Rules([WEB]), monotonic=clock.now, most_kept_files=0)
    for _ in range(2):
        seen.take()
    for pid in crowd:
        proc.change(pid, comm=b"nginx")
    found = []
    for _ in range(6):
        clock.wait(10)
        found.append(len(seen.take()))

    assert found == sorted(found)
    assert found[-1] == len(crowd)


def test_a_watched_process_that_renames_itself_is_noticed_at_once(proc: FakeProc) -> None:
    """On the next pass, however soon that is."""
    proc.add(FakeProcess(7, b"nginx"))
    seen = Census(PatientProcfs(str(proc.root)), Rules([WEB]), monotonic=Clock(0).now, most_kept_files=0)
    before = [process.group for process in seen.take()]
    proc.change(7, comm=b"sh")

    assert (before, seen.take()) == (["web"], [])


def test_a_newcomer_is_looked_at_twice(proc: FakeProc) -> None:
    """Between fork and exec a process has its parent's name: it gets its own before the next pass."""
    seen = Census(PatientProcfs(str(proc.root)), Rules([WEB]), monotonic=Clock(0).now, most_kept_files=0)
    seen.take()
    proc.add(FakeProcess(7, b"sh"))
    seen.take()
    proc.change(7, comm=b"nginx")

    assert [process.group for process in seen.take()] == ["web"]


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(1, 40), st.sampled_from([b"nginx", b"sh", b"db"]), max_size=20), max_size=8)
)
def test_whatever_comes_and_goes_the_watched_ones_are_known(
    tmp_path_factory: pytest.TempPathFactory, tables: list[dict[int, bytes]]
) -> None:
    """Pass by pass the census finds what is there, pids reused and names changed as they may be."""
    with FakeProc(tmp_path_factory.mktemp("proc")) as proc:
        seen = census(proc, WEB, BY_PROGRAM._replace(program="db"))
        starts = 0
        there: dict[int, bytes] = {}
        for table in tables:
            for pid in there:
                proc.remove(pid)
            for pid, comm in table.items():
                starts += 1
                proc.add(FakeProcess(pid, comm, start_time=starts))
            there = table

            expected = {pid: comm.decode().replace("nginx", "web") for pid, comm in table.items() if comm != b"sh"}
            assert groups(seen) == expected


def test_a_command_line_that_hangs_stops_nobody(proc: FakeProc) -> None:
    """Its process is called by its short name meanwhile, which is put right when the read has returned."""
    proc.add(FakeProcess(7, CUT, exe="/usr/bin/python3", cmdline=(b"python3", LONG.encode())), FakeProcess(8, b"sh"))
    file = proc.root / "7/cmdline"
    text = file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    seen = census(proc)
    began = time.monotonic()
    first, second = groups(seen), groups(seen)
    lasted = time.monotonic() - began
    writer = os.open(file, os.O_WRONLY)
    file.unlink()
    file.write_bytes(text)
    os.write(writer, text)
    os.close(writer)
    healed = wait_for(lambda: names if (names := groups(seen))[7] == LONG else None, 5, "the command line is read")

    assert first == second == {7: CUT.decode(), 8: "sh"}
    assert lasted < 5 * DEADLINE_SECONDS
    assert healed == {7: LONG, 8: "sh"}
