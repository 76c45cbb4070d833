"""Show all names of the journal at a glance: what they have now, how that changed, and the shape of the last day."""

import argparse
import csv
import json
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from psstopd.client.colour import BOLD, GREEN, RED, Paint, painter
from psstopd.client.escape import shown
from psstopd.client.history.when import local
from psstopd.client.screen import cut, width_of
from psstopd.client.units import quantity, quantity_change
from psstopd.journal.history import Glance, HistoryReader, Overview
from psstopd.words import duration

_SPANS = {"1h": 3600, "24h": 86400, "7d": 7 * 86400}
_HOURS = 24
_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-~=*#@"
_CELL = 9
_NUMBERS = (_CELL + 1) * (1 + len(_SPANS)) + 2  # the width of a line without curve and name
_NAME = 12  # characters that a name should have
_OLD_SECONDS = 300
_COLOURED = 20  # a change of one part in so many is worth a colour
_FLAT = 50  # less than one part in so many is drawn as no change
_COLUMNS = ("name", "now", *(f"change_{span}" for span in _SPANS))


def read(journal: HistoryReader, field: str) -> Overview:
    """Read all names, those that have the most now last."""
    overview = journal.overview(field, tuple(_SPANS.values()), columns=_HOURS, column_seconds=3600)
    names = sorted(overview.names, key=lambda glance: (-1 if glance.now is None else glance.now, glance.name))
    return overview._replace(names=names)


def show(overview: Overview, field: str, options: argparse.Namespace, stream: TextIO) -> None:
    """Write an overview as the options say."""
    if options.csv:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((shown(glance.name), glance.now, *_changes(glance)) for glance in overview.names)
    elif options.json:
        # The keys are documented in the README and stay.
        rows = [
            dict(zip(_COLUMNS, (glance.name, glance.now, *_changes(glance)), strict=True)) | {"hours": glance.recent}
            for glance in overview.names
        ]
        print(json.dumps({"time": overview.time, "field": field, "names": rows}), file=stream)
    else:
        blocks = _blocks(stream.encoding)
        table = lines(overview, field, width=width_of(stream), paint=painter(stream), blocks=blocks)
        stream.writelines(f"{line}\n" for line in table)


def lines(overview: Overview, field: str, *, width: int | None, paint: Paint, blocks: str) -> Iterator[str]:
    """Write the table. Names are last: whatever their characters are, they move nothing, and are cut at the edge."""
    # A narrow terminal has the last day in fewer parts rather than names of a few letters.
    hours = next((hours for hours in (1, 2, 3) if width is None or width >= _NUMBERS + _HOURS // hours + _NAME), 0)
    parts = _HOURS // hours if hours else 0
    titles = "".join(f"{title:>{_CELL}} " for title in ("NOW", *(span.upper() for span in _SPANS)))
    yield paint(BOLD, cut(f"{titles} {'24 HOURS'[:parts]:{parts}} NAME", width))
    for glance in overview.names:
        numbers = f"{quantity(glance.now, field):>{_CELL}} "
        changes = "".join(f"{_change(change, glance.now, field, paint)} " for change in _changes(glance))
        name = cut(shown(glance.name), None if width is None else max(0, width - _NUMBERS - parts))
        yield f"{numbers}{changes} {curve(glance.recent, hours, blocks):{parts}} {name}"
    if overview.time is not None and time.time() - overview.time > _OLD_SECONDS:
        age = duration(time.time() - overview.time)
        yield cut(f"now is the newest tick, of {local(overview.time)}, {age} ago", width)


def _changes(glance: Glance) -> list[int | None]:
    """Give the changes since each of the spans, None where either end is not known."""
    return [None if glance.now is None or before is None else glance.now - before for before in glance.before]


def _change(change: int | None, now: int | None, field: str, paint: Paint) -> str:
    """Write a change with its sign; growth red and decline green where they are worth it."""
    text = f"{quantity_change(change, field):>{_CELL}}"
    if not change or now is None or abs(change) * _COLOURED < max(now, now - change):
        return text
    return paint(RED if change > 0 else GREEN, text)


def curve(values: Sequence[int | None], hours: int, blocks: str) -> str:
    """Draw means of so many hours from the least to the most of them; nothing where nothing is known."""
    if not hours:
        return ""
    groups = [
        [value for value in values[index : index + hours] if value is not None]
        for index in range(0, len(values), hours)
    ]
    means = [sum(group) // len(group) if group else None for group in groups]
    known = [mean for mean in means if mean is not None]
    least, most = min(known, default=0), max(known, default=0)
    if (most - least) * _FLAT <= most:
        return "".join(" " if mean is None else blocks[len(blocks) // 2 - 1 if mean else 0] for mean in means)
    last = len(blocks) - 1
    return "".join(" " if mean is None else blocks[(mean - least) * last // (most - least)] for mean in means)


def _blocks(encoding: str) -> str:
    try:
        _BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _BLOCKS
