"""What the growth bench found, as the tables and the picture of docs/overhead.md."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.bench.loglog import Curve, Panel, decades, svg
from tests.bench.table import MIB

BEGIN, END = "<!-- written by `make growth` -->", "<!-- up to here -->"
PICTURE = "overhead.svg"
LEAST_WAIT_US = 200  # target.c tries every 100 µs, and finds less of a wait than there was by up to that


class Many(NamedTuple):
    """One tick over so many processes: its quickest times, and the PSS of the whole sampler then, in bytes."""

    processes: int
    cpu_us: float
    wall_us: float
    pss: int


class Large(NamedTuple):
    """One read of one process of that size: how long the quickest took, and how long the process had to wait then.

    `pages` is "4k" or "huge".
    """

    mib: int
    pages: str
    read_us: float
    held_us: float


def with_growth(page: str, text: str) -> str:
    """Put the text between the two marks of the page, in place of what is there. Raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END} in the page")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def text(machine: str, many: Iterable[Many], large: Sequence[Large]) -> str:
    """Write the machine's facts, both tables and the reference to the picture as Markdown."""
    return "\n".join(
        [
            f"Measured on {machine}.",
            "The processes of the first table have hardly any memory. The sampler shares pages with no other Python.",
            "",
            f"![CPU of a tick over its processes, and the time of a read over the size of its target]({PICTURE})",
            "",
            "| processes | CPU of a tick | wall | wall a process | PSS of the sampler |",
            "|---:|---:|---:|---:|---:|",
            *map(_many, many),
            "",
            "| one process of | pages | a read takes | the process waited |",
            "|---:|---|---:|---:|",
            *map(_large, large),
        ]
    )


def picture(many: Sequence[Many], large: Sequence[Large]) -> str:
    """Draw both tables."""
    ticks = [(float(one.processes), one.cpu_us / 1e3) for one in many]
    sizes = {10.0: "10 MiB", 100.0: "100 MiB", 1024.0: "1 GiB", 8192.0: "8 GiB"}
    reads = {pages: [(float(one.mib), one.read_us / 1e3) for one in large if one.pages == pages] for pages in _PAGES}
    curves = [Curve(_PAGES[pages], points) for pages, points in reads.items() if points]
    return svg(
        [
            Panel("CPU of a tick, ms", "processes", decades(2, 4), _decades_around([ticks]), [Curve("psstop", ticks)]),
            Panel("one read, ms", "size of the target", sizes, _decades_around(reads.values()), curves),
        ],
        "CPU of a tick grows with the number of processes, the time of a read with the number of mapped pages",
    )


def size_of(mib: int) -> str:
    """Write a size as people say it."""
    return f"{mib >> 10} GiB" if mib >= 1 << 10 else f"{mib} MiB"


_PAGES = {"4k": "4 KiB pages", "huge": "huge pages"}


def _many(one: Many) -> str:
    each = f"{one.wall_us / one.processes:.0f} µs"
    return f"| {one.processes:,} | {_ms(one.cpu_us)} | {_ms(one.wall_us)} | {each} | {one.pss / MIB:.1f} MiB |"


def _large(one: Large) -> str:
    waited = _ms(one.held_us) if one.held_us >= LEAST_WAIT_US else f"under {_ms(LEAST_WAIT_US)}"
    return f"| {size_of(one.mib)} | {_PAGES[one.pages]} | {_ms(one.read_us)} | {waited} |"


def _ms(us: float) -> str:
    return f"{us / 1e3:.3g} ms" if us >= 1e3 else f"{us:.0f} µs"


def _decades_around(curves: Iterable[Sequence[tuple[float, float]]]) -> dict[float, str]:
    values = [y for points in curves for _, y in points]
    return decades(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))
