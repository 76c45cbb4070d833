"""What leaves the journal: the old in small steps, the undelivered last, and nothing without being counted."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from psstopd.journal import retention
from psstopd.journal.files import connect
from psstopd.journal.position import Position
from psstopd.journal.retention import ROLLUPS_A_STEP, TICKS_A_STEP, Bounds
from psstopd.journal.schema import ROLLUP_SECONDS
from psstopd.journal.writer import Journal
from tests.samples import BEGIN, BOOT, DAY, INTERVAL, journal_config, tick, wide_tick

BIG = 2**30
MAX_SIZE = 512 * 1024


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the place of a journal that is not there yet."""
    return str(tmp_path / "journal.db")


@pytest.fixture
def old(path: str) -> Iterator[sqlite3.Connection]:
    """Give a connection to a journal of 50 ticks of two points each, its writer gone."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(50):
            journal.append(tick(number), delivered=None)
    with closing(connect(path)) as connection:
        yield connection


def bounds(*, now: int, delivered: Position | None, raw_for: int = 100, rollup_for: int = 10 * DAY) -> Bounds:
    """Give bounds of age alone."""
    return Bounds(now, raw_for, rollup_for, BIG, delivered)


def steps(connection: sqlite3.Connection, limits: Bounds) -> list[tuple[int, int]]:
    """Step until nothing is left to do; give the ticks removed and the points lost in each step."""
    done: list[tuple[int, int]] = []
    while True:
        before = len(ids(connection))
        lost = retention.step(connection, limits)
        if lost is None:
            return done
        done.append((before - len(ids(connection)), lost))


def ids(connection: sqlite3.Connection) -> list[int]:
    """Give the ids of the ticks."""
    return [tick_id for (tick_id,) in connection.execute("SELECT id FROM tick ORDER BY id")]


def test_age_goes_in_small_steps(old: sqlite3.Connection) -> None:
    """Each step removes at most TICKS_A_STEP ticks with all their rows, so that a tick never waits for long."""
    done = steps(old, bounds(now=BEGIN + 45 * INTERVAL + 100, delivered=None))

    assert done == [(TICKS_A_STEP, 0), (TICKS_A_STEP, 0), (5, 0)]
    assert ids(old) == [46, 47, 48, 49, 50]
    assert old.execute("SELECT count(*), min(tick_id) FROM sample").fetchone() == (5, 46)


def test_age_spares_what_is_not_delivered(old: sqlite3.Connection) -> None:
    """However old: a tick behind the cursor stays until it is sent."""
    done = steps(old, bounds(now=BEGIN + DAY, delivered=Position(10)))

    assert (done, ids(old)) == ([(10, 0)], list(range(11, 51)))


def test_the_newest_tick_stays(old: sqlite3.Connection) -> None:
    """The count of points goes on from the last tick, so that one outlives its age."""
    steps(old, bounds(now=BEGIN + DAY, delivered=None))

    assert ids(old) == [50]


def test_nothing_is_removed_before_its_time(old: sqlite3.Connection) -> None:
    """At exactly `raw_for` a tick still stays."""
    assert steps(old, bounds(now=BEGIN + 100, delivered=None)) == []


def test_ticks_from_a_clock_that_was_ahead_do_not_stop_it(path: str) -> None:
    """What lies before an expired tick in the queue goes with it, whatever time it carries."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(30):
            journal.append(tick(0, time=BEGIN + 10 * DAY + number), delivered=None)
        for number in range(10):
            journal.append(tick(number), delivered=None)
    with closing(connect(path)) as connection:
        done = steps(connection, bounds(now=BEGIN + 200, delivered=None))

        assert ([removed for removed, _ in done], ids(connection)) == ([20, 19], [40])


def test_rollups_go_by_their_own_age(old: sqlite3.Connection) -> None:
    """Rollups outlive the ticks they sum up, and go in steps of their own."""
    old.executemany(
        "INSERT INTO rollup (time, name_id, n, unreadable_max, starts_total) VALUES (?, 1, 1, 0, 0)",
        [(BEGIN - 10**6 + index * ROLLUP_SECONDS,) for index in range(2 * ROLLUPS_A_STEP + 1)],
    )
    limits = bounds(now=BEGIN + DAY, delivered=Position(0), rollup_for=DAY)
    counts = [count_rollups(old)]
    while retention.step(old, limits) is not None:
        counts.append(count_rollups(old))

    assert counts == [1003, 503, 3, 2]


def test_trim_keeps_to_its_time(path: str) -> None:
    """With no time at all `trim` takes one step; the next call goes on from there."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(50):
            journal.append(tick(number), delivered=None)
        left = []
        for _ in range(3):
            journal.trim(BEGIN + 30 * DAY, delivered=None, seconds=0.0)
            left.append(count_ticks(path))

    assert left == [30, 10, 1]


def test_size_takes_the_oldest_and_counts_the_undelivered(path: str) -> None:
    """At the bound delivered ticks go uncounted, then undelivered ones, each of their points counted for good."""
    config = journal_config(path, max_size=MAX_SIZE)
    with closing(Journal(config, boot_id=BOOT)) as journal:
        for number in count():
            journal.append(wide_tick(number, 40), delivered=Position(100))
            if journal.dropped_total:
                break
        with closing(connect(path)) as connection:
            left = ids(connection)
        dropped = journal.dropped_total
    with closing(Journal(config, boot_id=BOOT)) as journal:
        again = journal.dropped_total

    assert left == list(range(left[0], number + 2))
    assert dropped == (left[0] - 101) * 41
    assert again == dropped
    assert Path(path).stat().st_size <= MAX_SIZE


def test_without_a_server_nothing_counts_as_dropped(path: str) -> None:
    """Where there is nobody to deliver to, the oldest ticks just go."""
    with closing(Journal(journal_config(path, max_size=MAX_SIZE), boot_id=BOOT)) as journal:
        for number in range(400):
            journal.append(wide_tick(number, 40), delivered=None)
        left = count_ticks(path)

        assert journal.dropped_total == 0
    assert left < 400


def test_rollups_make_room_too(path: str) -> None:
    """A file full of rollups must not push out the queue, let alone take no more ticks for ever."""
    with closing(Journal(journal_config(path, max_size=MAX_SIZE), boot_id=BOOT)) as journal:
        for number in range(200):
            journal.append(wide_tick(number, 40, time=BEGIN + number * ROLLUP_SECONDS), delivered=None)
            journal.trim(BEGIN + number * ROLLUP_SECONDS, delivered=Position(150), seconds=0.1)
    with closing(connect(path)) as connection:
        [rollups] = connection.execute("SELECT count(DISTINCT time) FROM rollup").fetchone()
        ticks = ids(connection)

    assert ticks[-1] == 200
    assert ticks[0] <= 151
    assert 40 < rollups < 200


def test_a_smaller_bound_after_a_reload_is_kept(path: str) -> None:
    """The file itself cannot shrink, but what it holds goes down to the new bound."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(400):
            journal.append(wide_tick(number, 40), delivered=None)
        journal.reload(journal_config(path, max_size=MAX_SIZE))
        journal.trim(BEGIN, delivered=None, seconds=5.0)
        journal.append(wide_tick(400, 40), delivered=None)
        with closing(connect(path)) as connection:
            pages, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
            )

    assert (pages - free) * 4096 <= MAX_SIZE


def count_rollups(connection: sqlite3.Connection) -> int:
    """Count the rows of five minutes."""
    return int(connection.execute("SELECT count(*) FROM rollup").fetchone()[0])


def count_ticks(path: str) -> int:
    """Count the ticks in the file."""
    with closing(connect(path)) as connection:
        return len(ids(connection))
