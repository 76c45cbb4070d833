"""The table of processes as lines for people."""

import os
from collections.abc import Iterator
from typing import NamedTuple, TextIO

from psstopd.client.colour import BOLD, GREEN, RED, YELLOW, Paint, painter
from psstopd.client.screen import cut, width_of
from psstopd.client.table.processes import Processes, Row
from psstopd.client.units import in_unit
from psstopd.words import counted, cure

_TITLES = ("PSS", "SWAPPSS", "USS", "RSS")
_CELL, _PID = 9, 8


class Style(NamedTuple):
    """How lines are written: `unit` as `units.in_unit` takes it, no wider than `width`, with `paint`, to `euid`."""

    unit: str
    width: int | None
    paint: Paint
    euid: int

    @classmethod
    def of(cls, stream: TextIO, unit: str) -> "Style":
        """Fit what is behind a stream, and who runs this."""
        return cls(unit, width_of(stream), painter(stream), os.geteuid())


def lines(processes: Processes, style: Style) -> Iterator[str]:
    """Write header, rows and totals."""
    changes = ("CHANGE", "SINCE START") if processes.is_compared else ()
    cell = _cell_width(processes, style.unit)
    titles = [f"{title:>{cell}}" for title in _TITLES] + [f"{title:>{cell + 3}}" for title in changes]
    yield style.paint(BOLD, cut(" ".join((*titles, f"{'PID':>{_PID}}", "NAME")), style.width))
    for row in processes.rows:
        yield _line(row, style, cell, compared=processes.is_compared)
    yield from total_line(processes, style)


def total_line(processes: Processes, style: Style) -> Iterator[str]:
    """Write what all processes have together, and what is missing from that and why."""
    pss, swap_pss = (in_unit(value, style.unit) for value in processes.total[:2])
    unit = "" if style.unit == "human" else f" {style.unit}"
    yield style.paint(
        BOLD, cut(f"PSS {pss}{unit}, SwapPss {swap_pss}{unit} in {counted(processes.readable, 'process')}", style.width)
    )
    for reason, count in processes.reasons.items():
        yield style.paint(YELLOW, f"{count} not readable: {cure(reason, style.euid)}")


def _line(row: Row, style: Style, cell: int, *, compared: bool) -> str:
    memory, unit = row.memory, style.unit
    sizes = (memory.pss, memory.swap_pss, memory.uss, memory.rss)
    cells = " ".join([f"{in_unit(value, unit):>{cell}}" for value in sizes])
    changes, painted = "", 0
    if compared:
        changes = f" {_change(row.change, style, cell + 3)} {_change(row.change_since_first, style, cell + 3)}"
        painted = len(changes) - 2 * (cell + 4)  # what colours add, in no cell
    head = f"{cells}{changes} {row.pid:>{_PID}} "
    return head + cut(row.name, None if style.width is None else max(0, style.width - len(head) + painted))


def _change(change: int | None, style: Style, cell: int) -> str:
    """Write a change with its sign: growth red, shrinking green, nothing for none; a process without past is new."""
    if not change:
        return f"{'new' if change is None else '':>{cell}}"
    text = f"{'+' if change > 0 else ''}{in_unit(change, style.unit)}"
    return style.paint(RED if change > 0 else GREEN, f"{text:>{cell}}")


def _cell_width(processes: Processes, unit: str) -> int:
    """Give the width of a column of sizes: bytes take more than the nine of a size with its unit."""
    widest = max((max(filter(None, row.memory), default=0) for row in processes.rows), default=0)
    return max(_CELL, len(in_unit(widest, unit)))
