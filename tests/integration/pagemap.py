"""What memory costs, page by page: an oracle that shares no file and no arithmetic with psstop.

It reads /proc/PID/pagemap and /proc/kpagecount, proc_pid_pagemap(5), which takes root.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = 4096
_PRESENT, _SWAPPED, _FRAME = 1 << 63, 1 << 62, (1 << 55) - 1
# Not memory of the process: pages of the kernel, and on x86 one that isn't even among the process' own addresses.
_NOT_COUNTED = ("[vvar", "[vsyscall]")


class Pages(NamedTuple):
    """The pages of an address space: how many processes map each that is present, and how many are swapped out."""

    mapped_by: list[int]
    swapped: int

    @property
    def pss(self) -> float:
        """Each page's fair share, in bytes."""
        return sum(PAGE / mappers for mappers in self.mapped_by)

    @property
    def rss(self) -> int:
        """All present pages, in bytes."""
        return PAGE * len(self.mapped_by)

    @property
    def uss(self) -> int:
        """The pages that nobody else maps, in bytes."""
        return PAGE * self.mapped_by.count(1)


def pages_of(pid: int) -> Pages:
    """Look at every page of a process."""
    return _pages(pid, _ranges(pid))


def pages_in(pid: int, start: int, pages: int) -> Pages:
    """Look at the pages of one range."""
    return _pages(pid, [(start, start + pages * PAGE)])


def _ranges(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, *rest = line.split(maxsplit=5)
        if len(rest) < 5 or not rest[4].startswith(_NOT_COUNTED):
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)


def _pages(pid: int, ranges: Iterable[tuple[int, int]]) -> Pages:
    mapped_by, swapped = [], 0
    counts = os.open("/proc/kpagecount", os.O_RDONLY)
    try:
        for entry in _entries(pid, ranges):
            if entry & _PRESENT:
                mapped_by.append(_word(os.pread(counts, 8, 8 * (entry & _FRAME))))
            swapped += bool(entry & _SWAPPED)
    finally:
        os.close(counts)
    # Mapped by nobody is the one page of zeros that all read who have not written yet.
    return Pages([mappers for mappers in mapped_by if mappers], swapped)


def _entries(pid: int, ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    with Path(f"/proc/{pid}/pagemap").open("rb") as pagemap:
        for start, end in ranges:
            pagemap.seek(start // PAGE * 8)
            yield from (word for (word,) in struct.iter_unpack("=Q", pagemap.read((end - start) // PAGE * 8)))


def _word(text: bytes) -> int:
    return int(struct.unpack("=Q", text)[0])
