"""Sum the processes of each name, and do no sum again whose parts are the same as before."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psstopd.model import NO_MEMORY, Identity, Memory, Reading, Unreadable
from psstopd.sampling.census import Process

_PAGE = 4096


class Part(NamedTuple):
    """What the processes of one name come to; `memory` and `pss_max` are None where none of them was readable.

    `readings` are those in the sum, with resident sizes as they are now. `oldest` is when the oldest of all was taken.
    `pending` counts those that nobody has read yet, for want of budget.
    """

    memory: Memory | None = NO_MEMORY
    pss_max: int | None = 0
    processes: Sequence[Process] = ()
    unreadable: Sequence[Unreadable] = ()
    newest_start: int = 0
    oldest: float | None = None
    readings: Sequence[Reading] = ()
    pending: int = 0


class Tally:
    """One name's processes and their sum; lives while the name has processes."""

    __slots__ = ("_part", "_stale", "_stale_next", "changed_at", "processes")

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.changed_at = 0.0
        self._stale = self._stale_next = False
        self._part = Part()

    def see(self, processes: list[Process], now: float) -> bool:
        """Note who belongs to the name now; tell whether these are others than before."""
        if processes == self.processes:
            return False
        self.processes, self.changed_at, self._stale = processes, now, True
        return True

    def expect(self, unsettled: Sequence[Process]) -> None:
        """Sum anew on this pass if some are `unsettled`, and once more on the next: what moved may have moved back."""
        self._stale = self._stale or self._stale_next or bool(unsettled)
        self._stale_next = bool(unsettled)

    def sum(self, repeated: set[Identity]) -> Part:
        """Give the sum, the very same if nothing changed; the memory of those in `repeated` is counted elsewhere."""
        if self._stale:
            self._stale = False
            self._part = _sum([process for process in self.processes if process.has_memory], repeated)
        return self._part


def _sum(processes: list[Process], repeated: set[Identity]) -> Part:
    readings = [reading_now(process, process.outcome) for process in processes if type(process.outcome) is Reading]
    counted = [reading for reading in readings if reading.identity not in repeated] if repeated else readings
    readable = bool(readings) or not processes
    unreadable = [process.outcome for process in processes if isinstance(process.outcome, Unreadable)]
    return Part(
        total([reading.memory for reading in counted]) if readable else None,
        max([reading.memory.pss for reading in counted], default=0) if readable else None,
        processes,
        unreadable,
        max([process.identity.start_time for process in processes], default=0),
        min([reading.taken_at for reading in readings], default=None),
        counted,
        len(processes) - len(readings) - len(unreadable),
    )


def reading_now(process: Process, reading: Reading) -> Reading:
    """Give the last reading of a process with its resident size as it is now, which is told without a read."""
    grown = process.rss_pages - process.asked_rss_pages
    if not grown:
        return reading
    return reading._replace(memory=reading.memory._replace(rss=max(0, reading.memory.rss + grown * _PAGE)))


def merge(parts: Sequence[Part]) -> Part:
    """Sum the parts of several names, perhaps of none."""
    if len(parts) == 1:
        return parts[0]
    readable = [part for part in parts if part.memory is not None]
    known = bool(readable) or not parts
    return Part(
        total(part.memory for part in readable if part.memory is not None) if known else None,
        max((part.pss_max or 0 for part in readable), default=0) if known else None,
        [process for part in parts for process in part.processes],
        [reason for part in parts for reason in part.unreadable],
        max((part.newest_start for part in parts), default=0),
        min((part.oldest for part in parts if part.oldest is not None), default=None),
        [reading for part in parts for reading in part.readings],
        sum(part.pending for part in parts),
    )


def total(memories: Iterable[Memory]) -> Memory:
    """Add up column by column; a column that one of them lacks is None. Nothing sums to zero bytes."""
    columns = list(zip(*memories, strict=True))
    return Memory._make(None if None in column else sum(column) for column in columns) if columns else NO_MEMORY
