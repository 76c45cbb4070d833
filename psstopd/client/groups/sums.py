"""What `psstop --by` shows: processes summed by what they have in common, in order, with what all use together."""

from collections.abc import Iterable
from typing import NamedTuple

from psstopd.model import Unreadable


class Charge(NamedTuple):
    """What one process adds to its group, in bytes; `swap` is None where the kernel doesn't tell."""

    private: int
    shared: int
    swap: int | None
    is_estimate: bool = False  # of its huge pages


class Member(NamedTuple):
    """One process; without a charge it could not be read."""

    pid: int
    label: str
    charge: Charge | None
    unreadable: Unreadable | None = None


class Group(NamedTuple):
    """Processes under one label; only those that could be read are in `processes` and in the sizes."""

    name: str
    pid: int | None  # of its only process, where each is a group of its own
    processes: int
    unreadable: int
    private: int
    shared: int
    swap: int | None
    is_estimate: bool

    @property
    def ram(self) -> int:
        """The RAM that its processes use together."""
        return self.private + self.shared


class Groups(NamedTuple):
    """One moment: the groups in the order in which they are shown, all of them together, and what is missing."""

    rows: list[Group]
    total: Group
    unreadable: list[Member]

    def __bool__(self) -> bool:
        return bool(self.total.processes or self.unreadable)

    @property
    def reasons(self) -> dict[Unreadable, int]:
        """Count what could not be read, by the reason."""
        reasons = [member.unreadable for member in self.unreadable if member.unreadable is not None]
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    def arranged(self, column: str, most: int | None, *, descending: bool) -> "Groups":
        """Sort by a column, of which the largest values are shown; `most` None: all. Equal ones stay as they are."""
        rows = sorted(self.rows, key=_KEYS[column])
        rows = rows if most is None else rows[-most:]
        return self._replace(rows=rows[::-1] if descending else rows)


def grouped(members: Iterable[Member], *, by_pid: bool) -> Groups:
    """Sum processes by their labels, or give each a row of its own."""
    everyone = list(members)
    by_key: dict[tuple[str, int | None], list[Member]] = {}
    for member in everyone:
        by_key.setdefault((member.label, member.pid if by_pid else None), []).append(member)
    rows = [_summed(name, pid, those) for (name, pid), those in by_key.items()]
    return Groups(rows, _summed("", None, everyone), [member for member in everyone if member.charge is None])


def _summed(name: str, pid: int | None, members: list[Member]) -> Group:
    charges = [member.charge for member in members if member.charge is not None]
    swaps = [charge.swap for charge in charges if charge.swap is not None]
    return Group(
        name,
        pid,
        processes=len(charges),
        unreadable=len(members) - len(charges),
        private=sum(charge.private for charge in charges),
        shared=sum(charge.shared for charge in charges),
        swap=sum(swaps) if len(swaps) == len(charges) else None,
        is_estimate=any(charge.is_estimate for charge in charges),
    )


_KEYS = {
    "pss": lambda group: group.ram,
    "swap": lambda group: group.swap or 0,
    "uss": lambda group: group.private,
    "pid": lambda group: group.pid or 0,
    "name": lambda group: group.name,
}
