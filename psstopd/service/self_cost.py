"""What psstop itself costs: memory and CPU of the sampler and of those who ship for it, together."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Identity

_UNKNOWN = (AccessDenied, NoAddressSpace, ProcessGone, Unparseable)


class SelfCost:
    """Measures this process and the shipper's; lives as long as the daemon. CPU of ended ones stays counted.

    The kernel adds up what ended `children` have used; of other processes it is what was seen last.
    """

    def __init__(self, procfs: Procfs, *, children: bool = True) -> None:
        self._procfs = procfs
        self._memory = MemoryReader(procfs)
        self._children = children
        self._ticks_a_second = os.sysconf("SC_CLK_TCK")
        self._running: dict[Identity, int] = {}  # CPU in clock ticks
        self._ended_ticks = 0

    def pss_bytes(self, pids: Sequence[int]) -> int | None:
        """Give the PSS of all, None when one of them can't be read."""
        try:
            return sum(self._memory.read(pid).memory.pss for pid in (os.getpid(), *pids))
        except _UNKNOWN:
            return None

    def cpu_us_total(self, pids: Sequence[int]) -> int:
        """Give the CPU time that all, and all earlier ones, have used."""
        before, self._running = self._running, {}
        for pid in pids:
            with suppress(*_UNKNOWN):
                stat = self._procfs.stat(pid)
                self._running[stat.identity] = stat.cpu_ticks
        if not self._children:
            self._ended_ticks += sum(ticks for identity, ticks in before.items() if identity not in self._running)
        used = os.times()
        seconds = time.process_time() + used.children_user + used.children_system
        return int((seconds + (self._ended_ticks + sum(self._running.values())) / self._ticks_a_second) * 1e6)
