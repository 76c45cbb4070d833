"""Understand what people type for a time."""

import time
from datetime import datetime
from typing import NamedTuple

from psstopd import exits
from psstopd.exits import CommandError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HOUR = 3600


class Window(NamedTuple):
    """From when to when, Unix seconds; `now` when it was asked for."""

    since: int
    until: int
    now: int

    @property
    def ends_now(self) -> bool:
        """Whether the end is the present."""
        return self.until == self.now


def window(since: str | None, until: str | None, *, now: int) -> Window:
    """Read `--since` (an hour before the end without it) and `--until` (now without it). Raises CommandError."""
    end = now if until is None else moment(until, now, "--until")
    begin = max(0, end - _HOUR) if since is None else moment(since, now, "--since")
    for option, text, time_meant in (("--since", since, begin), ("--until", until, end)):
        if time_meant > now:
            raise CommandError(f"{option} {text}: {local(time_meant)} is still to come", exits.USAGE)
    if begin >= end:
        asked = since or "an hour before the end"
        raise CommandError(f"--since {asked} ({local(begin)}) is not before --until {until or 'now'}", exits.USAGE)
    return Window(begin, end, now)


def moment(text: str, now: int, option: str) -> int:
    """Give the Unix time that `2h` before `now`, or a local date or date and time, means. Raises CommandError."""
    try:
        if text[:-1].isdecimal() and text[-1] in _UNITS:
            return max(0, now - int(text[:-1]) * _UNITS[text[-1]])
        return max(0, int(datetime.fromisoformat(text).timestamp()))
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f"{option} {text}: write 30m, 2h, 7d, 2026-11-20 or 2026-11-20T08:00", exits.USAGE
        ) from error


def local(unix_time: int) -> str:
    """Write a time as the clock on the wall had it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_time))


def iso(unix_time: int) -> str:
    """Write a time for programs, with its offset from UTC: 2026-11-20T08:00:00+01:00."""
    return datetime.fromtimestamp(unix_time).astimezone().isoformat()
