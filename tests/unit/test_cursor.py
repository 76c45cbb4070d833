"""The cursor: where it stands, what it remembers, and that neither damage nor a full disk stops delivery."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.journal.cursor import MOST_SET_ASIDE, Cursor, Delivery, cursor_path, read_delivery
from psstopd.journal.errors import QuarantineFull
from psstopd.journal.position import Position
from psstopd.journal.quarantine import Quarantine, Row
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.damage import leaves, zero_pages
from tests.samples import BOOT, journal_config, tick


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give a journal of five ticks."""
    make_journal(tmp_path / "journal.db")
    return str(tmp_path / "journal.db")


@pytest.fixture
def reader(path: str) -> Iterator[JournalReader]:
    """Give a reader of it."""
    with closing(JournalReader(path)) as reader:
        yield reader


def make_journal(path: Path) -> None:
    """Write a journal of five ticks."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(5):
            journal.append(tick(number), delivered=None)


def test_nothing_sent_yet(path: str, reader: JournalReader) -> None:
    """There is no state before the first shipper, and delivery begins before the first tick."""
    before = read_delivery(path)
    with closing(Cursor(path)) as cursor:
        position = cursor.position(reader)

    assert (before, position) == (None, Position())
    assert read_delivery(path) == Delivery(reader.journal_id())


def test_what_was_noted_survives(path: str, reader: JournalReader) -> None:
    """Cursor, totals and the present error are there for the next shipper, and for anyone meanwhile."""
    with closing(Cursor(path)) as cursor:
        cursor.position(reader)
        cursor.move(Position(2), points=4, now=100)
        cursor.move(Position(3), points=2, now=110)
        cursor.fail("status 503", now=120)
        meanwhile = read_delivery(path)
    with closing(Cursor(path)) as cursor:
        position = cursor.position(reader)

    assert position == Position(3)
    assert meanwhile == read_delivery(path)
    assert meanwhile == Delivery(
        reader.journal_id(),
        cursor=3,
        delivered_at=110,
        delivered_total=6,
        errors_total=1,
        error="status 503",
        error_since=120,
    )


def test_an_error_keeps_its_begin_until_it_changes(path: str, reader: JournalReader) -> None:
    """The same error again is older, another one is new, and what is accepted ends both."""
    since = []
    with closing(Cursor(path)) as cursor:
        cursor.position(reader)
        for now, error in ((10, "down"), (20, "down"), (30, "401"), (40, "401")):
            cursor.fail(error, now=now)
            since.append(state(path).error_since)
        cursor.recover()

    assert since == [10, 10, 30, 30]
    assert (state(path).errors_total, state(path).error, state(path).error_since) == (4, None, None)


def test_an_error_before_the_first_look_is_kept(path: str) -> None:
    """A journal that cannot be read is something to show, though nothing is known of its ticks."""
    with closing(Cursor(path)) as cursor:
        cursor.fail("journal: unable to open database file", now=7)

    assert state(path)[:2] == ("", 0)
    assert state(path).error == "journal: unable to open database file"


def test_another_journal_is_sent_from_its_beginning(path: str, reader: JournalReader, tmp_path: Path) -> None:
    """A cursor into a journal that is gone means nothing in the next; the totals go on."""
    make_journal(tmp_path / "other.db")
    with closing(Cursor(path)) as cursor, closing(JournalReader(str(tmp_path / "other.db"))) as other:
        cursor.position(reader)
        cursor.move(Position(4), points=8, now=1)
        positions = (cursor.position(other), state(path).cursor, cursor.position(reader))

    assert positions == (Position(), 0, Position())
    assert state(path).delivered_total == 8


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_damaged_file_is_replaced_and_kept(path: str, reader: JournalReader, content: bytes, tmp_path: Path) -> None:
    """The journal is sent again, which harms nothing; what was in the file is kept beside it."""
    Path(cursor_path(path)).parent.mkdir()
    Path(cursor_path(path)).write_bytes(content)
    unreadable = read_delivery(path)
    with closing(Cursor(path)) as cursor:
        position = cursor.position(reader)
    kept = [file.read_bytes() for file in tmp_path.glob("journal-delivery/cursor.db.corrupt-*")]

    assert (unreadable, position) == (None, Position())
    assert kept == ([content] if content else [])


def test_what_was_set_aside_outlives_damage(path: str) -> None:
    """Where the state is garbled, the lines that wait for the operator are in the new file, up to the damage."""
    with closing(Cursor(path)) as cursor:
        cursor.set_aside([(f"a f={number}i 1", "bad") for number in range(300)], now=100)
    zero_pages(Path(cursor_path(path)), leaves(Path(cursor_path(path)), "delivery"))
    Cursor(path).close()
    with closing(Quarantine(cursor_path(path))) as quarantine:
        left = [row.line for row in quarantine.rows()]

    assert left == [f"a f={number}i 1" for number in range(300)]


def test_values_that_cannot_be_are_no_state(path: str, reader: JournalReader) -> None:
    """Where a number became a text, delivery begins anew instead of failing for ever."""
    with closing(Cursor(path)) as cursor:
        cursor.position(reader)
        cursor.move(Position(3), points=6, now=1)
    with closing(sqlite3.connect(cursor_path(path))) as database:
        database.execute("UPDATE delivery SET cursor = 'abc'")
        database.commit()
    with closing(Cursor(path)) as cursor:
        position = cursor.position(reader)

    assert position == Position()


def test_damage_meanwhile_costs_nothing(path: str, reader: JournalReader) -> None:
    """The state is in memory too: a new file takes it as it is."""
    with closing(Cursor(path)) as cursor:
        cursor.position(reader)
        cursor.move(Position(2), points=4, now=1)
        for suffix in ("", "-wal"):
            subprocess.run(["dd", "if=/dev/urandom", f"of={cursor_path(path)}{suffix}", "bs=8k", "count=4"], check=True)
        os.unlink(f"{cursor_path(path)}-shm")  # noqa: PTH108 - so that SQLite reads the rest again
        cursor.move(Position(3), points=2, now=2)
        position = cursor.position(reader)

    assert position == Position(3)


@pytest.mark.root
def test_a_full_disk_does_not_stop_delivery(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The cursor moves on in memory, says so once, and is saved when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    try:
        make_journal(disk / "journal.db")
        path = str(disk / "journal.db")
        with closing(JournalReader(path)) as reader, closing(Cursor(path)) as cursor:
            cursor.position(reader)
            for tick_id in range(1, 501):
                cursor.move(Position(tick_id), points=1, now=1)
            full = (cursor.position(reader), state(path).cursor)
            subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
            cursor.fail("status 503", now=2)
        saved = state(path)
    finally:
        subprocess.run(["umount", disk], check=True)

    assert full[0] == Position(500)
    assert full[1] < 500
    assert (saved.cursor, saved.delivered_total, saved.error) == (500, 500, "status 503")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def state(path: str) -> Delivery:
    """Give the state that everybody can read."""
    delivery = read_delivery(path)
    assert delivery is not None
    return delivery


def test_lines_set_aside_wait_for_the_operator(path: str) -> None:
    """They survive the shipper, come back when asked for, and are gone once accepted or dropped."""
    with closing(Cursor(path)) as cursor:
        cursor.set_aside([("a f=1i 1", "bad"), ("b f=1i 1", "bad"), ("c f=1i 1", "bad")], now=100)
    with closing(Quarantine(cursor_path(path))) as quarantine:
        asked = quarantine.retry([1, 2])
        dropped = quarantine.drop([3])
    with closing(Cursor(path)) as cursor:
        again = cursor.to_retry()
        cursor.settle_retry(1, None)
        cursor.settle_retry(2, "still bad")
    with closing(Quarantine(cursor_path(path))) as quarantine:
        left = quarantine.rows()

    assert (asked, dropped, again) == (2, 1, [(1, "a f=1i 1"), (2, "b f=1i 1")])
    assert left == [Row(2, "b f=1i 1", "still bad", 100, 0)]
    assert read_delivery(path) == Delivery("", quarantined_total=3)


def test_the_quarantine_is_bounded(path: str) -> None:
    """Somebody has to look before more lines are set aside; what is there stays."""
    with closing(Cursor(path)) as cursor:
        cursor.set_aside([("a f=1i 1", "bad")] * MOST_SET_ASIDE, now=100)

        with pytest.raises(QuarantineFull, match="psstopd quarantine list"):
            cursor.set_aside([("b f=1i 1", "bad")], now=101)


def test_what_is_in_doubt_becomes_backlog(path: str, reader: JournalReader) -> None:
    """What the server may have lost is kept on disk as backlog at once, and never more than was accepted."""
    with closing(Cursor(path)) as cursor:
        cursor.position(reader)
        cursor.move(Position(4), points=8, now=50)
        cursor.doubt(2, 9)

    with closing(Cursor(path)) as cursor:
        assert cursor.position(reader) == Position(4, 2, 4)
        assert cursor.delivered_at == 50
