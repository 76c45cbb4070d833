"""A process of its own for tests of the journal: `python -m tests.journal_child COMMAND PATH`.

Commands: `hold` opens the journal and keeps it until its standard input ends; `write` appends ticks for ever and prints
the number of each once `append` has returned; `open` opens and closes it; `read` prints the ids of all ticks. With
`--as-nobody` the process gives up root after its imports, because nobody may not even be able to read this file.
"""

import os
import sqlite3
import sys
from contextlib import closing
from itertools import count

from psstopd.journal.errors import JournalUnusable
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.samples import BOOT, journal_config, wide_tick

NOBODY = 65534


def main() -> int:
    """Run one command; 1 and a message when the journal can't be opened."""
    command, path, *options = sys.argv[1:]
    if "--as-nobody" in options:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        _COMMANDS[command](path)
    except (JournalUnusable, sqlite3.Error) as error:
        _say(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _hold(path: str) -> None:
    with closing(Journal(journal_config(path), boot_id=BOOT)):
        _say("ready")
        sys.stdin.read()


def _write(path: str) -> None:
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in count():
            journal.append(wide_tick(number, 20), delivered=None)
            _say(str(number))


def _open(path: str) -> None:
    Journal(journal_config(path), boot_id=BOOT).close()


def _read(path: str) -> None:
    with closing(JournalReader(path)) as reader:
        _say(" ".join(str(tick.id) for tick in reader.batch(0, 10**6)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


_COMMANDS = {"hold": _hold, "write": _write, "open": _open, "read": _read}

if __name__ == "__main__":
    sys.exit(main())
