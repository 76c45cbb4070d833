"""How far delivery has come: the shipper's own small file beside the journal, read by the daemon and by people.

The journal is the queue and has one writer; so the place of the reader in it is kept elsewhere. Losing this file sends
the journal again, which changes nothing on the server; it never loses a point.
"""

import sqlite3
from contextlib import closing
from typing import NamedTuple

from psstopd.journal import recovery
from psstopd.journal.files import connect, connect_read_only
from psstopd.journal.reader import JournalReader

_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    journal_id TEXT NOT NULL,
    cursor INTEGER NOT NULL, -- tick.id up to which everything was accepted
    delivered_at INTEGER, -- Unix seconds
    delivered_total INTEGER NOT NULL DEFAULT 0,
    errors_total INTEGER NOT NULL DEFAULT 0,
    error TEXT, -- what stands in the way now
    error_since INTEGER,
    quarantined_total INTEGER NOT NULL DEFAULT 0
);
"""


class Delivery(NamedTuple):
    """The state of delivery. `error` is None while the last try was accepted; times are Unix seconds."""

    journal_id: str
    cursor: int
    delivered_at: int | None
    delivered_total: int
    errors_total: int
    error: str | None
    error_since: int | None
    quarantined_total: int


def cursor_path(journal_path: str) -> str:
    """Give the path of the cursor file that belongs to a journal."""
    return f"{journal_path.removesuffix('.db')}-delivery.db"


def read_delivery(journal_path: str) -> Delivery | None:
    """Read the state of delivery; None when nothing was ever sent, or the file is just being made or mended."""
    try:
        with closing(connect_read_only(cursor_path(journal_path))) as connection:
            row = connection.execute(_SELECT).fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None else Delivery(*row)


class Cursor:
    """The one writer of the cursor file; lives as long as the shipper, which closes it.

    A damaged file is replaced, and a cursor into another journal begins at that journal's first tick.
    """

    def __init__(self, journal_path: str) -> None:
        self._connection = self._open(cursor_path(journal_path))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def position(self, journal: JournalReader) -> int:
        """Give the last accepted tick of `journal`."""
        journal_id = journal.journal_id()
        row = self._connection.execute("SELECT cursor FROM delivery WHERE journal_id = ?", (journal_id,)).fetchone()
        if row is not None:
            return int(row[0])
        self._connection.execute(
            "INSERT INTO delivery (id, journal_id, cursor) VALUES (1, :id, 0)"
            " ON CONFLICT (id) DO UPDATE SET journal_id = :id, cursor = 0",
            {"id": journal_id},
        )
        return 0

    def advance(self, tick_id: int, *, points: int, now: int) -> None:
        """Note that everything up to `tick_id` was accepted, `points` points with this answer."""
        self._connection.execute(
            "UPDATE delivery SET cursor = ?, delivered_at = ?, delivered_total = delivered_total + ?,"
            " error = NULL, error_since = NULL",
            (tick_id, now, points),
        )

    def fail(self, error: str, *, now: int) -> None:
        """Note that a try was not accepted, and why."""
        self._connection.execute(
            "UPDATE delivery SET errors_total = errors_total + 1,"
            " error_since = CASE WHEN error = ?1 THEN error_since ELSE ?2 END, error = ?1",
            (error, now),
        )

    def _open(self, path: str) -> sqlite3.Connection:
        try:
            connection = connect(path)
            connection.executescript(_SCHEMA)
            if recovery.check(connection):
                return connection
            connection.close()
        except sqlite3.DatabaseError as error:
            if not recovery.is_corrupt(error):
                raise
        recovery.set_aside(path)
        connection = connect(path)
        connection.executescript(_SCHEMA)
        return connection


_SELECT = f"SELECT {', '.join(Delivery._fields)} FROM delivery"
