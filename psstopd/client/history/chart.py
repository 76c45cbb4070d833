"""A plot with what there is to say about it, fitted to a terminal."""

import os
from collections.abc import Iterable, Iterator

from psstopd.client.escape import shown
from psstopd.client.history.plot import ASCII, BRAILLE, GAP, RESTART, UNMEASURED, Glyphs, Picture, plot
from psstopd.client.history.series import Course, Series, Summary
from psstopd.client.history.when import local
from psstopd.client.screen import cut
from psstopd.client.units import quantity, quantity_change
from psstopd.journal.history import KEPT_FIELDS
from psstopd.words import counted, duration

_OTHER_LINES = 8  # on a screen with the plot: what is said around it, the command and the next prompt
_LOWEST, _HIGHEST = 6, 20


def chart(course: Course, series: Series, summary: Summary, *, size: tuple[int, int], glyphs: Glyphs) -> list[str]:
    """Draw and tell a series in lines that a terminal of `size`, columns and lines, does not break."""
    columns, lines = size
    # What lies before the first sample would only make the rest narrower; it is said instead.
    since = max(course.window.since, series.points[0].time)
    restarts = [time for time, _ in series.restarts]
    picture = Picture(series.points, series.gaps, restarts, since, course.window.until, course.field)
    height = min(_HIGHEST, max(_LOWEST, lines - _OTHER_LINES))
    return [
        cut(f"{shown(course.name)}  {course.field}  {local(since)} to {local(course.window.until)}", columns),
        *plot(picture, width=columns, height=height, glyphs=glyphs),
        *_wrapped(_numbers(course, series, summary), columns),
        *_wrapped(_sources(course, series), columns),
        *_wrapped(_legend(series), columns),
    ]


def glyphs_for(encoding: str) -> Glyphs:
    """Choose braille dots where the encoding has them and the terminal is known to have more than a console's font."""
    if os.environ.get("TERM") in ("linux", "dumb"):  # console_codes(4): a font of 512 characters at most
        return ASCII
    try:
        BRAILLE.cells.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BRAILLE


def _numbers(course: Course, series: Series, summary: Summary) -> Iterator[str]:
    field = course.field
    # The end of a gap, or a sample that could not be measured, is not the present.
    is_now = course.window.ends_now and series.has_end and series.points[-1].value is not None
    yield f"min {quantity(summary.min, field)}"
    yield f"median {quantity(summary.median, field)}"
    yield f"max {quantity(summary.max, field)}"
    yield f"{'now' if is_now else 'last'} {quantity(summary.last, field)}"
    measured = [point.time for point in series.points if point.value is not None]
    yield f"change {quantity_change(summary.change, field)} in {duration(measured[-1] - measured[0])}"


def _sources(course: Course, series: Series) -> Iterator[str]:
    """Say how many samples there are, of which kind, and what is not there."""
    yield counted(len(series.points), "sample")
    rollups = [moment.time for moment in course.moments if moment.is_rollup]
    if rollups and course.field in KEPT_FIELDS:
        yield f"{len(rollups)} of them rollups of 5 minutes, up to {local(rollups[-1])}"
    elif rollups:
        yield f"up to {local(rollups[-1])} rollups alone, without {course.field}"
    elif series.begins_late(course.window.since):
        yield f"none before {local(series.points[0].time)}"


def _legend(series: Series) -> Iterator[str]:
    """Explain the signs below the plot."""
    if series.restarts:
        yield f"{RESTART} restart: {counted(sum(count for _, count in series.restarts), 'process')} started"
    if series.gaps:
        seconds = sum(end - begin for begin, end in series.gaps)
        yield f"{GAP} {counted(len(series.gaps), 'gap')}: {duration(seconds)} without samples"
    if series.unmeasured:
        yield f"{UNMEASURED} {counted(series.unmeasured, 'sample')} not measured"


def _wrapped(parts: Iterable[str], columns: int) -> list[str]:
    """Put as many parts into a line as have room."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= columns:
            lines[-1] += f"   {part}"
        else:
            lines.append(part)
    return [cut(line, columns) for line in lines]
