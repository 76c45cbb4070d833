"""All processes at one moment, for a client that shows them and ends.

Three threads read: the kernel walks page tables while nobody here holds Python's lock, so that two cores do, and the
third thread is at what takes the lock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import AddressSpace, MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Unreadable

STUCK_SECONDS = 10.0  # for one read: 200 GiB of small pages take 4
_THREADS = 3  # more would only wait for Python's lock

Key = tuple[int, int]  # pid and inode of its directory: told from any other process that gets the pid later
Name = Callable[[int], bytes]
Wanted = Callable[[int, bytes], bool]


class Seen(NamedTuple):
    """One living process with an address space; `space` is None where it could not be read, for `unreadable`."""

    pid: int
    inode: int
    name: bytes
    space: AddressSpace | None
    unreadable: Unreadable | None = None

    @property
    def key(self) -> Key:
        """Tell this process from all others."""
        return self.pid, self.inode


def take(procfs: Procfs, name: Name, wanted: Wanted | None = None) -> list[Seen]:
    """Read every process that is `wanted` by pid and name, all by default, in the order of their pids.

    Kernel threads, zombies and what ends meanwhile are left out. A read that hangs is given up as stuck.
    """
    look = _Look(procfs, name, wanted)
    pids = iter(procfs.pids())
    workers = [_Worker(look, pids) for _ in range(_THREADS)]
    while workers:
        if (stuck := workers.pop().finish()) is not None:
            look.seen.append(stuck)
            workers.append(_Worker(look, pids))  # what the hanging one would have read
    return sorted([*look.seen, *map(look.understand, look.read)])


class _Look:
    """How to look at one process, and what was seen; shared by the workers of one snapshot.

    Texts are parsed when all of them have been read: meanwhile Python's lock is what the workers wait for.
    """

    def __init__(self, procfs: Procfs, name: Name, wanted: Wanted | None) -> None:
        self._procfs = procfs
        self._reader = MemoryReader(procfs)
        self._name = name
        self._wanted = wanted
        self.seen: list[Seen] = []
        self.read: list[tuple[int, int, bytes, bytes]] = []  # pid, inode, name and text

    def at(self, pid: int, inode: int) -> None:
        """Look at one process; nothing is seen of one that has no memory, or has gone."""
        try:
            name = self._name(pid)
            if self._wanted is None or self._wanted(pid, name):
                self._measure(pid, inode, name)
        except (ProcessGone, NoAddressSpace):
            return
        except AccessDenied:  # of the name itself, by a /proc that hides other users' processes (hidepid=1)
            self.seen.append(Seen(pid, inode, b"", None, Unreadable.DENIED))

    def understand(self, read: tuple[int, int, bytes, bytes]) -> Seen:
        """Say what has been read of one process."""
        pid, inode, name, text = read
        try:
            return Seen(pid, inode, name, self._reader.parse(text))
        except Unparseable:
            return Seen(pid, inode, name, None, Unreadable.UNPARSEABLE)

    def _measure(self, pid: int, inode: int, name: bytes) -> None:
        try:
            self.read.append((pid, inode, name, self._reader.text(pid)))
        except Unparseable:
            self.seen.append(Seen(pid, inode, name, None, Unreadable.UNPARSEABLE))
        except AccessDenied:
            if not self._procfs.stat(pid).has_memory:  # the kernel refuses before it looks
                raise NoAddressSpace(f"{pid}") from None
            self.seen.append(Seen(pid, inode, name, None, Unreadable.DENIED))


class _Worker:
    """A thread that takes pids from those that all workers share; it ends with them, or hangs with a read."""

    def __init__(self, look: _Look, pids: Iterator[Key]) -> None:
        self._look = look
        self._pids = pids
        self._key: Key | None = None
        self._began = 0.0
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> Seen | None:
        """Wait for the end; give the process whose read hangs, if one does. Raises what is wrong with /proc itself."""
        while self._thread.is_alive():
            left = self._began + STUCK_SECONDS - time.monotonic() if self._key else STUCK_SECONDS
            if left <= 0 and self._key is not None:
                return Seen(*self._key, b"", None, Unreadable.STUCK)
            self._thread.join(max(0.0, left))
        if self._error is not None:
            raise self._error
        return None

    def _run(self) -> None:
        try:
            for key in self._pids:
                self._began, self._key = time.monotonic(), key
                self._look.at(*key)
        except OSError as error:
            self._error = error
