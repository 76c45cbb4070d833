"""Count the pages of processes one by one, and compile the program whose mappings are known; see mapping_fixture.c."""

import os
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.integration.pagemap import PAGE

REGIONS = ("heap", "private", "shared", "file", "doomed", "memfd", "staying", "ending")
STACK_PAGES = 32
_SOURCE = Path(__file__).with_suffix(".c")
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


def build(program: Path) -> Path:
    """Compile the program, statically: then nobody outside of the family maps its pages but those of the kernel."""
    command = ["gcc", "-static", "-pthread", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(_SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return program


def size_of(region: str) -> int:
    """Give the bytes of a region, as the program has it."""
    return (100 + 10 * REGIONS.index(region)) * PAGE


class Unique(NamedTuple):
    """What some processes map and nobody else does, in bytes: pages mapped once, and pages mapped more often."""

    once: int
    among: int


def unique_to(pids: Iterable[int]) -> Unique:
    """Count one page after the other."""
    found: Counter[int] = Counter()
    for pid in pids:
        found.update(_frames(pid))
    with Path("/proc/kpagecount").open("rb", buffering=0) as counts:
        unique = [
            times
            for frame, times in found.items()
            if os.pread(counts.fileno(), 8, 8 * frame) == struct.pack("=Q", times)
        ]
    return Unique(PAGE * unique.count(1), PAGE * sum(times > 1 for times in unique))


def _frames(pid: int) -> Iterable[int]:
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "[vsyscall]" in line:
                continue
            start, end = (int(address, 16) // PAGE for address in line.split()[0].split("-"))
            words = os.pread(pagemap.fileno(), 8 * (end - start), 8 * start)
            yield from (word & _FRAME for (word,) in struct.iter_unpack("=Q", words) if word & _PRESENT)
