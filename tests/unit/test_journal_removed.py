"""A journal that is taken away under the running daemon: by rm, by a file that takes its place, by a read-only disk."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.journal.errors import JournalFull
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.samples import BEGIN, BOOT, INTERVAL, journal_config, tick

TICKS = 10
LOCKED = 7

_SECOND = f"""
import sys
from psstopd.journal.errors import JournalLocked
from psstopd.journal.writer import Journal
from tests.samples import journal_config
try:
    Journal(journal_config(sys.argv[1]), boot_id="")
except JournalLocked:
    sys.exit({LOCKED})
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give the directory of the journal, and of nothing else."""
    return tmp_path / "psstop"


@pytest.fixture
def journal(home: Path) -> Iterator[Journal]:
    """Give an open journal of ten ticks."""
    with closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal:
        for number in range(TICKS):
            journal.append(tick(number), delivered=Position())
        yield journal


def times(home: Path) -> list[int]:
    """Give the times of all ticks in the order of their ids."""
    with closing(JournalReader(str(home / "journal.db"))) as reader:
        return [stored.time for stored in reader.batch(0, 10**9)]


def grid(count: int) -> list[int]:
    """Give the first times on the grid."""
    return [BEGIN + number * INTERVAL for number in range(count)]


@pytest.mark.parametrize("removed", ["journal.db", "journal.db*", "*"])
def test_a_removed_journal_is_written_anew(
    journal: Journal, home: Path, removed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of it was removed, the next tick finds all earlier ones in a file of the same identity, and says so."""
    journal_id = journal.id
    for file in home.glob(removed):
        file.unlink()
    journal.append(tick(TICKS), delivered=Position(3))
    journal.append(tick(TICKS + 1), delivered=Position(3))

    assert times(home) == grid(TICKS + 2)
    assert (journal.id, journal.dropped_total) == (journal_id, 0)
    assert journal.pending(Position(3)) == (2 * (TICKS + 2 - 3), BEGIN + 3 * INTERVAL)
    assert [record.getMessage() for record in caplog.records] == [
        f"journal was removed while in use, and is written anew: {home / 'journal.db'}"
    ]


def test_a_removed_directory_is_made_again(journal: Journal, home: Path) -> None:
    """And the lock with it: no second daemon may write there."""
    shutil.rmtree(home)
    journal.append(tick(TICKS), delivered=Position())

    assert times(home) == grid(TICKS + 1)
    done = subprocess.run([sys.executable, "-c", _SECOND, home / "journal.db"], check=False)
    assert done.returncode == LOCKED


def test_a_file_in_its_place_is_kept_beside_it(journal: Journal, home: Path) -> None:
    """An old copy that somebody put there does not win over what was sampled since, and is not deleted."""
    shutil.copy(home / "journal.db", home / "old")
    (home / "old").rename(home / "journal.db")
    journal.append(tick(TICKS), delivered=Position())

    assert times(home) == grid(TICKS + 1)
    assert len(list(home.glob("journal.db.corrupt-*"))) >= 1


@pytest.mark.root
def test_a_disk_that_turns_read_only_holds_ticks_back(tmp_path: Path) -> None:
    """As the kernel does to a failing disk: ticks wait in memory, what was written is there after a repair."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, disk], check=True)
    try:
        with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
            journal.append(tick(0), delivered=Position())
            fail_disk(disk)
            for number in (1, 2):
                with pytest.raises(JournalFull, match=r"journal\.db: "):
                    journal.append(tick(number), delivered=Position())
            held, pending = journal.held_points, journal.pending(Position())
    finally:
        subprocess.run(["umount", disk], check=True)
    repaired = subprocess.run(["fsck.ext4", "-fy", image], capture_output=True, check=False)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        with closing(Journal(journal_config(disk / "journal.db"), boot_id=BOOT)) as journal:
            journal.append(tick(3), delivered=Position())
        after = times(disk)
    finally:
        subprocess.run(["umount", disk], check=True)

    assert (held, pending) == (4, (6, BEGIN))
    assert repaired.returncode in {0, 1}
    assert after == [BEGIN, BEGIN + 3 * INTERVAL]


def fail_disk(disk: Path) -> None:
    """Let the file system find an error in itself: ext4(5) then takes no more writes."""
    device = subprocess.run(["findmnt", "-no", "SOURCE", disk], capture_output=True, text=True, check=True).stdout
    Path("/sys/fs/ext4", Path(device.strip()).name, "trigger_fs_error").write_text("a test")
