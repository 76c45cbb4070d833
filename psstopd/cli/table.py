"""`psstop`: every process with its memory, the biggest at the prompt, and what all of them use together."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

from psstopd import exits
from psstopd.client.picking import Picks
from psstopd.client.table.processes import Processes, look
from psstopd.client.table.text import Style, lines, total_line
from psstopd.client.watching import first_look, further_looks

if TYPE_CHECKING:
    import argparse

    Options = argparse.Namespace | SimpleNamespace

DEFAULTS = SimpleNamespace(  # of the command line
    by=None, pick=None, command=False, number=None, sort="pss", reverse=False, total=False, watch=None,
    swap=False, split_args=False, discriminate_by_pid=False, units="human", json=False, csv=False,
)  # fmt: skip


def main(options: "Options") -> int:
    """Show the table once or, with --watch, again and again."""
    if options.by is not None:
        from psstopd.cli import by  # noqa: PLC0415 - the plain table starts without it

        return by.main(options)
    picks = Picks(options.pick) if options.pick else None

    def take() -> Processes:
        return look(picks, by_command=options.command)

    def show(processes: Processes) -> None:
        write(processes.arranged(options.sort, options.number, descending=options.reverse))

    write, first = _writer(options), first_look(take, options.pick)
    show(first)
    if options.watch is not None:
        last = first
        for processes in further_looks(take, options.pick, options.watch):
            show(processes.compared(last, first))
            last = processes
    return exits.OK


def _writer(options: "Options") -> Callable[[Processes], None]:
    """Give what writes one table in the form that was asked for."""
    if options.json or options.csv:
        from psstopd.client.table import machine  # noqa: PLC0415 - for people there is no json and no csv

        return machine.write_json if options.json else machine.write_csv
    style = Style.of(sys.stdout, options.units)
    write = total_line if options.total else lines
    return lambda processes: print(*write(processes, style), sep="\n")
