"""`psstop history`: the course of one name in the journal, or all names at a glance."""

import argparse
import sqlite3
import sys
import time
from contextlib import closing

from psstopd import exits
from psstopd.cli.journal_path import journal_path
from psstopd.client.escape import shown
from psstopd.client.history.fields import field_named
from psstopd.client.history.when import local, window
from psstopd.exits import CommandError
from psstopd.journal.history import KEPT_FIELDS, HistoryReader
from psstopd.journal.schema import ROLLUP_FIELDS


def main(options: argparse.Namespace) -> int:
    """Show the course of a name, as a plot on a terminal and as rows in a pipe, or the overview of all."""
    field = field_named(options.field)
    path = journal_path(options.journal, options.config)
    try:
        with closing(HistoryReader(path)) as journal:
            if options.name is None:
                _show_overview(journal, field, options)
            else:
                _show_course(journal, field, options)
    except sqlite3.Error as error:
        cure = "is the path right (--journal, --config), and may you read there (sudo)?"
        raise CommandError(f"journal: {path}: {error}; {cure}", exits.CANNOT_CREATE) from error
    return exits.OK


def _show_course(journal: HistoryReader, field: str, options: argparse.Namespace) -> None:
    from psstopd.client.history import course  # noqa: PLC0415 - neither form needs what the other one does
    from psstopd.client.history.series import Course  # noqa: PLC0415

    name, asked = options.name, window(options.since, options.until, now=int(time.time()))
    moments = journal.course(name, asked.since, asked.until)
    if not moments:
        known = journal.knows(name)
        hint = "try a longer --since" if known else "`psstop history` lists the names there are"
        when = "since then" if asked.ends_now else f"from {local(asked.since)} to {local(asked.until)}"
        raise CommandError(f"{shown(name)}: nothing recorded {when}; {hint}", exits.FAILED)
    if field not in KEPT_FIELDS and all(moment.is_rollup for moment in moments):
        kept = ", ".join(KEPT_FIELDS)
        raise CommandError(
            f"--field {field}: of these times only rollups of 5 minutes are left, which keep {kept}", exits.FAILED
        )
    course.show(Course(name, field, asked, moments), options, sys.stdout)


def _show_overview(journal: HistoryReader, field: str, options: argparse.Namespace) -> None:
    from psstopd.client.history import overview  # noqa: PLC0415 - neither form needs what the other one does

    if options.since is not None or options.until is not None or options.plot:
        raise CommandError("--since, --until and --plot are about one name: psstop history NAME", exits.USAGE)
    if field not in ROLLUP_FIELDS:
        kept = ", ".join(ROLLUP_FIELDS)
        raise CommandError(f"--field {field}: without a name only what rollups keep: {kept}", exits.USAGE)
    overview.show(overview.read(journal, field), field, options, sys.stdout)
