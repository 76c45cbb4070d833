"""The command line of `psstop`: what it takes, and the help, the manual page and the completion that come of that."""

import argparse

from psstopd import __version__
from psstopd.cli.table import DEFAULTS

_EPILOG = """examples:
  psstop                             every process, the biggest at the prompt, and what they use together
  psstop -p nginx -p 'php*' -w 5     the processes of some programs, again every 5 seconds
  psstop --by program -S             RAM and swap of each program
  psstop show postgres               what the memory of a program is made of
  psstop history                     the names in the journal, with their changes
  psstop history nginx --since 2d    the last two days of one of them

exit codes: 0 fine, 1 no such process or nothing recorded, 2 wrong usage, 69 --exact without root or numpy, 70 a defect
in psstop, 73 the journal can't be read, 78 the config is not valid, 130 ended with Ctrl-C
"""
_SORTS = ("pss", "swap", "uss", "rss", "pid", "name")
_GROUPS = ("program", "unit", "user", "cgroup")


def parser() -> argparse.ArgumentParser:
    """Describe the command line; `module` names the file here that carries a command out."""
    command = argparse.ArgumentParser(
        prog="psstop",
        description="Which programs really use the memory of this server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"psstop {__version__}")
    _add_table(command)
    command.set_defaults(module="table", **vars(DEFAULTS))
    subcommands = command.add_subparsers(metavar="COMMAND")
    _add_show(subcommands.add_parser("show", help="what the memory of a program or a process is made of"))
    _add_history(subcommands.add_parser("history", help="what the daemon has recorded"))
    return command


def _add_table(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "-p",
        "--pick",
        metavar="NAME",
        action="append",
        help="only this program (exact, or a glob with *) or pid; again",
    )
    add("-c", "--command", action="store_true", help="names from the command line")
    add("-n", "--number", metavar="N", type=_positive, help="only the N biggest")
    add("--sort", choices=_SORTS, help="the last column sorted by is at the prompt (default: pss)")
    add("-r", "--reverse", action="store_true", help="the biggest first")
    add("-t", "--total", action="store_true", help="only the total, in bytes")
    add("-w", "--watch", metavar="SECONDS", type=_positive, help="again every SECONDS, with the change")
    add("--by", choices=_GROUPS, help="one row for each program, systemd unit, user or cgroup: private + shared")
    add("-S", "--swap", action="store_true", help="with --by: the swap as well")
    add("-s", "--split-args", action="store_true", help="with --by program: one row for each command line")
    add("-d", "--discriminate-by-pid", action="store_true", help="with --by program: one row for each process")
    add("--units", choices=("human", "B", "KiB", "MiB", "GiB"), help="of the table (default: human)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="bytes, as JSON")
    form.add_argument("--csv", action="store_true", help="bytes, as CSV with a header")


def _add_show(show: argparse.ArgumentParser) -> None:
    add = show.add_argument
    add("target", metavar="NAME|PID", nargs="+", help="programs (exact, or a glob with *) or pids; summed by mapping")
    add("--exact", action="store_true", help="page by page: what comes back if all of them end (root, numpy)")
    add("--sort", choices=("pss", "private", "shared", "swap", "size", "name"), default="pss", help="default: pss")
    add("-n", "--number", metavar="N", type=_positive, help="only the N biggest mappings, the rest in one row")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="bytes, as JSON")
    form.add_argument("--csv", action="store_true", help="bytes, as CSV with a header")
    show.set_defaults(module="show")


def _add_history(history: argparse.ArgumentParser) -> None:
    add = history.add_argument
    add("name", nargs="?", help="a recorded name; without it, all names with their changes")
    add("--since", metavar="TIME", help="30m, 2h, 7d, 2026-11-20 or 2026-11-20T08:00 (default: an hour before the end)")
    add("--until", metavar="TIME", help="likewise (default: now)")
    add("--field", metavar="FIELD", default="pss", help="such as swap, rss, processes, starts (default: pss)")
    form = history.add_mutually_exclusive_group()
    form.add_argument("--plot", action="store_true", help="the plot in a pipe as well, where rows are the default")
    form.add_argument("--json", action="store_true", help="every sample, sizes in bytes, as JSON")
    form.add_argument("--csv", action="store_true", help="every sample, sizes in bytes, as CSV with a header")
    add("--journal", metavar="FILE", help="default: the journal that the daemon's config names")
    add("--config", metavar="FILE", help="default: /etc/psstop/psstop.toml")
    history.set_defaults(module="history")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return number
