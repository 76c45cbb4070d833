"""Open a journal for writing: make it, mend it, or say why it can't be used and what would cure that."""

import logging
import os
import sqlite3
from contextlib import closing

from psstopd.config import JournalConfig
from psstopd.journal import recovery
from psstopd.journal.cursor import read_delivery
from psstopd.journal.errors import JournalUnusable
from psstopd.journal.files import connect, connect_read_only, cure
from psstopd.journal.schema import SCHEMA, SCHEMA_VERSION

log = logging.getLogger("psstopd")


def open_journal(config: JournalConfig, *, boot_id: str, newest_id: int = 0) -> sqlite3.Connection:
    """Open or create the file; a damaged one is replaced. New ticks get ids above `newest_id`.

    The caller holds the lock and closes the connection. Raises JournalUnusable.
    """
    if os.path.isdir(config.path):
        raise JournalUnusable(f"{config.path}: is a directory; set [journal] path to a file in it")
    try:
        connection = _connect_sound(config.path)
        try:
            _prepare(connection, config, boot_id=boot_id, newest_id=newest_id)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise JournalUnusable(f"{config.path}: {why}; {cure(error)}") from error
    return connection


def bound_pages(connection: sqlite3.Connection, max_size: int) -> None:
    """Let SQLite refuse to grow the file past `max_size` bytes; one that is larger already doesn't grow."""
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {max_size // page_size}")


def _connect_sound(path: str) -> sqlite3.Connection:
    """Connect to the file, or to what could be salvaged of it when it is damaged."""
    recovery.finish_replacement(path)
    if os.path.exists(path):
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))  # SQLite would go on, and fail with the first write
        if not _is_sound(path):
            salvage = recovery.salvage(path)
            recovery.replace(path, salvage)
            log.error("journal was damaged: %s", salvage)
    return connect(path)


def _is_sound(path: str) -> bool:
    """Look without the right to write: a connection that has it would move the -wal into a damaged file."""
    with closing(connect_read_only(path)) as connection:
        return recovery.is_sound(connection)


def _prepare(connection: sqlite3.Connection, config: JournalConfig, *, boot_id: str, newest_id: int) -> None:
    """Make the tables if need be, set the bound, and note the boot that is being written."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalUnusable(
            f"{config.path}: written by a newer psstop (schema {version}, this one knows {SCHEMA_VERSION});"
            " upgrade psstop, or set [journal] path to another file"
        )
    if version == 0:
        connection.executescript(f"BEGIN;{SCHEMA}COMMIT;")
    bound_pages(connection, config.max_size)
    connection.execute("BEGIN IMMEDIATE")
    _continue_ids(connection, max(newest_id, _delivered(connection, config.path)))
    known_boot = connection.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
    if known_boot != (boot_id,):
        connection.execute("UPDATE name SET newest_start = 0")
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('boot_id', ?)", (boot_id,))
    connection.execute("COMMIT")


def _delivered(connection: sqlite3.Connection, path: str) -> int:
    """Give the last delivered tick of this journal, 0 when none is known."""
    delivery = read_delivery(path)
    journal_id = connection.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()
    return delivery.cursor if delivery is not None and journal_id == (delivery.journal_id,) else 0


def _continue_ids(connection: sqlite3.Connection, newest_id: int) -> None:
    """Never give an id twice: the shipper would take the new tick for one that it has sent.

    A journal that lost its end, to a torn -wal or an old backup, knows less of its ids than the shipper.
    """
    known = connection.execute("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'tick'").fetchone()[0]
    if known < newest_id:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'tick'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('tick', ?)", (newest_id,))
