"""How psstop's cost grows: a tick over 100 to 10,000 processes, a read of one process of 10 MiB to 8 GiB.

`python -m tests.bench.growth` writes what it finds into docs/. Times are those of the quickest of several: whatever
else the machine does only adds to them. What a process waited is what it waited for the quickest read of it.
"""

import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psstopd.config import to_json
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from tests.bench.accelerate import accelerated
from tests.bench.configs import watching_crowd
from tests.bench.crowd import Part, compiled, crowd
from tests.bench.dialogue import ROOT, Dialogue, dialogue, sampler_like
from tests.bench.growth_page import PICTURE, Large, Many, picture, size_of, text, with_growth
from tests.bench.table import MIB, Row, say

PROCESSES, PROCESSES_SHORT = (100, 300, 1000, 3000, 10_000), (100, 1000)
SIZES_MIB, SIZES_MIB_SHORT = (10, 100, 1024, 8192), (10, 100, 1024)
_ROUNDS = 9
_SPARE = 1.3  # times a target's size must be available before it is made
_DOCS = ROOT / "docs"


def bench(*, short: bool) -> list[Row]:
    """Tell all of it."""
    many = [measure_many(count) for count in (PROCESSES_SHORT if short else PROCESSES)]
    large = measure_large(SIZES_MIB_SHORT if short else SIZES_MIB)
    return [*map(_many_row, many), *map(_large_row, large)]


def measure_many(count: int) -> Many:
    """Take ticks over so many processes of hardly any memory, and weigh a whole sampler that has done the same."""
    with tempfile.TemporaryDirectory() as name, crowd((Part(count, 0),), Path(name)) as pids:
        with dialogue(*sampler_like("ticks")) as ticks:
            ticks.send(to_json(watching_crowd(Path(name) / "journal.db")))
            taken = [ticks.ask(1) for _ in range(1 + _ROUNDS)][1:]
        assert all((found, oldest_ms) == (len(pids), 0) for _, _, found, oldest_ms, *_ in taken), taken
        with accelerated(ships=False) as sampler:
            sampler.run_until(_ROUNDS)
            pss = sampler.memory()[0].pss
    return Many(count, min(one[0] for one in taken), min(one[1] for one in taken), pss)


def measure_large(sizes_mib: tuple[int, ...]) -> list[Large]:
    """Read one process of each size and of each kind of pages; what there is no room for is left out."""
    with tempfile.TemporaryDirectory() as name:
        program = compiled("target.c", Path(name))
        wanted = [(mib, pages) for pages in ("4k", "huge") for mib in sizes_mib]
        return [_measure_one(program, mib, pages) for mib, pages in wanted if _is_room_for(mib)]


def _measure_one(program: Path, mib: int, pages: str) -> Large:
    with _target(program, mib, pages) as target:
        read = MemoryReader(Procfs()).read
        rounds = []
        for _ in range(_ROUNDS):
            target.ask("forget")
            began = time.perf_counter()
            read(target.pid)
            took_us = (time.perf_counter() - began) * 1e6
            rounds.append((took_us, *target.ask("tell")))
    return Large(mib, pages, *min(rounds))


@contextmanager
def _target(program: Path, mib: int, pages: str) -> Iterator[Dialogue]:
    """Start a target and see that its pages are what was asked for. Raises AssertionError."""
    with dialogue([str(program), "target", str(mib), pages]) as target:
        target.ask("ready")
        rollup = Path(f"/proc/{target.pid}/smaps_rollup").read_text()
        huge = int(re.findall(r"^AnonHugePages: +(\d+) kB$", rollup, re.MULTILINE)[0]) << 10
        assert huge >= 0.9 * mib * MIB if pages == "huge" else huge == 0, rollup
        yield target


def _is_room_for(mib: int) -> bool:
    available = re.findall(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(available[0]) << 10 > mib * MIB * _SPARE


def _many_row(one: Many) -> Row:
    what = f"a tick over {one.processes:6,} processes of hardly any memory"
    return Row(what, f"CPU {one.cpu_us / 1e3:.1f} ms, wall {one.wall_us / 1e3:.1f} ms, PSS {one.pss / MIB:.1f} MiB")


def _large_row(one: Large) -> Row:
    what = f"a read of {size_of(one.mib):>7}, {one.pages} pages"
    return Row(what, f"{one.read_us / 1e3:.3f} ms, the process waited {one.held_us / 1e3:.3f} ms")


def _machine() -> str:
    """Say in a few words what the numbers of the page are from."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (
        f"Linux {platform.release().partition('-')[0]}, {os.cpu_count()} cores"
        f" ({model[1].strip() if model else platform.machine()}), {memory:.0f} GiB, Python {platform.python_version()}"
    )


def main() -> int:
    """Measure all of it and write docs/overhead.md and its picture."""
    many = []
    for count in PROCESSES:
        many.append(measure_many(count))
        say(repr(many[-1]))
    large = measure_large(SIZES_MIB)
    page = _DOCS / "overhead.md"
    page.write_text(with_growth(page.read_text(), text(_machine(), many, large)))
    (_DOCS / PICTURE).write_text(picture(many, large))
    return 0


if __name__ == "__main__":
    sys.exit(main())
