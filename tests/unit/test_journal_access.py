"""Who may write the journal, who may read it, and what the others are told."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from psstopd.journal.errors import JournalLocked, JournalUnusable
from psstopd.journal.files import lock_holder
from psstopd.journal.reader import JournalReader
from psstopd.journal.schema import SCHEMA_VERSION
from psstopd.journal.writer import Journal
from tests.samples import BOOT, journal_config, tick
from tests.waiting import wait_for

CHILD = [sys.executable, "-m", "tests.journal_child"]


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a directory that everybody may enter and read; only its owner writes there."""
    place = Path("/var/tmp") / tmp_path_factory.mktemp("public").name
    place = Path(f"{place}-{id(tmp_path_factory)}")
    place.mkdir(mode=0o755)
    yield place
    shutil.rmtree(place)


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Let another process hold the journal; it is killed in the end."""
    child = subprocess.Popen([*CHILD, "hold", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def as_nobody(command: str, path: Path | str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the child without any rights."""
    return subprocess.run([*CHILD, command, path, "--as-nobody"], capture_output=True, text=True, check=False)


def write_ticks(path: Path, number: int) -> Journal:
    """Give an open journal with some ticks."""
    journal = Journal(journal_config(path), boot_id=BOOT)
    for index in range(number):
        journal.append(tick(index), delivered=None)
    return journal


def read_ids(path: Path | str) -> list[int]:
    """Give the ids that a reader of this process sees."""
    with closing(JournalReader(str(path))) as reader:
        return [stored.id for stored in reader.batch(0, 10**6)]


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    """It learns the first one's pid; so does anyone who asks; when that is killed the journal is free."""
    path = tmp_path / "journal.db"
    with holder(path) as first:
        with pytest.raises(JournalLocked, match=rf"in use by another psstopd \(pid {first.pid}\); stop it, or set"):
            Journal(journal_config(path), boot_id=BOOT)
        asked = lock_holder(str(path))
    freed = lock_holder(str(path))
    Journal(journal_config(path), boot_id=BOOT).close()

    assert (asked, freed) == (first.pid, None)


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    """Asking for the holder of a journal that never was makes no file."""
    assert lock_holder(str(tmp_path / "journal.db")) is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_start_keeps_no_lock(tmp_path: Path) -> None:
    """A journal that could not be opened is not locked by having been tried."""
    path = tmp_path / "journal.db"
    write_ticks(path, 1).close()
    set_version(path, SCHEMA_VERSION + 1)
    with pytest.raises(JournalUnusable):
        Journal(journal_config(path), boot_id=BOOT)
    set_version(path, SCHEMA_VERSION)

    child = subprocess.run([*CHILD, "open", path], capture_output=True, text=True, check=False)

    assert (child.returncode, child.stdout) == (0, "")


def test_a_newer_journal_is_left_alone(tmp_path: Path) -> None:
    """What a later psstop wrote is not touched, and the message names both ways out."""
    path = tmp_path / "journal.db"
    write_ticks(path, 3).close()
    set_version(path, SCHEMA_VERSION + 1)
    before = path.read_bytes()

    with pytest.raises(
        JournalUnusable, match=r"newer psstop \(schema 2, .*\); upgrade psstop, or set \[journal\] path"
    ):
        Journal(journal_config(path), boot_id=BOOT)

    assert path.read_bytes() == before


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    """The message says so, and what to name instead."""
    with pytest.raises(JournalUnusable, match=r"is a directory; set \[journal\] path to a file in it"):
        Journal(journal_config(tmp_path), boot_id=BOOT)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A path that leads through a file names the obstacle."""
    (tmp_path / "file").write_text("precious")

    with pytest.raises(JournalUnusable, match=r"file: .*; let the user .* or set \[journal\] path"):
        Journal(journal_config(tmp_path / "file" / "journal.db"), boot_id=BOOT)

    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.root
def test_an_unwritable_directory(public: Path) -> None:
    """Without the right to write there the daemon does not begin, and says who could or what to set."""
    done = as_nobody("open", public / "journal.db")

    assert done.returncode == 1
    assert done.stdout.startswith(f"JournalUnusable: {public}/journal.db.lock: Permission denied; let the user that")


@pytest.mark.root
def test_a_file_of_another_user(public: Path) -> None:
    """A journal that may be read but not written is no journal to write; nothing in it changes."""
    path = public / "journal.db"
    write_ticks(path, 2).close()
    (public / "journal.db.lock").unlink()
    public.chmod(0o777)
    before = path.read_bytes()

    done = as_nobody("open", path)

    assert done.stdout.startswith(f"JournalUnusable: {path}: Permission denied; let the user that")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["journal.db", "with space.db", "100%.db", "why?.db", "a#b.db", "ünï=&.db"])
def test_reading_at_any_time(tmp_path: Path, name: str) -> None:
    """While it is written, and after it was closed, whatever the file is called; reading leaves no file behind."""
    path = tmp_path / name
    journal = write_ticks(path, 2)
    meanwhile = read_ids(path)
    journal.close()
    afterwards = read_ids(path)

    assert (meanwhile, afterwards) == ([1, 2], [1, 2])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, f"{name}.lock"])


def test_reading_by_other_ways_of_naming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path and one that begins with two slashes name the same file."""
    write_ticks(tmp_path / "journal.db", 1).close()
    monkeypatch.chdir(tmp_path)

    assert read_ids("journal.db") == read_ids(f"/{tmp_path}/journal.db") == [1]


def test_reading_needs_a_journal(tmp_path: Path) -> None:
    """A file that is missing is an error, not an empty journal, and is not made."""
    with pytest.raises(sqlite3.OperationalError):
        read_ids(tmp_path / "journal.db")

    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """The connection itself refuses, whoever runs it."""
    with (
        closing(write_ticks(tmp_path / "journal.db", 1)),
        closing(JournalReader(str(tmp_path / "journal.db"))) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader._connection.execute("DELETE FROM tick")  # noqa: SLF001 - no method of it writes


@pytest.mark.root
def test_anybody_may_read_meanwhile_and_afterwards(public: Path) -> None:
    """A user without rights reads what the daemon writes, after it has ended too."""
    path = public / "journal.db"
    with closing(write_ticks(path, 2)):
        meanwhile = as_nobody("read", path)
    afterwards = as_nobody("read", path)

    assert (meanwhile.stdout, afterwards.stdout) == ("1 2\n", "1 2\n"), meanwhile.stderr + afterwards.stderr


@pytest.mark.root
def test_anybody_may_read_after_a_crash(public: Path) -> None:
    """With the -wal of a killed daemon beside the file, its last ticks are there for everybody; then for a daemon."""
    path = public / "journal.db"
    killed_writer(path, at_least=30)
    unprivileged = as_nobody("read", path).stdout.split()
    privileged = read_ids(path)
    owner = (path.with_name("journal.db-shm").stat().st_uid, path.with_name("journal.db-wal").stat().st_uid)

    assert len(privileged) >= 30
    assert unprivileged == [str(tick_id) for tick_id in privileged]
    assert owner == (0, 0)


def killed_writer(path: Path, at_least: int) -> None:
    """Let another process write some ticks and kill it in the middle."""
    child = subprocess.Popen([*CHILD, "write", path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = child.stdout
    wait_for(lambda: int(lines.readline()) >= at_least, 10, "ticks from the child")
    child.kill()
    child.communicate()


def set_version(path: Path, version: int) -> None:
    """Claim another version of the schema."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
