"""What the files of /proc say of a process, however hostile its name."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs, parse_stat, parse_uid
from psstopd.model import Identity
from tests.fakes import PF_KTHREAD, FakeProc, FakeProcess, stat_text

HOSTILE = b"(((a b) c\n) S 1"
comms = st.binary(max_size=15).filter(lambda name: b"\0" not in name)


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


@given(comms)
def test_any_comm_is_told_from_the_fields_behind_it(comm: bytes) -> None:
    """Parentheses, spaces and line ends in a name move no field of stat."""
    stat = parse_stat(7, stat_text(FakeProcess(7, comm, start_time=8_123_456)))

    assert (stat.identity, stat.comm, stat.state, stat.cpu_ticks) == (Identity(7, 8_123_456), comm, "S", 42)


def test_real_stat_is_parsed() -> None:
    """The very process that asks is found in its own stat."""
    stat = Procfs().stat(os.getpid())

    assert stat.identity.pid == os.getpid()
    assert stat.comm + b"\n" == Path("/proc/self/comm").read_bytes()
    assert stat.has_memory
    assert not stat.is_kernel_thread


def test_a_torn_stat_is_unparseable_at_every_byte() -> None:
    """No part of stat is taken for the whole: a cut start time would be another process."""
    text = stat_text(FakeProcess(7, HOSTILE)).removesuffix(b" 0 0\n") + b"\n"

    for length in range(len(text)):
        with pytest.raises(Unparseable):
            parse_stat(7, text[:length])


@pytest.mark.parametrize(
    ("state", "flags", "has_memory"),
    [
        ("S", 0, True),
        ("D", 0x400000, True),
        ("Z", 0, False),
        ("X", 0, False),
        ("S", PF_KTHREAD, False),
        ("R", 4, False),
    ],
)
def test_who_has_memory(state: str, flags: int, *, has_memory: bool) -> None:
    """Kernel threads, zombies and exiting processes have no address space, all others do."""
    stat = parse_stat(7, stat_text(FakeProcess(7, state=state, flags=flags)))

    assert stat.has_memory == has_memory


def test_uid_is_the_effective_one() -> None:
    """Of the four uids in status the second counts, whatever the process calls itself."""
    status = b"Name:\tUid:\\n\t9\nUmask:\t0022\nUid:\t1000\t33\t1000\t33\nGid:\t1\t2\t3\t4\n"

    assert parse_uid(7, status) == 33


@pytest.mark.parametrize("status", [b"", b"Name:\tcat\n", b"Name:\tcat\nUid:\t0", b"Name:\tcat\nUid:\tx\ty\n"])
def test_status_without_uid_is_unparseable(status: bytes) -> None:
    """A status that says no uid does not become root's."""
    with pytest.raises(Unparseable):
        parse_uid(7, status)


def test_only_processes_are_listed(proc: FakeProc) -> None:
    """Of /proc's directories those with a number are processes, each with an inode of its own."""
    proc.add(FakeProcess(7), FakeProcess(4_194_303))
    (proc.root / "sys").mkdir()

    listed = dict(proc.procfs.pids())

    assert listed.keys() == {7, 4_194_303}
    assert listed[7] != listed[4_194_303]


def test_names_are_read_as_bytes(proc: FakeProc) -> None:
    """Comm, arguments and cgroup are given as they are, line ends and broken UTF-8 included."""
    proc.add(FakeProcess(7, HOSTILE, cmdline=(b"\xff\n", b"", b"-x"), cgroup=b"0::/a.slice\xff\n", uid=65534))
    procfs = proc.procfs

    assert procfs.comm(7) == HOSTILE
    assert procfs.cmdline(7) == [b"\xff\n", b"", b"-x"]
    assert procfs.cgroup(7) == b"0::/a.slice\xff\n"
    assert procfs.uid(7) == 65534


def test_a_cleared_command_line_is_one_empty_argument(proc: FakeProc) -> None:
    """A process may have no command line; there is still a first argument to look at."""
    proc.add(FakeProcess(7, cmdline=()))

    assert proc.procfs.cmdline(7) == [b""]


def test_command_lines_are_read_up_to_a_bound(proc: FakeProc) -> None:
    """A command line of megabytes costs no megabytes."""
    proc.add(FakeProcess(7, cmdline=(b"x" * 1_000_000,)))

    assert 128 * 1024 <= len(proc.procfs.cmdline(7)[0]) < 140 * 1024


def test_a_deleted_executable_keeps_its_path(proc: FakeProc) -> None:
    """An upgrade removes the file under a running program: the mark that the kernel adds is not a part of the path."""
    proc.add(FakeProcess(7, exe="/opt/app (new)/server (deleted)"))

    assert proc.procfs.exe(7) == b"/opt/app (new)/server"


def test_a_process_that_ended_is_gone(proc: FakeProc) -> None:
    """Every reader says so when the process has ended."""
    procfs = proc.procfs

    for read in (procfs.stat, procfs.comm, procfs.cmdline, procfs.exe, procfs.uid, procfs.cgroup):
        with pytest.raises(ProcessGone):
            read(7)


def test_refusal_is_told_from_absence(proc: FakeProc) -> None:
    """What the kernel refuses is denied, not gone."""
    proc.add(FakeProcess(7))
    (proc.root / "7/comm").unlink()
    (proc.root / "7/comm").symlink_to("/sys/bus/platform/drivers_probe")

    with pytest.raises(AccessDenied):
        proc.procfs.comm(7)
