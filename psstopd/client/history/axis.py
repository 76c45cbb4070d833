"""Where the ticks of an axis lie and what is written beside them: round numbers, round times of day."""

import time
from collections.abc import Sequence
from typing import NamedTuple

_PAGE = 4096
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SUFFIXES = {"_ms": " ms", "_us": " us"}
_DAY = 86400
_YEAR = 365 * _DAY
_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(minutes * 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * 3600 for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 7, 14, 30, 90)),
    *(years * _YEAR for years in (1, 2, 5, 10, 20, 50, 100)),
)


class Tick(NamedTuple):
    """A place on an axis and its label."""

    value: int
    label: str


def value_ticks(least: int, most: int, field: str, *, at_most: int) -> list[Tick]:
    """Give two or more ticks that enclose the values, some more than `at_most` where that is too few to do so.

    Bytes have steps of a power of two, all else of 1, 2, 5, 10 and so on.
    """
    is_bytes = field.endswith("_bytes")
    # What never changes lies amid some room instead of on a line of single bytes.
    step, number = (_PAGE, 0) if is_bytes else (1, 0)
    room = abs(most) // 8 if least == most else 0
    while -(-most // step) - least // step > max(2, at_most - 1) or step < room:
        number += 1
        step = _PAGE << number if is_bytes else (1, 2, 5)[number % 3] * 10 ** (number // 3)
    first = least // step - (room > 0)
    last = max(-(-most // step) + (room > 0), first + 1)
    values = [index * step for index in range(first, last + 1)]
    labels = _sizes(values, step) if is_bytes else [f"{value}{_SUFFIXES.get(field[-3:], '')}" for value in values]
    return [Tick(value, label) for value, label in zip(values, labels, strict=True)]


def _sizes(values: Sequence[int], step: int) -> list[str]:
    """Write sizes in one unit, the largest in which the step has no more than two decimals."""
    most = max(map(abs, values))
    unit = max((power for power in range(len(_UNITS)) if 1 << 10 * power <= min(4 * step, most)), default=0)
    whole = 1 << 10 * unit
    digits = 0 if step >= whole else 1 if 2 * step >= whole else 2
    return [f"{value / whole:.{digits}f} {_UNITS[unit]}" if value else "0" for value in values]


def time_ticks(since: int, until: int, *, at_most: int) -> list[Tick]:
    """Give ticks at round local times, with the time of day, or the date where the day begins."""
    step = next((step for step in _STEPS if (until - since) // step <= at_most), until - since)
    begin = time.localtime(since)
    index = (begin.tm_hour * 3600 + begin.tm_min * 60 + begin.tm_sec) // step
    ticks: list[Tick] = []
    while (moment := _wall_clock(begin, index * step)) <= until:
        if moment >= since and (not ticks or moment > ticks[-1].value):
            ticks.append(Tick(moment, _time_label(moment, step)))
        index += 1
    return ticks


def _wall_clock(day: time.struct_time, seconds: int) -> int:
    """Give the moment at which clocks show `seconds` after the begin of a day; mktime(3) knows of summer time."""
    days, rest = divmod(seconds, _DAY)
    hour, minute, second = rest // 3600, rest // 60 % 60, rest % 60
    return int(time.mktime((day.tm_year, day.tm_mon, day.tm_mday + days, hour, minute, second, 0, 0, -1)))


def _time_label(moment: int, step: int) -> str:
    local = time.localtime(moment)
    if step >= _YEAR // 4:
        return time.strftime("%Y-%m-%d", local)
    if step >= _DAY or (local.tm_hour, local.tm_min, local.tm_sec) == (0, 0, 0):
        return time.strftime("%m-%d", local)
    return time.strftime("%H:%M" if step >= 60 else "%H:%M:%S", local)  # noqa: PLR2004 - a minute
