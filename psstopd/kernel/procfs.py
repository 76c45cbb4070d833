"""Read and parse the files of /proc that say what a process is: stat, comm, cmdline, exe, status and cgroup.

Every reader raises ProcessGone when the process has ended and AccessDenied when the kernel refuses.
"""

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.model import Identity

_PF_EXITING = 0x4  # include/linux/sched.h
_PF_KTHREAD = 0x00200000
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")  # what stat counts resident memory in
_READ_SIZE = 4096
_FIELDS_UP_TO_RSS = 22  # those behind comm
_READ_ONLY = os.O_RDONLY | os.O_CLOEXEC
_CMDLINE_LIMIT = 128 * 1024  # one argument may be that long (MAX_ARG_STRLEN), a command line megabytes


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that psstop uses; times in clock ticks."""

    identity: Identity
    comm: bytes
    state: str
    flags: int
    cpu_ticks: int
    rss_pages: int
    faults: int  # minor and major ones: whatever a process maps anew, it gets by a fault

    @property
    def has_memory(self) -> bool:
        """Tell whether the process has an address space: kernel threads, zombies and exiting ones have none."""
        return self.state not in "ZXx" and not self.flags & (_PF_KTHREAD | _PF_EXITING)

    @property
    def is_kernel_thread(self) -> bool:
        """Tell whether this is a kernel thread, which it then remains for life."""
        return bool(self.flags & _PF_KTHREAD)


def parse_stat(pid: int, text: bytes) -> Stat:
    """Parse /proc/PID/stat, proc_pid_stat(5); comm is raw and may hold spaces, newlines and parentheses.

    Raises Unparseable when a field is missing or is not a number, and when the text is torn.
    """
    if not text.endswith(b"\n"):
        raise Unparseable(f"/proc/{pid}/stat: torn: {text[:200]!r}")
    opening, closing = text.find(b"("), text.rfind(b")")
    fields = text[closing + 1 :].split(None, _FIELDS_UP_TO_RSS)
    try:
        return Stat(
            identity=Identity(pid, int(fields[19])),
            comm=text[opening + 1 : closing],
            state=fields[0].decode(),
            flags=int(fields[6]),
            cpu_ticks=int(fields[11]) + int(fields[12]),
            rss_pages=int(fields[21]),
            faults=int(fields[7]) + int(fields[9]),
        )
    except (IndexError, ValueError) as error:
        raise Unparseable(f"/proc/{pid}/stat: {error}: {text[:200]!r}") from error


def parse_uid(pid: int, status: bytes) -> int:
    """Give the effective uid from /proc/PID/status, proc_pid_status(5). Raises Unparseable without a Uid line."""
    _, found, rest = status.partition(b"\nUid:")
    fields = rest.split(None, 2)
    if not found or len(fields) < 2 or not fields[1].isdigit():  # noqa: PLR2004 - real uid, effective uid
        raise Unparseable(f"/proc/{pid}/status: no Uid line in {status[:200]!r}")
    return int(fields[1])


class Procfs:
    """A mounted /proc. Holds only its path; tests give it a directory of their own."""

    def __init__(self, root: str = "/proc") -> None:
        self.root = root

    def pids(self) -> list[tuple[int, int]]:
        """List (pid, inode) of every process. A reused pid has another inode; a new inode may be the same process."""
        with os.scandir(self.root) as entries:
            return [(int(entry.name), entry.inode()) for entry in entries if entry.name.isdecimal()]

    def listing(self) -> dict[str, int]:
        """List everything in /proc with its inode, as names: the quickest way to see that nobody came or went."""
        with os.scandir(self.root) as entries:
            return {entry.name: entry.inode() for entry in entries}

    def stat(self, pid: int) -> Stat:
        """Read /proc/PID/stat."""
        return parse_stat(pid, self.stat_text(pid))

    def stat_text(self, pid: int) -> bytes:
        """Read /proc/PID/stat as it is: who has not run since has the same text."""
        return self._read(pid, "stat", read_once)

    def open_stat(self, pid: int) -> int:
        """Open /proc/PID/stat to read it again and again; the descriptor survives execve and is the caller's."""
        try:
            return os.open(f"{self.root}/{pid}/stat", _READ_ONLY)
        except OSError as error:
            raise self._outcome(pid, "stat", error) from error

    def comm(self, pid: int) -> bytes:
        """Read /proc/PID/comm: up to 15 bytes of anything but NUL, proc_pid_comm(5)."""
        try:  # without _read: this is done for every process on every tick
            return read_once(f"{self.root}/{pid}/comm")[:-1]
        except OSError as error:
            raise self._outcome(pid, "comm", error) from error

    def cmdline(self, pid: int) -> list[bytes]:
        """Read the first 128 KiB of /proc/PID/cmdline as arguments; one empty argument when the process cleared it."""
        text = self._read(pid, "cmdline", partial(read_whole, limit=_CMDLINE_LIMIT))
        return text.rstrip(b"\0").split(b"\0")

    def exe(self, pid: int) -> bytes:
        """Read the link /proc/PID/exe, less the mark of a deleted file. Other users' need CAP_SYS_PTRACE.

        Raises Unparseable for a path of more than 4 KiB, which the kernel does not tell and anybody can make.
        """
        return self._read(pid, "exe", _read_link).removesuffix(b" (deleted)")

    def uid(self, pid: int) -> int:
        """Read the effective uid from /proc/PID/status; the owner of the directory is root for undumpable processes."""
        return parse_uid(pid, self._read(pid, "status", read_once))

    def cgroup(self, pid: int) -> bytes:
        """Read /proc/PID/cgroup, one line a hierarchy, cgroups(7)."""
        return self._read(pid, "cgroup", read_whole)

    def _read(self, pid: int, name: str, read: Callable[[str], bytes]) -> bytes:
        try:
            return read(f"{self.root}/{pid}/{name}")
        except OSError as error:
            raise self._outcome(pid, name, error) from error

    def _outcome(self, pid: int, name: str, error: OSError) -> Exception:
        where = f"{self.root}/{pid}/{name}: {error.strerror}"
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return ProcessGone(where)
        if error.errno in (errno.EACCES, errno.EPERM):
            return AccessDenied(where)
        return Unparseable(where) if error.errno == errno.ENAMETOOLONG else error


def read_once(path: str) -> bytes:
    """Read a pseudo file that the kernel makes in one piece (single_open) and that fits into 4 KiB."""
    fd = os.open(path, _READ_ONLY)
    try:
        return os.read(fd, _READ_SIZE)
    finally:
        os.close(fd)


def read_whole(path: str, *, limit: int | None = None) -> bytes:
    """Read a pseudo file to its end: in /proc, stat tells no sizes, and only an empty read says it was all."""
    fd = os.open(path, _READ_ONLY)
    try:
        chunks, size = [], 0
        while (limit is None or size < limit) and (chunk := os.read(fd, _READ_SIZE)):
            chunks.append(chunk)
            size += len(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks)


def _read_link(path: str) -> bytes:
    return os.readlink(os.fsencode(path))
