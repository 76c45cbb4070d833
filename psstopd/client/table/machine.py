"""The table of processes for programs: JSON and CSV in bytes, with names that stay."""

import csv
import json
import sys
from typing import Any

from psstopd.client.table.processes import Processes, Row
from psstopd.model import Memory
from psstopd.sampling.names import printable

_COLUMNS = tuple(f"{field}_bytes" for field in Memory._fields)


def write_json(processes: Processes) -> None:
    """Write one object: `processes`, `unreadable` with the reasons, and `total`; null is not measured, 0 is zero."""
    rows: list[dict[str, Any]] = [
        {"pid": row.pid, "name": row.name, **_sizes(row.memory), **(_changes(row) if processes.is_compared else {})}
        for row in processes.rows
    ]
    unreadable = [
        {"pid": seen.pid, "name": printable(seen.name), "reason": seen.unreadable} for seen in processes.unreadable
    ]
    total = {"processes": processes.readable, "unreadable": len(unreadable), **_sizes(processes.total)}
    print(json.dumps({"processes": rows, "unreadable": unreadable, "total": total}))


def write_csv(processes: Processes) -> None:
    """Write a header and a line for each process; one that could not be read has no sizes but a reason."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("pid", "name", *_COLUMNS, "unreadable"))
    table.writerows((row.pid, row.name, *row.memory, "") for row in processes.rows)
    nothing = ("",) * len(_COLUMNS)
    table.writerows((seen.pid, printable(seen.name), *nothing, seen.unreadable) for seen in processes.unreadable)


def _sizes(memory: Memory) -> dict[str, int | None]:
    return dict(zip(_COLUMNS, memory, strict=True))


def _changes(row: Row) -> dict[str, int | None]:
    return {"pss_change_bytes": row.change, "pss_change_since_first_bytes": row.change_since_first}
