"""What a bench found, as rows of one table, and the facts about the machine that the numbers hold for."""

import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20


class Row(NamedTuple):
    """One finding; `ok` is None where there is no bound."""

    what: str
    measured: str
    bound: str = "-"
    ok: bool | None = None


def at_most(what: str, value: float, bound: float, *, unit: str = "", note: str = "") -> Row:
    """Build the row of a value that has a bound."""
    measured = f"{value:.4g}{unit}{f' ({note})' if note else ''}"
    return Row(what, measured, f"<= {bound:g}{unit}", value <= bound)


def at_least(what: str, value: float, bound: float, *, unit: str = "") -> Row:
    """Build the row of a value that has a bound from below."""
    return Row(what, f"{value:,.0f}{unit}", f">= {bound:,.0f}{unit}", value >= bound)


def spread(values: Sequence[float]) -> str:
    """Say what a median hides."""
    return f"{len(values)} rounds, {min(values):.3g}..{max(values):.3g}, median {statistics.median(values):.3g}"


def say(text: str) -> None:
    """Write a line at once: some benches take minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show(rows: Iterable[Row]) -> None:
    """Write the table."""
    header = Row("what", "measured", "bound")
    cells = [(*header[:3], "ok"), *((row.what, row.measured, row.bound, _verdict(row.ok)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for cell in cells:
        say(" | ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip())


def machine_facts() -> str:
    """Say what machine and what settings the numbers are from."""
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    setting = pages.read_text().strip() if pages.exists() else "not built in"
    return (
        f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} cores,"
        f" {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30):.0f} GiB,"
        f" load {os.getloadavg()[0]:.2f}, Python {platform.python_version()}, transparent huge pages: {setting}"
    )


def _verdict(ok: bool | None) -> str:  # noqa: FBT001 - the table's own cell
    return "" if ok is None else "yes" if ok else "NO"
