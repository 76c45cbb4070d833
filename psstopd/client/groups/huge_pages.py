"""Count the huge pages of hugetlb, which are in no PSS: the same pages once, however many processes map them.

Documentation/admin-guide/mm/hugetlbpage.rst. The kernel gives no process a share of them: those that others map too are
in `Shared_Hugetlb` of each in full. But every mapping of huge pages has a file, if one without a name, so that device
and inode in smaps tell who maps the same pages, and each gets a share of what is counted once.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from psstopd.kernel.errors import Unparseable
from psstopd.kernel.procfs import Procfs, read_whole

_KIB = 1024
# A mapping's own line, or its two sizes: proc_pid_smaps(5). A line end in a path is written \012.
_LINES = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+ \d+) |^Shared_Hugetlb: +([1-9]\d*) kB$", re.MULTILINE
)
UNTOLD = b"?"  # begins what stands for a file where the kernel did not tell which it is


class HugeMapping(NamedTuple):
    """Huge pages that others map too, in bytes, as one process maps them from `start` to `end` of a file."""

    file: bytes
    start: int
    end: int
    shared: int
    is_copied: bool  # on writing: MAP_PRIVATE


class Share(NamedTuple):
    """What one process is charged with, in bytes. `is_known` is False where pages could not be told from others."""

    size: int
    is_known: bool = True


def read_huge_mappings(procfs: Procfs, pid: int) -> list[HugeMapping]:
    """Read /proc/PID/smaps; a process that ends meanwhile may tell less. Raises OSError and Unparseable."""
    return parse_huge_mappings(read_whole(f"{procfs.root}/{pid}/smaps"))


def parse_huge_mappings(text: bytes) -> list[HugeMapping]:
    """Parse the mappings that have shared huge pages from /proc/PID/smaps. Raises Unparseable for a torn text."""
    if not text.endswith(b"\n") or not text[text.rfind(b"\n", 0, -1) + 1 :].startswith(b"VmFlags:"):
        raise Unparseable(f"torn: {text[-100:]!r}")
    mappings = []
    start, end, permissions, offset, file = b"", b"", b"", b"", b""
    for *header, shared in _LINES.findall(text):
        if not shared:
            start, end, permissions, offset, file = header
            continue
        first, size = int(offset, 16), int(end, 16) - int(start, 16)
        mappings.append(HugeMapping(file, first, first + size, int(shared) * _KIB, permissions.endswith(b"p")))
    return mappings


def shares(by_pid: Mapping[int, Iterable[HugeMapping]]) -> dict[int, Share]:
    """Charge each process with its part of the shared pages of every file that it maps; the parts of a file sum up.

    A file counts as much as the process has that maps most of it. That is all of it where only one does, or where what
    is mapped is full; where others may have pages besides, it is the least that it can be, and not known.
    """
    files: dict[bytes, list[tuple[int, HugeMapping]]] = {}
    for pid, mappings in by_pid.items():
        for mapping in mappings:
            files.setdefault(mapping.file, []).append((pid, mapping))
    charged = {pid: Share(0) for pid in by_pid}
    for users in files.values():
        for pid, share in _divide(users).items():
            before = charged[pid]
            charged[pid] = Share(before.size + share.size, before.is_known and share.is_known)
    return charged


def _divide(users: list[tuple[int, HugeMapping]]) -> dict[int, Share]:
    """Divide one file among those who map it, in proportion to what each maps."""
    mapped: dict[int, int] = {}
    for pid, mapping in users:
        mapped[pid] = mapped.get(pid, 0) + mapping.shared
    size, total = max(mapped.values()), sum(mapped.values())
    is_copied = any(mapping.is_copied for _, mapping in users)
    extent = max(mapping.end for _, mapping in users) - min(mapping.start for _, mapping in users)
    if not is_copied:
        size = min(size, extent)  # one process may map the same pages twice
    is_known = (size == total or (size == extent and not is_copied)) and not users[0][1].file.startswith(UNTOLD)
    charged, so_far = {}, 0
    for pid, part in mapped.items():
        before, so_far = so_far, so_far + part
        charged[pid] = Share(size * so_far // total - size * before // total, is_known)
    return charged
