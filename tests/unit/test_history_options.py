"""What people type for times and fields, where the journal is found, and names that no terminal obeys."""

import os
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd import exits
from psstopd.cli import journal_path as finding
from psstopd.client.escape import shown
from psstopd.client.history.fields import field_named
from psstopd.client.history.when import Window, iso, window
from psstopd.exits import CommandError
from psstopd.journal.schema import SAMPLE_FIELDS
from psstopd.settings import DEFAULT_PATH, Journal
from tests.timezone import BERLIN, timezone

NOW = 1_795_294_800
HOUR = 3600


@pytest.mark.parametrize(
    ("since", "until", "span"),
    [
        (None, None, (NOW - HOUR, NOW)),
        ("90s", None, (NOW - 90, NOW)),
        ("2h", "30m", (NOW - 2 * HOUR, NOW - HOUR // 2)),
        (None, "3h", (NOW - 4 * HOUR, NOW - 3 * HOUR)),
        ("99999999d", None, (0, NOW)),
        ("1960-01-01", None, (0, NOW)),
    ],
)
def test_window(since: str | None, until: str | None, span: tuple[int, int]) -> None:
    """Durations go back from now; without `--since` it is an hour."""
    assert window(since, until, now=NOW) == Window(*span, NOW)


def test_window_of_dates() -> None:
    """Dates and times of day are those of the clock on the wall."""
    with timezone(BERLIN):
        begin, end = (int(datetime(2026, 7, day, 8).timestamp()) for day in (1, 2))  # noqa: DTZ001 - local time

        assert window("2026-07-01T08:00", "2026-07-02T08:00", now=NOW)[:2] == (begin, end)
        assert iso(begin) == "2026-07-01T08:00:00+02:00"


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2126-01-01", None, "--since 2126-01-01: 2126-01-01 00:00:00 is still to come"),
        ("2h", "2126-01-01", "--until 2126-01-01: 2126-01-01 00:00:00 is still to come"),
        ("1h", "2h", "--since 1h "),
        ("0s", None, "--since 0s "),
        (None, "1970-01-01", "--since an hour before the end "),
        ("1h", "soon", "--until soon: write 30m, "),
        ("٣h٣", None, "--since ٣h٣: write 30m, "),
    ],
)
def test_window_of_nonsense(since: str | None, until: str | None, said: str) -> None:
    """The future, an end before the begin and what is no time at all are answered with what was meant to be typed."""
    with pytest.raises(CommandError) as refused:
        window(since, until, now=NOW)

    assert refused.value.code == exits.USAGE
    assert str(refused.value).startswith(said)


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    """Nothing that is typed ends in a traceback."""
    try:
        begin, end, _ = window(text, None, now=NOW)
    except CommandError as refused:
        assert refused.code == exits.USAGE  # noqa: PT017 - either is fine
    else:
        assert 0 <= begin < end


@pytest.mark.parametrize(
    ("text", "field"),
    [
        *((field, field) for field in SAMPLE_FIELDS),
        ("swap", "swap_pss_bytes"),
        ("RSS", "rss_bytes"),
        ("anon", "pss_anon_bytes"),
        ("swap-pss", "swap_pss_bytes"),
        ("starts", "starts_total"),
        ("read", "read_us"),
    ],
)
def test_field(text: str, field: str) -> None:
    """Fields go by their names in the journal, without the unit, and by their last word."""
    assert field_named(text) == field


@pytest.mark.parametrize("text", ["", "memory", "bytes", "pss_"])
def test_no_field(text: str) -> None:
    """The answer to anything else names all there are."""
    with pytest.raises(CommandError, match=r"no such field; there are pss, swap_pss, uss, rss, .*, read$") as refused:
        field_named(text)

    assert refused.value.code == exits.USAGE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nginx", "nginx"),
        (r"a\x09b", r"a\x09b"),
        ("ünï 日本", "ünï 日本"),
        ("\x1b[2J\r\n", r"\x1b[2J\r\n"),
        ("a\u202egpj", r"a\u202egpj"),
        ("\u200f\u2066\u00ad", r"\u200f\u2066\xad"),
        ("\U000e0001\udc80", r"\U000e0001\udc80"),
    ],
)
def test_shown(name: str, text: str) -> None:
    """What a terminal would obey is written out, and what the daemon has escaped already stays as it is."""
    assert shown(name) == text


@given(st.text())
def test_shown_is_printable(name: str) -> None:
    """No control character, no mark that turns the direction of writing, nothing that ends a line."""
    assert shown(name).isprintable()


def test_the_default_places_are_those_of_the_settings() -> None:
    """Finding the journal without checking the whole config leads to the same place."""
    assert str(DEFAULT_PATH) == finding.DEFAULT_CONFIG
    assert Journal().path == finding.DEFAULT_JOURNAL


@pytest.mark.parametrize(
    ("config", "variable", "path"),
    [
        ('[journal]\npath = "/a/b.db"\n[influxdb]\nurl = 7\n', None, "/a/b.db"),
        ("names = []\n", None, finding.DEFAULT_JOURNAL),
        ('names = ["a"]\n[journal]\npath = "/a/b.db"\n', "/c/d.db", "/c/d.db"),
    ],
)
def test_journal_path(config: str, variable: str | None, path: str, tmp_path: Path) -> None:
    """The config says where, the environment overrides it, and the rest of the config may be wrong."""
    file = tmp_path / "psstop.toml"
    file.write_text(config)
    if variable is not None:
        os.environ["PSSTOP_JOURNAL__PATH"] = variable
    try:
        assert finding.journal_path(None, str(file)) == path
        assert finding.journal_path("/given.db", str(file)) == "/given.db"
    finally:
        os.environ.pop("PSSTOP_JOURNAL__PATH", None)


@pytest.mark.parametrize(
    "config", [None, "[journal", "journal = 1\n", "[journal]\npath = 1\n", '[journal]\npath = "\\u202e"\n']
)
def test_no_journal_path(config: str | None, tmp_path: Path) -> None:
    """A config that does not say it is answered with all that is wrong in it."""
    file = tmp_path / "psstop.toml"
    if config is not None:
        file.write_text(config)

    with pytest.raises(CommandError) as refused:
        finding.journal_path(None, str(file))

    assert refused.value.code == exits.CONFIG
    assert str(file) in str(refused.value)
