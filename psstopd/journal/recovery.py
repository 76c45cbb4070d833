"""Replace a corrupt journal by a new one with all that SQLite can still read of the old, which is kept beside it."""

import os
import sqlite3
import time

from psstopd.journal.files import connect
from psstopd.journal.schema import SCHEMA

CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLES = (("name", "id"), ("tick", "id"), ("sample", "tick_id"), ("process_sample", "tick_id"), ("rollup", "time"))
_MOST_FAILURES = 20_000  # of ranges per table; each costs microseconds, and a bad page costs some twenty


class Salvage:
    """What became of a corrupt journal."""

    def __init__(self, kept_as: str) -> None:
        self.kept_as = kept_as
        self.ticks = self.samples = self.lost_ranges = 0

    def __str__(self) -> str:
        return (
            f"salvaged ticks={self.ticks} samples={self.samples} unreadable_ranges={self.lost_ranges} "
            f"damaged_file={self.kept_as}"
        )


def is_corrupt(error: sqlite3.Error) -> bool:
    """Tell whether an error means a damaged file; extended codes have the plain one in their low byte."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in CORRUPT


def check(connection: sqlite3.Connection) -> bool:
    """Tell whether SQLite finds the file sound (PRAGMA quick_check)."""
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if is_corrupt(error):
            return False
        raise


def set_aside(path: str) -> str:
    """Rename a damaged file and what SQLite keeps beside it; give its new name."""
    kept_as = f"{path}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}"
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, kept_as + suffix)
    return kept_as


def replace_corrupt(path: str) -> Salvage:
    """Rename the journal at `path`, make a new one and copy what can be read. The caller holds the lock."""
    salvage = Salvage(set_aside(path))
    connection = connect(path)
    try:
        connection.executescript(SCHEMA)
        _copy_all(connection, salvage)
    finally:
        connection.close()
    return salvage


def _copy_all(connection: sqlite3.Connection, salvage: Salvage) -> None:
    try:
        connection.execute("ATTACH ? AS damaged", (salvage.kept_as,))
        connection.execute("SELECT count(*) FROM damaged.sqlite_master")
    except sqlite3.DatabaseError:  # not a database any more
        salvage.lost_ranges += 1
        return
    connection.execute("BEGIN")
    for table, key in _TABLES:
        _RangeCopy(connection, table, key, salvage).run()
    _try(connection, "INSERT OR REPLACE INTO main.meta SELECT * FROM damaged.meta")
    connection.execute(
        "INSERT OR IGNORE INTO main.name (id, name) SELECT DISTINCT name_id, '(lost name ' || name_id || ')'"
        " FROM main.sample WHERE name_id NOT IN (SELECT id FROM main.name)"
    )
    connection.execute("DELETE FROM main.sample WHERE tick_id NOT IN (SELECT id FROM main.tick)")
    connection.execute("DELETE FROM main.process_sample WHERE tick_id NOT IN (SELECT id FROM main.tick)")
    salvage.ticks, salvage.samples = connection.execute(
        "SELECT (SELECT count(*) FROM main.tick), (SELECT count(*) FROM main.sample)"
    ).fetchone()
    connection.execute("COMMIT")


class _RangeCopy:
    """Copies one table by ranges of its key, halving around what can't be read."""

    def __init__(self, connection: sqlite3.Connection, table: str, key: str, salvage: Salvage) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._salvage = salvage
        self._failures = 0

    def run(self) -> None:
        """Copy everything that can be read; count the single keys that can't."""
        low, high = (self._edge(order) for order in ("ASC", "DESC"))
        if low is None and high is None:
            return
        ranges = [(low if low is not None else 0, high if high is not None else self._last_tick())]
        while ranges and self._failures < _MOST_FAILURES:
            low, high = ranges.pop()
            if self._copy(low, high):
                continue
            self._failures += 1
            if low == high:
                self._salvage.lost_ranges += 1
            else:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]

    def _edge(self, order: str) -> int | None:
        select = f"SELECT {self._key} FROM damaged.{self._table} ORDER BY {self._key} {order} LIMIT 1"
        try:
            row = self._connection.execute(select).fetchone()
        except sqlite3.DatabaseError:
            self._salvage.lost_ranges += 1
            return None
        return None if row is None else int(row[0])

    def _last_tick(self) -> int:
        """Give an upper bound for keys whose end can't be read."""
        row = self._connection.execute("SELECT max(id), max(time) FROM main.tick").fetchone()
        return int((row[1] if self._key == "time" else row[0]) or 0)

    def _copy(self, low: int, high: int) -> bool:
        return _try(
            self._connection,
            f"INSERT OR IGNORE INTO main.{self._table} SELECT * FROM damaged.{self._table}"
            f" WHERE {self._key} BETWEEN {low} AND {high}",
        )


def _try(connection: sqlite3.Connection, statement: str) -> bool:
    """Run a statement whole or not at all."""
    connection.execute("SAVEPOINT attempt")
    try:
        connection.execute(statement)
    except sqlite3.DatabaseError:
        connection.execute("ROLLBACK TO attempt")
        return False
    finally:
        connection.execute("RELEASE attempt")
    return True
