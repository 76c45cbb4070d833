"""How far delivery has come: the shipper's own small file beside the journal, read by the daemon and by people.

The journal is the queue and has one writer; so the place of the reader in it is kept elsewhere. Losing this file sends
the journal again, which changes nothing on the server; it never loses a point.
"""

import logging
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import NamedTuple

from psstopd.journal import recovery
from psstopd.journal.errors import QuarantineFull
from psstopd.journal.files import connect, connect_read_only
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader

log = logging.getLogger("psstopd.shipper")

MOST_SET_ASIDE = 10_000  # lines, some 3 MiB

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal_id TEXT NOT NULL, -- empty before the first look into the journal
    cursor INTEGER NOT NULL, -- tick.id up to which everything was accepted, but for the backlog:
    backlog_after INTEGER NOT NULL, -- what is behind this one,
    backlog_until INTEGER NOT NULL, -- up to this one
    delivered_at INTEGER, -- Unix seconds
    delivered_total INTEGER NOT NULL DEFAULT 0,
    errors_total INTEGER NOT NULL DEFAULT 0,
    error TEXT, -- what stands in the way now
    error_since INTEGER,
    quarantined_total INTEGER NOT NULL DEFAULT 0,
    clock_ahead INTEGER NOT NULL DEFAULT 0 -- seconds that this host's clock is ahead of the server's, 0: in tolerance
);
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    line TEXT NOT NULL, -- line protocol
    answer TEXT NOT NULL, -- what the server said of it
    set_aside_at INTEGER NOT NULL, -- Unix seconds
    retry INTEGER NOT NULL DEFAULT 0 -- 1: the operator wants it sent again
);
"""


class Delivery(NamedTuple):
    """The state of delivery. `error` is None while the last try was accepted; times are Unix seconds."""

    journal_id: str
    cursor: int = 0
    backlog_after: int = 0
    backlog_until: int = 0
    delivered_at: int | None = None
    delivered_total: int = 0
    errors_total: int = 0
    error: str | None = None
    error_since: int | None = None
    quarantined_total: int = 0
    clock_ahead: int = 0

    @property
    def position(self) -> Position:
        """The place in the queue."""
        return Position(self.cursor, self.backlog_after, self.backlog_until)

    def at(self, position: Position) -> "Delivery":
        """Give the same at another place."""
        return self._replace(**position._asdict())


def cursor_path(journal_path: str) -> str:
    """Give the path of the cursor file that belongs to a journal: in a directory that is the shipper's alone."""
    return f"{journal_path.removesuffix('.db')}-delivery/cursor.db"


def shipper_lock(journal_path: str) -> str:
    """Give what `files.lock` takes, and `lock_holder` asks about, for the keeper of the journal's shipper."""
    return os.path.dirname(cursor_path(journal_path))


def read_delivery(journal_path: str) -> Delivery | None:
    """Read the state of delivery; None when nothing was ever sent, or the file is just being made or mended."""
    try:
        with closing(connect_read_only(cursor_path(journal_path))) as connection:
            return _read(connection)
    except sqlite3.DatabaseError:
        return None


class Cursor:
    """The one writer of the cursor file; lives as long as the shipper, which closes it.

    A damaged file is replaced, and what was set aside in it carried over. A cursor into another journal begins at that
    journal's first tick. While the disk takes nothing the cursor moves in memory alone: delivery goes on, and a restart
    sends some points twice.
    """

    def __init__(self, journal_path: str) -> None:
        self._path = cursor_path(journal_path)
        self._connection = _open(self._path)
        self._delivery = _read(self._connection) or Delivery("")
        self._unsaved: str | None = None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def position(self, journal: JournalReader) -> Position:
        """Give the place in `journal`."""
        journal_id = journal.journal_id()
        if journal_id != self._delivery.journal_id:
            self._set(self._delivery.at(Position())._replace(journal_id=journal_id))
        return self._delivery.position

    def move(self, position: Position, *, points: int, now: int) -> None:
        """Go to another place after `points` points were accepted."""
        total = self._delivery.delivered_total + points
        self._set(self._delivery.at(position)._replace(delivered_at=now, delivered_total=total))

    def recover(self) -> None:
        """Note that nothing is in the way any more."""
        if self._delivery.error is not None:
            self._set(self._delivery._replace(error=None, error_since=None))

    def doubt(self, after: int, until: int) -> None:
        """Make backlog of accepted ticks behind `after`, up to `until`: the server may have lost them."""
        position = self._delivery.position
        self._set(self._delivery.at(position.leaving(after, min(until, position.cursor))))

    def note_clock(self, seconds_ahead: int) -> None:
        """Note how far this host's clock is ahead of the server's."""
        self._set(self._delivery._replace(clock_ahead=seconds_ahead))

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Keep refused lines, each with its answer. Raises QuarantineFull, or sqlite3.DatabaseError."""
        (aside,) = self._connection.execute("SELECT count(*) FROM quarantine").fetchone()
        if aside + len(refused) > MOST_SET_ASIDE:
            raise QuarantineFull(f"{aside} lines are set aside and no more will be: see psstopd quarantine list")
        rows = [(line, answer, now) for line, answer in refused]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT INTO quarantine (line, answer, set_aside_at) VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.DatabaseError:
            self._connection.rollback()
            raise
        total = self._delivery.quarantined_total + len(rows)
        self._set(self._delivery._replace(quarantined_total=total))

    def to_retry(self) -> list[tuple[int, str]]:
        """Give id and line of what the operator wants sent again."""
        return self._connection.execute("SELECT id, line FROM quarantine WHERE retry = 1 ORDER BY id").fetchall()

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Forget a line that was accepted at last, or keep it with the new answer."""
        if answer is None:
            self._connection.execute("DELETE FROM quarantine WHERE id = ?", (line_id,))
        else:
            self._connection.execute("UPDATE quarantine SET retry = 0, answer = ? WHERE id = ?", (answer, line_id))

    @property
    def delivered_at(self) -> int | None:
        """When the last batch was accepted, in Unix seconds."""
        return self._delivery.delivered_at

    def fail(self, error: str, *, now: int) -> None:
        """Note that a try was not accepted, and why."""
        since = self._delivery.error_since if error == self._delivery.error else now
        errors_total = self._delivery.errors_total + 1
        self._set(self._delivery._replace(errors_total=errors_total, error=error, error_since=since))

    def _set(self, delivery: Delivery) -> None:
        """Take a new state over and save it; log when that begins to fail and when it works again."""
        self._delivery = delivery
        try:
            self._save()
        except sqlite3.DatabaseError as error:
            if str(error) != self._unsaved:
                log.warning("cursor kept in memory: %s: %s", self._path, error)
            self._unsaved = str(error)
        else:
            if self._unsaved is not None:
                log.info("cursor saved again: %s", self._path)
            self._unsaved = None

    def _save(self) -> None:
        try:
            self._connection.execute(_REPLACE, self._delivery)
        except sqlite3.DatabaseError as error:
            if not recovery.is_corrupt(error):
                raise
            self._connection.close()
            self._connection = _replace(self._path)
            self._connection.execute(_REPLACE, self._delivery)


def _open(path: str) -> sqlite3.Connection:
    """Open or create the file; a damaged one is replaced."""
    connection: sqlite3.Connection | None = None
    try:
        with suppress(OSError):  # SQLite says what is in the way
            os.makedirs(os.path.dirname(path), exist_ok=True)
        connection = connect(path)
        connection.executescript(_SCHEMA)
        if recovery.is_sound(connection, schema=_SCHEMA, version=0):
            return connection
    except sqlite3.DatabaseError as error:
        if not recovery.is_corrupt(error):
            raise
    if connection is not None:
        connection.close()
    return _replace(path)


def _replace(path: str) -> sqlite3.Connection:
    """Begin a new file with the quarantine of the damaged one, which is renamed. Nobody has it open for writing."""
    kept_as = recovery.free_name(path)
    recovery.set_aside(path, kept_as)
    connection = connect(path)
    connection.executescript(_SCHEMA)
    carried_over = _carry_over(connection, kept_as)
    log.warning("cursor file was damaged: lines_carried_over=%d damaged_file=%s", carried_over, kept_as)
    return connection


def _carry_over(connection: sqlite3.Connection, damaged_path: str) -> int:
    """Copy what was set aside, up to the damage; give the number of lines."""
    before = connection.total_changes
    connection.execute("BEGIN")
    with suppress(sqlite3.DatabaseError), closing(connect_read_only(damaged_path)) as damaged:
        for row in damaged.execute("SELECT line, answer, set_aside_at, retry FROM quarantine ORDER BY id"):
            connection.execute("INSERT INTO quarantine (line, answer, set_aside_at, retry) VALUES (?, ?, ?, ?)", row)
    connection.execute("COMMIT")
    return connection.total_changes - before


def _read(connection: sqlite3.Connection) -> Delivery | None:
    row = connection.execute(_SELECT).fetchone()
    return None if row is None else Delivery(*row)


_COUNTS = tuple(field for field, default in Delivery._field_defaults.items() if default is not None)  # never NULL
_SELECT = f"SELECT {', '.join(Delivery._fields)} FROM delivery WHERE " + " AND ".join(
    f"typeof({count}) = 'integer'" for count in _COUNTS
)
_REPLACE = (
    f"INSERT OR REPLACE INTO delivery (id, {', '.join(Delivery._fields)})"
    f" VALUES (1, {', '.join('?' * len(Delivery._fields))})"
)
