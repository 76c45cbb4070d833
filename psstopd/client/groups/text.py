"""The table of `psstop --by` as lines for people, laid out as ps_mem's users know it."""

from collections.abc import Iterator
from typing import NamedTuple

from psstopd.client.colour import BOLD, YELLOW
from psstopd.client.groups.sums import Group, Groups
from psstopd.client.screen import cut
from psstopd.client.table.text import Style
from psstopd.client.units import in_unit
from psstopd.words import cure

_STEP = 1024
_LARGEST_NUMBER = 1000
_PREFIXES = ("Ki", "Mi", "Gi", "Ti", "Pi")
_CELL = 9
_WIDER_CELLS = {"B": 15, "KiB": 11}  # for a PiB and a TiB
_TAB = 8


class Layout(NamedTuple):
    """How groups are written: under which title, whether with swap, and for what kind of terminal."""

    title: str
    has_swap: bool
    style: Style

    @property
    def cell(self) -> int:
        """The width of a column of sizes, the same for all tables of --watch."""
        return _WIDER_CELLS.get(self.style.unit, _CELL)

    @property
    def indent(self) -> int:
        """Where the column of RAM begins."""
        return 2 * self.cell + 6


def header(layout: Layout) -> Iterator[str]:
    """Write the titles."""
    cell = layout.cell
    swap = f"   {'Swap used':>{cell}}" if layout.has_swap else ""
    titles = f"{'Private ':>{cell}} + {'Shared ':>{cell}} = {'RAM used':>{cell}}{swap}"
    yield _with_name(titles, layout.title, layout, BOLD)
    yield ""


def table(groups: Groups, layout: Layout) -> Iterator[str]:
    """Write a row for each group that uses anything, the total, and what is missing from it and why."""
    for group in groups.rows:
        if group.ram or (layout.has_swap and group.swap):
            yield _with_name(_sizes(group, layout), _name(group), layout)
    yield from _total(groups.total, layout)
    yield from remarks(groups, layout.style)


def remarks(groups: Groups, style: Style) -> Iterator[str]:
    """Say what could not be read, and whose huge pages are not exact."""
    for reason, count in groups.reasons.items():
        yield style.paint(YELLOW, f"{count} not readable: {cure(reason, style.euid)}")
    if groups.total.is_estimate:
        names = ", ".join(dict.fromkeys(group.name for group in groups.rows if group.is_estimate)) or "not shown"
        yield style.paint(YELLOW, f"estimated, for who shares which huge pages is not known: {names}")


def size(count: int | None, unit: str) -> str:
    """Write a number of bytes: with one digit behind the point and the unit that leaves fewer than 1000, from KiB."""
    if unit != "human" or count is None:
        return in_unit(count, unit)
    value, power = count / _STEP, 0
    while value >= _LARGEST_NUMBER and power < len(_PREFIXES) - 1:
        value, power = value / _STEP, power + 1
    return f"{value:.1f} {_PREFIXES[power]}B"


def _sizes(group: Group, layout: Layout) -> str:
    cells = (f"{size(value, layout.style.unit):>{layout.cell}}" for value in (group.private, group.shared, group.ram))
    swap = f"   {size(group.swap, layout.style.unit):>{layout.cell}}" if layout.has_swap else ""
    return "{} + {} = {}".format(*cells) + swap


def _name(group: Group) -> str:
    if group.pid is not None:
        return f"{group.name} [{group.pid}]"
    return f"{group.name} ({group.processes})" if group.processes > 1 else group.name


def _with_name(cells: str, name: str, layout: Layout, colour: str | None = None) -> str:
    """Put a name behind a tab, cut to what the terminal has left for it."""
    style = layout.style
    begin = (len(cells) // _TAB + 1) * _TAB
    line = f"{cells}\t{cut(name, None if style.width is None else max(0, style.width - begin))}"
    return line if colour is None else style.paint(colour, line)


def _total(total: Group, layout: Layout) -> Iterator[str]:
    unit = layout.style.unit
    width = layout.indent + layout.cell + (layout.cell + 3 if layout.has_swap else 0)
    swap = f"   {size(total.swap, unit):>{layout.cell}}" if layout.has_swap else ""
    sizes = f"{'':{layout.indent}}{size(total.ram, unit):>{layout.cell}}{swap}"
    yield "-" * width
    yield layout.style.paint(BOLD, sizes if unit == "human" else f"{sizes} {unit}")
    yield "=" * width
