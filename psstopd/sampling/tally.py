"""Sum the processes of each name, and do no sum again whose parts are the same as before."""

from collections.abc import Sequence
from typing import NamedTuple

from psstopd.kernel.procfs import PAGE_SIZE
from psstopd.model import NO_MEMORY, Identity, Memory, Reading, Unreadable
from psstopd.sampling.census import Process


class Part(NamedTuple):
    """What the processes of one name come to; `memory` and `pss_max` are None where none of them was readable.

    `counted` are those in the sum. `pending` counts those that nobody has read yet, for want of budget.
    """

    memory: Memory | None = NO_MEMORY
    pss_max: int | None = 0
    processes: Sequence[Process] = ()
    unreadable: Sequence[Unreadable] = ()
    newest_start: int = 0
    counted: Sequence[Process] = ()
    pending: int = 0

    def readings(self) -> list[Reading]:
        """Give the readings in the sum, with resident sizes as they are now."""
        return [
            reading._replace(memory=_resident_now([reading.memory], [process]))
            for process in self.counted
            if isinstance(reading := process.outcome, Reading)
        ]


class Tally:
    """One name's processes and their sum; lives while the name has processes."""

    __slots__ = ("_again", "_part", "_stale", "processes")

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self._stale = self._again = False
        self._part = Part()

    def see(self, processes: list[Process]) -> bool:
        """Note who belongs to the name now; tell whether these are others than before, whose readings are in doubt."""
        self._stale, self._again = self._again, False
        if processes == self.processes:
            return False
        self.processes, self._stale = processes, True
        for process in processes:
            process.doubt()
        return True

    def expect(self, *, again: bool = False) -> None:
        """Sum anew on this pass; `again` on the next one too, since what moved, and is not read, may move back."""
        self._stale = True
        self._again = self._again or again

    def sum(self, repeated: set[Identity]) -> Part:
        """Give the sum, the very same if nothing changed; the memory of those in `repeated` is counted elsewhere."""
        if self._stale:
            self._part = _sum([process for process in self.processes if process.has_memory], repeated)
        self._stale = False
        return self._part


def _sum(processes: list[Process], repeated: set[Identity]) -> Part:
    read = [process for process in processes if type(process.outcome) is Reading]
    counted = [process for process in read if process.identity not in repeated] if repeated else read
    memories = [process.outcome.memory for process in counted if type(process.outcome) is Reading]
    unreadable = [process.outcome for process in processes if isinstance(process.outcome, Unreadable)]
    readable = bool(read) or not processes
    return Part(
        _resident_now(memories, counted) if readable else None,
        max([memory.pss for memory in memories], default=0) if readable else None,
        processes,
        unreadable,
        max([process.identity.start_time for process in processes], default=0),
        counted,
        len(processes) - len(read) - len(unreadable),
    )


def _resident_now(memories: Sequence[Memory], processes: Sequence[Process]) -> Memory:
    """Add up the memories of processes with their resident sizes as they are now, which are told without a read."""
    memory = total(memories)
    grown = [
        max(-memory.rss, (process.rss_pages - process.asked_rss_pages) * PAGE_SIZE)
        for process, memory in zip(processes, memories, strict=True)
        if process.rss_pages != process.asked_rss_pages
    ]
    return memory._replace(rss=memory.rss + sum(grown)) if grown else memory


def merge(parts: Sequence[Part]) -> Part:
    """Sum the parts of several names, perhaps of none."""
    if len(parts) == 1:
        return parts[0]
    readable = [part for part in parts if part.memory is not None]
    known = bool(readable) or not parts
    return Part(
        total([part.memory for part in readable if part.memory is not None]) if known else None,
        max((part.pss_max or 0 for part in readable), default=0) if known else None,
        [process for part in parts for process in part.processes],
        [reason for part in parts for reason in part.unreadable],
        max((part.newest_start for part in parts), default=0),
        [process for part in parts for process in part.counted],
        sum(part.pending for part in parts),
    )


def total(memories: Sequence[Memory]) -> Memory:
    """Add up column by column; a column that one of them lacks is None. Nothing sums to zero bytes.

    Through lists: of tuples that are made from something without a length CPython keeps 2,000 of each size for good.
    """
    columns = ([memory[number] for memory in memories] for number in range(len(NO_MEMORY)))
    return Memory._make([None if None in column else sum(column) for column in columns])
