"""What is written into the journal is there: whole, in order, and readable with plain SQL."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.journal.errors import JournalFull
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader, StoredTick
from psstopd.journal.schema import ROLLUP_FIELDS, ROLLUP_SECONDS, SAMPLE_FIELDS, SCHEMA
from psstopd.journal.statements import ROLLUP_UPSERT, rollup_row, sample_row
from psstopd.journal.writer import Journal
from psstopd.model import NO_MEMORY, Memory, Sample
from tests.samples import BEGIN, BOOT, HEALTH, INTERVAL, journal_config, memory, process, sample, tick, wide_tick


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the place of a journal that is not there yet."""
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    """Give an open, empty journal."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        yield journal


def test_a_tick_comes_back_as_it_went_in(journal: Journal, path: str) -> None:
    """Every field of every name, of the recorded processes and of the daemon itself is kept."""
    web = sample("nginx", 8192, starts=2, newest_start=700, top=(process(0, 5000), process(2, 3192)))
    journal.append(tick(0, web, sample("postgres", 4096)), delivered=None)

    [stored] = batch(path)

    assert (stored.id, stored.time, stored.health, stored.points) == (1, BEGIN, tuple(HEALTH), 5)
    assert stored.samples == [
        ("nginx", (*memory(8192), 8192, 1, 0, 2, 0, 87)),
        ("postgres", (*memory(4096), 4096, 1, 0, 0, 0, 87)),
    ]
    assert stored.processes == [
        ("nginx", 0, (*memory(5000), 1000, 5000)),
        ("nginx", 2, (*memory(3192), 1002, 5002)),
    ]


def test_absent_zero_and_unreadable_differ(journal: Journal, path: str) -> None:
    """What could not be measured, and what this kernel does not tell, is NULL; nothing there is 0."""
    no_process = sample("idle", 0)._replace(memory=NO_MEMORY, processes=0)
    old_kernel = sample("old", 10)._replace(memory=Memory(10, None, 10, 10, None, None, None))
    journal.append(tick(0, no_process, old_kernel, sample("secret", None)), delivered=None)

    rows = select(path, "SELECT name, pss_bytes, swap_pss_bytes, pss_max_bytes, unreadable FROM samples ORDER BY name")

    assert rows == [("idle", 0, 0, 0, 0), ("old", 10, None, 10, 0), ("secret", None, None, None, 1)]


def test_the_command_line_reads_the_views_meanwhile(journal: Journal, path: str) -> None:
    """`sqlite3 -readonly` gives names and bytes while the daemon has the journal open."""
    journal.append(tick(0, sample("nginx", 4096)), delivered=None)
    journal.append(tick(1, sample("nginx", 8192)), delivered=None)

    samples = sqlite3_cli(path, "SELECT time, name, pss_bytes FROM samples ORDER BY time")
    rollups = sqlite3_cli(path, "SELECT time, name, n, pss_bytes_min, pss_bytes_mean, pss_bytes_max FROM rollups")

    assert samples == [f"{BEGIN}|nginx|4096", f"{BEGIN + INTERVAL}|nginx|8192"]
    assert rollups == [f"{BEGIN}|nginx|2|4096|6144|8192"]


def test_ids_only_grow(path: str) -> None:
    """Neither a clock that steps back, nor a restart, nor the removal of all other ticks gives an id twice."""
    config = journal_config(path)
    for time in (BEGIN, BEGIN - 5000):
        with closing(Journal(config, boot_id=BOOT)) as journal:
            journal.append(tick(0, time=time), delivered=None)
            journal.append(tick(0, time=time), delivered=None)
            journal.trim(BEGIN + 10**9, delivered=None, seconds=1.0)
            ids = [stored.id for stored in batch(path)]

    assert ids == [4]


def test_starts_total_survives_the_daemon_and_the_machine(path: str) -> None:
    """A restart goes on counting; another boot forgets up to which start time was counted, and nothing else."""
    config = journal_config(path)
    with closing(Journal(config, boot_id=BOOT)) as journal:
        journal.append(tick(0, sample("nginx", starts=3, newest_start=900)), delivered=None)
    with closing(Journal(config, boot_id=BOOT)) as journal:
        same_boot = journal.newest_starts()
        journal.append(tick(1, sample("nginx", starts=1, newest_start=800)), delivered=None)
    with closing(Journal(config, boot_id="another")) as journal:
        next_boot = journal.newest_starts()
        journal.append(tick(2, sample("nginx", starts=1, newest_start=20)), delivered=None)
        newest = journal.newest_starts()

    assert (same_boot, next_boot, newest) == ({"nginx": 900}, {"nginx": 0}, {"nginx": 20})
    assert select(path, "SELECT starts_total FROM samples ORDER BY time") == [(3,), (4,), (5,)]


def test_a_restart_goes_on_where_it_was(path: str) -> None:
    """The last grid point, the points pending and the journal's id are those from before the restart."""
    before = Journal(journal_config(path), boot_id=BOOT)
    before.append(wide_tick(0, 4), delivered=Position(0))
    before.append(tick(1, sample("nginx", top=(process(0),))), delivered=Position(0))
    expected = (before.id, before.last_time(), before.pending(Position(0)), before.pending(Position(1)))
    before.close()

    with closing(Journal(journal_config(path), boot_id=BOOT)) as after:
        found = (after.id, after.last_time(), after.pending(Position(0)), after.pending(Position(1)))

    assert expected[1:] == (BEGIN + INTERVAL, (8, BEGIN), (3, BEGIN + INTERVAL))
    assert found == expected


def test_an_empty_journal_has_nothing_pending(journal: Journal) -> None:
    """Before the first tick there is no last time and nothing to deliver."""
    answers = (journal.last_time(), journal.pending(Position(0)), journal.held_points, journal.dropped_total)

    assert answers == (None, (0, None), 0, 0)


def test_a_tick_that_contradicts_itself_blocks_no_other(
    journal: Journal, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two samples of one name are a mistake of ours: the tick is dropped, counted and logged, the next is written."""
    journal.append(tick(0, sample("nginx", starts=5), sample("nginx", starts=5)), delivered=None)
    journal.append(tick(1, sample("nginx", starts=1)), delivered=None)

    assert [stored.time for stored in batch(path)] == [BEGIN + INTERVAL]
    assert select(path, "SELECT name, starts_total FROM samples") == [("nginx", 1)]
    assert (journal.held_points, journal.dropped_total) == (0, 3)
    assert "a tick was dropped" in caplog.text


def test_a_locked_file_holds_ticks_back(journal: Journal, path: str) -> None:
    """Somebody else's open transaction makes ticks wait in memory; none is lost, doubled or out of order."""
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFull, match="locked"):
            journal.append(tick(0), delivered=None)
        held = (journal.held_points, journal.pending(Position(0)))
        intruder.execute("ROLLBACK")
    journal.append(tick(1), delivered=None)

    assert held == (2, (2, BEGIN))
    assert [(stored.id, stored.time) for stored in batch(path)] == [(1, BEGIN), (2, BEGIN + INTERVAL)]


def test_last_two_and_history(journal: Journal, path: str) -> None:
    """People get the newest tick, the one before it, and one name's series by time, whatever the order of writing."""
    for number in (0, 2, 1):
        journal.append(tick(number, sample("nginx", 1000 + number)), delivered=None)

    with closing(JournalReader(path)) as reader:
        last, before = reader.last_two()
        history = [(row.time, row.values[0]) for row in reader.history("nginx", BEGIN, BEGIN + INTERVAL)]
        names = reader.names()

    assert last is not None
    assert before is not None
    assert (last.id, before.id, names) == (3, 2, ["nginx"])
    assert history == [(BEGIN, 1000), (BEGIN + INTERVAL, 1001)]


def test_a_name_that_is_no_text_spoils_no_other(path: str) -> None:
    """Bytes that a bad disk made of a name are shown as what they are; everything else reads on."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(0, sample("nginx"), sample("postgres")), delivered=None)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE name SET name = CAST(x'ff67' AS TEXT) WHERE name = 'nginx'")
        database.commit()

    with closing(JournalReader(path)) as reader:
        names = reader.names()

    assert names == ["postgres", r"\xffg"]
    assert [name for name, _ in batch(path)[0].samples] == [r"\xffg", "postgres"]


@pytest.mark.parametrize("ticks", [0, 1])
def test_last_two_of_fewer(journal: Journal, path: str, ticks: int) -> None:
    """Where there are no two ticks, None stands for what is missing."""
    for number in range(ticks):
        journal.append(tick(number), delivered=None)

    with closing(JournalReader(path)) as reader:
        found = [stored is not None for stored in reader.last_two()]

    assert found == [ticks > 0, False]


# A kernel has a line of smaps_rollup always or never, so each optional field is measured in all ticks or in none.
_SIZES = st.integers(0, 2**44)
_HISTORIES = st.tuples(
    st.lists(st.tuples(st.integers(0, 900), st.none() | st.tuples(*[_SIZES] * 7), st.integers(1, 99)), min_size=1),
    st.sets(st.sampled_from([1, 4, 5, 6])),
)


@given(_HISTORIES)
def test_rollups_equal_those_recomputed_from_the_samples(
    history: tuple[list[tuple[int, tuple[int, ...] | None, int]], set[int]],
) -> None:
    """Minimum, mean, maximum and number of each five minutes are those of the rows that they sum up."""
    ticks, unknown = history
    rows: dict[int, list[tuple[int | None, ...]]] = {}
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO name (id, name) VALUES (1, 'nginx')")
        for seconds, sizes, processes in ticks:
            row = sample_row(made_up(sizes, processes, unknown), starts_total=7)
            rows.setdefault((BEGIN + seconds) // ROLLUP_SECONDS * ROLLUP_SECONDS, []).append(row)
            database.execute(ROLLUP_UPSERT, rollup_row(BEGIN + seconds, 1, row))
        found = {time: rest for time, _, *rest in database.execute("SELECT * FROM rollups")}

    assert found == {time: recomputed(group) for time, group in rows.items()}


def made_up(sizes: tuple[int, ...] | None, processes: int, unknown: set[int]) -> Sample:
    """Build a sample with the given sizes, None in place of those that the kernel does not tell."""
    if sizes is None:
        return sample("nginx", None)._replace(processes=processes, unreadable=processes)
    known = Memory._make(None if index in unknown else size for index, size in enumerate(sizes))
    return sample("nginx", sizes[0])._replace(memory=known, processes=processes)


def recomputed(rows: list[tuple[int | None, ...]]) -> list[int | None]:
    """Sum up rows of `sample` in the order of the view's columns, in plain Python."""
    measured = [row for row in rows if row[0] is not None]
    summed: list[int | None] = [len(measured), max(row[SAMPLE_FIELDS.index("unreadable")] or 0 for row in rows), 7]
    for field in ROLLUP_FIELDS:
        values = [value for row in measured if (value := row[SAMPLE_FIELDS.index(field)]) is not None]
        summed += [min(values), sum(values) // len(values), max(values)] if values else [None, None, None]
    return summed


def batch(path: str) -> list[StoredTick]:
    """Give all ticks of the journal."""
    with closing(JournalReader(path)) as reader:
        return reader.batch(0, 10**9)


def select(path: str, statement: str) -> list[tuple[int | str | None, ...]]:
    """Ask the file itself, with Python's SQLite."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(statement).fetchall()


def sqlite3_cli(path: str, statement: str) -> list[str]:
    """Ask the file itself, with the sqlite3 command."""
    done = subprocess.run(["sqlite3", "-readonly", path, statement], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
