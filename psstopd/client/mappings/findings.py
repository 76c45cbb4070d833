"""What `psstop show` has found, before it is written as a table, as JSON or as CSV."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from psstopd.client.mappings.table import Part, Row, Space, total
from psstopd.kernel.mappings import Mapping as MemoryMapping
from psstopd.kernel.threads import Thread
from psstopd.model import Memory, Unreadable

_KIB = 1024


class Shown(NamedTuple):
    """One process: its rollup, and its mappings as they were just after."""

    pid: int
    name: str
    rollup: Memory
    mappings: Sequence[MemoryMapping]
    threads: Sequence[Thread]

    @property
    def space(self) -> Space:
        """Its address space."""
        return Space(self.mappings, self.threads)


class Alone(NamedTuple):
    """The pages that a set of processes maps, in bytes, by what becomes of them when all of the set end.

    Nobody else maps what is in the first five; `others` do map the rest. `pss` is the fair share of all but hugetlb.
    What psstop itself maps of them is left out of account.
    """

    anonymous: int
    unnamed: int
    shared_stays: int
    cache: int
    hugetlb: int
    once: int
    among: int
    others: int
    pss: int
    by_part: Mapping[Part, int]

    @property
    def comes_back(self) -> int:
        """What is free when all of them have ended."""
        return self.anonymous + self.unnamed

    @property
    def stays(self) -> int:
        """What is theirs alone and outlives them."""
        return self.shared_stays + self.cache

    @property
    def all(self) -> int:
        """What is theirs alone, hugetlb aside."""
        return self.comes_back + self.stays


class Findings(NamedTuple):
    """Everything that is to be shown. `parts` has those of each process' mappings; `exact` is None without --exact."""

    processes: Sequence[Shown]
    parts: Sequence[Sequence[Part]]
    rows: list[Row]
    unreadable: Mapping[Unreadable, int]
    repeated: int  # processes in the address space of another one
    unknown_stacks: int
    exact: Alone | None

    @property
    def total(self) -> Row:
        """The sum of all rows."""
        return total(self.rows, "total")

    @property
    def rollup_pss(self) -> int:
        """The sum of what the rollups say."""
        return sum(one.rollup.pss for one in self.processes)

    @property
    def is_rounding(self) -> bool:
        """Tell whether rollups and mappings differ by what the kernel cuts off alone: under 1 KiB for each mapping."""
        return 0 <= self.rollup_pss - self.total.pss <= _KIB * self.total.mappings
