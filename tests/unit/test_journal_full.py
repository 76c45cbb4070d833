"""A full disk: ticks wait in memory, reading goes on, and when there is room again nothing is lost or doubled."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from psstopd.journal.errors import JournalFull, JournalUnusable
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import HELD_POINTS, Journal
from tests.samples import BEGIN, BOOT, INTERVAL, journal_config, wide_tick

pytestmark = pytest.mark.root

NAMES = 50
DISK_SIZE, OTHERS_SIZE = 8 * 2**20, 6 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of eight MiB, six of them taken by something else."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "tmpfs", place], check=True)
    (place / "other").write_bytes(bytes(OTHERS_SIZE))
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def journal(disk: Path) -> Iterator[Journal]:
    """Give a journal on that disk, which may grow larger than the disk."""
    with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
        yield journal


def fill(journal: Journal) -> int:
    """Append ticks until the disk is full; give the number of the first one that is held."""
    for number in count():
        try:
            journal.append(wide_tick(number, NAMES), delivered=Position(0))
        except JournalFull:
            return number
    raise AssertionError


def times(disk: Path) -> list[int]:
    """Give the times of all ticks in the order of their ids."""
    with closing(JournalReader(str(disk / "journal.db"))) as reader:
        return [stored.time for stored in reader.batch(0, 10**9)]


def take_the_rest(disk: Path) -> None:
    """Leave no room at all."""
    with suppress(OSError), (disk / "other").open("wb", buffering=0) as other:
        while True:
            other.write(bytes(4096))


def stored_dropped_total(disk: Path) -> int:
    """Give the count that a restart would begin with."""
    with closing(sqlite3.connect(disk / "journal.db")) as database:
        return int(database.execute("SELECT value FROM meta WHERE key = 'dropped_total'").fetchone()[0])


def grid(numbers: range) -> list[int]:
    """Give the times of these places on the grid."""
    return [BEGIN + number * INTERVAL for number in numbers]


def test_a_tick_that_finds_no_room_is_held(journal: Journal, disk: Path) -> None:
    """The error names the file; the tick counts as pending, and everything before it can still be read."""
    held = fill(journal)

    with pytest.raises(JournalFull, match=r"journal\.db: database or disk is full"):
        journal.append(wide_tick(held + 1, NAMES), delivered=Position(0))

    assert journal.held_points == 2 * (NAMES + 1)
    assert journal.pending(Position()) == ((held + 2) * (NAMES + 1), BEGIN)
    assert times(disk) == grid(range(held))


def test_held_ticks_are_written_when_there_is_room(journal: Journal, disk: Path) -> None:
    """In order, each once, with the tick that comes then; nothing counts as dropped."""
    held = fill(journal)
    with suppress(JournalFull):
        journal.append(wide_tick(held + 1, NAMES), delivered=Position(0))

    (disk / "other").unlink()
    journal.append(wide_tick(held + 2, NAMES), delivered=Position(0))

    assert times(disk) == grid(range(held + 3))
    assert (journal.held_points, journal.dropped_total) == (0, 0)


def test_memory_has_a_bound_and_what_exceeds_it_is_counted(journal: Journal, disk: Path) -> None:
    """The oldest held ticks make room for newer ones; the count reaches the disk with the first tick after."""
    held = fill(journal)
    for number in range(held + 1, held + 201):
        with suppress(JournalFull):
            journal.append(wide_tick(number, NAMES), delivered=Position(0))
    kept = HELD_POINTS // (NAMES + 1)
    full = (journal.held_points, journal.dropped_total)

    (disk / "other").unlink()
    journal.append(wide_tick(held + 201, NAMES), delivered=Position(0))

    assert full == (kept * (NAMES + 1), (201 - kept) * (NAMES + 1))
    assert stored_dropped_total(disk) == journal.dropped_total == (202 - kept) * (NAMES + 1)
    assert times(disk) == grid(range(held)) + grid(range(held + 202 - kept, held + 202))


def test_trimming_a_full_disk_is_no_crash(journal: Journal, disk: Path) -> None:
    """Removing rows takes room too; whether it succeeds or not, the journal goes on once there is some."""
    held = fill(journal)
    for _ in range(50):
        with suppress(JournalFull):
            journal.trim(BEGIN + 10**8, delivered=Position(held // 2), seconds=0.0)

    (disk / "other").unlink()
    journal.append(wide_tick(held + 1, NAMES), delivered=Position(held // 2))

    found = times(disk)
    assert found == grid(range(held + 2))[-len(found) :]
    assert len(found) >= held - held // 2
    assert journal.dropped_total == 0


def test_a_full_disk_at_the_own_bound(disk: Path) -> None:
    """With the file near `max_size` and the disk full as well, a tick is held or written, never lost uncounted."""
    (disk / "other").unlink()
    with closing(Journal(journal_config(disk / "journal.db", max_size=2**20), boot_id=BOOT)) as journal:
        for number in range(200):
            journal.append(wide_tick(number, NAMES), delivered=None)
        take_the_rest(disk)
        for number in range(200, 600):
            with suppress(JournalFull):
                journal.append(wide_tick(number, NAMES), delivered=None)
            with suppress(JournalFull):
                journal.trim(BEGIN, delivered=None, seconds=0.0)
        not_written = (journal.held_points + journal.dropped_total) // (NAMES + 1)
        found = times(disk)

        assert found == grid(range(600 - not_written))[-len(found) :]
        (disk / "other").unlink()
        journal.append(wide_tick(600, NAMES), delivered=None)
        assert journal.held_points == 0


def test_a_little_room_is_enough_for_a_file_at_its_bound(disk: Path) -> None:
    """Where nothing is left to grow into, the -wal is emptied into pages that the file has already."""
    config = journal_config(disk / "journal.db", max_size=2**20)
    (disk / "other").unlink()
    with closing(Journal(config, boot_id=BOOT)) as journal:
        for number in range(500):
            journal.append(wide_tick(number, NAMES), delivered=None)
    with closing(Journal(config, boot_id=BOOT)) as journal:
        (disk / "other").write_bytes(bytes(DISK_SIZE - 2 * 2**20))
        for number in range(500, 800):
            journal.append(wide_tick(number, NAMES), delivered=None)
            journal.trim(BEGIN, delivered=None, seconds=0.0)

        assert (journal.held_points, journal.dropped_total) == (0, 0)
    assert times(disk)[-1] == grid(range(800))[-1]


def test_a_little_room_is_enough_for_a_file_with_free_pages(disk: Path) -> None:
    """Pages that removed ticks have left serve as room before the disk has to."""
    (disk / "other").unlink()
    with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
        for number in range(500):
            journal.append(wide_tick(number, NAMES), delivered=None)
        journal.trim(BEGIN + 10**7, delivered=None, seconds=5.0)
    with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
        left = DISK_SIZE - (disk / "journal.db").stat().st_size - 2**20
        (disk / "other").write_bytes(bytes(left))
        for number in range(500, 900):
            journal.append(wide_tick(number, NAMES), delivered=None)

        assert journal.held_points == 0
    assert times(disk) == grid(range(499, 900))


def test_a_journal_can_be_closed_and_opened_on_a_full_disk(disk: Path) -> None:
    """What was on the disk stays, and the journal begins again where the disk let it end."""
    journal = Journal(journal_config(disk / "journal.db"), boot_id=BOOT)
    held = fill(journal)
    journal.close()
    meanwhile = times(disk)
    with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
        with suppress(JournalFull):
            journal.append(wide_tick(held + 1, NAMES), delivered=Position(0))
        (disk / "other").unlink()
        journal.append(wide_tick(held + 2, NAMES), delivered=Position(0))

    assert meanwhile == grid(range(held))
    assert times(disk)[:held] == meanwhile
    assert times(disk)[-2:] == grid(range(held + 1, held + 3))


def test_a_new_journal_needs_room(disk: Path) -> None:
    """On a full disk there is no beginning, and the message says what would help."""
    take_the_rest(disk)

    with pytest.raises(JournalUnusable, match="free some space there, or set"):
        Journal(journal_config(disk / "journal.db"), boot_id=BOOT)
