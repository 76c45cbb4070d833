"""Notice when the readings of those who stand still have become wrong, because of what others did.

All who map a page share its PSS. Who comes to map what another one has takes a part of that away from him, and he does
not move; but the same part is then in the PSS of who took it. So what moved tells how far the others may be off:

* within a name, the sum of PSS less USS moves with every page that one of its processes begins or ceases to share;
* to another name it can have gone only as far as the sum of files and shared memory has moved as well, since anonymous
  memory is shared by fork(2) alone.
"""

from collections.abc import Mapping
from typing import NamedTuple

from psstopd.model import NO_MEMORY, Memory, Reading
from psstopd.sampling.census import Process
from psstopd.sampling.tally import Part

TOLERANCE = 1 / 400  # of the PSS of all, that may be wrong


class Extent(NamedTuple):
    """How much of a name, in bytes, others may have a part in."""

    common: int  # with anybody, its own processes included
    mapped: int  # files and shared memory


class Drift:
    """Remembers what each name's extent was when everybody's reading was right; lives as long as its collector."""

    def __init__(self) -> None:
        self._right: dict[str, Extent] = {}

    def suspects(self, parts: Mapping[str, Part], now: float) -> dict[Process, int]:
        """Give those whose readings are from before `now` and may be off, and by how many bytes at most.

        There are none as long as it is not worth while.
        """
        extents = _extents(parts)
        tolerated = sum(part.memory.pss for part in parts.values() if part.memory) * TOLERANCE
        changes = {name: self._change(name, extents) for name in self._right.keys() | extents.keys()}
        across = _beyond(tolerated, sum(min(change) for change in changes.values()))
        within = {name: _beyond(tolerated, change.common) for name, change in changes.items()}
        if not across and not any(within.values()):
            return {}
        self._right = extents
        # Those left out are off by a quarter of what is tolerated at most, all together.
        least = tolerated / 4 / max(1, sum(len(part.processes) for part in parts.values()))
        return {
            process: off
            for name, part in parts.items()
            for process in part.processes
            if process.asked_at != now and (off := _off(process, within[name], across)) > least
        }

    def settle(self, parts: Mapping[str, Part]) -> None:
        """Take what there is for right: those who were off have been read, or will be."""
        self._right = _extents(parts)

    def _change(self, name: str, extents: Mapping[str, Extent]) -> Extent:
        before, after = self._right.get(name, Extent(0, 0)), extents.get(name, Extent(0, 0))
        return Extent(abs(after.common - before.common), abs(after.mapped - before.mapped))


def _beyond(tolerated: float, change: int) -> int:
    return change if change > tolerated else 0


def _off(process: Process, within: int, across: int) -> int:
    """Give how far a reading may be off when so much has changed hands within its name, and across names."""
    if not isinstance(process.outcome, Reading):
        return 0
    memory = process.outcome.memory
    return max(min(within, memory.pss), min(across, extent(memory).mapped))


def _extents(parts: Mapping[str, Part]) -> dict[str, Extent]:
    return {name: extent(part.memory or NO_MEMORY) for name, part in parts.items()}


def extent(memory: Memory) -> Extent:
    """Give what others may have a part in: all of it where the kernel doesn't tell files from anonymous memory."""
    if memory.pss_file is None or memory.pss_shmem is None:
        return Extent(memory.pss - memory.uss, memory.pss)
    return Extent(memory.pss - memory.uss, memory.pss_file + memory.pss_shmem)
