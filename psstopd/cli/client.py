"""`psstop`: the command that people type."""

import argparse
import sys

from psstopd import __version__
from psstopd.cli.entry import dispatch

_EPILOG = """examples:
  psstop history                     the names in the journal
  psstop history nginx               every sample of nginx in the last hour: time, PSS, SwapPss, processes
  psstop history nginx --since 2d    of the last two days

exit codes: 0 fine, 1 nothing recorded under that name, 2 wrong usage, 70 a defect in psstop, 73 the journal can't be
read, 78 the config is not valid
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and give its exit code."""
    return dispatch(parser(), arguments)


def parser() -> argparse.ArgumentParser:
    """Describe the command line; `module` names the file here that carries a subcommand out."""
    command = argparse.ArgumentParser(
        prog="psstop",
        description="Which programs really use the memory of this server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"psstop {__version__}")
    subcommands = command.add_subparsers(metavar="COMMAND")
    history = subcommands.add_parser("history", help="what the daemon has recorded of one name")
    history.add_argument("name", nargs="?", help="a watched name; without it, all names")
    history.add_argument("--since", metavar="TIME", default="1h", help="30m, 2h, 7d or 2026-11-20 (default: 1h)")
    history.add_argument("--journal", metavar="FILE", help="default: the journal that the daemon's config names")
    history.add_argument("--config", metavar="FILE", help="default: /etc/psstop/psstop.toml")
    history.set_defaults(module="history")
    return command


if __name__ == "__main__":
    sys.exit(main())
