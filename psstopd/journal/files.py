"""Open the journal's file: the lock that keeps a second daemon out, the connection's settings, its write-ahead log."""

import errno
import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from psstopd.journal.errors import JournalLocked, JournalUnusable

BUSY_SECONDS = 5.0
_FLOCK = "hhqqi4x"  # struct flock on 64-bit Linux, fcntl(2): type, whence, start, length, pid


def lock(path: str) -> int:
    """Take the lock of the journal at `path` for the life of this process; give its descriptor.

    Raises JournalLocked naming the daemon that has it, JournalUnusable when the directory can't be written.
    """
    directory = os.path.dirname(path) or "."
    try:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalUnusable(f"{error.filename or directory}: {error.strerror}; {cure(error)}") from error
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        holder = f"another psstopd (pid {lock_holder(path)})"
        raise JournalLocked(f"{path}: in use by {holder}; stop it, or set another [journal] path here") from error
    return fd


def lock_holder(path: str) -> int | None:
    """Tell the pid of the daemon that writes the journal at `path`, None when there is none. Disturbs nobody.

    Not for the daemon's own process: closing any descriptor of a file gives up all of a process' locks on it, fcntl(2).
    """
    try:
        fd = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else int(pid)


def connect(path: str) -> sqlite3.Connection:
    """Open an SQLite file of ours for writing: each commit on disk, 256 KiB of cache, transactions by hand."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32)
    connection.text_factory = _text
    try:
        connection.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            PRAGMA cache_size = -256;
            PRAGMA journal_size_limit = 4194304;
            PRAGMA temp_store = MEMORY;
        """)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def empty_wal(connection: sqlite3.Connection, path: str) -> bool:
    """Move what is in the -wal into the file, where freed pages may have room for it; tell whether that won any.

    SQLite does so by itself after 1000 pages alone, which a disk may be too small for.
    """
    try:
        before = os.path.getsize(f"{path}-wal")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return os.path.getsize(f"{path}-wal") < before
    except (OSError, sqlite3.DatabaseError):
        return False


def connect_read_only(path: str) -> sqlite3.Connection:
    """Open an SQLite file of ours without the right to change it, whether or not its writer runs.

    Raises sqlite3.OperationalError when the file is missing or may not be read.
    """
    connection = sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.text_factory = _text
    return connection


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see a file as it was at one moment, whatever its writer removes meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.rollback()


def read_only_uri(path: str) -> str:
    """Name a file to SQLite so that it only reads.

    Without the writer's -wal there is nothing to read but the file itself, and `immutable` spares SQLite the files that
    it could not create or would leave behind.
    """
    mode = "mode=ro" if os.path.exists(f"{path}-wal") else "mode=ro&immutable=1"
    return f"{file_uri(path)}?{mode}"


def file_uri(path: str) -> str:
    """Write a path as SQLite reads it in a URI (sqlite.org/uri.html); absolute, or // would begin a host's name."""
    absolute = os.path.abspath(path)
    return "file://" + absolute.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def cure(error: Exception) -> str:
    """Say what an operator can do about a journal that can't be written."""
    full = getattr(error, "errno", None) == errno.ENOSPC
    if full or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return "free some space there, or set [journal] path to another disk"
    return "let the user that runs psstopd write there, or set [journal] path (PSSTOP_JOURNAL__PATH)"


def _text(text: bytes) -> str:
    """Decode a name; a damaged one must not make all others unreadable."""
    return text.decode(errors="backslashreplace")
