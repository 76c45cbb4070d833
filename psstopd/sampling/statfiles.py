"""Keep the stat files of watched processes open: to read one again takes half as long as to open it anew."""

import os
from contextlib import suppress

from psstopd.kernel.errors import ProcessGone
from psstopd.kernel.procfs import Procfs

MOST_KEPT = 1024  # descriptors; the kernel's buffer for each is 4 KiB that it can't take back
CLOSED = -1
_SPARE = 64  # descriptors that everything else may need
USUAL_SIZE = 448  # less is quicker, and what is longer is read again
_LARGEST_SIZE = 2048  # more than stat can be: 52 numbers of up to 20 digits


class StatFiles:
    """Reads /proc/PID/stat of processes that it is told to keep; lives as long as the daemon.

    A descriptor belongs to its process, through execve too, and never to the next one with that pid.
    """

    def __init__(self, procfs: Procfs, *, most_kept: int = MOST_KEPT) -> None:
        self._procfs = procfs
        self._free = min(most_kept, _room()) if most_kept else 0

    def keep(self, pid: int) -> int:
        """Open the file of a process; CLOSED, which is no error, where there are too many. Raises ProcessGone."""
        if self._free <= 0:
            return CLOSED
        try:
            descriptor = self._procfs.open_stat(pid)
        except OSError:  # out of descriptors after all
            self._free = 0
            return CLOSED
        self._free -= 1
        return descriptor

    def text(self, pid: int, descriptor: int) -> bytes:
        """Read the file. Raises ProcessGone or AccessDenied."""
        if descriptor == CLOSED:
            return self._procfs.stat_text(pid)
        try:
            return os.pread(descriptor, _LARGEST_SIZE, 0)
        except OSError as error:
            raise ProcessGone(f"/proc/{pid}/stat: {error.strerror}") from error

    def close(self, descriptor: int) -> None:
        """Give a descriptor back."""
        if descriptor != CLOSED:
            with suppress(OSError):
                os.close(descriptor)
            self._free += 1


def _room() -> int:
    """Raise the limit of open files as far as this takes; give how many may be kept, getrlimit(2)."""
    import resource  # noqa: PLC0415 - the client has no use for it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_KEPT + _SPARE if hard == resource.RLIM_INFINITY else min(MOST_KEPT + _SPARE, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST_KEPT if soft == resource.RLIM_INFINITY else max(0, soft - _SPARE)
