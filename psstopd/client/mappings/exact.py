"""`psstop show --exact`: what comes back when every process of a set ends, which takes root and numpy."""

import os
from collections.abc import Iterable, Mapping, Sequence

from psstopd.client.mappings.findings import Alone, Findings
from psstopd.client.mappings.table import Kind, Part
from psstopd.client.waiting import ProgressBar
from psstopd.kernel.mappings import read_mappings
from psstopd.kernel.pages import ANONYMOUS, SHARED_MEMORY, Pages, Span, count_pages
from psstopd.kernel.procfs import Procfs
from psstopd.kernel.sysvipc import ending_segments

_ROOT = "/proc"
_UNNAMED = frozenset({Kind.SHARED, Kind.MEMFD, Kind.DELETED})


def measure(findings: Findings, bar: ProgressBar) -> Alone:
    """Walk the pages of all processes that are shown. Raises AccessDenied."""
    labels: dict[Part, int] = {}
    spaces = {
        one.pid: [
            Span(mapping.start, mapping.end, labels.setdefault(part, len(labels)))
            for mapping, part in zip(one.mappings, parts, strict=True)
            if mapping.rss or mapping.hugetlb  # whose pages can't be looked at have none, and reserves have none
        ]
        for one, parts in zip(findings.processes, findings.parts, strict=True)
    }
    counted = count_pages(_ROOT, spaces, _ours(spaces), lambda share: bar.at("counting pages", share))
    parts_by_label = {label: part for part, label in labels.items()}
    return judge(
        [(parts_by_label[label], kind, pages) for (label, kind), pages in counted.items()], ending_segments(_ROOT)
    )


def _ours(spaces: Mapping[int, Sequence[Span]]) -> list[Span]:
    """Give the address space of psstop itself, which ends too, unless it is among those that are shown."""
    if os.getpid() in spaces:
        return []
    mappings = read_mappings(Procfs(_ROOT), os.getpid())
    return [Span(mapping.start, mapping.end, 0) for mapping in mappings if mapping.rss or mapping.hugetlb]


def judge(counted: Iterable[tuple[Part, int, Pages]], ending: set[int]) -> Alone:
    """Say what becomes of the pages of each part and kind when all who map them end.

    Anonymous memory is given up. Shared memory and files are if they have no name by which somebody could come to them;
    for a System V segment that is a mark (`ending`). What has a name stays, the pages of files in the page cache.
    """
    fates = dict.fromkeys(("anonymous", "unnamed", "shared_stays", "cache", "hugetlb"), 0)
    by_part: dict[Part, int] = {}
    sums = Pages()
    for part, kind, pages in counted:
        fates[_fate(part, kind, ending)] += pages.alone
        by_part[part] = by_part.get(part, 0) + pages.alone
        if part.kind is not Kind.HUGETLB:  # in no PSS either
            sums = sums.plus(pages)
    return Alone(**fates, once=sums.once, among=sums.among, others=sums.others, pss=round(sums.pss), by_part=by_part)


def _fate(part: Part, kind: int, ending: set[int]) -> str:
    if part.kind is Kind.HUGETLB:
        return "hugetlb"
    if kind == ANONYMOUS:
        return "anonymous"
    if part.kind in _UNNAMED or (part.kind is Kind.SYSV and part.inode in ending):
        return "unnamed"
    return "shared_stays" if kind == SHARED_MEMORY else "cache"
