"""What psstop itself costs: memory and CPU of the sampler and its shipper together."""

import os
import time
from contextlib import suppress

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs

_UNKNOWN = (AccessDenied, NoAddressSpace, ProcessGone, Unparseable)


class SelfCost:
    """Measures this process and one child; lives as long as the daemon. CPU of ended children stays counted."""

    def __init__(self, procfs: Procfs) -> None:
        self._procfs = procfs
        self._memory = MemoryReader(procfs)
        self._ticks_a_second = os.sysconf("SC_CLK_TCK")

    def pss_bytes(self, child: int | None) -> int | None:
        """Give the PSS of both, None when one of them can't be read."""
        try:
            return sum(self._memory.read(pid).memory.pss for pid in (os.getpid(), child) if pid is not None)
        except _UNKNOWN:
            return None

    def cpu_us_total(self, child: int | None) -> int:
        """Give the CPU time that both and all earlier children have used."""
        ended = os.times()
        seconds = time.process_time() + ended.children_user + ended.children_system
        with suppress(*_UNKNOWN):
            seconds += 0 if child is None else self._procfs.stat(child).cpu_ticks / self._ticks_a_second
        return int(seconds * 1e6)
