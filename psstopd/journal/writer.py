"""The journal: every tick, written once, whole or not at all, before anything else happens to it.

Promises on disk:

* One tick is one transaction, on the disk when `append` returns (WAL, synchronous=FULL). A crash or a power cut leaves
  every earlier tick and nothing of the one that was being written.
* `tick.id` only grows and orders the queue, whatever the clock does. A tick is never changed, only removed.
* `name.starts_total` only grows, over restarts of the daemon and of the machine.
* The file never grows past `max_size`: the oldest ticks and rollups make room, undelivered ticks last, and every
  undelivered point that goes this way is counted in `dropped_total`. The -wal beside it is some 4 MiB more.
* While the disk is full, ticks are held in memory up to HELD_POINTS points and written when there is room again.
* A damaged file is renamed, never deleted, and what SQLite can still read of it is carried over. One that is removed
  under the running daemon is written anew, whole.
* One daemon writes, held by a lock beside the file; anyone who may read the file may read it meanwhile.
"""

import logging
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from psstopd.config import JournalConfig
from psstopd.journal import recovery, retention
from psstopd.journal.errors import JournalFull, JournalUnusable
from psstopd.journal.files import empty_wal, lock
from psstopd.journal.opening import bound_pages, open_journal
from psstopd.journal.position import Position
from psstopd.journal.ticks import TickWriter, count_points
from psstopd.model import Tick

log = logging.getLogger("psstopd")

HELD_POINTS = 6000  # about 4 MiB

_FIRST_BEHIND = "SELECT points_before, time FROM tick WHERE id > ? ORDER BY id LIMIT 1"

Remove = Callable[[sqlite3.Connection, retention.Bounds], int | None]


class Journal:
    """The one writer of a journal file; lives as long as the daemon, which closes it."""

    def __init__(self, config: JournalConfig, *, boot_id: str) -> None:
        """Open or create the file; a damaged one is replaced. Raises JournalLocked or JournalUnusable."""
        self._config = config
        self._boot_id = boot_id
        self._held: deque[Tick] = deque()
        self._dropped = self._dropped_on_disk = 0
        self._delivered: Position | None = None
        self._lock = lock(config.path)
        try:
            self._open(newest_id=0)
        except BaseException:
            os.close(self._lock)
            raise

    def reload(self, config: JournalConfig) -> None:
        """Go on with other bounds for the same file."""
        self._config = config
        bound_pages(self._connection, config.max_size)

    def close(self) -> None:
        """Write what is held, if there is room now, and give the file free."""
        with suppress(JournalFull, JournalUnusable):
            self._write_held()
        self._connection.close()
        os.close(self._lock)

    def append(self, tick: Tick, *, delivered: Position | None) -> None:
        """Write a tick, and those held before it. Raises JournalFull while the disk takes none; it is then held.

        `delivered` tells which ticks the server has, None without one; the oldest make room when the file is full.
        Raises JournalUnusable when the file is damaged and can't be replaced.
        """
        self._delivered = delivered
        self._held.append(tick)
        while self.held_points > HELD_POINTS and len(self._held) > 1:
            self._dropped += count_points(self._held.popleft())
        self._write_held()

    def trim(self, now: int, *, delivered: Position | None, seconds: float) -> None:
        """Keep the bounds for about `seconds`; `delivered` tells which ticks the server has, None without one."""
        until = time.perf_counter() + seconds
        bounds = self._bounds(now, delivered)
        while self._remove(retention.step, bounds) and time.perf_counter() < until:
            pass

    def newest_starts(self) -> dict[str, int]:
        """Give for each name the start time up to which its processes of this boot have been counted."""
        return dict(self._connection.execute("SELECT name, newest_start FROM name"))

    @property
    def newest_tick(self) -> int:
        """The id of the newest tick, 0 when there is none."""
        return self._ticks.newest_id

    def last_time(self) -> int | None:
        """Give the grid time of the newest tick."""
        row = self._connection.execute("SELECT time FROM tick ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def pending(self, delivered: Position) -> tuple[int | None, int | None]:
        """Give the number of points that were not delivered, and the time of the oldest; held ones count.

        Neither is known while the file can't be read; the next `append` sees to that.
        """
        try:
            new, backlog_begin, backlog_end = (self._first_behind(tick_id) for tick_id in delivered)
        except sqlite3.DatabaseError as error:
            self._is_damaged |= recovery.is_corrupt(error)
            return None, None
        backlog = backlog_end[0] - backlog_begin[0]
        points = backlog + self._ticks.points - new[0] + self.held_points
        held = self._held[0].time if self._held else None
        oldest = backlog_begin[1] if backlog else new[1]
        return points, held if oldest is None else oldest

    def _first_behind(self, tick_id: int) -> tuple[int, int | None]:
        """Give the points before the first tick behind another, and its time; all points, None where there is none."""
        row = self._connection.execute(_FIRST_BEHIND, (tick_id,)).fetchone()
        return (self._ticks.points, None) if row is None else (row[0], row[1])

    @property
    def id(self) -> str:
        """Tell this journal from one that took its place: cursors into the old one mean nothing in the new one."""
        return self._id

    @property
    def dropped_total(self) -> int:
        """Undelivered points that had to make room, and points that found none, since the journal began."""
        return self._dropped

    @property
    def held_points(self) -> int:
        """Points in memory that wait for room on the disk."""
        return sum(map(count_points, self._held))

    def _open(self, *, newest_id: int) -> None:
        self._connection = open_journal(self._config, boot_id=self._boot_id, newest_id=newest_id)
        self._is_damaged = False
        self._file = _identity(self._config.path)
        self._ticks = TickWriter(self._connection)
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        self._id = str(meta["journal_id"])
        self._dropped_on_disk = int(meta.get("dropped_total", 0))
        self._dropped = max(self._dropped, self._dropped_on_disk)

    def _write_held(self) -> None:
        if _identity(self._config.path) != self._file:
            self._put_back()
        while self._held:
            self._write(self._held[0])
            self._held.popleft()

    def _write(self, tick: Tick) -> None:
        """Write one tick; let the oldest go when the file is at its bound, mend the file once when it is damaged."""
        was_mended = False
        while True:
            if self._is_damaged and not was_mended:
                self._replace_damaged()
                was_mended = True
            try:
                self._ticks.write(tick, dropped=self._dropped - self._dropped_on_disk)
            except sqlite3.IntegrityError as error:  # two samples of one name: it would block all that come after it
                log.error("a tick was dropped: %s: %s", self._config.path, error)  # noqa: TRY400 - no traceback
                self._dropped += count_points(tick)
                return
            except sqlite3.DatabaseError as error:
                self._is_damaged = recovery.is_corrupt(error)
                if not (self._is_damaged and not was_mended) and not self._make_room(error, tick):
                    raise JournalFull(f"{self._config.path}: {error}") from error
            else:
                self._dropped_on_disk = self._dropped
                return

    def _make_room(self, error: sqlite3.DatabaseError, tick: Tick) -> bool:
        """Remove the oldest rows if it is our own bound that leaves none for `tick`, else win some on the disk."""
        if not _is_full(error):
            return False
        make_room = partial(retention.make_room_for, count_points(tick))
        bounds = self._bounds(tick.time, self._delivered)
        return self._remove(make_room, bounds) or empty_wal(self._connection, self._config.path)

    def _remove(self, remove: Remove, bounds: retention.Bounds) -> bool:
        """Let `remove` take some rows, and count what is lost by that; False when there are none to take."""
        try:
            dropped = remove(self._connection, bounds)
        except sqlite3.DatabaseError as error:
            with suppress(sqlite3.DatabaseError):
                self._connection.rollback()
            self._is_damaged |= recovery.is_corrupt(error)
            if _is_full(error) and empty_wal(self._connection, self._config.path):
                return True
            raise JournalFull(f"{self._config.path}: {error}") from error
        self._dropped += dropped or 0
        self._dropped_on_disk += dropped or 0
        return dropped is not None

    def _replace_damaged(self) -> None:
        """Go on in a new file with what can be read of this one."""
        try:
            salvage = recovery.salvage(self._config.path)
        except (sqlite3.Error, OSError) as error:
            raise JournalFull(f"{self._config.path}: damaged, and no room to mend it: {error}") from error
        newest_id = self._ticks.newest_id
        self._connection.close()  # before the renaming: SQLite removes the -wal of a file that it closes by its name
        recovery.replace(self._config.path, salvage)
        log.error("journal was damaged: %s", salvage)
        self._open(newest_id=newest_id)

    def _put_back(self) -> None:
        """Write a file that somebody has removed anew; the open connection still has all of it."""
        path = self._config.path
        newest_id = self._ticks.newest_id
        try:
            recovery.rewrite(self._connection, path)
            if not os.path.exists(f"{path}.lock"):
                removed, self._lock = self._lock, lock(path)
                os.close(removed)
        except (sqlite3.Error, OSError) as error:
            raise JournalFull(f"{path}: removed, and can't be written anew: {error}") from error
        log.error("journal was removed while in use, and is written anew: %s", path)
        self._open(newest_id=newest_id)

    def _bounds(self, now: int, delivered: Position | None) -> retention.Bounds:
        config = self._config
        return retention.Bounds(now, config.raw_for, config.rollup_for, config.max_size, delivered)


def _identity(path: str) -> tuple[int, int] | None:
    """Tell a file from any other that takes its place; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_full(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
