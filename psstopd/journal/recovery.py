"""Replace a corrupt journal by a new one with all that SQLite can still read of the old, which is kept beside it.

The new file is complete before the old one is renamed: whatever ends the process, the next start finds one of them.
"""

import os
import sqlite3
import time
from contextlib import closing, suppress

from psstopd.journal.files import file_uri, read_only_uri
from psstopd.journal.schema import SCHEMA, SCHEMA_VERSION

CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LAST_TICK = "SELECT max(seq) FROM main.sqlite_sequence WHERE name = 'tick'"
_TABLES = (  # name, key, and what bounds the key where its largest can't be read
    ("tick", "id", _LAST_TICK),
    ("sample", "tick_id", _LAST_TICK),
    ("process_sample", "tick_id", _LAST_TICK),
    ("rollup", "time", "SELECT max(time) FROM main.tick"),
    ("name", "id", "SELECT max(name_id) FROM (SELECT name_id FROM main.sample UNION SELECT name_id FROM main.rollup)"),
)
_MOST_FAILURES = 100_000  # of ranges per table; each costs some 20 µs, and a bad page up to some hundred of them
_MOST_KEYS = 1_000_000  # tried one by one; some 5 µs each
_LARGEST_KEY = 2**40  # no tick, name or time is past it, but garbage is
_SUFFIXES = ("", "-wal", "-shm")


class Salvage:
    """What became of a corrupt journal: `kept_as` is its new name, `fresh` the file with what could be read."""

    def __init__(self, *, kept_as: str, fresh: str) -> None:
        self.kept_as = kept_as
        self.fresh = fresh
        self.ticks = self.samples = self.lost_ranges = 0

    def __str__(self) -> str:
        return (
            f"salvaged ticks={self.ticks} samples={self.samples} unreadable_ranges={self.lost_ranges} "
            f"damaged_file={self.kept_as}"
        )


def is_corrupt(error: sqlite3.Error) -> bool:
    """Tell whether an error means a damaged file; extended codes have the plain one in their low byte."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in CORRUPT


def is_sound(connection: sqlite3.Connection, *, schema: str = SCHEMA, version: int = SCHEMA_VERSION) -> bool:
    """Tell whether SQLite finds the file sound (PRAGMA quick_check) and its tables `schema`'s or newer."""
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            return False
        written_by = int(connection.execute("PRAGMA user_version").fetchone()[0])
        # A newer psstop's tables are none of our business, and what has all of ours has lost its version.
        return written_by > version or _has_columns(connection, schema) == (written_by == version)
    except sqlite3.DatabaseError as error:
        if is_corrupt(error) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # a garbled view
            return False
        raise


def set_aside(path: str, kept_as: str) -> None:
    """Rename a damaged file and what SQLite keeps beside it."""
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            os.rename(path + suffix, kept_as + suffix)


def free_name(path: str) -> str:
    """Give the name that a damaged file can be kept under; none that is kept already is lost to it."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    count = 0
    while os.path.exists(name := f"{path}.corrupt-{stamp}{f'-{count}' if count else ''}"):
        count += 1
    return name


def salvage(path: str) -> Salvage:
    """Copy what can be read of the journal at `path` into a new file beside it. The caller holds the lock.

    Raises sqlite3.OperationalError when there is no room for it.
    """
    salvage = Salvage(kept_as=free_name(path), fresh=_fresh(path))
    with suppress(FileNotFoundError):
        os.remove(salvage.fresh)
    with closing(sqlite3.connect(file_uri(salvage.fresh), uri=True, isolation_level=None)) as connection:
        # Without a -wal the file is complete once it is closed; one that was cut off is begun anew, so no sync before.
        connection.executescript(f"PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; BEGIN;{SCHEMA}COMMIT;")
        _copy_all(connection, path, salvage)
    _sync(salvage.fresh)
    return salvage


def rewrite(connection: sqlite3.Connection, path: str) -> None:
    """Write a file that was removed anew from the connection that still has all of it, and close that.

    A file that has come in its place is renamed. Raises OSError or sqlite3.Error when there is no room for it.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with suppress(FileNotFoundError):
        os.remove(_fresh(path))
    with closing(sqlite3.connect(file_uri(_fresh(path)), uri=True)) as copy:
        connection.backup(copy)
    _sync(_fresh(path))
    connection.close()  # before the renaming: SQLite removes the -wal of a file that it closes by its name
    set_aside(path, free_name(path))
    os.rename(_fresh(path), path)


def replace(path: str, salvage: Salvage) -> None:
    """Let the salvaged file take the place of the damaged one, which nobody has open for writing any more."""
    set_aside(path, salvage.kept_as)
    os.rename(salvage.fresh, path)


def finish_replacement(path: str) -> None:
    """Finish a `replace` that was cut off in the middle."""
    if not os.path.exists(path) and os.path.exists(_fresh(path)):
        os.rename(_fresh(path), path)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _fresh(path: str) -> str:
    return f"{path}.salvage"


def _has_columns(connection: sqlite3.Connection, schema: str) -> bool:
    """Tell whether a database has all tables and views of `schema` with all their columns."""
    columns = "SELECT t.name, c.name, c.type FROM sqlite_master AS t, pragma_table_info(t.name) AS c"
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(schema)
        return set(model.execute(columns)) <= set(connection.execute(columns))


def _copy_all(connection: sqlite3.Connection, path: str, salvage: Salvage) -> None:
    """Copy every table, as far as it goes, and make the rows fit each other."""
    try:
        connection.execute("ATTACH ? AS damaged", (read_only_uri(path),))
    except sqlite3.DatabaseError:  # not a database any more
        salvage.lost_ranges += 1
        return
    # No transaction around all of it: SQLite 3.40 fails the COMMIT when any read in it met damage.
    _try(connection, _COPY_SEQUENCE, (_LARGEST_KEY,))
    for table, key, bound in _TABLES:
        largest = connection.execute(bound).fetchone()[0] or 0
        _TableCopy(connection, table, key, salvage).run(largest)
    _try(connection, _COPY_META)
    connection.execute(_NAME_THE_LOST)
    for table in ("sample", "process_sample"):
        connection.execute(f"DELETE FROM main.{table} WHERE tick_id NOT IN (SELECT id FROM main.tick)")
    salvage.ticks, salvage.samples = connection.execute(
        "SELECT (SELECT count(*) FROM main.tick), (SELECT count(*) FROM main.sample)"
    ).fetchone()


class _TableCopy:
    """Copies one table key by key, because a damaged tree hides from a scan rows that it still gives when asked."""

    def __init__(self, connection: sqlite3.Connection, table: str, key: str, salvage: Salvage) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._salvage = salvage
        copy = f"INSERT OR IGNORE INTO main.{table} SELECT * FROM damaged.{table} WHERE {self._plausible()} AND {key}"
        self._copy_key = f"{copy} = ?"  # not BETWEEN, which looks at the next key too and fails where that is bad
        self._copy_range = f"{copy} BETWEEN ? AND ?"

    def run(self, largest: int) -> None:
        """Copy everything that can be read; `largest` is a key that is known to have been there, 0 when none is."""
        if not _try(self._connection, f"SELECT 1 FROM damaged.{self._table} LIMIT 0"):
            self._salvage.lost_ranges += 1  # not even its place in the file is known
            return
        low, high = self._edge("min", 0), max(self._edge("max", largest or _LARGEST_KEY), largest)
        if self._key != "time" and high < _LARGEST_KEY:  # seconds are too many to try each
            for key in range(max(low, high - _MOST_KEYS), high + 1):
                _try(self._connection, self._copy_key, (key,))
        self._copy_ranges(low, high)

    def _copy_ranges(self, low: int, high: int) -> None:
        """Copy what lies outside of the keys that were tried one by one, halving around what can't be read."""
        ranges, failures = [(low, high)], 0
        while ranges and failures < _MOST_FAILURES:
            low, high = ranges.pop()
            if _try(self._connection, self._copy_range, (low, high)):
                continue
            failures += 1
            if low == high:
                self._salvage.lost_ranges += 1
            else:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]

    def _edge(self, end: str, otherwise: int) -> int:
        """Give the smallest or largest key, `otherwise` when it can't be read or can't be true."""
        try:
            key = self._connection.execute(f"SELECT {end}({self._key}) FROM damaged.{self._table}").fetchone()[0]
        except sqlite3.DatabaseError:
            return otherwise
        return key if isinstance(key, int) and 0 <= key <= _LARGEST_KEY else otherwise

    def _plausible(self) -> str:
        """Tell rows from garbage that happens to look like one."""
        columns = self._connection.execute("SELECT name, type FROM pragma_table_info(?)", (self._table,))
        return " AND ".join(f"typeof({name}) IN ('{kind.lower()}', 'null')" for name, kind in columns)


def _try(connection: sqlite3.Connection, statement: str, parameters: tuple[int, ...] = ()) -> bool:
    """Run a statement, which SQLite does whole or not at all; False when what it reads is damaged."""
    try:
        connection.execute(statement, parameters)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise
        return False
    return True


_COPY_SEQUENCE = (
    "INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM damaged.sqlite_sequence"
    " WHERE name = 'tick' AND typeof(seq) = 'integer' AND seq BETWEEN 0 AND ?"
)
_COPY_META = (
    "INSERT OR REPLACE INTO main.meta SELECT * FROM damaged.meta WHERE typeof(value) ="
    " CASE key WHEN 'dropped_total' THEN 'integer' WHEN 'journal_id' THEN 'text' WHEN 'boot_id' THEN 'text' END"
)
_NAME_THE_LOST = (
    "INSERT OR IGNORE INTO main.name (id, name) SELECT name_id, '(lost name ' || name_id || ')' FROM"
    " (SELECT name_id FROM main.sample UNION SELECT name_id FROM main.process_sample"
    " UNION SELECT name_id FROM main.rollup) WHERE name_id NOT IN (SELECT id FROM main.name)"
)
