"""The grid of ticks: multiples of the interval on the wall clock, each at its time or counted as late, never queued."""


def grid_point(now: float, interval: int) -> int:
    """Give the last grid point at or before `now`, in Unix seconds."""
    return int(now // interval) * interval


def realign(schedule: int, interval: int, now: float) -> int:
    """Give the grid point to wait for: `schedule`, or the next one from now when the clock has stepped back.

    After a step of up to one interval `schedule` stays: the grid points before it have had their tick.
    """
    return schedule if schedule - now <= 2 * interval else grid_point(now, interval) + interval


def take(schedule: int, interval: int, now: float) -> tuple[int, int]:
    """Give the grid point to sample for at `now`, `schedule` or later, and how many have passed without a tick."""
    due = max(schedule, grid_point(now, interval))
    return due, (due - schedule) // interval
