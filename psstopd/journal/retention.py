"""Keep the journal inside its bounds of age and size, in steps so small that a tick doesn't notice."""

import sqlite3
import time
from typing import NamedTuple

TICKS_A_STEP = 20
ROLLUPS_A_STEP = 500
_FULL_SHARE = 0.95  # of max_size, from which on the oldest ticks make room


class Bounds(NamedTuple):
    """What may be removed: `now` and ages in seconds; `delivered` is the last delivered tick, None without a server."""

    now: int
    raw_for: int
    rollup_for: int
    max_size: int
    delivered: int | None


def trim(connection: sqlite3.Connection, bounds: Bounds, *, seconds: float) -> int:
    """Remove what is beyond the bounds for at most about `seconds`; give the number of undelivered points lost.

    An old tick goes when it is delivered; only the bound on size removes one that is not.
    """
    until = time.perf_counter() + seconds
    dropped = 0
    while (removed := _trim_ticks(connection, bounds)) is not None:
        dropped += removed
        if time.perf_counter() > until:
            break
    while _trim_rollups(connection, bounds) and time.perf_counter() < until:
        pass
    return dropped


def make_room(connection: sqlite3.Connection, bounds: Bounds) -> int | None:
    """Remove the oldest ticks whatever their age; give the undelivered points lost, None when there is nothing left."""
    return _remove(connection, _oldest(connection), bounds.delivered)


def used_share(connection: sqlite3.Connection, max_size: int) -> float:
    """Give the share of `max_size` that holds rows; freed pages are used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return float((pages - free) * size / max_size)


def _trim_ticks(connection: sqlite3.Connection, bounds: Bounds) -> int | None:
    oldest = _oldest(connection)
    if used_share(connection, bounds.max_size) > _FULL_SHARE:
        return _remove(connection, oldest, bounds.delivered)
    limit = bounds.now - bounds.raw_for
    may_go = [row for row in oldest if row[1] < limit and (bounds.delivered is None or row[0] <= bounds.delivered)]
    return _remove(connection, may_go, bounds.delivered)


def _oldest(connection: sqlite3.Connection) -> list[tuple[int, int, int]]:
    """Give (id, time, points_before) of the oldest ticks, and one more for its points_before."""
    return connection.execute(
        "SELECT id, time, points_before FROM tick ORDER BY id LIMIT ?", (TICKS_A_STEP + 1,)
    ).fetchall()


def _remove(connection: sqlite3.Connection, ticks: list[tuple[int, int, int]], delivered: int | None) -> int | None:
    """Remove `ticks` less the last of a full list; a single newest tick always stays. None when nothing was removed."""
    if len(ticks) < 2:  # noqa: PLR2004
        return None
    *going, staying = ticks
    last = going[-1][0]
    connection.execute("BEGIN IMMEDIATE")
    for table, key in (("sample", "tick_id"), ("process_sample", "tick_id"), ("tick", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {key} <= ?", (last,))
    connection.execute("COMMIT")
    if delivered is None:
        return 0
    undelivered = [tick for tick in (*going, staying) if tick[0] > delivered]
    return max(0, staying[2] - undelivered[0][2]) if undelivered else 0


def _trim_rollups(connection: sqlite3.Connection, bounds: Bounds) -> int:
    """Remove some rollups older than `rollup_for`; give how many."""
    return connection.execute(
        "DELETE FROM rollup WHERE (time, name_id) IN"
        " (SELECT time, name_id FROM rollup WHERE time < ? ORDER BY time LIMIT ?)",
        (bounds.now - bounds.rollup_for, ROLLUPS_A_STEP),
    ).rowcount
