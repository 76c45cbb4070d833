"""Named stand-ins: a /proc that tests write themselves, and a clock that they turn by hand."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from tests.waiting import wait_for

KIB = 1024
PF_KTHREAD = 0x00200000
# Mode 0200 on every kernel with sysfs, which holds against root too: open(2) for reading says EACCES.
_UNREADABLE = Path("/sys/bus/platform/drivers_probe")


def memory(pss_kib: int, *, swap_pss_kib: int = 0) -> Memory:
    """Make up a process' memory: all of it anonymous and private."""
    pss = pss_kib * KIB
    return Memory(pss, swap_pss_kib * KIB, uss=pss, rss=pss, pss_anon=pss, pss_file=0, pss_shmem=0)


ONE_KIB = memory(1)


@dataclass(frozen=True)
class FakeProcess:
    """What one process' directory says."""

    pid: int
    comm: bytes = b"program"
    start_time: int = 100
    memory: Memory = ONE_KIB
    span: str | None = None  # of its addresses; None: one of its own
    cmdline: tuple[bytes, ...] = ()
    exe: str | None = None
    uid: int = 0
    cgroup: bytes = b"0::/\n"
    state: str = "S"
    flags: int = 0x400000
    faults: int = 0  # minor ones
    rss_pages: int = 0


class FakeProc:
    """A /proc in a directory of its own; a context, whose end lets every hanging read return."""

    def __init__(self, root: Path, *, has_rollup: bool = True) -> None:
        self.root = root
        self._file = "smaps_rollup" if has_rollup else "smaps"
        self._processes: dict[int, FakeProcess] = {}
        self._hanging: set[Path] = set()
        self._write(root / "self" / self._file, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for fifo in self._hanging:
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))

    @property
    def procfs(self) -> Procfs:
        """A Procfs that reads here."""
        return Procfs(str(self.root))

    def add(self, *processes: FakeProcess) -> None:
        """Start processes, or give those of the same pids new files."""
        for process in processes:
            self._processes[process.pid] = process
            self._fill(process)

    def change(self, pid: int, **fields: Any) -> None:
        """Let a process rename itself, execute another program, use more memory and so on, as FakeProcess has it."""
        self.add(replace(self._processes[pid], **fields))

    def remove(self, pid: int) -> None:
        """Let a process end."""
        shutil.rmtree(self.root / str(pid))

    def forget(self, pid: int) -> None:
        """Give the directory another inode, as the kernel does when it was short of memory meanwhile."""
        old = (self.root / str(pid)).rename(self.root / "old")
        self._fill(self._processes[pid])
        shutil.rmtree(old)

    def deny(self, pid: int) -> None:
        """Refuse to tell the memory of a process, as for one of another user."""
        file = self.file(pid)
        file.unlink()
        file.symlink_to(_UNREADABLE)

    def write(self, pid: int, text: bytes) -> None:
        """Write the memory file of a process, whatever it be."""
        self._write(self.file(pid), text)

    def hang(self, pid: int) -> None:
        """Let reads of the memory of a process hang from now on, as while it holds its mmap lock."""
        file = self.file(pid)
        file.unlink()
        os.mkfifo(file)
        self._hanging.add(file)

    def release(self, pid: int, text: bytes) -> None:
        """Let the read that hangs return with `text`, and later ones not hang."""
        file = self.file(pid)
        fifo = wait_for(lambda: _open_for_reader(file), 5, f"a read of {file}")
        self._hanging.remove(file)
        self._write(file.with_suffix(".new"), text)
        file.with_suffix(".new").rename(file)
        os.write(fifo, text)
        os.close(fifo)

    def file(self, pid: int) -> Path:
        """Give the path of a process' memory file."""
        return self.root / str(pid) / self._file

    def _fill(self, process: FakeProcess) -> None:
        directory = self.root / str(process.pid)
        comm = process.comm
        self._write(directory / "stat", stat_text(process))
        self._write(directory / "comm", comm + b"\n")
        self._write(directory / "cmdline", b"".join(argument + b"\0" for argument in process.cmdline))
        self._write(directory / "status", b"Name:\t%b\nUmask:\t0022\nUid:\t0\t%d\t0\t0\n" % (comm, process.uid))
        self._write(directory / "cgroup", process.cgroup)
        if (directory / self._file) not in self._hanging:
            span = process.span or f"{process.pid:012x}-7ffd2d3b5000"
            self._write(directory / self._file, rollup_text(process.memory, span))
        (directory / "exe").unlink(missing_ok=True)
        (directory / "exe").symlink_to(process.exe or "/usr/bin/" + os.fsdecode(comm).replace("/", "_"))

    @staticmethod
    def _write(path: Path, text: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(text)


def stat_text(process: FakeProcess) -> bytes:
    """Write /proc/PID/stat as far as field 24; what nobody asks for is 0, CPU time is 30 and 12 ticks."""
    faults, rss = str(process.faults), str(process.rss_pages)
    fields = [process.state, *"11111", str(process.flags), faults, *"000", "30", "12", *"000000"]
    return b"%d (%b) %b 0 %b\n" % (
        process.pid,
        process.comm,
        " ".join([*fields, str(process.start_time)]).encode(),
        rss.encode(),
    )


def rollup_text(memory: Memory, span: str = "5567f2a6c000-7ffd2d3b5000") -> bytes:
    """Write smaps_rollup as Linux 6.18 does."""
    sizes = {
        "Rss": memory.rss,
        "Pss": memory.pss,
        "Pss_Dirty": 0,
        "Pss_Anon": memory.pss_anon or 0,
        "Pss_File": memory.pss_file or 0,
        "Pss_Shmem": memory.pss_shmem or 0,
        "Shared_Clean": memory.rss - memory.uss,
        "Shared_Dirty": 0,
        "Private_Clean": 0,
        "Private_Dirty": memory.uss,
        "Referenced": memory.rss,
        "Anonymous": memory.pss_anon or 0,
        **dict.fromkeys(("KSM", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"), 0),
        **dict.fromkeys(("Shared_Hugetlb", "Private_Hugetlb"), 0),
        "Swap": memory.swap_pss or 0,
        "SwapPss": memory.swap_pss or 0,
        "Locked": 0,
    }
    header = f"{span} ---p 00000000 00:00 0 ".ljust(73) + "[rollup]\n"
    lines = (f"{name + ':':<16}{size // KIB:>8} kB\n" for name, size in sizes.items())
    return (header + "".join(lines)).encode()


class Clock:
    """A clock that only tests turn: `now` never moves by itself, a wait moves it on at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        """Give the time in seconds."""
        return self.seconds

    def wait(self, seconds: float) -> int | None:
        """Let `seconds` go by; no signal arrives."""
        self.seconds += seconds
        return None


def _open_for_reader(fifo: Path) -> int | None:
    """Open a FIFO for writing once somebody wants to read it."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
