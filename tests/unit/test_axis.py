"""Ticks: round numbers that enclose the values, round times of day, in winter and in summer."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.client.history.axis import time_ticks, value_ticks
from tests.timezone import BERLIN, UTC, timezone

MIB = 1 << 20
HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("least", "most", "labels"),
    [
        (391 * MIB, 412 * MIB, ["384 MiB", "392 MiB", "400 MiB", "408 MiB", "416 MiB"]),
        (0, 3 << 30, ["0", "1 GiB", "2 GiB", "3 GiB"]),
        (0, 900, ["0", "4 KiB"]),
        (MIB, 2 * MIB, ["1.00 MiB", "1.25 MiB", "1.50 MiB", "1.75 MiB", "2.00 MiB"]),
        (1 << 30, (1 << 30) + 20000, [f"{(1 << 20) + 4 * step} KiB" for step in range(6)]),
        (5 * MIB, 5 * MIB, ["4 MiB", "5 MiB", "6 MiB"]),
        (0, 0, ["0", "4 KiB"]),
        (-5, 7, ["-4 KiB", "0", "4 KiB"]),
    ],
)
def test_sizes(least: int, most: int, labels: list[str]) -> None:
    """Steps are powers of two, in a unit that tells them apart."""
    assert [tick.label for tick in value_ticks(least, most, "pss_bytes", at_most=6)] == labels


@pytest.mark.parametrize(
    ("field", "least", "most", "labels"),
    [
        ("processes", 0, 9, ["0", "2", "4", "6", "8", "10"]),
        ("processes", 3, 3, ["3", "4"]),
        ("read_us", 7, 70000, ["0 us", "20000 us", "40000 us", "60000 us", "80000 us"]),
        ("age_ms", 100, 120, ["100 ms", "105 ms", "110 ms", "115 ms", "120 ms"]),
    ],
)
def test_numbers(field: str, least: int, most: int, labels: list[str]) -> None:
    """Whatever is no size has steps of 1, 2, 5, 10 and so on."""
    assert [tick.label for tick in value_ticks(least, most, field, at_most=6)] == labels


ANY = st.integers(-(2**63), 2**63 - 1)


@given(ANY, ANY, st.sampled_from(["pss_bytes", "processes", "read_us"]), st.integers(0, 30))
def test_ticks_enclose_the_values(one: int, other: int, field: str, at_most: int) -> None:
    """What is to be drawn lies between the first and the last tick, and there are not many more than asked for."""
    least, most = sorted((one, other))
    ticks = value_ticks(least, most, field, at_most=at_most)

    assert ticks[0].value <= least <= most <= ticks[-1].value
    assert ticks[0].value < ticks[-1].value
    assert len(ticks) <= max(3, at_most) + 2


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (60, ["11:59:10", "11:59:20", "11:59:30", "11:59:40", "11:59:50", "12:00:00"]),
        (HOUR, ["11:10", "11:20", "11:30", "11:40", "11:50", "12:00"]),
        (DAY, ["18:00", "11-22", "06:00", "12:00"]),
        (7 * DAY, ["11-16", "11-17", "11-18", "11-19", "11-20", "11-21", "11-22"]),
        (180 * DAY, ["06-25", "07-25", "08-24", "09-23", "10-23", "11-22"]),
        (1000 * DAY, ["2025-02-25", "2026-02-25"]),
        (56 * 365 * DAY, ["1980-12-03", "1990-12-01", "2000-11-28", "2010-11-26", "2020-11-23"]),
    ],
)
def test_times(seconds: int, labels: list[str]) -> None:
    """From seconds to decades the steps are those of a clock or a calendar; midnight is a date."""
    with timezone(UTC):
        until = int(datetime(2026, 11, 22, 12, 0, 5).timestamp())  # noqa: DTZ001 - local time is the point

        assert [tick.label for tick in time_ticks(until - seconds, until, at_most=7)] == labels


@pytest.mark.parametrize(("month", "day"), [(3, 29), (10, 25)])
def test_times_when_clocks_change(month: int, day: int) -> None:
    """On a day of 23 or of 25 hours the ticks are at the same times of day as on any other."""
    with timezone(BERLIN):
        since, until = (int(datetime(2026, month, at).timestamp()) for at in (day, day + 1))  # noqa: DTZ001

        assert [tick.label for tick in time_ticks(since, until - 1, at_most=4)][1:] == ["06:00", "12:00", "18:00"]


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(1, 30))
def test_times_lie_in_the_span(one: int, other: int, at_most: int) -> None:
    """No tick is outside of what is shown, and each is after the one before it."""
    since, until = sorted((one, other))
    with timezone(BERLIN):
        times = [tick.value for tick in time_ticks(since, until, at_most=at_most)]

    assert times == sorted({*times})
    assert all(since <= time <= until for time in times)
    assert len(times) <= at_most + 2
