"""Write ticks into the journal's tables, each in one transaction."""

import sqlite3
from contextlib import suppress

from psstopd.journal.reader import end_of_queue
from psstopd.journal.statements import (
    COUNT_DROPPED,
    HEALTH_INSERT,
    PROCESS_INSERT,
    ROLLUP_UPSERT,
    SAMPLE_INSERT,
    process_row,
    rollup_row,
    sample_row,
)
from psstopd.model import Sample, Tick

MOST_NAMES = 10_000  # remembered with their ids; a host of short-lived programs has more over the years


def count_points(tick: Tick) -> int:
    """Count the points that a tick becomes: one a name, one a recorded process, one of the daemon itself."""
    return len(tick.samples) + sum(len(sample.top) for sample in tick.samples) + 1


class TickWriter:
    """Writes through the one connection it is made with, which somebody else closes.

    `points` counts those of every tick since the journal began, `newest_id` is the id of the last.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._names: dict[str, list[int]] = {}  # name: id, starts_total
        self.newest_id, self.points = end_of_queue(connection)

    def write(self, tick: Tick, *, dropped: int) -> None:
        """Write a tick, and that `dropped` points found no room before it; whole, on the disk, or not at all."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            tick_id = self._insert(tick)
            if dropped:
                self._connection.execute(COUNT_DROPPED, (dropped,))
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self.points += count_points(tick)
        self.newest_id = tick_id

    def _insert(self, tick: Tick) -> int:
        execute = self._connection.execute
        tick_id = execute(HEALTH_INSERT, (tick.time, self.points, *tick.health)).lastrowid or 0
        for sample in tick.samples:
            name_id, starts_total = self._name(sample)
            row = sample_row(sample, starts_total)
            execute(SAMPLE_INSERT, (tick_id, name_id, *row))
            execute(ROLLUP_UPSERT, rollup_row(tick.time, name_id, row))
            for process in sample.top:
                execute(PROCESS_INSERT, (tick_id, name_id, process.slot, *process_row(process)))
        return tick_id

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
        """End the transaction, unless SQLite has done so, and forget what it had counted."""
        self._names.clear()
        with suppress(sqlite3.DatabaseError):
            self._connection.rollback()
