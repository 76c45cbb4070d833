"""The journal: every tick, written once, whole or not at all, before anything else happens to it.

Promises on disk:

* One tick is one transaction, on the disk when `append` returns (WAL, synchronous=FULL). A crash or a power cut leaves
  every earlier tick and nothing of the one that was being written.
* `tick.id` only grows and orders the queue, whatever the clock does. A tick is never changed, only removed.
* `name.starts_total` only grows, over restarts of the daemon and of the machine.
* The file never grows past `max_size`: the oldest ticks make room, delivered ones first, and every undelivered point
  that goes this way is counted in `dropped_total`.
* While the disk is full, ticks are held in memory up to HELD_POINTS points and written when there is room again.
* A damaged file is renamed, never deleted, and what SQLite can still read of it is carried over.
* One daemon writes, held by a lock beside the file; anyone who may read the file may read it meanwhile.
"""

import logging
import os
import sqlite3
from collections import deque
from contextlib import suppress

from psstopd.config import JournalConfig
from psstopd.journal import recovery, retention
from psstopd.journal.errors import JournalFull, JournalUnusable
from psstopd.journal.files import connect, lock
from psstopd.journal.schema import SCHEMA, SCHEMA_VERSION
from psstopd.journal.statements import (
    HEALTH_INSERT,
    PROCESS_INSERT,
    ROLLUP_UPSERT,
    SAMPLE_INSERT,
    process_row,
    rollup_row,
    sample_row,
)
from psstopd.model import Sample, Tick

log = logging.getLogger("psstopd")

HELD_POINTS = 6000  # about 4 MiB
MOST_NAMES = 10_000  # remembered with their ids; a host of short-lived programs has more over the years


class Journal:
    """The one writer of a journal file; lives as long as the daemon, which closes it."""

    def __init__(self, config: JournalConfig, *, boot_id: str) -> None:
        """Open or create the file; a damaged one is replaced. Raises JournalLocked or JournalUnusable."""
        self._config = config
        self._boot_id = boot_id
        self._lock = lock(config.path)
        self._connection = self._open()
        self._held: deque[Tick] = deque()
        self._names: dict[str, list[int]] = {}  # name: id, starts_total
        self._dropped = int(self._meta("dropped_total") or 0)
        self._points = self._count_points()
        self._delivered: int | None = None

    def reload(self, config: JournalConfig) -> None:
        """Go on with other bounds for the same file."""
        self._config = config
        self._bound_pages(self._connection)

    def close(self) -> None:
        """Write what is held, if there is room now, and give the file free."""
        with suppress(JournalFull):
            self._write_held()
        self._connection.close()
        os.close(self._lock)

    def append(self, tick: Tick, *, delivered: int | None) -> None:
        """Write a tick, and those held before it. Raises JournalFull while the disk takes none; it is then held.

        `delivered` is the last delivered tick, None without a server; the oldest make room when the file is full.
        """
        self._delivered = delivered
        self._held.append(tick)
        while self.held_points > HELD_POINTS and len(self._held) > 1:
            self._dropped += _points(self._held.popleft())
        self._write_held()

    def trim(self, now: int, *, delivered: int | None, seconds: float) -> None:
        """Keep the bounds for about `seconds`; `delivered` is the last delivered tick, None without a server."""
        try:
            dropped = retention.trim(self._connection, self._bounds(now, delivered), seconds=seconds)
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise JournalFull(f"{self._config.path}: {error}") from error
        self._count_dropped(dropped)

    def newest_starts(self) -> dict[str, int]:
        """Give for each name the start time up to which its processes of this boot have been counted."""
        return dict(self._connection.execute("SELECT name, newest_start FROM name"))

    def last_time(self) -> int | None:
        """Give the grid time of the newest tick."""
        row = self._connection.execute("SELECT time FROM tick ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else int(row[0])

    def pending(self, delivered: int) -> tuple[int, int | None]:
        """Give the number of points behind the tick `delivered`, and the time of the oldest; held ones count."""
        row = self._connection.execute(
            "SELECT points_before, time FROM tick WHERE id > ? ORDER BY id LIMIT 1", (delivered,)
        ).fetchone()
        if row is None:
            return self.held_points, self._held[0].time if self._held else None
        return self._points - row[0] + self.held_points, row[1]

    @property
    def id(self) -> str:
        """Tell this journal from one that took its place: cursors into the old one mean nothing in the new one."""
        return str(self._meta("journal_id"))

    @property
    def dropped_total(self) -> int:
        """Undelivered points that had to make room, and points that found none, since the journal began."""
        return self._dropped

    @property
    def held_points(self) -> int:
        """Points in memory that wait for room on the disk."""
        return sum(map(_points, self._held))

    def _open(self) -> sqlite3.Connection:
        path = self._config.path
        try:
            connection = self._connect_sound()
            self._prepare(connection)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise JournalUnusable(f"{path}: {error}; {_cure(error)}") from error
        return connection

    def _connect_sound(self) -> sqlite3.Connection:
        """Connect to the file, or to what could be salvaged of it when it is damaged."""
        path = self._config.path
        try:
            connection = connect(path)
            if recovery.check(connection):
                return connection
            connection.close()
        except sqlite3.DatabaseError as error:
            if not recovery.is_corrupt(error):
                raise
        log.error("journal was damaged: %s", recovery.replace_corrupt(path))
        return connect(path)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"written by a newer psstop (schema {version}, this one knows {SCHEMA_VERSION})"
            )
        if version == 0:
            connection.executescript(f"BEGIN;{SCHEMA}COMMIT;")
        self._bound_pages(connection)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('journal_id', ?)", (os.urandom(16).hex(),))
        known_boot = connection.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
        if known_boot != (self._boot_id,):
            connection.execute("UPDATE name SET newest_start = 0")
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('boot_id', ?)", (self._boot_id,))
        connection.execute("COMMIT")

    def _bound_pages(self, connection: sqlite3.Connection) -> None:
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {self._config.max_size // page_size}")

    def _meta(self, key: str) -> str | int | None:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def _count_points(self) -> int:
        last = self._connection.execute("SELECT id, points_before FROM tick ORDER BY id DESC LIMIT 1").fetchone()
        if last is None:
            return 0
        own = self._connection.execute(
            "SELECT (SELECT count(*) FROM sample WHERE tick_id = :id)"
            " + (SELECT count(*) FROM process_sample WHERE tick_id = :id)",
            {"id": last[0]},
        ).fetchone()[0]
        return int(last[1] + own + 1)

    def _write_held(self) -> None:
        while self._held:
            self._write_making_room(self._held[0])
            self._held.popleft()

    def _write_making_room(self, tick: Tick) -> None:
        """Write one tick; when the file is at its bound, let the oldest go first."""
        while True:
            try:
                self._write(tick)
            except sqlite3.DatabaseError as error:
                self._roll_back()
                if recovery.is_corrupt(error):
                    self._replace_damaged()
                elif not (self._at_bound(error) and self._make_room(tick.time)):
                    raise JournalFull(f"{self._config.path}: {error}") from error
            else:
                return

    def _replace_damaged(self) -> None:
        """Go on in a new file with what can be read of this one."""
        self._connection.close()
        self._connection = self._open()

    def _write(self, tick: Tick) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        tick_id = execute(HEALTH_INSERT, (tick.time, self._points, *tick.health)).lastrowid or 0
        for sample in tick.samples:
            name_id, starts_total = self._name(sample)
            row = sample_row(sample, starts_total)
            execute(SAMPLE_INSERT, (tick_id, name_id, *row))
            execute(ROLLUP_UPSERT, rollup_row(tick.time, name_id, row))
            for process in sample.top:
                execute(PROCESS_INSERT, (tick_id, name_id, process.slot, *process_row(process)))
        execute("COMMIT")
        self._points += _points(tick)

    def _name(self, sample: Sample) -> list[int]:
        """Give id and starts_total of the sample's name, made or brought up to date inside the transaction."""
        execute = self._connection.execute
        if len(self._names) > MOST_NAMES:
            self._names.clear()
        if sample.name not in self._names:
            execute("INSERT OR IGNORE INTO name (name) VALUES (?)", (sample.name,))
            row = execute("SELECT id, starts_total FROM name WHERE name = ?", (sample.name,)).fetchone()
            self._names[sample.name] = list(row)
        entry = self._names[sample.name]
        if sample.starts:
            entry[1] += sample.starts
            execute(
                "UPDATE name SET starts_total = ?, newest_start = max(newest_start, ?) WHERE id = ?",
                (entry[1], sample.newest_start, entry[0]),
            )
        return entry

    def _roll_back(self) -> None:
        """End a transaction that failed, unless SQLite has done so, and forget what it had counted."""
        with suppress(sqlite3.DatabaseError):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._names.clear()

    def _at_bound(self, error: sqlite3.DatabaseError) -> bool:
        """Tell our own bound from a full disk: SQLite has one error for both."""
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return full and retention.used_share(self._connection, self._config.max_size) > 0.9  # noqa: PLR2004

    def _make_room(self, now: int) -> bool:
        removed = retention.make_room(self._connection, self._bounds(now, self._delivered))
        self._count_dropped(removed or 0)
        return removed is not None

    def _bounds(self, now: int, delivered: int | None) -> retention.Bounds:
        config = self._config
        return retention.Bounds(now, config.raw_for, config.rollup_for, config.max_size, delivered)

    def _count_dropped(self, points: int) -> None:
        if points:
            self._dropped += points
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('dropped_total', ?)", (self._dropped,))


def _points(tick: Tick) -> int:
    return len(tick.samples) + sum(len(sample.top) for sample in tick.samples) + 1


def _cure(error: Exception) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return "free some space there, or set [journal] path to another disk"
    return "give the file to the user that runs psstopd, or set [journal] path (PSSTOP_JOURNAL__PATH)"
