"""Read the journal while the daemon writes it: whole ticks for delivery, one name's series for people."""

import os
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from psstopd.journal.files import connect_read_only, one_moment
from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS

_ANY = 2**63 - 1  # no id is past it


class StoredTick(NamedTuple):
    """One tick as the journal has it. Values follow HEALTH_FIELDS, SAMPLE_FIELDS, PROCESS_FIELDS; None: no answer."""

    id: int
    time: int
    health: tuple[int | None, ...]
    samples: list[tuple[str, tuple[int | None, ...]]]  # name, values
    processes: list[tuple[str, int, tuple[int | None, ...]]]  # name, slot, values

    @property
    def points(self) -> int:
        """Count the points that this tick becomes: one a name, one a recorded process, one of the daemon itself."""
        return len(self.samples) + len(self.processes) + 1


class HistoryRow(NamedTuple):
    """One moment of one name; `values` follow SAMPLE_FIELDS."""

    time: int
    values: tuple[int | None, ...]


class JournalReader:
    """A reader of the journal at `path`, beside its writer; whoever opens it closes it.

    Holds no transaction between calls, so that the writer's checkpoints go through. Raises sqlite3.OperationalError
    when the file is missing or may not be read.
    """

    def __init__(self, path: str) -> None:
        self._wal = f"{path}-wal"
        self._has_writer = os.path.exists(self._wal)
        self._connection = connect_read_only(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def misses_writer(self) -> bool:
        """Tell whether a writer has come since: what was opened without one is not meant to change while it is read."""
        return not self._has_writer and os.path.exists(self._wal)

    def journal_id(self) -> str:
        """Tell this journal from one that took its place."""
        return str(self._connection.execute("SELECT value FROM meta WHERE key = 'journal_id'").fetchone()[0])

    def newest_tick(self) -> int:
        """Give the id of the newest tick, 0 when there is none."""
        return int(self._connection.execute("SELECT ifnull(max(id), 0) FROM tick").fetchone()[0])

    def batch(self, after: int, most_points: int, *, until: int = _ANY) -> list[StoredTick]:
        """Give whole ticks behind the one with id `after`, up to `until`, oldest first.

        There are as many as fit `most_points`, and at least one where there is any.
        """
        last, begin = after, None
        with one_moment(self._connection):
            for tick_id, points_before in self._connection.execute(_BEHIND, (after, until)):
                if begin is None:
                    begin = points_before
                elif points_before - begin >= most_points:
                    break
                last = tick_id
            batch = self._ticks(after + 1, last)
        while len(batch) > 1 and sum(tick.points for tick in batch) > most_points:
            batch.pop()
        return batch

    def newest_batch(self, after: int, most_points: int) -> int:
        """Give the id behind which lie the newest ticks that fit `most_points`, at least one; `after` where all do."""
        with one_moment(self._connection):
            newest, end = end_of_queue(self._connection)
            for tick_id, points_before in self._connection.execute(_NEWEST_FIRST, (after,)):
                if end - points_before > most_points and tick_id < newest:
                    return int(tick_id)
        return after

    def _ticks(self, first: int, last: int) -> list[StoredTick]:
        span = (first, last)
        ticks = {
            tick_id: StoredTick(tick_id, time, tuple(health), [], [])
            for tick_id, time, *health in self._connection.execute(_TICKS, span)
        }
        for tick_id, name, *values in self._connection.execute(_SAMPLES, span):
            ticks[tick_id].samples.append((name, tuple(values)))
        for tick_id, name, slot, *values in self._connection.execute(_PROCESSES, span):
            ticks[tick_id].processes.append((name, slot, tuple(values)))
        return list(ticks.values())

    def last_two(self) -> tuple[StoredTick | None, StoredTick | None]:
        """Give the newest tick and the one before it."""
        with one_moment(self._connection):
            ids = self._connection.execute("SELECT id FROM tick ORDER BY id DESC LIMIT 2").fetchall()
            last, before, *_ = *(self._ticks(tick_id, tick_id)[0] for (tick_id,) in ids), None, None
        return last, before

    def last_before(self, time: int) -> int:
        """Give the id of the newest tick before a Unix time, 0 when there is none."""
        row = self._connection.execute("SELECT ifnull(max(id), 0) FROM tick WHERE time < ?", (time,)).fetchone()
        return int(row[0])

    def names(self) -> list[str]:
        """Give every name that has been recorded."""
        return [name for (name,) in self._connection.execute("SELECT name FROM name ORDER BY name")]

    def history(self, name: str, since: int, until: int) -> Iterator[HistoryRow]:
        """Give the samples of one name from `since` to `until`, Unix seconds, in the order of time."""
        for time, *values in self._connection.execute(_HISTORY, (name, since, until)):
            yield HistoryRow(time, tuple(values))


def end_of_queue(connection: sqlite3.Connection) -> tuple[int, int]:
    """Give the id of the newest tick, and the points of all ticks up to its end since the journal began."""
    last = connection.execute("SELECT id, points_before FROM tick ORDER BY id DESC LIMIT 1").fetchone()
    if last is None:
        return 0, 0
    own = connection.execute(_POINTS_OF_NAMES, {"id": last[0]}).fetchone()[0]
    return int(last[0]), int(last[1] + own + 1)


_POINTS_OF_NAMES = (
    "SELECT (SELECT count(*) FROM sample WHERE tick_id = :id)"
    " + (SELECT count(*) FROM process_sample WHERE tick_id = :id)"
)
_BEHIND = "SELECT id, points_before FROM tick WHERE id > ? AND id <= ? ORDER BY id"
_NEWEST_FIRST = "SELECT id, points_before FROM tick WHERE id > ? ORDER BY id DESC"
_TICKS = f"SELECT id, time, {', '.join(HEALTH_FIELDS)} FROM tick WHERE id BETWEEN ? AND ? ORDER BY id"
_SAMPLES = (
    f"SELECT tick_id, name, {', '.join('sample.' + field for field in SAMPLE_FIELDS)}"
    " FROM sample JOIN name ON name.id = name_id WHERE tick_id BETWEEN ? AND ? ORDER BY tick_id, name_id"
)
_PROCESSES = (
    f"SELECT tick_id, name, slot, {', '.join(PROCESS_FIELDS)}"
    " FROM process_sample JOIN name ON name.id = name_id WHERE tick_id BETWEEN ? AND ? ORDER BY tick_id, name_id, slot"
)
_HISTORY = f"SELECT time, {', '.join(SAMPLE_FIELDS)} FROM samples WHERE name = ? AND time BETWEEN ? AND ? ORDER BY time"
