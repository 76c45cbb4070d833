"""The past from the journal: ticks where they are, rollups where they are gone, and all names at a glance."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from psstopd.journal.files import connect
from psstopd.journal.history import Glance, HistoryReader, Moment
from psstopd.journal.schema import ROLLUP_FIELDS, ROLLUP_SECONDS, SAMPLE_FIELDS
from psstopd.journal.writer import Journal
from tests.samples import BEGIN, BOOT, DAY, INTERVAL, journal_config, sample, tick

HOUR = 3600
TICKS = 3 * HOUR // INTERVAL
END = BEGIN + (TICKS - 1) * INTERVAL
FOREVER = 2**62


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the place of a journal that is not there yet."""
    return str(tmp_path / "journal.db")


@pytest.fixture
def trimmed(path: str) -> Iterator[HistoryReader]:
    """Give a reader of three hours, of which retention has left the last and some as ticks."""
    config = journal_config(path, raw_for=HOUR)
    with closing(Journal(config, boot_id=BOOT)) as journal:
        for number in range(TICKS):
            samples = sample("nginx", 1000 + number, starts=int(number == 0)), sample("redis", None)
            journal.append(tick(number, *samples), delivered=None)
        journal.trim(END + 100, delivered=None, seconds=60)
        with closing(HistoryReader(path)) as reader:
            yield reader


def test_rollups_stand_in_for_ticks_that_are_gone(trimmed: HistoryReader) -> None:
    """The five minutes in which the first tick lies are a rollup too, and so nothing of the three hours is missing."""
    course = trimmed.course("nginx", 0, FOREVER)
    rollups, ticks = ([moment for moment in course if moment.is_rollup is kind] for kind in (True, False))

    assert [moment.time for moment in course] == sorted(moment.time for moment in course)
    assert [moment.time for moment in rollups] == [*range(BEGIN, ticks[0].time, ROLLUP_SECONDS)]
    assert [moment.time for moment in ticks] == [*range(END + 100 - HOUR, END + 1, INTERVAL)]
    assert ticks[0].time % ROLLUP_SECONDS == 90


def test_rollups_have_means_and_extremes(trimmed: HistoryReader) -> None:
    """Values are in the order of SAMPLE_FIELDS, with None for what five minutes don't keep."""
    first = trimmed.course("nginx", BEGIN, BEGIN + ROLLUP_SECONDS - 1)
    values = dict(zip(SAMPLE_FIELDS, first[0].values, strict=True))
    extremes = [dict(zip(ROLLUP_FIELDS, some, strict=True)) for some in (first[0].lows, first[0].highs)]

    assert len(first) == 1
    assert (values["pss_bytes"], values["processes"], values["unreadable"], values["starts_total"]) == (1014, 1, 0, 1)
    assert {field for field, value in values.items() if value is None} == {
        *("pss_file_bytes", "pss_shmem_bytes", "pss_max_bytes", "age_ms", "read_us")
    }
    assert [some["pss_bytes"] for some in extremes] == [1000, 1029]


def test_what_was_unreadable_is_not_zero(trimmed: HistoryReader) -> None:
    """Neither a tick nor a rollup without a measured size has one, and both count the unreadable."""
    course = trimmed.course("redis", 0, FOREVER)
    pss, unreadable = SAMPLE_FIELDS.index("pss_bytes"), SAMPLE_FIELDS.index("unreadable")

    assert {(moment.is_rollup, moment.values[pss], moment.values[unreadable]) for moment in course} == {
        (True, None, 1),
        (False, None, 1),
    }


def test_a_journal_that_lost_nothing_needs_no_rollups(path: str) -> None:
    """Its first ticks lie within five minutes of which there is a rollup as well: they are given once."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in (7, 8, 40):
            journal.append(tick(number), delivered=None)
        with closing(HistoryReader(path)) as reader:
            course = reader.course("nginx", 0, FOREVER)

    assert [(moment.time, moment.is_rollup) for moment in course] == [
        (BEGIN + number * INTERVAL, False) for number in (7, 8, 40)
    ]


def test_the_course_is_cut_where_asked(trimmed: HistoryReader) -> None:
    """Both ends belong to it; before, between and behind there is nothing."""
    assert [moment.time for moment in trimmed.course("nginx", END - INTERVAL, END)] == [END - INTERVAL, END]
    assert [moment.time for moment in trimmed.course("nginx", BEGIN, BEGIN + 300)] == [BEGIN, BEGIN + 300]
    assert trimmed.course("nginx", BEGIN + 1, BEGIN + 299) == []
    assert trimmed.course("nginx", END + 1, FOREVER) == []
    assert trimmed.course("nobody", 0, FOREVER) == []


def test_names_are_known_for_good(trimmed: HistoryReader) -> None:
    """A name outlives its samples."""
    assert [trimmed.knows(name) for name in ("nginx", "nobody")] == [True, False]


def test_the_overview_compares_with_the_past(trimmed: HistoryReader) -> None:
    """Now is the newest tick, the past is a mean of five minutes, and what is not known is None."""
    overview = trimmed.overview("pss_bytes", (HOUR, DAY), columns=4, column_seconds=HOUR)
    then = (END - HOUR) // ROLLUP_SECONDS * ROLLUP_SECONDS

    assert overview.time == END
    assert overview.names == [
        Glance("nginx", 1000 + TICKS - 1, (1014 + (then - BEGIN) // INTERVAL, None), (None, 1179, 1539, 1899)),
        Glance("redis", None, (None, None), (None,) * 4),
    ]


def test_the_overview_takes_what_was_there_shortly_before(path: str) -> None:
    """Where a name rested an hour ago, a rollup up to a twelfth of the hour older will do, and no older one."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number, names in ((0, ("a", "b")), (30, ("a",)), (419, ("a", "b"))):
            journal.append(tick(number, *(sample(name, 1000 + number) for name in names)), delivered=None)
        with closing(HistoryReader(path)) as reader:
            near = reader.overview("pss_bytes", (HOUR,), columns=1, column_seconds=HOUR)
            far = reader.overview("pss_bytes", (HOUR // 2,), columns=1, column_seconds=HOUR)

    assert [(glance.name, glance.before) for glance in near.names] == [("a", (1030,)), ("b", (1000,))]
    assert [glance.before for glance in far.names] == [(None,), (None,)]


def test_the_overview_passes_over_what_was_unreadable(path: str) -> None:
    """An hour ago is the last that could be measured then, and hours hold means of what could be measured."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number, pss in ((0, 1000), (31, None), (395, 2000)):
            journal.append(tick(number, sample("a", pss)), delivered=None)
        with closing(HistoryReader(path)) as reader:
            [glance] = reader.overview("pss_bytes", (HOUR,), columns=2, column_seconds=HOUR).names

    assert (glance.now, glance.before, glance.recent) == (2000, (1000,), (1000, 2000))


def test_the_overview_of_an_empty_journal(path: str) -> None:
    """There is no now, and there are no names."""
    with closing(Journal(journal_config(path), boot_id=BOOT)), closing(HistoryReader(path)) as reader:
        assert reader.overview("pss_bytes", (HOUR,), columns=1, column_seconds=HOUR) == (None, [])


def test_what_is_no_number_counts_as_not_measured(path: str) -> None:
    """A foreign or damaged file may hold text and blobs where numbers belong, and numbers where names belong."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(0), delivered=None)
        journal.append(tick(1), delivered=None)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE sample SET pss_bytes = 'much', rss_bytes = x'00'")
    with closing(HistoryReader(path)) as reader:
        course = reader.course("nginx", 0, FOREVER)
        overview = reader.overview("pss_bytes", (HOUR,), columns=1, column_seconds=HOUR)

    assert [moment.values[:4] for moment in course] == [(None, 2048, 4095, None)] * 2
    assert [glance.now for glance in overview.names] == [None]


def test_a_reader_leaves_the_writer_alone(trimmed: HistoryReader, path: str) -> None:
    """After an answer no transaction is open that would keep the write-ahead log from being emptied."""
    trimmed.course("nginx", 0, FOREVER)
    trimmed.overview("pss_bytes", (HOUR,), columns=1, column_seconds=HOUR)
    with closing(connect(path)) as connection:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    assert busy == 0


def test_a_missing_journal_is_said(path: str) -> None:
    """Whoever opens what is not there gets SQLite's own error."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), closing(HistoryReader(path)) as reader:
        reader.knows("nginx")


def test_moments_tell_their_kind() -> None:
    """A tick has no extremes beside its value."""
    assert not Moment(0, (1,)).is_rollup
    assert Moment(0, (1,), (1,), (1,)).is_rollup
