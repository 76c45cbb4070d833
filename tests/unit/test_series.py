"""What a series says of itself: extremes, restarts, gaps, and what was not measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.client.history.series import Course, Point, Summary, gaps, restarts, summarize
from psstopd.client.history.when import Window
from psstopd.journal.history import Moment
from psstopd.journal.schema import ROLLUP_FIELDS, SAMPLE_FIELDS


def values(pss: int | None, starts_total: int = 0) -> tuple[int | None, ...]:
    """Make up the values of a moment."""
    own = {"pss_bytes": pss, "starts_total": starts_total, "read_us": 87}
    return tuple(own.get(field, 0) for field in SAMPLE_FIELDS)


def tick(time: int, pss: int | None, *, starts_total: int = 0) -> Moment:
    """Make up a tick."""
    return Moment(time, values(pss, starts_total))


def rollup(time: int, low: int, pss: int | None, high: int) -> Moment:
    """Make up five minutes."""
    return Moment(time, values(pss), (low,) * len(ROLLUP_FIELDS), (high,) * len(ROLLUP_FIELDS))


def course(*moments: Moment, field: str = "pss_bytes", since: int = 0, until: int = 1000) -> Course:
    """Make up what was asked for and found."""
    return Course("nginx", field, Window(since, until, until), moments)


def test_the_summary_counts_what_was_measured() -> None:
    """Extremes come from the extremes of rollups, the median from means and ticks, the unmeasured from nowhere."""
    series = course(
        rollup(0, 5, 10, 50), rollup(300, 5, None, 50), tick(600, 20), tick(610, None), tick(620, 30)
    ).series()

    assert series.summary == Summary(5, 20, 50, 30, 20)
    assert series.points[1] == Point(300, None, None, None)
    assert series.unmeasured == 2


def test_nothing_measured_has_no_summary() -> None:
    """Not measured is not zero."""
    assert summarize(course(tick(0, None)).series().points) is None


def test_the_median_of_two_lies_between_them() -> None:
    """As statisticians have it, in whole numbers."""
    summary = course(tick(0, 10), tick(10, 21)).series().summary

    assert summary is not None
    assert summary.median == 15


def test_a_field_without_rollups_is_of_ticks_alone() -> None:
    """What rollups don't keep was not measured nowhere: it is not there."""
    moments = rollup(0, 1, 1, 1), tick(300, 1), tick(310, 1)

    assert [point.time for point in course(*moments, field="read_us").series().points] == [300, 310]
    assert [point.value for point in course(*moments, field="starts_total").series().points] == [0, 0, 0]


def test_restarts_are_where_starts_total_grew() -> None:
    """Each has its time and the number of processes; what the count was before is no restart."""
    moments = [tick(0, 1, starts_total=5), tick(10, 1, starts_total=5), tick(20, 1, starts_total=7), tick(30, 1)]

    assert restarts(moments) == [(20, 2)]


@pytest.mark.parametrize(
    ("times", "until", "found"),
    [
        ([0, 10, 20, 30], 40, []),
        ([0, 10, 30, 40], 50, []),
        ([0, 10, 40, 50], 60, [(10, 40)]),
        ([0, 10, 500, 600, 610], 620, [(10, 500), (500, 600)]),
        ([0, 10, 20, 30, 90, 150, 210, 270, 330], 390, []),
        ([0, 10, 20], 46, [(20, 46)]),
        ([0, 10, 20], 45, []),
        ([0, 0, 10, 10, 20], 20, []),
        ([0], 10**6, []),
        ([0, 500], 600, []),
        ([], 10, []),
    ],
    ids=str,
)
def test_gaps(times: list[int], until: int, found: list[tuple[int, int]]) -> None:
    """More than two and a half of the usual steps is a gap; an interval that was changed, or one tick late, is none."""
    assert gaps(times, until) == found


@pytest.mark.parametrize("rollups", [1, 2, 10])
def test_rollups_before_ticks_are_no_gaps(rollups: int) -> None:
    """However few they are: five minutes are their usual distance, and three times that is a gap there too."""
    times = [*range(0, rollups * 300, 300), *range(rollups * 300, rollups * 300 + 100, 10)]
    ticks = [tick(time, 1) for time in times[rollups:]]
    whole = course(*(rollup(time, 1, 1, 1) for time in times[:rollups]), *ticks, until=times[-1])
    holed = course(rollup(-900, 1, 1, 1), *whole.moments, until=times[-1])

    assert whole.series().gaps == []
    assert holed.series().gaps == [(-900, 0)]


@given(st.integers(1, 3600), st.integers(3, 50), st.integers(2, 100), st.integers(1, 48))
def test_a_hole_in_a_grid_is_the_only_gap(interval: int, ticks: int, missing: int, place: int) -> None:
    """Whatever the interval, ticks that are missing are found, and nothing else."""
    place = min(place, ticks - 2)
    times = [index * interval + (missing * interval if index > place else 0) for index in range(ticks)]

    assert gaps(times, times[-1]) == [(times[place], times[place + 1])]


def test_late_begins_and_ends_are_told() -> None:
    """Samples that begin long after what was asked for, or end long before, are not taken for all there was."""
    whole, late, early = (
        course(*(tick(time, 1) for time in times)).series()
        for times in (range(5, 1000, 10), range(500, 1000, 10), range(0, 500, 10))
    )

    assert [series.begins_late(0) for series in (whole, late, early)] == [False, True, False]
    assert [series.has_end for series in (whole, late, early)] == [True, True, False]
