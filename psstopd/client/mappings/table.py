"""What `psstop show` adds up: mappings sorted into parts that mean the same in every process, and the sums of these."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from psstopd.kernel.mappings import Mapping as MemoryMapping
from psstopd.kernel.threads import Thread
from psstopd.sampling.names import printable

_DELETED = b" (deleted)"
_SYSV = re.compile(rb"/SYSV([0-9a-f]{8})")
_GUARD = b"---p"
_GUARDED = b"gu"  # VmFlags: guard pages inside of a mapping, as glibc has them since 2.42


class Kind(StrEnum):
    """What a part of an address space is."""

    HEAP = "heap"
    STACK = "stack"
    ANONYMOUS = "anonymous"
    SHARED = "shared anonymous"
    SYSV = "sysv"
    MEMFD = "memfd"
    HUGETLB = "hugetlb"
    FILE = "file"
    DELETED = "deleted file"
    KERNEL = "kernel"
    REST = "rest"


class Part(NamedTuple):
    """Mappings that are shown and summed as one; `inode` tells SysV segments apart, where it is their shmid."""

    kind: Kind
    name: str
    inode: int = 0


class Row(NamedTuple):
    """The sum over the mappings of one part, in bytes; `swap_pss` is None where the kernel doesn't tell."""

    part: Part
    mappings: int
    pss: int
    private: int
    shared: int
    swap_pss: int | None
    size: int
    hugetlb: int

    def plus(self, other: "Row") -> "Row":
        """Add another row to this one."""
        return Row(
            self.part,
            self.mappings + other.mappings,
            self.pss + other.pss,
            self.private + other.private,
            self.shared + other.shared,
            None if self.swap_pss is None or other.swap_pss is None else self.swap_pss + other.swap_pss,
            self.size + other.size,
            self.hugetlb + other.hugetlb,
        )


class Space(NamedTuple):
    """The address space of one process."""

    mappings: Sequence[MemoryMapping]
    threads: Sequence[Thread]


def parts(space: Space, *, by_thread: bool) -> list[Part]:
    """Give the part of each mapping; `by_thread` tells threads of one name apart, which is for one process alone."""
    stacks = thread_stacks(space)
    return [part_of(mapping, stacks.get(mapping.start), by_thread=by_thread) for mapping in space.mappings]


def part_of(mapping: MemoryMapping, owner: Thread | None, *, by_thread: bool) -> Part:
    """Say what a mapping is from its path and flags; `owner` is the thread whose stack it is.

    What begins with a bracket here is never a file's name, since a path begins with a slash.
    """
    path = mapping.path.removesuffix(_DELETED)
    if owner is not None:
        name = printable(owner.name)
        return Part(Kind.STACK, f"[stack of thread {owner.tid} {name}]" if by_thread else f"[stacks of threads {name}]")
    if b"ht" in mapping.flags.split():
        return Part(Kind.HUGETLB, "[anonymous hugetlb]" if path == b"/anon_hugepage" else printable(mapping.path))
    if segment := _SYSV.fullmatch(path):
        name = f"[SysV shared memory, key 0x{segment[1].decode()}, id {mapping.inode}]"
        return Part(Kind.SYSV, name, mapping.inode)
    return _by_path(path, mapping.path)


def _by_path(path: bytes, whole: bytes) -> Part:
    if path.startswith(b"/memfd:") and path != whole:
        return Part(Kind.MEMFD, f"[memfd {printable(path.removeprefix(b'/memfd:'))}]")
    if path == b"/dev/zero" and path != whole:
        return Part(Kind.SHARED, "[shared anonymous]")
    if path.startswith(b"/"):
        return Part(Kind.FILE if path == whole else Kind.DELETED, printable(whole))
    if not whole or whole.startswith(b"[anon:"):
        return Part(Kind.ANONYMOUS, printable(whole) if whole else "[anonymous]")
    if whole.startswith(b"[anon_shmem:"):
        return Part(Kind.SHARED, printable(whole))
    named = {b"[heap]": Kind.HEAP, b"[stack]": Kind.STACK}
    return Part(named.get(whole, Kind.KERNEL), printable(whole))


def thread_stacks(space: Space) -> dict[int, Thread]:
    """Find the stacks of threads: the start of each mapping that is one, and whose.

    It is the anonymous mapping that the stack pointer of one thread alone is in, if there is a guard page below, as C
    libraries make it. Without that, a thread that happens to run on memory of another kind (Go keeps the stacks of its
    goroutines in its heap) would make a stack of all of that.
    """
    starts = [mapping.start for mapping in space.mappings]
    users: dict[int, list[Thread]] = {}
    for thread in space.threads:
        index = bisect_right(starts, thread.stack_pointer or 0) - 1
        if index >= 0 and (thread.stack_pointer or 0) < space.mappings[index].end:
            users.setdefault(index, []).append(thread)
    return {
        starts[index]: threads[0]
        for index, threads in users.items()
        if len(threads) == 1 and _may_be_stack(space.mappings, index)
    }


def _may_be_stack(mappings: Sequence[MemoryMapping], index: int) -> bool:
    """Tell whether a mapping is anonymous and has a guard page at its lower end."""
    below, mapping = mappings[index - 1], mappings[index]
    has_guard = below.permissions == _GUARD and below.end == mapping.start
    return not mapping.path and (has_guard or _GUARDED in mapping.flags.split())


def summed(spaces: Iterable[tuple[Sequence[MemoryMapping], Sequence[Part]]]) -> list[Row]:
    """Sum the mappings of all processes by part."""
    rows: dict[Part, Row] = {}
    for mappings, their_parts in spaces:
        for mapping, part in zip(mappings, their_parts, strict=True):
            row = _row(mapping, part)
            rows[part] = rows[part].plus(row) if part in rows else row
    return list(rows.values())


def _row(mapping: MemoryMapping, part: Part) -> Row:
    sizes = (mapping.pss, mapping.private, mapping.shared, mapping.swap_pss, mapping.size, mapping.hugetlb)
    return Row(part, 1, *sizes)


def total(rows: Iterable[Row], name: str, kind: Kind = Kind.REST) -> Row:
    """Sum rows, as a row of that name."""
    whole = Row(Part(kind, name), 0, 0, 0, 0, 0, 0, 0)
    for row in rows:
        whole = whole.plus(row)
    return whole


def arranged(rows: Iterable[Row], column: str, most: int | None) -> tuple[list[Row], list[Row]]:
    """Sort by a column, the largest last, or by name; give the `most` largest of these, or of the PSS, and the rest."""
    measure = "pss" if column == "name" else column
    ordered = sorted(rows, key=lambda row: (_sizes(row)[measure], row.part))
    rest, shown = ([], ordered) if most is None else (ordered[:-most], ordered[-most:])
    return (sorted(shown, key=lambda row: row.part.name) if column == "name" else shown), rest


def _sizes(row: Row) -> Mapping[str, int]:
    return {
        "pss": row.pss,
        "private": row.private,
        "shared": row.shared,
        "swap": row.swap_pss or 0,
        "size": row.size,
    }
