"""What one field of one name did over time: its extremes, its restarts, and where it is missing."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from psstopd.client.history.when import Window
from psstopd.journal.history import KEPT_FIELDS, Moment
from psstopd.journal.schema import ROLLUP_FIELDS, ROLLUP_SECONDS, SAMPLE_FIELDS

_GAP_STEPS = 2.5  # of the usual distance of two samples
_NEIGHBOURS = 5  # samples before and behind that tell what is usual: an interval may change
_STARTS_TOTAL = SAMPLE_FIELDS.index("starts_total")

Span = tuple[int, int]


class Point(NamedTuple):
    """One moment of one field; of a rollup `value` is the mean. `value` None: not measured, which is not 0."""

    time: int
    low: int | None
    value: int | None
    high: int | None


class Summary(NamedTuple):
    """What there is to say of the measured points of a series; `change` is from the first to the last of them."""

    min: int
    median: int
    max: int
    last: int
    change: int


class Series(NamedTuple):
    """One field of one name: `restarts` are times and how many processes were new; `gaps` are spans without samples."""

    points: list[Point]
    restarts: list[tuple[int, int]]
    gaps: list[Span]
    summary: Summary | None

    @property
    def has_end(self) -> bool:
        """Whether samples reach the end of what was asked for."""
        return not self.gaps or self.gaps[-1][0] != self.points[-1].time

    def begins_late(self, since: int) -> bool:
        """Tell whether there are no samples for a while after `since`."""
        times = [point.time for point in self.points[: _NEIGHBOURS + 1]]
        return since < times[0] and any(begin == since for begin, _ in gaps([since, *times], times[-1]))

    @property
    def unmeasured(self) -> int:
        """Count the samples that have no value."""
        return sum(point.value is None for point in self.points)


class Course(NamedTuple):
    """What was asked for, and what the journal has of it: at least one moment, in the order of time."""

    name: str
    field: str
    window: Window
    moments: Sequence[Moment]

    def series(self) -> Series:
        """Take the field out of the moments; rollups only where they keep it, see `KEPT_FIELDS`."""
        has_all = self.field in KEPT_FIELDS
        kept = self.moments if has_all else [moment for moment in self.moments if not moment.is_rollup]
        points = _points(kept, self.field)
        times = [point.time for point in points]
        last_rollup = max((moment.time for moment in kept if moment.is_rollup), default=None)
        without = gaps(times, self.window.until, last_rollup=last_rollup)
        return Series(points, restarts(kept), without, summarize(points))


def _points(moments: Sequence[Moment], field: str) -> list[Point]:
    index = SAMPLE_FIELDS.index(field)
    extreme = ROLLUP_FIELDS.index(field) if field in ROLLUP_FIELDS else None
    points = []
    for moment in moments:
        low = high = value = moment.values[index]
        if moment.is_rollup and extreme is not None:
            low, high = moment.lows[extreme], moment.highs[extreme]
        points.append(_point(moment.time, low, value, high))
    return points


def _point(time: int, low: int | None, value: int | None, high: int | None) -> Point:
    """Let all three be there or none, whatever a damaged journal says."""
    if value is None:
        return Point(time, None, None, None)
    return Point(time, value if low is None else low, value, value if high is None else high)


def summarize(series: Sequence[Point]) -> Summary | None:
    """Give the extremes, the median of the values and the last one; None when nothing was measured."""
    values = [point.value for point in series if point.value is not None]
    if not values:
        return None
    lows = [point.low for point in series if point.low is not None]
    highs = [point.high for point in series if point.high is not None]
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) // 2
    return Summary(min(lows), median, max(highs), values[-1], values[-1] - values[0])


def restarts(moments: Sequence[Moment]) -> list[tuple[int, int]]:
    """Give the times at which processes had been started since the moment before, and how many."""
    found = []
    for before, moment in pairwise(moments):
        old, new = before.values[_STARTS_TOTAL], moment.values[_STARTS_TOTAL]
        if old is not None and new is not None and new > old:
            found.append((moment.time, new - old))
    return found


def gaps(times: Sequence[int], until: int, *, last_rollup: int | None = None) -> list[Span]:
    """Give begin and end of every span without samples, `until` ending the last; `times` in order.

    A distance is one when it is much more than is usual around it: that is the interval, which may change, and up to
    the last rollup no less than five minutes. Before a third sample nobody knows what is usual.
    """
    moments = sorted(set(times))
    steps = [after - before for before, after in pairwise(moments)]
    least = min(steps, default=0)
    found = [
        (moments[index], moments[index + 1])
        for index, step in enumerate(steps)
        if step > _GAP_STEPS * least and step > _GAP_STEPS * _usual(steps, index)
        if last_rollup is None or moments[index] > last_rollup or step > _GAP_STEPS * ROLLUP_SECONDS
    ]
    if steps and until - moments[-1] > _GAP_STEPS * _usual(steps, len(steps)):
        found.append((moments[-1], until))
    return found


def _usual(steps: Sequence[int], index: int) -> int:
    """Give the larger of the medians before and behind a step."""
    before, behind = steps[max(0, index - _NEIGHBOURS) : index], steps[index + 1 : index + 1 + _NEIGHBOURS]
    return max((sorted(some)[(len(some) - 1) // 2] for some in (before, behind) if some), default=steps[0])
