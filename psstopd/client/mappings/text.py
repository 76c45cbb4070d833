"""The mappings of `psstop show` as a table for people."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from psstopd.client.colour import BOLD, YELLOW, Paint, painter
from psstopd.client.mappings.findings import Alone, Findings
from psstopd.client.mappings.machine import alone
from psstopd.client.mappings.table import Row
from psstopd.client.screen import cut, width_of
from psstopd.client.units import size
from psstopd.words import counted, cure

_CELL, _COUNT = 9, 6
_KIB = 1024
_STACKS = "the kernel tells of a stack while its thread waits, and to whom ptrace is permitted"


class Style(NamedTuple):
    """How lines are written: no wider than `width`, with `paint`, to `euid`."""

    width: int | None
    paint: Paint
    euid: int


def write(findings: Findings, shown: Sequence[Row], rest: Sequence[Row]) -> None:
    """Write the table, the largest at the prompt, then what it adds up to."""
    style = Style(width_of(sys.stdout), painter(sys.stdout), os.geteuid())
    print(*lines(findings, shown, rest, style), sep="\n")


def lines(findings: Findings, shown: Sequence[Row], rest: Sequence[Row], style: Style) -> Iterator[str]:
    """Give the lines of the table and below it; `shown` has the largest last."""
    has_hugetlb = any(row.hugetlb for row in findings.rows)
    titles = ["PSS", "PRIVATE", "SHARED", "SWAP", "SIZE", *(["HUGETLB"] if has_hugetlb else [])]
    titles += ["UNIQUE"] if findings.exact else []
    head = "".join(f"{title:>{_CELL}} " for title in titles)
    yield style.paint(BOLD, cut(f"{head}{'MAPS':>{_COUNT}} MAPPING", style.width))
    for row in shown:
        yield _line(row, findings, rest, style)
    yield style.paint(BOLD, _line(findings.total, findings, findings.rows, style))
    yield from _below(findings, style)


def _line(row: Row, findings: Findings, rest: Sequence[Row], style: Style) -> str:
    sizes = [row.pss, row.private, row.shared, row.swap_pss, row.size]
    sizes += [row.hugetlb] if any(one.hugetlb for one in findings.rows) else []
    sizes += [alone(row, findings.exact, rest)] if findings.exact else []
    head = "".join(f"{size(value):>{_CELL}} " for value in sizes) + f"{row.mappings:>{_COUNT}} "
    return head + _fit(row.part.name, None if style.width is None else style.width - len(head))


def _fit(name: str, width: int | None) -> str:
    """Cut a name that is too wide at its beginning: a path says at its end what it is."""
    if width is None or cut(name, width) == name:
        return name
    return "…" + cut(name[::-1], max(0, width - 1))[::-1]


def _processes(findings: Findings) -> str:
    pid = f" ({findings.processes[0].pid})" if len(findings.processes) == 1 else ""
    return counted(len(findings.processes), "process") + pid


def _below(findings: Findings, style: Style) -> Iterator[str]:
    """Explain the sum, and say what is missing from it."""
    yield from _rounding(findings)
    if findings.exact:
        yield from exact_lines(findings.exact, findings.total, style.paint)
    if findings.repeated:
        yield f"{counted(findings.repeated, 'process')} more in the address space of one of these: counted once"
    if findings.unknown_stacks:
        yield f"{counted(findings.unknown_stacks, 'stack')} of threads in other rows: {_STACKS}"
    for reason, count in findings.unreadable.items():
        yield style.paint(YELLOW, f"{count} not readable: {cure(reason, style.euid)}")


def _rounding(findings: Findings) -> Iterator[str]:
    """Compare the sum with the rollups, which the kernel rounds once and not for each mapping."""
    whole, more = findings.total, findings.rollup_pss - findings.total.pss
    said = f"{_processes(findings)}: smaps_rollup says {size(findings.rollup_pss)}"
    if not more:
        yield f"{said}, as do these together"
        return
    than = f"{size(abs(more))} {'more' if more > 0 else 'less'} than these together"
    yield f"{said}, {than}{'' if findings.is_rounding else ': memory changed between the reads'}"
    yield f"(of each mapping the kernel leaves out what is under 1 KiB, here up to {size(_KIB * whole.mappings)})"


def exact_lines(exact: Alone, whole: Row, paint: Paint) -> Iterator[str]:
    """Say what comes back when all of them end, what stays, and what that has to do with PSS."""
    yield ""
    yield paint(BOLD, f"{size(exact.comes_back):>{_CELL}} comes back when all of them end")
    yield _item(exact.anonymous, "anonymous memory")
    yield _item(exact.unnamed, "shared memory and deleted files, unless somebody holds them open")
    yield paint(BOLD, f"{size(exact.stays):>{_CELL}} is theirs alone too, and stays")
    yield _item(exact.shared_stays, "shared memory with a name: until it is removed (rm, ipcrm)")
    yield _item(exact.cache, "page cache of files: until the kernel needs the room")
    if exact.hugetlb:
        yield f"{size(exact.hugetlb):>{_CELL}} of huge pages, in no PSS: back to the pool (vm.nr_hugepages)"
    yield paint(BOLD, f"{size(exact.others):>{_CELL}} others map too")
    yield f"theirs alone is {size(exact.all)}: {size(exact.once)} mapped once, {size(exact.among)} shared among them"
    share, more = exact.pss - exact.all, whole.pss - exact.comes_back
    yield f"PSS is {size(more)} more than what comes back: {size(exact.stays)} stays, {size(share)} is"
    yield "their share of what others map, the rest is rounding and what psstop itself mapped"
    if whole.swap_pss:
        yield f"and {size(whole.swap_pss)} of swap (SwapPss): who shares it, page tables don't tell"


def _item(count: int, what: str) -> str:
    return f"{size(count):>{_CELL + 10}} {what}"
