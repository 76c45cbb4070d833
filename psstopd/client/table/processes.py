"""What `psstop` shows: the processes at one moment, put in order, summed, and compared with an earlier moment."""

import os
from typing import NamedTuple

from psstopd.client.picking import Picks
from psstopd.kernel.errors import AccessDenied
from psstopd.kernel.procfs import Procfs
from psstopd.model import NO_MEMORY, Memory, Unreadable
from psstopd.sampling.names import full_name, printable
from psstopd.sampling.snapshot import Key, Seen, take


class Row(NamedTuple):
    """One process that could be read. Changes of the PSS since another moment are None for one that is new."""

    key: Key
    name: str
    memory: Memory
    change: int | None = None
    change_since_first: int | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.key[0]


class Processes(NamedTuple):
    """One moment: what could be read, in the order in which it is shown, and what not."""

    rows: list[Row]
    unreadable: list[Seen]
    total: Memory
    readable: int  # of all that could be read, shown or not
    is_compared: bool = False

    def __bool__(self) -> bool:
        return bool(self.readable or self.unreadable)

    @property
    def reasons(self) -> dict[Unreadable, int]:
        """Count what could not be read, by the reason."""
        reasons = [seen.unreadable for seen in self.unreadable if seen.unreadable is not None]
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    def arranged(self, column: str, most: int | None, *, descending: bool) -> "Processes":
        """Sort by a column, of which the largest values are shown; `most` None: all."""
        rows = sorted(self.rows, key=_KEYS[column])
        rows = rows if most is None else rows[-most:]
        return self._replace(rows=rows[::-1] if descending else rows)

    def compared(self, last: "Processes", first: "Processes") -> "Processes":
        """Add how each process has changed since two earlier moments."""
        before, at_first = ({row.key: row.memory.pss for row in other.rows} for other in (last, first))
        rows = [
            row._replace(
                change=_difference(row, before.get(row.key)), change_since_first=_difference(row, at_first.get(row.key))
            )
            for row in self.rows
        ]
        return self._replace(rows=rows, is_compared=True)


def look(picks: Picks | None, *, by_command: bool = False) -> Processes:
    """Read the processes that were picked, all without picks; named by their command lines if asked."""
    procfs = Procfs()

    def program(pid: int) -> bytes:
        return full_name(procfs, pid, procfs.comm(pid))

    def command(pid: int) -> bytes:
        try:
            arguments = procfs.cmdline(pid)
        except AccessDenied:
            return program(pid)
        return os.path.basename(arguments[0]) or program(pid)

    seen = take(procfs, command if by_command else program, picks.wants if picks else None)
    rows = [Row(one.key, printable(one.name), one.space.memory) for one in seen if one.space is not None]
    unreadable = [one for one in seen if one.space is None]
    return Processes(rows, unreadable, _sum([row.memory for row in rows]), len(rows))


def _sum(memories: list[Memory]) -> Memory:
    """Sum each column; one that this kernel does not have stays None."""
    return Memory._make(
        None if None in column else sum(column) for column in zip(*(memories or [NO_MEMORY]), strict=True)
    )


def _difference(row: Row, before: int | None) -> int | None:
    return None if before is None else row.memory.pss - before


_KEYS = {
    "pss": lambda row: (row.memory.pss, row.pid),
    "swap": lambda row: (row.memory.swap_pss or 0, row.pid),
    "uss": lambda row: (row.memory.uss, row.pid),
    "rss": lambda row: (row.memory.rss, row.pid),
    "pid": lambda row: row.pid,
    "name": lambda row: (row.name, row.memory.pss),
}
