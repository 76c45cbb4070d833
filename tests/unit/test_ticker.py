"""The grid of ticks: none lost, none doubled, whatever the clock does."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from psstopd.sampling.ticker import grid_point, realign, take
from tests.fakes import Clock

NOW = 1_795_294_290.0
intervals = st.integers(1, 3600)
times = st.floats(0, 4e9)
# How long the work of a tick takes, in intervals: mostly less than one, now and then many.
works = st.lists(st.floats(0, 0.99) | st.floats(0, 20), min_size=1, max_size=30)


def run(clock: Clock, interval: int, works: list[float]) -> tuple[list[int], int]:
    """Take one tick for each of `works`, as the daemon does; give their grid points and how many were missed."""
    schedule, ticks, missed = grid_point(clock.now(), interval), [], 0
    for work in works:
        schedule = realign(schedule, interval, clock.now())
        clock.wait(max(0.0, schedule - clock.now()))
        due, late = take(schedule, interval, clock.now())
        ticks.append(due)
        missed += late
        schedule = due + interval
        clock.wait(work * interval)
    return ticks, missed


@given(times, intervals)
def test_grid_points_are_multiples_of_the_interval(now: float, interval: int) -> None:
    """The grid is the same on every host: the last multiple of the interval that has passed."""
    point = grid_point(now, interval)

    assert point % interval == 0
    assert point <= now < point + interval


@given(times, intervals, works)
def test_no_tick_is_lost_or_doubled(start: float, interval: int, works: list[float]) -> None:
    """Every grid point from the first to the last has its tick, or is counted as missed."""
    ticks, missed = run(Clock(start), interval, works)

    assert ticks == sorted(set(ticks))
    assert ticks[0] == grid_point(start, interval)
    assert (ticks[-1] - ticks[0]) // interval == len(ticks) - 1 + missed


@given(times, intervals, st.lists(st.floats(0, 0.9), min_size=2, max_size=20))
def test_work_that_ends_in_time_makes_nothing_late(start: float, interval: int, works: list[float]) -> None:
    """Ticks that take less than their interval follow each other without a gap."""
    ticks, missed = run(Clock(grid_point(start, interval)), interval, works)

    assert missed == 0
    assert {later - earlier for earlier, later in pairwise(ticks)} == {interval}


@given(times, intervals, st.floats(0, 100))
def test_late_ticks_are_not_queued(start: float, interval: int, late: float) -> None:
    """After a hang there is one tick, for the grid point that has just passed, not one for each that was missed."""
    schedule = grid_point(start, interval)

    due, missed = take(schedule, interval, start + late * interval)

    assert due == grid_point(start + late * interval, interval)
    assert missed == (due - schedule) // interval


@given(times, intervals, st.floats(0, 1))
def test_a_small_step_back_doubles_no_tick(start: float, interval: int, step: float) -> None:
    """When the clock is set back by up to an interval after a tick, the next one is that for the next grid point."""
    taken = grid_point(start, interval)
    now = taken - step * interval

    assert realign(taken + interval, interval, now) == taken + interval


@given(times, intervals, st.floats(2.01, 1e6))
def test_after_a_large_step_back_the_grid_begins_anew(start: float, interval: int, step: float) -> None:
    """Psstop does not stay silent until a clock that was set back has caught up."""
    now = start - step * interval

    schedule = realign(grid_point(start, interval) + interval, interval, now)

    assert 0 < schedule - now <= interval
    assert schedule % interval == 0


@given(times, intervals, st.floats(0, 1e6))
def test_after_a_step_forward_the_next_tick_is_now(start: float, interval: int, step: float) -> None:
    """A clock that jumps ahead makes ticks late, and the grid goes on from the new time."""
    schedule, now = grid_point(start, interval) + interval, start + step * interval

    due, _ = take(realign(schedule, interval, now), interval, max(now, schedule))

    assert due == max(schedule, grid_point(now, interval))
