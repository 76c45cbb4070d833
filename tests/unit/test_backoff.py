"""Backoff: never a rush, never a wait without end, and the server's word first."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.delivery.backoff import next_delay, parse_retry_after

NOW = 1_795_294_290.0
counts = st.integers(0, 10_000)
chances = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(0, 0), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (11, 300), (10_000, 300)]
)
def test_the_ceiling_doubles_up_to_five_minutes(failures: int, ceiling: float) -> None:
    """The longest possible wait is 1 s after the first failure, doubles with each, and stays at 5 min."""
    assert next_delay(failures, None, now=NOW, random=lambda: 1.0) == ceiling


@given(counts, chances)
def test_the_jitter_is_full(failures: int, chance: float) -> None:
    """A wait lies anywhere between nothing and its ceiling, in proportion to chance."""
    ceiling = next_delay(failures, None, now=NOW, random=lambda: 1.0)

    delay = next_delay(failures, None, now=NOW, random=lambda: chance)

    assert delay == chance * ceiling


@given(counts, st.integers(0, 10**6), chances)
def test_seconds_are_a_minimum_up_to_a_quarter_of_an_hour(failures: int, seconds: int, chance: float) -> None:
    """Retry-After in seconds is never undercut, and never kept for more than 15 min."""
    delay = next_delay(failures, str(seconds), now=NOW, random=lambda: chance)

    assert min(seconds, 900) <= delay <= 900


@given(counts, st.integers(-(10**6), 10**6), chances)
def test_a_date_is_a_minimum_up_to_a_quarter_of_an_hour(failures: int, seconds: int, chance: float) -> None:
    """Retry-After as an HTTP-date is the time from now until then, and a date in the past asks for nothing."""
    date = formatdate(NOW + seconds, usegmt=True)

    delay = next_delay(failures, date, now=NOW, random=lambda: chance)

    assert min(max(seconds, 0), 900) <= delay <= 900


def test_those_who_were_told_the_same_come_back_apart() -> None:
    """The jitter is added to Retry-After: a fleet that was sent away together does not return together."""
    early = next_delay(5, "60", now=NOW, random=lambda: 0.0)
    late = next_delay(5, "60", now=NOW, random=lambda: 0.9)

    assert (early, late) == (60, 60 + 0.9 * 16)


def test_the_older_form_of_a_date_is_understood() -> None:
    """RFC 850's dates are obsolete but not extinct."""
    now = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC).timestamp()

    assert parse_retry_after("Wednesday, 21-Oct-26 07:28:30 GMT", now=now) == 30


def test_a_date_without_a_zone_is_utc_everywhere() -> None:
    """A date that leaves its zone open does not take on that of the machine."""
    program = (
        "from psstopd.delivery.backoff import parse_retry_after\n"
        "print(parse_retry_after('Wed, 21 Oct 2026 07:28:30 -0000', now=1792567680.0))"
    )
    child = [sys.executable, "-c", program]

    printed = subprocess.run(child, env={**os.environ, "TZ": "JST-9"}, capture_output=True, check=True).stdout

    assert printed == b"30.0\n"


def test_a_date_in_another_zone_is_converted() -> None:
    """A server that names its own zone is understood."""
    moment = datetime.fromisoformat("2026-10-21T09:28:30+02:00")

    assert parse_retry_after(format_datetime(moment), now=moment.timestamp() - 45) == 45


@given(counts, st.text() | st.from_regex(r"[A-Z][a-z]{2}, ?\d{1,30} [A-Z][a-z]{2} \d+ [\d:]+ ?\w*"), chances)
def test_garbage_counts_as_nothing_said(failures: int, sent: str, chance: float) -> None:
    """Whatever a server writes into Retry-After, the wait is a number between 0 and 15 min."""
    delay = next_delay(failures, sent, now=NOW, random=lambda: chance)

    assert 0 <= delay <= 900


@pytest.mark.parametrize("sent", ["²", "٣٠", "-5", "1_000", "nan", "inf", "1e9", ""])
def test_only_plain_digits_are_seconds(sent: str) -> None:
    """What Python would take for a number but RFC 9110 does not counts as nothing said."""
    assert parse_retry_after(sent, now=NOW) == 0


def test_digits_without_end_are_capped() -> None:
    """A number too long for Python's int is still only 15 min."""
    assert next_delay(1, "9" * 5000, now=NOW, random=lambda: 0.0) == 900
