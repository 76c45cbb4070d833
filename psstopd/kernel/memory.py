"""Read and parse smaps_rollup, and smaps where the kernel has no rollup: what an address space really uses.

Kernel documentation: Documentation/filesystems/proc.rst and Documentation/ABI/testing/procfs-smaps_rollup.
"""

import errno
import os
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs, read_once
from psstopd.model import Memory

_READ_SIZE = 4096  # the kernel gives no more of smaps at once
_HEADER_WORDS = 6  # address range, permissions, offset, device, inode, [rollup]
_KIB = 1024

_SMAPS_LINE = re.compile(rb"^(\w+:) +(\d+) kB$", re.MULTILINE)  # not a mapping's own line: its path may end with kB
# Head and end of the file from Linux 5.4 to 6.18: two matches take 2 µs, where finding lines by name takes 4. That is
# for the few who have huge pages of hugetlb.
_HEAD_SINCE_5_4 = re.compile(
    rb"(\S+) .*\n"
    rb"Rss: +(\d+) kB\nPss: +(\d+) kB\n(?:Pss_Dirty: .*\n)?"
    rb"Pss_Anon: +(\d+) kB\nPss_File: +(\d+) kB\nPss_Shmem: +(\d+) kB\n"
    rb"Shared_Clean: .*\nShared_Dirty: .*\nPrivate_Clean: +(\d+) kB\nPrivate_Dirty: +(\d+) kB\n"
)
_END_SINCE_5_4 = re.compile(
    rb"\nShared_Hugetlb: +0 kB\nPrivate_Hugetlb: +0 kB\nSwap: .*\nSwapPss: +(\d+) kB\nLocked: +\d+ kB\n\Z"
)


class AddressSpace(NamedTuple):
    """What one process' memory file says. `span` is equal for processes that may share the address space.

    Huge pages of hugetlb are in no other size; in full, and 0 where the kernel has no such line, before Linux 4.4.
    """

    memory: Memory
    span: bytes
    shared_hugetlb: int = 0
    private_hugetlb: int = 0


def parse_smaps_rollup(text: bytes) -> AddressSpace:
    """Parse /proc/PID/smaps_rollup, since Linux 4.14.

    Raises Unparseable for anything but a whole file: `Locked:` is its last line on every kernel up to 6.18.
    """
    head, end = _HEAD_SINCE_5_4.match(text), _END_SINCE_5_4.match(text, text.rfind(b"\nShared_Hugetlb:"))
    if head is None or end is None:
        return parse_by_name(text)
    span, *sizes = head.groups()
    rss, pss, anon, file, shmem, private_clean, private_dirty = map(int, sizes)
    return AddressSpace(
        Memory(
            pss * _KIB,
            int(end[1]) * _KIB,
            (private_clean + private_dirty) * _KIB,
            rss * _KIB,
            anon * _KIB,
            file * _KIB,
            shmem * _KIB,
        ),
        span,
    )


def parse_by_name(text: bytes) -> AddressSpace:
    """Parse a rollup of any kernel: lines are found by name, unknown ones passed over, missing ones None."""
    words = text.split()
    values = dict(zip(words[_HEADER_WORDS::3], words[_HEADER_WORDS + 1 :: 3], strict=False))
    if b"Locked:" not in values or not text.endswith(b" kB\n"):
        raise Unparseable(f"torn: {text[-100:]!r}")
    try:
        return AddressSpace(_memory(values), words[0], *_hugetlb(values))
    except (KeyError, ValueError) as error:
        raise Unparseable(f"{error!r} in {text[:200]!r}") from error


def parse_smaps(text: bytes) -> AddressSpace:
    """Sum /proc/PID/smaps over its mappings, for kernels before 4.14.

    The kernel cuts each mapping to whole KiB, so that a sum can be up to 1 KiB a mapping under the rollup.
    Raises Unparseable for anything that does not end with the last line of a mapping, `VmFlags:`.
    """
    if not text.endswith(b"\n") or not text[text.rfind(b"\n", 0, -1) + 1 :].startswith(b"VmFlags:"):
        raise Unparseable(f"torn: {text[-100:]!r}")
    sums: dict[bytes, int] = {}
    try:
        for key, value in _SMAPS_LINE.findall(text):
            sums[key] = sums.get(key, 0) + int(value)
        return AddressSpace(_memory(sums), text.split(None, 1)[0], *_hugetlb(sums))
    except (KeyError, ValueError) as error:
        raise Unparseable(f"{error!r} in {text[:200]!r}") from error


def _hugetlb(kib: "dict[bytes, bytes] | dict[bytes, int]") -> tuple[int, int]:
    return int(kib.get(b"Shared_Hugetlb:", 0)) * _KIB, int(kib.get(b"Private_Hugetlb:", 0)) * _KIB


def _memory(kib: "dict[bytes, bytes] | dict[bytes, int]") -> Memory:
    """Pick the sizes by their names in the kernel; a line that this kernel does not have is None, not 0."""
    swap_pss, anon = kib.get(b"SwapPss:"), kib.get(b"Pss_Anon:")
    file, shmem = kib.get(b"Pss_File:"), kib.get(b"Pss_Shmem:")
    return Memory(
        int(kib[b"Pss:"]) * _KIB,
        None if swap_pss is None else int(swap_pss) * _KIB,
        (int(kib[b"Private_Clean:"]) + int(kib[b"Private_Dirty:"])) * _KIB,
        int(kib[b"Rss:"]) * _KIB,
        None if anon is None else int(anon) * _KIB,
        None if file is None else int(file) * _KIB,
        None if shmem is None else int(shmem) * _KIB,
    )


class MemoryReader:
    """Reads address spaces through one mounted /proc; finds out once whether its kernel has smaps_rollup."""

    def __init__(self, procfs: Procfs) -> None:
        self._procfs = procfs
        self._root = procfs.root
        self.has_rollup = os.path.exists(f"{procfs.root}/self/smaps_rollup")
        self.text = self._rollup if self.has_rollup else self.smaps
        self.parse = parse_smaps_rollup if self.has_rollup else parse_smaps

    def read(self, pid: int) -> AddressSpace:
        """Read one process. Raises ProcessGone, NoAddressSpace, AccessDenied or Unparseable."""
        return self.parse(self.text(pid))

    def _rollup(self, pid: int) -> bytes:
        """Read the text of one process' rollup, to the same outcomes."""
        return self._read(pid, "smaps_rollup", read_once)

    def smaps(self, pid: int) -> bytes:
        """Read the whole text of one process' mappings, to the same outcomes."""
        return self._read(pid, "smaps", _read_smaps)

    def _read(self, pid: int, name: str, read: Callable[[str], bytes]) -> bytes:
        """Read a memory file. On older kernels it is empty where later ones answer ESRCH."""
        path = f"{self._root}/{pid}/{name}"
        try:
            text = read(path)
        except OSError as error:
            raise self._reason(pid, error) from error
        if not text:
            raise self._reason(pid, OSError(errno.ESRCH, os.strerror(errno.ESRCH), path))
        return text

    def _reason(self, pid: int, error: OSError) -> Exception:
        """Tell outcomes of one errno apart; ESRCH is a kernel thread, a zombie, or a process that just ended.

        A process that has memory after all has just gone on in another address space (execve), or has no such file.
        """
        where = f"{error.filename or f'{self._root}/{pid}'}: {error.strerror}"
        if error.errno in (errno.EACCES, errno.EPERM):
            return AccessDenied(where)
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            return Unparseable(where)
        try:
            has_memory = self._procfs.stat(pid).has_memory
        except ProcessGone:
            return ProcessGone(where)
        return Unparseable(where) if has_memory else NoAddressSpace(where)


def _read_smaps(path: str) -> bytes:
    """Read smaps to its end; nothing when the address space was given up meanwhile (exit, execve): that ends it early.

    The file then has no beginning any more either.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b"".join(iter(partial(os.read, fd, _READ_SIZE), b""))
        os.lseek(fd, 0, os.SEEK_SET)
        return text if os.read(fd, 1) else b""
    finally:
        os.close(fd)
