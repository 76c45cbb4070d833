"""`psstop --by`: private + shared = RAM used, by program, unit, user or cgroup; what ps_mem's users come for.

Layout and sizes are ps_mem's, except that processes with alike rollups, shared address spaces and shared huge pages are
counted for what they are. Names are psstop's: the program's full name, without marks for updated or deleted files.
"""

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from psstopd import exits
from psstopd.client.groups.counting import count
from psstopd.client.groups.labels import labelling
from psstopd.client.groups.sums import Groups
from psstopd.client.picking import Picks
from psstopd.client.watching import first_look, further_looks
from psstopd.exits import CommandError
from psstopd.kernel.procfs import Procfs

if TYPE_CHECKING:
    from psstopd.cli.table import Options

Write = Callable[[Groups], None]


def main(options: "Options") -> int:
    """Show the groups once or, with --watch, again and again under one header."""
    _check(options)
    procfs = Procfs()
    picks = Picks(options.pick) if options.pick else None
    label = labelling(procfs, options.by, split_args=options.split_args)

    def take() -> Groups:
        groups = count(procfs, picks, label, by_pid=options.discriminate_by_pid)
        return groups.arranged(options.sort, options.number, descending=options.reverse)

    gc.disable()  # one table is soon over
    first = first_look(take, options.pick)
    write = _writer(options)
    write(first)
    if options.watch is not None:
        gc.enable()
        for groups in further_looks(take, options.pick, options.watch):
            write(groups)
    return exits.OK


def _check(options: "Options") -> None:
    """Refuse what has no meaning here, rather than pass over it. Raises CommandError."""
    if options.by != "program" and (options.split_args or options.discriminate_by_pid):
        raise CommandError(f"-s and -d go with --by program, not with --by {options.by}", exits.USAGE)
    if options.command:
        raise CommandError("-c goes without --by; with --by program, -s names by the whole command line", exits.USAGE)
    if options.sort == "rss" or (options.sort == "pid" and not options.discriminate_by_pid):
        raise CommandError(f"--sort {options.sort}: no such column with --by", exits.USAGE)


def _writer(options: "Options") -> Write:
    """Write what comes before all tables; give what writes one of them."""
    if options.json or options.csv:
        return _machine_writer(options)
    from psstopd.client.groups import text as groups_text  # noqa: PLC0415 - not for programs
    from psstopd.client.table.text import Style  # noqa: PLC0415 - likewise

    style = Style.of(sys.stdout, options.units)
    if options.total:
        return lambda groups: _write_total(groups, has_swap=options.swap)
    title = options.by.capitalize() + ("[pid]" if options.discriminate_by_pid else "")
    layout = groups_text.Layout(title, options.swap, style)
    print(*groups_text.header(layout), sep="\n")
    return lambda groups: print(*groups_text.table(groups, layout), sep="\n")


def _machine_writer(options: "Options") -> Write:
    from psstopd.client.groups import machine as groups_machine  # noqa: PLC0415 - for people there is no json and no csv

    if options.json:
        return lambda groups: groups_machine.write_json(groups, options.by)
    groups_machine.write_csv_header()
    return groups_machine.write_csv


def _write_total(groups: Groups, *, has_swap: bool) -> None:
    """Write nothing but the number of bytes; what is missing from it goes to standard error."""
    from psstopd.client.groups.text import remarks  # noqa: PLC0415 - as above
    from psstopd.client.table.text import Style  # noqa: PLC0415 - likewise

    size = groups.total.swap if has_swap else groups.total.ram
    if size is None:
        raise CommandError("this kernel tells no shares of swap: SwapPss came with Linux 4.3", exits.FAILED)
    print(size)
    for remark in remarks(groups, Style.of(sys.stderr, "B")):
        print(remark, file=sys.stderr)
