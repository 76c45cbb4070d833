"""Read and parse /proc/PID/smaps mapping by mapping, proc_pid_smaps(5): what each part of an address space uses."""

from typing import NamedTuple

from psstopd.kernel.errors import Unparseable
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs

_KIB = 1024
_FLAGS = b"\nVmFlags:"  # the last line of a mapping, since Linux 3.8; no path forges it: \n in one is \012


class Mapping(NamedTuple):
    """One mapping of an address space; sizes in bytes, None where the kernel has no such line.

    `path` is empty for anonymous memory. Behind the path of a deleted file the kernel writes ` (deleted)`, which a file
    may be called as well: nothing tells these apart. Huge pages of hugetlb are in `hugetlb` alone.
    """

    start: int
    end: int
    permissions: bytes
    inode: int
    path: bytes
    pss: int
    private: int
    rss: int
    swap_pss: int | None
    hugetlb: int
    flags: bytes

    @property
    def size(self) -> int:
        """The addresses that it takes, used or not."""
        return self.end - self.start

    @property
    def shared(self) -> int:
        """The pages that somebody else maps too, in full."""
        return self.rss - self.private


def read_mappings(procfs: Procfs, pid: int) -> list[Mapping]:
    """Read the mappings of one process. Raises ProcessGone, NoAddressSpace, AccessDenied or Unparseable."""
    return parse_mappings(MemoryReader(procfs).smaps(pid))


def parse_mappings(text: bytes) -> list[Mapping]:
    """Parse /proc/PID/smaps of any kernel, lines found by name. Raises Unparseable for anything but a whole file."""
    mappings: list[Mapping] = []
    begin = 0
    try:
        while begin < len(text) or not mappings:
            end = text.index(_FLAGS, begin)
            following = text.index(b"\n", end + len(_FLAGS))
            header, _, body = text[begin:end].partition(b"\n")
            mappings.append(_mapping(header, body, text[end + len(_FLAGS) : following]))
            begin = following + 1
    except (KeyError, ValueError) as error:
        raise Unparseable(f"smaps, torn or unknown: {error!r} in {text[begin : begin + 200]!r}") from error
    return mappings


def _mapping(header: bytes, body: bytes, flags: bytes) -> Mapping:
    addresses, permissions, _offset, _device, inode, *path = header.split(None, 5)
    start, _, end = addresses.partition(b"-")
    words = body.split()
    # Three words a line as far as Locked; what is behind that is not asked for.
    kib = dict(zip(words[::3], words[1::3], strict=False))
    swap_pss = kib.get(b"SwapPss:")
    return Mapping(
        int(start, 16),
        int(end, 16),
        permissions,
        int(inode),
        path[0].replace(rb"\012", b"\n") if path else b"",
        int(kib[b"Pss:"]) * _KIB,
        (int(kib[b"Private_Clean:"]) + int(kib[b"Private_Dirty:"])) * _KIB,
        int(kib[b"Rss:"]) * _KIB,
        None if swap_pss is None else int(swap_pss) * _KIB,
        (int(kib.get(b"Shared_Hugetlb:", 0)) + int(kib.get(b"Private_Hugetlb:", 0))) * _KIB,
        flags,
    )
