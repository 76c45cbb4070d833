"""Count page by page what a set of processes maps, and who else does: pagemap, kpagecount and kpageflags.

proc_pid_pagemap(5), proc_kpagecount(5), proc_kpageflags(5) and Documentation/admin-guide/mm/pagemap.rst. A frame is
4 KiB of physical memory, and its mappings in the set are counted in a table by frame number; of larger memories than
the table is for, one window after the other is counted, so that this takes some dozens of MiB whatever their size. The
processes go on meanwhile: what they map between two windows, or unmap, is counted as it was found. What this process
itself maps of the same is taken off, since it ends too. A kernel with CONFIG_NO_PAGE_MAPCOUNT tells averages for the
pages of large folios, and these are then what is counted.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psstopd.kernel.errors import AccessDenied, ProcessGone

PAGE = os.sysconf("SC_PAGE_SIZE")
_WORD = 8
_BLOCK = 1 << 17  # words that are read and worked on at once: 1 MiB
_WINDOW = 1 << 22  # frames in the table, 16 GiB of memory: 32 MiB
_CHUNK = 1 << 9  # words of kpagecount that cost no more than to look for each of them alone
_PRESENT, _FILE, _FRAME = np.uint64(1 << 63), np.uint64(61), np.uint64((1 << 55) - 1)
_OURS = 1 << 24  # what one mapping by this process adds; below are the mappings in the set
_SWAPBACKED = np.uint64(14)  # include/uapi/linux/kernel-page-flags.h: of what is not anonymous, shared memory

KINDS = ANONYMOUS, SHARED_MEMORY, FILE = range(3)

Words = NDArray[np.uint64]
Indices = NDArray[np.intp]
Progress = Callable[[float], None]


class Span(NamedTuple):
    """A range of addresses, and the caller's number for what lies there."""

    start: int
    end: int
    label: int


class Pages(NamedTuple):
    """What some spans hold, in bytes: pages that only the set maps, once or several times, and those of others too."""

    once: int = 0
    among: int = 0
    others: int = 0
    pss: float = 0.0

    @property
    def alone(self) -> int:
        """What nobody outside of the set maps."""
        return self.once + self.among

    def plus(self, other: "Pages") -> "Pages":
        """Add others to these."""
        return Pages(self.once + other.once, self.among + other.among, self.others + other.others, self.pss + other.pss)


def count_pages(
    root: str, spaces: Mapping[int, Sequence[Span]], ours: Sequence[Span], progress: Progress, *, window: int = _WINDOW
) -> dict[tuple[int, int], Pages]:
    """Count the pages of processes by label and kind; each page is counted where it was found last.

    `spaces` has the spans of each pid, each address space once; `ours` those of this process, unless it is among them.
    A page that nobody counts is left out: the page of zeros, and memory of devices. Processes that have ended are left
    out. Raises AccessDenied: this takes root (CAP_SYS_ADMIN, without which pagemap hides the frames).
    """
    tally, done = _Tally(root), _Done(spaces, window, progress)
    highest = first = 0
    try:
        while first <= highest:
            table = _Table(first, window)
            for pid, spans in spaces.items():
                highest = max(highest, table.add_all(f"{root}/{pid}/pagemap", spans, done))
            for entries, _ in _pagemap(f"{root}/self/pagemap", ours):
                table.add_ours(entries)
            tally.add_all(table)
            first += window
    finally:
        tally.close()
    return tally.pages()


class _Done:
    """Tells how far the walk has come; the number of windows is an estimate, as there are holes in memory."""

    def __init__(self, spaces: Mapping[int, Iterable[Span]], window: int, progress: Progress) -> None:
        windows = os.sysconf("SC_PHYS_PAGES") // window + 1
        self._words = windows * sum(span.end - span.start for spans in spaces.values() for span in spans) // PAGE or 1
        self._done = 0
        self._progress = progress

    def add(self, words: int) -> None:
        """Take in that so many words of pagemaps were read."""
        self._done += words
        self._progress(min(1.0, self._done / self._words))


class _Table:
    """How often the set maps each frame of one window, and with what label; lives until it was read."""

    def __init__(self, first: int, frames: int) -> None:
        self._first = first
        self._mappings = np.zeros(frames, np.uint32)
        self._labels = np.zeros(frames, np.int32)

    def add_all(self, pagemap: str, spans: Sequence[Span], done: _Done) -> int:
        """Count the pages of one process, none if it has ended; give the highest frame number. Raises AccessDenied."""
        highest = 0
        with suppress(ProcessGone):
            for entries, labels in _pagemap(pagemap, spans):
                highest = max(highest, self.add(entries, labels))
                done.add(entries.size)
        return highest

    def add(self, entries: Words, labels: Indices) -> int:
        """Count entries of a pagemap; give the highest frame number among them. Raises AccessDenied."""
        present = entries >= _PRESENT
        entries, labels = entries[present], labels[present]
        frames = entries & _FRAME
        if frames.size and not frames.min():
            raise AccessDenied("pagemap hides the frame numbers: CAP_SYS_ADMIN")
        index, is_here = self._index(frames)
        is_file = ((entries >> _FILE) & np.uint64(1)).astype(np.intp)
        np.add.at(self._mappings, index, 1)
        self._labels[index] = (labels * 2 + is_file)[is_here]
        return int(frames.max(initial=0))

    def add_ours(self, entries: Words) -> None:
        """Count entries of the pagemap of this process."""
        index, _ = self._index(entries[entries >= _PRESENT] & _FRAME)
        np.add.at(self._mappings, index, _OURS)

    def used(self) -> Iterator[tuple[Indices, Indices, Indices, Indices]]:
        """Give the frames that the set maps, in order and in blocks: numbers, mappings, our mappings, labels."""
        for offset in range(0, self._mappings.size, _BLOCK):
            used = np.flatnonzero(self._mappings[offset : offset + _BLOCK] % _OURS) + offset
            if used.size:
                mappings, labels = self._mappings[used].astype(np.intp), self._labels[used].astype(np.intp)
                yield used + self._first, mappings % _OURS, mappings // _OURS, labels

    def _index(self, frames: Words) -> tuple[Indices, NDArray[np.bool_]]:
        """Give the places of frames in the table, and which of the frames these are."""
        index = frames.astype(np.intp) - self._first
        is_here = (index >= 0) & (index < self._mappings.size)
        return index[is_here], is_here


class _Tally:
    """Sums by label and kind; holds kpagecount and kpageflags open until it is closed. Raises AccessDenied."""

    def __init__(self, root: str) -> None:
        self._counts = _open(f"{root}/kpagecount")
        self._flags = _open(f"{root}/kpageflags")
        self._sums: dict[int, list[float]] = {}

    def close(self) -> None:
        """Close both."""
        os.close(self._counts)
        os.close(self._flags)

    def add_all(self, table: _Table) -> None:
        """Take in all frames of a table."""
        for frames, mappings, ours, labels in table.used():
            total = _words_at(self._counts, frames).astype(np.intp) - ours
            is_counted = total > 0
            self._add(frames[is_counted], mappings[is_counted], labels[is_counted], total[is_counted])

    def _add(self, frames: Indices, mappings: Indices, labels: Indices, total: Indices) -> None:
        """Compare how often the set maps frames with how often all do, and sum up."""
        index = labels // 2 * len(KINDS) + self._kinds(frames, labels)
        alone = total <= mappings
        # A mapping that came or went between the two reads makes no more than a whole page of one.
        share = np.minimum(1.0, mappings / total)
        weights = (alone & (mappings == 1), alone & (mappings > 1), ~alone, share)
        columns = [np.bincount(index, weights=weight) for weight in weights]
        for found in np.unique(index).tolist():
            sums = self._sums.setdefault(found, [0.0] * len(weights))
            self._sums[found] = [before + float(column[found]) for before, column in zip(sums, columns, strict=True)]

    def pages(self) -> dict[tuple[int, int], Pages]:
        """Give the sums by label and kind, in bytes."""
        return {
            divmod(index, len(KINDS)): Pages(int(once) * PAGE, int(among) * PAGE, int(others) * PAGE, pss * PAGE)
            for index, (once, among, others, pss) in self._sums.items()
        }

    def _kinds(self, frames: Indices, labels: Indices) -> Indices:
        """Tell anonymous pages by pagemap's own bit, and shared memory from files by kpageflags."""
        kinds = np.full(frames.size, ANONYMOUS)
        is_file = labels % 2 == 1
        backed = (_words_at(self._flags, frames[is_file]) >> _SWAPBACKED) & np.uint64(1)
        kinds[is_file] = np.where(backed, SHARED_MEMORY, FILE)
        return kinds


def _pagemap(path: str, spans: Iterable[Span]) -> Iterator[tuple[Words, Indices]]:
    """Read the entries of spans in blocks, each entry with its label. Raises ProcessGone and AccessDenied."""
    pagemap = _open(path)
    block = np.empty(_BLOCK, np.uint64)
    buffer = block.data.cast("B")
    pieces: list[tuple[int, int]] = []  # label and number of entries
    filled = 0
    try:
        for first, pages, label in _pieces(spans):
            if filled + pages > _BLOCK:
                yield block[:filled], _labels(pieces)
                pieces, filled = [], 0
            got = os.preadv(pagemap, [buffer[filled * _WORD : (filled + pages) * _WORD]], first * _WORD) // _WORD
            pieces.append((label, got))
            filled += got
        yield block[:filled], _labels(pieces)
    finally:
        os.close(pagemap)


def _pieces(spans: Iterable[Span]) -> Iterator[tuple[int, int, int]]:
    """Cut spans so that each fits into a block: first page, number of pages, label."""
    for start, end, label in spans:
        for first in range(start // PAGE, end // PAGE, _BLOCK):
            yield first, min(_BLOCK, end // PAGE - first), label


def _labels(pieces: list[tuple[int, int]]) -> Indices:
    labels, lengths = zip(*pieces, strict=True) if pieces else ((), ())
    return np.repeat(np.array(labels, np.intp), np.array(lengths, np.intp))


def _words_at(fd: int, frames: Indices) -> Words:
    """Read the words of frames, given in order, from kpagecount or kpageflags; 0 where there is no such frame.

    Frames that are near each other are read together: a read of one word alone costs as much as one of a hundred.
    """
    words = np.zeros(frames.size, np.uint64)
    if not frames.size:
        return words
    chunks = frames // _CHUNK
    is_far = (np.diff(chunks) > 1) | (np.diff(frames // _BLOCK) > 0)
    bounds = [0, *(np.flatnonzero(is_far) + 1).tolist(), frames.size]
    for begin, end in pairwise(bounds):
        first = int(frames[begin])
        run = np.zeros(int(frames[end - 1]) - first + 1, np.uint64)
        os.preadv(fd, [run.data.cast("B")], first * _WORD)
        words[begin:end] = run[frames[begin:end] - first]
    return words


def _open(path: str) -> int:
    """Open a file of the kernel's for reading. Raises AccessDenied and ProcessGone."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise AccessDenied(f"{path}: {error.strerror}") from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessGone(f"{path}: {error.strerror}") from error
