"""Show what the journal has of one name: as a plot, as rows, as CSV or as JSON."""

import argparse
import csv
import json
import os
from collections.abc import Iterator
from typing import TextIO

from psstopd import exits
from psstopd.client.escape import shown
from psstopd.client.history.chart import chart, glyphs_for
from psstopd.client.history.series import Course
from psstopd.client.history.when import iso, local
from psstopd.client.units import quantity
from psstopd.exits import CommandError
from psstopd.journal.history import Moment
from psstopd.journal.schema import ROLLUP_FIELDS, SAMPLE_FIELDS

_COLUMNS = {
    "pss_bytes": "PSS",
    "swap_pss_bytes": "SWAPPSS",
    "uss_bytes": "USS",
    "rss_bytes": "RSS",
    "processes": "PROCESSES",
    "unreadable": "UNREADABLE",
    "starts_total": "STARTS",
}
_EXTREMES = tuple(f"{field}_{kind}" for kind in ("min", "max") for field in ROLLUP_FIELDS)
COLUMNS = ("time", "iso", "source", *SAMPLE_FIELDS, *_EXTREMES)
_USUAL_SIZE = (80, 24)


def show(course: Course, options: argparse.Namespace, stream: TextIO) -> None:
    """Write a course as the options say: a plot on a terminal and rows in a pipe unless they say otherwise."""
    if options.csv:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(map(_row, course.moments))
    elif options.json:
        _write_json(course, stream)
    elif options.plot or stream.isatty():
        _write_plot(course, stream)
    else:
        stream.writelines(f"{line}\n" for line in _rows(course))


def _write_plot(course: Course, stream: TextIO) -> None:
    series = course.series()
    if series.summary is None:
        what = f"{course.field} was measured in none of {len(series.points)} samples"
        cure = "the processes were unreadable (`psstopd status`), or this kernel does not tell it"
        raise CommandError(f"{shown(course.name)}: {what}; {cure}", exits.FAILED)
    lines = chart(course, series, series.summary, size=_size(stream), glyphs=glyphs_for(stream.encoding))
    stream.writelines(f"{line}\n" for line in lines)


def _size(stream: TextIO) -> tuple[int, int]:
    """Give columns and lines of the terminal; in a pipe those of $COLUMNS and $LINES, or the usual ones."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = (
            int(text) if (text := os.environ.get(name, "")).isdecimal() else 0 for name in ("COLUMNS", "LINES")
        )
    return columns or _USUAL_SIZE[0], lines or _USUAL_SIZE[1]


def _rows(course: Course) -> Iterator[str]:
    """Write a heading and a line for each moment, for people who read what a pipe has brought them."""
    columns = dict.fromkeys((*_COLUMNS, course.field))
    titles = [_COLUMNS.get(field, field.upper()) for field in columns]
    widths = [max(10, len(title)) for title in titles]
    yield " ".join([f"{'TIME':19}", *(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))])
    for moment in course.moments:
        values = dict(zip(SAMPLE_FIELDS, moment.values, strict=True))
        cells = [f"{quantity(values[field], field):>{width}}" for field, width in zip(columns, widths, strict=True)]
        yield " ".join([local(moment.time), *cells])


def _row(moment: Moment) -> tuple[object, ...]:
    """Lay a moment out in the order of COLUMNS; a tick's lowest and highest values are its own, and left out."""
    extremes = moment.lows + moment.highs or (None,) * len(_EXTREMES)
    source = "rollup" if moment.is_rollup else "tick"
    return (moment.time, iso(moment.time), source, *moment.values, *extremes)


def _write_json(course: Course, stream: TextIO) -> None:
    """Write one object; its keys are documented in the README and stay. Samples come last, a line each."""
    series = course.series()
    about = {
        "name": course.name,
        "field": course.field,
        "since": course.window.since,
        "until": course.window.until,
        **dict.fromkeys(("min", "median", "max", "last", "change")),
        **(series.summary._asdict() if series.summary else {}),
        "unmeasured": series.unmeasured,
        "restarts": [{"time": time, "starts": starts} for time, starts in series.restarts],
        "gaps": [{"begin": begin, "end": end} for begin, end in series.gaps],
    }
    stream.write(json.dumps(about)[:-1] + ', "samples": [')
    rows = (json.dumps(dict(zip(COLUMNS, _row(moment), strict=True))) for moment in course.moments)
    stream.writelines(f"{',' if index else ''}\n{row}" for index, row in enumerate(rows))
    stream.write("\n]}\n")
