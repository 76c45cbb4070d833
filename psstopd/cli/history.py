"""`psstop history`: what the journal has of one name, as plain numbers."""

import argparse
import sqlite3
import time
from contextlib import closing
from datetime import datetime

from psstopd import exits
from psstopd.cli.entry import CommandError
from psstopd.cli.load import load
from psstopd.cli.units import size
from psstopd.journal.reader import HistoryRow, JournalReader
from psstopd.journal.schema import SAMPLE_FIELDS

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COLUMNS = ("pss_bytes", "swap_pss_bytes", "uss_bytes", "rss_bytes")
_TITLES = ("PSS", "SWAPPSS", "USS", "RSS", "PROCESSES", "UNREADABLE", "STARTS")
_COUNTS = ("processes", "unreadable", "starts_total")


def main(options: argparse.Namespace) -> int:
    """Print the samples of a name, oldest first, or all names."""
    now = int(time.time())
    since = parse_since(options.since, now)
    path = options.journal or load(options.config).journal.path
    try:
        with closing(JournalReader(path)) as journal:
            if options.name is None:
                print("".join(f"{name}\n" for name in journal.names()), end="")
                return exits.OK
            return _print(journal, options.name, since=since, until=now)
    except sqlite3.Error as error:
        cure = "is the path right (--journal, --config), and may you read there (sudo)?"
        raise CommandError(f"journal: {path}: {error}; {cure}", exits.CANNOT_CREATE) from error


def parse_since(text: str, now: int) -> int:
    """Give the Unix time that `2h` before `now`, or a local date or date and time, means. Raises CommandError."""
    try:
        if text[:-1].isdecimal() and text[-1] in _UNITS:
            return max(0, now - int(text[:-1]) * _UNITS[text[-1]])
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--since {text}: write 30m, 2h, 7d, 2026-11-20 or 2026-11-20T08:00", exits.USAGE) from error


def _print(journal: JournalReader, name: str, *, since: int, until: int) -> int:
    found = False
    for row in journal.history(name, since, until):
        if not found:
            print(f"{'TIME':19}", *(f"{title:>10}" for title in _TITLES))
        found = True
        print(_line(row))
    if found:
        return exits.OK
    known = name in journal.names()
    hint = "try a longer --since" if known else "`psstop history` lists the names there are"
    raise CommandError(f"{name}: nothing recorded since then; {hint}", exits.FAILED)


def _line(row: HistoryRow) -> str:
    values = dict(zip(SAMPLE_FIELDS, row.values, strict=True))
    sizes = [size(values[column]) for column in _COLUMNS]
    counts = [str(values[column]) for column in _COUNTS]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.time))
    return " ".join([when, *(f"{text:>10}" for text in sizes + counts)])
