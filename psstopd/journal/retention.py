"""Keep the journal inside its bounds of age and size, in steps so small that a tick doesn't notice."""

import sqlite3
from typing import NamedTuple

from psstopd.journal.position import Position
from psstopd.journal.schema import ROLLUP_SECONDS
from psstopd.journal.statements import COUNT_DROPPED

TICKS_A_STEP = 20
ROLLUPS_A_STEP = 500
FULL_SHARE = 0.95  # of max_size, from which on the oldest rows make room
_ANY = 2**63 - 1  # no id and no time is past it
_PAGES_A_TICK, _BYTES_A_POINT = 16, 512  # more than a tick takes with its rollups and half-filled pages


class Bounds(NamedTuple):
    """What may be removed: `now` and ages in seconds; `delivered` is what the server has, None without a server."""

    now: int
    raw_for: int
    rollup_for: int
    max_size: int
    delivered: Position | None

    def run(self, tick_id: int) -> tuple[bool, int]:
        """Tell whether a tick need not be kept for the server, and up to which tick that holds."""
        return (True, _ANY) if self.delivered is None else self.delivered.run(tick_id)


def step(connection: sqlite3.Connection, bounds: Bounds) -> int | None:
    """Remove a few rows that are beyond the bounds; give the undelivered points lost, None when nothing is beyond.

    An old tick goes when it is delivered; only the bound on size removes one that is not.
    """
    pages, free, size = _pages(connection)
    if (pages - free) * size > bounds.max_size * FULL_SHARE and (lost := make_room(connection, bounds)) is not None:
        return lost
    # A tick is as old as any behind it: its own time may be of a clock that was ahead.
    expired = connection.execute(
        "SELECT max(id) FROM (SELECT id FROM tick WHERE time < ? ORDER BY time LIMIT ?)",
        (bounds.now - bounds.raw_for, TICKS_A_STEP),
    ).fetchone()[0]
    if expired is not None:
        may_go = expired if bounds.delivered is None else min(expired, bounds.delivered.complete)
        if (lost := _remove_ticks(connection, may_go, counted=False)) is not None:
            return lost
    return 0 if _remove_rollups(connection, bounds.now - bounds.rollup_for) else None


def make_room(connection: sqlite3.Connection, bounds: Bounds) -> int | None:
    """Remove the oldest rows whatever their age; give the undelivered points lost, None when there is nothing left.

    Of delivered ticks and rollups those go first that have used up more of their time; then rollups from before the
    undelivered ticks; then these. The newest tick stays: the count of points goes on from it.
    """
    tick = connection.execute(
        "SELECT id, time FROM tick WHERE id < (SELECT max(id) FROM tick) ORDER BY id LIMIT 1"
    ).fetchone()
    rollup = connection.execute("SELECT time FROM rollup ORDER BY time LIMIT 1").fetchone()
    if rollup is not None and (tick is None or _rollup_goes_first(bounds, tick, rollup[0])):
        _remove_rollups(connection, _ANY)
        return 0
    if tick is None:
        return None
    delivered, last = bounds.run(tick[0])
    return _remove_ticks(connection, last, counted=not delivered)


def make_room_for(points: int, connection: sqlite3.Connection, bounds: Bounds) -> int | None:
    """Make room if it is `max_size` that leaves none for a tick of `points` points.

    SQLite has one error for this and for a full disk, where removing rows would not help.
    """
    pages, free, size = _pages(connection)
    if (pages - free + _PAGES_A_TICK) * size + points * _BYTES_A_POINT <= bounds.max_size:
        return None
    return make_room(connection, bounds)


def _pages(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Give the pages of the file, those without rows, which are used again before it grows, and the size of one."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages, free, size


def _rollup_goes_first(bounds: Bounds, tick: tuple[int, int], rollup_time: int) -> bool:
    tick_id, tick_time = tick
    delivered, _ = bounds.run(tick_id)
    if not delivered:
        return rollup_time + ROLLUP_SECONDS <= tick_time
    return (bounds.now - rollup_time) * bounds.raw_for > (bounds.now - tick_time) * bounds.rollup_for


def _remove_ticks(connection: sqlite3.Connection, last: int, *, counted: bool) -> int | None:
    """Remove some of the oldest ticks up to `last`, never the newest; give the points lost if `counted`, None of none.

    They are counted as lost in the same transaction.
    """
    ids = connection.execute(
        "SELECT id FROM tick WHERE id <= ? AND id < (SELECT max(id) FROM tick) ORDER BY id LIMIT ?",
        (last, TICKS_A_STEP),
    ).fetchall()
    if not ids:
        return None
    first, last = ids[0][0], ids[-1][0]
    connection.execute("BEGIN IMMEDIATE")
    dropped = _points_of(connection, first, last) if counted else 0
    for table, key in (("sample", "tick_id"), ("process_sample", "tick_id"), ("tick", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {key} <= ?", (last,))
    if dropped:
        connection.execute(COUNT_DROPPED, (dropped,))
    connection.execute("COMMIT")
    return dropped


def _points_of(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Count the points of the ticks from `first` to `last`, which is not the newest."""
    (begin,) = connection.execute("SELECT points_before FROM tick WHERE id = ?", (first,)).fetchone()
    (end,) = connection.execute("SELECT points_before FROM tick WHERE id > ? ORDER BY id LIMIT 1", (last,)).fetchone()
    return int(end - begin)


def _remove_rollups(connection: sqlite3.Connection, before: int) -> int:
    """Remove some of the oldest rollups that began before `before`; give how many."""
    return connection.execute(
        "DELETE FROM rollup WHERE (time, name_id) IN"
        " (SELECT time, name_id FROM rollup WHERE time < ? ORDER BY time LIMIT ?)",
        (before, ROLLUPS_A_STEP),
    ).rowcount
