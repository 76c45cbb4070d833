"""The mappings of `psstop show` for programs: JSON and CSV in bytes."""

import csv
import json
import sys
from collections.abc import Sequence

from psstopd.client.mappings.findings import Alone, Findings
from psstopd.client.mappings.table import Row

_COLUMNS = ("pss", "private", "shared", "swap_pss", "size", "hugetlb")


def write_json(findings: Findings, shown: Sequence[Row], rest: Sequence[Row]) -> None:
    """Write one object; null is not measured, 0 is zero."""
    print(
        json.dumps(
            {
                "processes": [{"pid": one.pid, "name": one.name} for one in findings.processes],
                "unreadable": {str(reason): count for reason, count in findings.unreadable.items()},
                "sharing_an_address_space": findings.repeated,
                "stacks_not_found": findings.unknown_stacks,
                "mappings": [_entry(row, findings, rest) for row in shown],
                "total": {"mappings": findings.total.mappings, **_sizes(findings.total)},
                "rollup": {"pss_bytes": findings.rollup_pss, "differs_by_rounding_alone": findings.is_rounding},
                "exact": None if findings.exact is None else _exact(findings.exact),
            }
        )
    )


def write_csv(findings: Findings, shown: Sequence[Row], rest: Sequence[Row]) -> None:
    """Write a header and a line for each row; what is not measured is empty."""
    table = csv.DictWriter(sys.stdout, list(_entry(findings.total, findings, rest)), lineterminator="\n")
    table.writeheader()
    table.writerows(_entry(row, findings, rest) for row in shown)
    for reason, count in findings.unreadable.items():
        print(f"{count} not readable: {reason}", file=sys.stderr)


def alone(row: Row, exact: Alone, rest: Sequence[Row]) -> int:
    """Give what of a row nobody outside of the set maps; `rest` are the rows in the one that stands for many."""
    parts = [row.part] if row.part in exact.by_part else [one.part for one in rest] if row.part.kind == "rest" else []
    return sum(exact.by_part.get(part, 0) for part in parts)


def _entry(row: Row, findings: Findings, rest: Sequence[Row]) -> dict[str, str | int | None]:
    exact = {} if findings.exact is None else {"unique_bytes": alone(row, findings.exact, rest)}
    return {"mapping": row.part.name, "kind": row.part.kind, "mappings": row.mappings, **_sizes(row), **exact}


def _sizes(row: Row) -> dict[str, int | None]:
    return {f"{column}_bytes": getattr(row, column) for column in _COLUMNS}


def _exact(exact: Alone) -> dict[str, int]:
    return {
        "comes_back_bytes": exact.comes_back,
        "anonymous_bytes": exact.anonymous,
        "unnamed_bytes": exact.unnamed,
        "shared_memory_stays_bytes": exact.shared_stays,
        "page_cache_bytes": exact.cache,
        "hugetlb_bytes": exact.hugetlb,
        "unique_bytes": exact.all,
        "unique_once_bytes": exact.once,
        "unique_among_them_bytes": exact.among,
        "others_too_bytes": exact.others,
        "pss_bytes": exact.pss,
    }
