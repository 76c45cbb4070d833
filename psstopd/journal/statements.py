"""The statements that write a tick, and the rows that go into them."""

from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, ROLLUP_FIELDS, ROLLUP_SECONDS, SAMPLE_FIELDS
from psstopd.model import ProcessSample, Sample

Row = tuple[int | None, ...]


def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def _merge(field: str) -> str:
    """Merge one field into its five minutes; what was not measured leaves the rest as it is."""
    low, total, high = f"{field}_min", f"{field}_sum", f"{field}_max"
    return (
        f"{low} = coalesce(min({low}, excluded.{low}), {low}, excluded.{low}), "
        f"{total} = coalesce({total} + excluded.{total}, {total}, excluded.{total}), "
        f"{high} = coalesce(max({high}, excluded.{high}), {high}, excluded.{high})"
    )


HEALTH_INSERT = _insert("tick", ("time", "points_before", *HEALTH_FIELDS))
SAMPLE_INSERT = _insert("sample", ("tick_id", "name_id", *SAMPLE_FIELDS))
PROCESS_INSERT = _insert("process_sample", ("tick_id", "name_id", "slot", *PROCESS_FIELDS))
ROLLUP_UPSERT = (
    _insert(
        "rollup",
        (
            *("time", "name_id", "n", "unreadable_max", "starts_total"),
            *(f"{field}_{kind}" for field in ROLLUP_FIELDS for kind in ("min", "sum", "max")),
        ),
    )
    + " ON CONFLICT (time, name_id) DO UPDATE SET n = n + excluded.n,"
    " unreadable_max = max(unreadable_max, excluded.unreadable_max), starts_total = excluded.starts_total, "
    + ", ".join(map(_merge, ROLLUP_FIELDS))
)
COUNT_DROPPED = (
    "INSERT INTO meta VALUES ('dropped_total', ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value"
)
_ROLLED_UP = tuple(SAMPLE_FIELDS.index(field) for field in ROLLUP_FIELDS)
_UNREADABLE, _STARTS_TOTAL = SAMPLE_FIELDS.index("unreadable"), SAMPLE_FIELDS.index("starts_total")


def sample_row(sample: Sample, starts_total: int) -> Row:
    """Lay a sample out in the order of SAMPLE_FIELDS."""
    memory = sample.memory or (None,) * 7
    counts = (sample.processes, sample.unreadable, starts_total, sample.age_ms, sample.read_us)
    return (*memory, sample.pss_max, *counts)


def process_row(process: ProcessSample) -> Row:
    """Lay a process out in the order of PROCESS_FIELDS."""
    return (*process.memory, process.identity.pid, process.identity.start_time)


def rollup_row(time: int, name_id: int, sample: Row) -> Row:
    """Lay a row of SAMPLE_FIELDS out as one tick's share of its five minutes; unmeasured ticks count for nothing."""
    measured = sample[0] is not None
    values = [sample[index] if measured else None for index in _ROLLED_UP]
    begin = time // ROLLUP_SECONDS * ROLLUP_SECONDS
    thrice = (value for value in values for _ in range(3))
    return (begin, name_id, int(measured), sample[_UNREADABLE], sample[_STARTS_TOTAL], *thrice)
