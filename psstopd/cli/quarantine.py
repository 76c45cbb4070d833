"""`psstopd quarantine`: the lines that a server refused, one by one, while it took others of the same batch."""

import argparse
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from psstopd import exits
from psstopd.cli.load import load
from psstopd.delivery.lineprotocol import printable
from psstopd.exits import CommandError
from psstopd.journal.cursor import cursor_path
from psstopd.journal.quarantine import Quarantine
from psstopd.words import counted, duration

_NOTHING = "nothing is set aside"


def main(options: argparse.Namespace) -> int:
    """List, export, retry or drop the lines."""
    path = cursor_path(load(options.config, ships=False).journal.path)
    if not Path(path).exists():  # nothing was ever sent from this journal
        print(_NOTHING, file=sys.stderr)
        return exits.OK
    try:
        with closing(Quarantine(path)) as quarantine:
            _ACTIONS[options.action](quarantine, options.ids)
    except sqlite3.Error as error:
        cure = "is this the daemon's config (--config), and may you write there (sudo)?"
        raise CommandError(f"{path}: {error}; {cure}", exits.CANNOT_CREATE) from error
    return exits.OK


def _list(quarantine: Quarantine, ids: list[int]) -> None:
    rows = quarantine.rows(ids)
    if not rows:
        print(_NOTHING, file=sys.stderr)
    for row in rows:
        waits = ", to be sent again" if row.retry else ""
        print(f"{row.id}  {duration(time.time() - row.set_aside_at)} ago{waits}: {printable(row.answer)}")
        print(f"    {row.line}")


def _export(quarantine: Quarantine, ids: list[int]) -> None:
    for row in quarantine.rows(ids):
        print(row.line)


def _retry(quarantine: Quarantine, ids: list[int]) -> None:
    print(f"{counted(quarantine.retry(ids), 'line')} will be sent again with the next delivery")


def _drop(quarantine: Quarantine, ids: list[int]) -> None:
    print(f"{counted(quarantine.drop(ids), 'line')} dropped")


_ACTIONS = {"list": _list, "export": _export, "retry": _retry, "drop": _drop}
