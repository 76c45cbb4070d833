"""Charge every process with its memory, each page once, for `psstop --by`."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from psstopd.client.groups.labels import UNKNOWN, Label
from psstopd.client.groups.sums import Charge, Groups, Member, grouped
from psstopd.client.picking import Picks
from psstopd.kernel.errors import Unparseable
from psstopd.kernel.memory import AddressSpace
from psstopd.kernel.procfs import Procfs
from psstopd.model import Identity, Reading
from psstopd.sampling.names import full_name
from psstopd.sampling.sharing import Compare, SharedSpaces, compare_by_kcmp
from psstopd.sampling.snapshot import take

if TYPE_CHECKING:
    from psstopd.client.groups.huge_pages import HugeMapping, Share

_CUT = 512  # the kernel cuts PSS to whole KiB, half of one on average; ps_mem makes up for it as well

Spaces = dict[int, AddressSpace]


def count(
    procfs: Procfs, picks: Picks | None, label: Label, *, by_pid: bool = False, compare: Compare = compare_by_kcmp
) -> Groups:
    """Read the processes that were picked, all but this one without picks, and sum them by their labels."""
    labels: dict[int, str] = {}
    own = os.getpid()

    def wanted(pid: int, program: bytes) -> bool:
        if pid == own or (picks is not None and not picks.wants(pid, program)):
            return False
        labels[pid] = label(pid, program)
        return True

    seen = take(procfs, lambda pid: full_name(procfs, pid, procfs.comm(pid)), wanted)
    charges = charged(procfs, {one.pid: one.space for one in seen if one.space is not None}, labels, compare)
    members = [Member(one.pid, labels.get(one.pid, UNKNOWN), charges.get(one.pid), one.unreadable) for one in seen]
    return grouped(members, by_pid=by_pid)


def charged(procfs: Procfs, spaces: Spaces, labels: dict[int, str], compare: Compare) -> dict[int, Charge]:
    """Charge each address space to the first process that has it, and what is shared to those who share it."""
    readings = [Reading(Identity(pid, 0), space.memory, space.span) for pid, space in spaces.items()]
    repeated = {identity.pid for identity in SharedSpaces(compare).repeated(readings)}
    of_their_own = {pid: space for pid, space in spaces.items() if pid not in repeated}
    huge = _huge_pages(procfs, of_their_own, labels)
    return dict.fromkeys(repeated, Charge(0, 0, 0)) | {
        pid: _charge(space, huge.get(pid)) for pid, space in of_their_own.items()
    }


def _charge(space: AddressSpace, huge: "Share | None") -> Charge:
    memory = space.memory
    private, shared = memory.uss + space.private_hugetlb, memory.pss + _CUT - memory.uss
    if huge is None:
        return Charge(private, shared, memory.swap_pss)
    return Charge(private, shared + huge.size, memory.swap_pss, is_estimate=not huge.is_known)


def _huge_pages(procfs: Procfs, spaces: Spaces, labels: dict[int, str]) -> "dict[int, Share]":
    """Divide the huge pages of those who share some; nobody else's memory is read a second time."""
    sharing = {pid: space.shared_hugetlb for pid, space in spaces.items() if space.shared_hugetlb}
    if not sharing:
        return {}
    from psstopd.client.groups.huge_pages import shares  # noqa: PLC0415 - few hosts have any

    return shares({pid: _huge_mappings(procfs, pid, size, labels[pid]) for pid, size in sharing.items()})


def _huge_mappings(procfs: Procfs, pid: int, size: int, label: str) -> "Iterable[HugeMapping]":
    """Read who shares what; where that is not told any more, a group has what its largest process has, as in ps_mem."""
    from psstopd.client.groups.huge_pages import UNTOLD, HugeMapping, read_huge_mappings  # noqa: PLC0415 - likewise

    try:
        mappings = read_huge_mappings(procfs, pid)
    except (OSError, Unparseable):
        mappings = []
    if sum(mapping.shared for mapping in mappings) >= size:
        return mappings
    return [HugeMapping(UNTOLD + label.encode(), 0, size, size, is_copied=False)]
