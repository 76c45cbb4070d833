"""The table of `psstop --by` for programs: JSON and CSV in bytes, with names that stay."""

import csv
import json
import sys
from typing import Any

from psstopd.client.groups.sums import Group, Groups

_SIZES = ("private_bytes", "shared_bytes", "ram_bytes", "swap_bytes")
_COLUMNS = ("name", "pid", "processes", "unreadable", *_SIZES, "is_estimate")


def write_json(groups: Groups, by: str) -> None:
    """Write one object: `by`, `groups`, `unreadable` with the reasons, and `total`; null is not measured, 0 is zero."""
    unreadable = [
        {"pid": member.pid, "name": member.label, "reason": member.unreadable} for member in groups.unreadable
    ]
    total = _fields(groups.total)
    del total["name"], total["pid"]
    rows = [_fields(group) for group in groups.rows]
    print(json.dumps({"by": by, "groups": rows, "unreadable": unreadable, "total": total}))


def write_csv_header() -> None:
    """Write the names of the columns."""
    csv.writer(sys.stdout, lineterminator="\n").writerow(_COLUMNS)


def write_csv(groups: Groups) -> None:
    """Write a line for each group; what was not measured is empty, and so is `pid` where a group is not one process."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerows(("" if field is None else field for field in _fields(group).values()) for group in groups.rows)


def _fields(group: Group) -> dict[str, Any]:
    """Give the columns; a group of which nothing could be read has no sizes."""
    sizes = (group.private, group.shared, group.ram, group.swap) if group.processes else (None,) * len(_SIZES)
    fields = (group.name, group.pid, group.processes, group.unreadable, *sizes, group.is_estimate)
    return dict(zip(_COLUMNS, fields, strict=True))
