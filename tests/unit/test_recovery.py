"""Damaged journals: the daemon always begins, keeps what can be read, keeps the damaged file, and delivers on."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from psstopd.journal.cursor import Cursor
from psstopd.journal.errors import JournalFull
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.damage import PAGE, damage, leaves, zero_pages
from tests.samples import BOOT, journal_config, process, rounds, sample, tick, wide_tick

TICKS, NAMES, DELIVERED = 300, 12, 280
Row = tuple[int | str | None, ...]

CLOSED_AT = 200  # ticks that are in the file itself; the rest is in the -wal


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory as a crash leaves it: a journal, its -wal with the last hundred ticks, and a cursor."""
    home = tmp_path_factory.mktemp("crashed")
    write(home / "live" / "journal.db", range(CLOSED_AT)).close()
    journal = write(home / "live" / "journal.db", range(CLOSED_AT, TICKS))
    with (
        closing(Cursor(journal_path(home / "live"))) as cursor,
        closing(JournalReader(journal_path(home / "live"))) as r,
    ):
        cursor.position(r)
        cursor.move(Position(DELIVERED), points=1, now=0)
    subprocess.run(["cp", "-r", home / "live", home / "image"], check=True)
    journal.close()
    assert (home / "image" / "journal.db-wal").stat().st_size > 100 * PAGE
    return home / "image"


@pytest.fixture(scope="module")
def truth(crashed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Row, list[Row]]]:
    """Give every tick of that journal as it was written: its row, and the rows of its samples with their names."""
    copy = tmp_path_factory.mktemp("truth") / "image"
    shutil.copytree(crashed, copy)
    return readable(copy)


def journal_path(home: Path) -> str:
    """Give the journal in a directory."""
    return str(home / "journal.db")


def write(path: Path, numbers: range) -> Journal:
    """Give an open journal with these ticks."""
    journal = Journal(journal_config(path), boot_id=BOOT)
    for number in numbers:
        journal.append(wide_tick(number, NAMES), delivered=Position(0))
    return journal


def readable(home: Path) -> dict[int, tuple[Row, list[Row]]]:
    """Read every tick one by one with plain SQL; those that can't be read are left out."""
    found = {}
    with closing(sqlite3.connect(home / "journal.db")) as database:
        for tick_id in range(1, TICKS + 2):
            with suppress(sqlite3.DatabaseError):
                tick_row = database.execute(_TICK, (tick_id,)).fetchone()
                if tick_row is not None:
                    found[tick_id] = (tick_row, database.execute(_SAMPLES, (tick_id,)).fetchall())
    return found


# Besides the usual ones those that have found something: rows that a scan does not meet, and a row before a bad page.
@pytest.mark.parametrize("seed", sorted({*range(rounds(40)), 45, 46, 595, 681}))
def test_any_damage(crashed: Path, truth: dict[int, tuple[Row, list[Row]]], tmp_path: Path, seed: int) -> None:
    """The journal opens, keeps every true tick that a plain reader could still get, and delivers what comes then."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    shutil.copytree(crashed, home)
    damage(home, seed)
    shutil.copytree(home, copy)
    expected = {tick_id: rows for tick_id, rows in readable(copy).items() if truth.get(tick_id) == rows}
    damaged_bytes = (home / "journal.db").read_bytes()

    with closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal:
        journal.append(tick(TICKS + 1, sample("newcomer")), delivered=Position(0))
        delivered = next_batch(home)
    kept = readable(home)

    assert {tick_id: kept.get(tick_id) for tick_id in expected} == expected
    assert "newcomer" in delivered
    kept_files = [file for file in home.glob("journal.db.corrupt-*") if file.suffix.count("-") == 1]
    assert not kept_files or kept_files[0].read_bytes() == damaged_bytes
    assert not list(home.glob("*.salvage*"))


def next_batch(home: Path) -> set[str]:
    """Give the names of all that a shipper with the old cursor would send now."""
    with closing(Cursor(journal_path(home))) as cursor, closing(JournalReader(journal_path(home))) as reader:
        position = cursor.position(reader)
        batch = reader.batch(position.cursor, 10**6)
    assert position in {Position(), Position(DELIVERED)}
    return {name for stored in batch for name, _ in stored.samples}


def test_a_lost_end_of_ticks_costs_only_that(crashed: Path, tmp_path: Path) -> None:
    """The page with the newest ticks is unreadable: all others stay, ids and the cursor go on."""
    home = tmp_path / "home"
    shutil.copytree(crashed, home)
    with closing(sqlite3.connect(home / "journal.db")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    zero_pages(home / "journal.db", leaves(home / "journal.db", "tick")[-1:])

    with closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal:
        journal.append(tick(TICKS + 1), delivered=Position(0))
        ids = sorted(readable(home))

    assert ids[:-1] == list(range(1, len(ids)))
    assert len(ids) > 150
    assert ids[-1] == TICKS + 1


def test_a_journal_that_lost_its_end_gives_no_id_twice(crashed: Path, tmp_path: Path) -> None:
    """An old backup is sound, but the shipper has been further: new ticks get ids that it has not seen."""
    home = tmp_path / "home"
    shutil.copytree(crashed, home)
    (home / "journal.db-wal").unlink()

    with closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal:
        journal.append(tick(TICKS + 1, sample("newcomer")), delivered=Position(0))
        found, sent = sorted(readable(home)), next_batch(home)

    assert found == [*range(1, CLOSED_AT + 1), DELIVERED + 1]
    assert sent == {"newcomer"}


def test_identity_and_counts_are_carried_over(tmp_path: Path) -> None:
    """Where the page with them can be read, id, dropped_total, starts and rollups are those of before."""
    home = tmp_path
    journal = write(home / "journal.db", range(100))
    journal.append(tick(100, sample("nginx", starts=7, newest_start=70)), delivered=Position(0))
    before = (journal.id, journal.newest_starts(), rollups(home))
    journal.close()
    with closing(sqlite3.connect(home / "journal.db")) as database:
        database.execute("INSERT OR REPLACE INTO meta VALUES ('dropped_total', 17)")
        database.execute("UPDATE sqlite_sequence SET seq = 1000")
        database.commit()
    zero_pages(home / "journal.db", leaves(home / "journal.db", "sample")[-1:])

    with closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal:
        after = (journal.id, journal.newest_starts(), rollups(home))
        journal.append(tick(101, sample("nginx", starts=1)), delivered=Position(0))
        [newest] = last_ids(home, 1)

        assert (after, journal.dropped_total, newest) == (before, 17, 1001)


def test_a_garbled_schema(tmp_path: Path) -> None:
    """Where SQLite can't tell what is in the file any more, the daemon begins with an empty journal."""
    path = tmp_path / "journal.db"
    write(path, range(10)).close()
    garbled = path.read_bytes().replace(b"CREATE TABLE sample", b"CREATE TABBY sample")
    path.write_bytes(garbled)

    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(11), delivered=Position(0))

    assert sorted(readable(tmp_path)) == [1]
    assert [kept.read_bytes() for kept in tmp_path.glob("journal.db.corrupt-*")] == [garbled]


@pytest.mark.parametrize("lost", ["PRAGMA user_version = 0", "DROP VIEW samples", "DROP TABLE process_sample"])
def test_a_part_of_the_schema_is_lost(tmp_path: Path, lost: str) -> None:
    """What SQLite calls sound but is no journal of ours any more is mended like other damage."""
    path = tmp_path / "journal.db"
    write(path, range(10)).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(lost)

    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(11, sample("nginx", top=(process(0),))), delivered=Position(0))

    assert sorted(readable(tmp_path)) == list(range(1, 12))
    assert len(list(tmp_path.glob("journal.db.corrupt-*"))) == 1


def test_a_garbled_view(tmp_path: Path) -> None:
    """SQLite does not look into views, but people do: a journal with one that fails is mended."""
    path = tmp_path / "journal.db"
    write(path, range(10)).close()
    path.write_bytes(path.read_bytes().replace(b"tick.id = sample.tick_id", b"tick.ix = sample.tick_id"))

    Journal(journal_config(path), boot_id=BOOT).close()

    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM samples").fetchone() == (10 * NAMES,)


def test_garbage_that_looks_like_a_row_is_left_behind(tmp_path: Path) -> None:
    """A text where a number belongs would break the line that it becomes, and delivery with it."""
    path = tmp_path / "journal.db"
    write(path, range(10)).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE sample SET pss_bytes = 'garbage' WHERE tick_id = 3 AND name_id = 1")
        database.execute("UPDATE tick SET time = x'00' WHERE id = 7")
        database.commit()
        database.execute("PRAGMA user_version = 0")

    Journal(journal_config(path), boot_id=BOOT).close()

    kept = readable(tmp_path)
    assert sorted(kept) == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert len(kept[3][1]) == NAMES - 1


def test_no_damaged_file_takes_the_place_of_another(tmp_path: Path) -> None:
    """Damage twice in a second leaves two files beside the journal."""
    for content in (b"first" * 1000, b"second" * 1000):
        (tmp_path / "journal.db").write_bytes(content)
        Journal(journal_config(tmp_path / "journal.db"), boot_id=BOOT).close()

    kept = {file.read_bytes() for file in tmp_path.glob("journal.db.corrupt-*")}

    assert kept == {b"first" * 1000, b"second" * 1000}


@pytest.mark.parametrize("cut", ["while it is filled", "before the renaming", "between the renamings"])
def test_a_repair_that_was_cut_off_is_done_again(crashed: Path, tmp_path: Path, cut: str) -> None:
    """Whatever ends the process in the middle of a repair, the next start finishes it and loses nothing by it."""
    whole, home = tmp_path / "whole", tmp_path / "home"
    for place in (whole, home):
        shutil.copytree(crashed, place)
        with closing(sqlite3.connect(place / "journal.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        zero_pages(place / "journal.db", [41])
    Journal(journal_config(whole / "journal.db"), boot_id=BOOT).close()
    shutil.copyfile(whole / "journal.db", home / "journal.db.salvage")
    if cut == "while it is filled":
        os.truncate(home / "journal.db.salvage", 3 * PAGE + 17)
    if cut == "between the renamings":
        (home / "journal.db").rename(home / "journal.db.corrupt-20260101T000000")

    Journal(journal_config(home / "journal.db"), boot_id=BOOT).close()

    assert readable(home) == readable(whole)
    assert len(readable(home)) > TICKS // 2
    assert not list(home.glob("*.salvage*"))


@pytest.mark.parametrize("victim", ["tick", "sample", "rollup", "name", "tick sqlite_sequence"])
def test_damage_under_an_open_writer(tmp_path: Path, victim: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever meets the damage first, every tick is written, once; the journal's identity and ids go on."""
    path = tmp_path / "journal.db"
    write(path, range(TICKS)).close()
    pages = [page for table in victim.split() for page in leaves(path, table)]
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal_id = journal.id
        zero_pages(path, pages)
        journal.pending(Position())
        for number in range(TICKS, TICKS + 3):
            journal.append(wide_tick(number, NAMES), delivered=Position(0))
            with suppress(JournalFull):
                journal.trim(0, delivered=Position(0), seconds=0.0)
        pending, held = journal.pending(Position(TICKS)), journal.held_points

        assert (held, journal.id) == (0, journal_id)
    assert last_ids(tmp_path, 3) == [TICKS + 3, TICKS + 2, TICKS + 1]
    assert pending == (3 * (NAMES + 1), wide_tick(TICKS, 1).time)
    assert "journal was damaged: salvaged ticks=" in caplog.text


def test_a_killed_writer_has_lost_nothing_it_had_confirmed(tmp_path: Path) -> None:
    """Killed at twenty random moments: every tick whose `append` returned is there, whole, in a sound file."""
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    path = tmp_path / "journal.db"
    total = 0
    for _ in range(20):
        confirmed = kill_a_writer(path, after=chance.randrange(1, 120), delay=chance.random() * 0.002)
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute("SELECT count(*), count(DISTINCT tick_id) FROM sample").fetchone()
            ticks = database.execute("SELECT count(*) FROM tick").fetchone()[0]
            sound = database.execute("PRAGMA integrity_check").fetchone()[0]
        total += confirmed
        assert sound == "ok"
        assert rows == (20 * ticks, ticks)
        assert total <= ticks <= total + 1
        total = ticks


def kill_a_writer(path: Path, *, after: int, delay: float) -> int:
    """Let a child append ticks, kill it some time after it has confirmed one; give how many it had confirmed."""
    command = [sys.executable, "-m", "tests.journal_child", "write", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(after)]
    with suppress(subprocess.TimeoutExpired):
        child.wait(delay)
    child.kill()
    lines += [line for line in child.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    return len(lines)


def rollups(home: Path) -> list[Row]:
    """Give the view of five minutes."""
    with closing(sqlite3.connect(f"file:{home}/journal.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT * FROM rollups ORDER BY time, name").fetchall()


def last_ids(home: Path, number: int) -> list[int]:
    """Give the newest ids."""
    with closing(sqlite3.connect(f"file:{home}/journal.db?mode=ro", uri=True)) as database:
        return [row[0] for row in database.execute("SELECT id FROM tick ORDER BY id DESC LIMIT ?", (number,))]


_TICK = "SELECT * FROM tick WHERE id = ?"
_SAMPLES = "SELECT name.name, sample.* FROM sample JOIN name ON name.id = name_id WHERE tick_id = ? ORDER BY name_id"
