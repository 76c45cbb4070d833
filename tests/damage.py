"""Ways in which a journal's files get damaged: what torn writes, lost pages and bad memory leave behind."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

PAGE = 4096


def truncate(file: Path, chance: random.Random) -> None:
    """Lose the end."""
    os.truncate(file, chance.randrange(file.stat().st_size))


def zero_a_page(file: Path, chance: random.Random) -> None:
    """Lose a page, as a file system does that had not written it."""
    overwrite(file, chance.randrange(file.stat().st_size // PAGE) * PAGE, bytes(PAGE))


def overwrite_something(file: Path, chance: random.Random) -> None:
    """Get a sector of something else."""
    overwrite(file, chance.randrange(file.stat().st_size - 512), chance.randbytes(512))


def flip_a_bit(file: Path, chance: random.Random) -> None:
    """Get one bit wrong."""
    offset = chance.randrange(file.stat().st_size)
    overwrite(file, offset, bytes([file.read_bytes()[offset] ^ 1 << chance.randrange(8)]))


def overwrite_the_header(file: Path, chance: random.Random) -> None:
    """Get garbage where the file says what it is."""
    overwrite(file, 0, chance.randbytes(100))


def overwrite_everything(file: Path, chance: random.Random) -> None:
    """Get a file of something else."""
    file.write_bytes(chance.randbytes(5000))


def empty(file: Path, _chance: random.Random) -> None:
    """Lose everything."""
    os.truncate(file, 0)


def overwrite(file: Path, offset: int, content: bytes) -> None:
    """Write into the middle of a file."""
    with file.open("r+b") as open_file:
        open_file.seek(offset)
        open_file.write(content)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(truncate, zero_a_page, overwrite_something, flip_a_bit) * 2,
    *(overwrite_the_header, overwrite_everything, empty),
)


def damage(home: Path, seed: int) -> None:
    """Damage the journal, its -wal or both, once or several times."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    for _ in range(chance.choice((1, 1, 2, 5))):
        chance.choice(DAMAGES)(home / chance.choice(("journal.db", "journal.db", "journal.db-wal")), chance)
        if min((home / name).stat().st_size for name in ("journal.db", "journal.db-wal")) < PAGE:
            return


def leaves(path: Path, table: str) -> list[int]:
    """Give the pages with rows of a table in a journal that nobody has open."""
    with closing(sqlite3.connect(path)) as database:
        select = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
        return [page for (page,) in database.execute(select, (table,))]


def zero_pages(path: Path, pages: Iterable[int]) -> None:
    """Overwrite pages, by a process of its own: a descriptor closed in this one would drop SQLite's locks, fcntl(2)."""
    subprocess.run([sys.executable, "-c", _ZERO_PAGES, path, *map(str, pages)], check=True)


_ZERO_PAGES = f"""
import sys
path, *pages = sys.argv[1:]
with open(path, "r+b") as file:
    for page in pages:
        file.seek((int(page) - 1) * {PAGE})
        file.write(bytes({PAGE}))
"""
