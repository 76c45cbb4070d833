"""`psstopd`: the command that runs the daemon, checks its config and tells how it does."""

import argparse
import sys

from psstopd import __version__
from psstopd.cli.entry import dispatch

_EPILOG = """examples:
  psstopd run --config my.toml                 sample and deliver in the foreground, with a config of your own
  psstopd run --no-shipper                     sample without a network, as psstop.service does
  psstopd ship                                 deliver without any rights, as psstop-shipper.service does
  psstopd run --stdout                         line protocol on standard output (Telegraf's inputs.execd)
  psstopd check-config --connect               is the config right, and does the server take points?
  psstopd status                               what is watched, pending and wrong
  psstopd status --cost                        which names cost the most to read
  psstopd quarantine list                      lines that the server refused, and why

exit codes: 0 fine, 2 wrong usage, 3 not running (status), 69 the server would not take points (check-config --connect),
70 a defect in psstop, 73 the journal can't be opened, 74 standard output was closed, 75 another psstopd has this
journal or delivers it, 78 the config is not valid
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and give its exit code."""
    return dispatch(parser(), arguments)


def parser() -> argparse.ArgumentParser:
    """Describe the command line; `module` names the file here that carries a subcommand out."""
    command = argparse.ArgumentParser(
        prog="psstopd",
        description="Record the PSS and SwapPss of the watched programs, and send them to InfluxDB.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--version", action="version", version=f"psstopd {__version__}")
    subcommands = command.add_subparsers(metavar="COMMAND")

    run = subcommands.add_parser("run", help="sample, journal and deliver until told to stop")
    sink = run.add_mutually_exclusive_group()
    sink.add_argument("--stdout", action="store_true", help="write line protocol to standard output, not to InfluxDB")
    sink.add_argument("--no-shipper", dest="shipper", action="store_false", help="leave delivery to psstopd ship")
    run.set_defaults(module="run")

    ship = subcommands.add_parser("ship", help="deliver what a run without a shipper records, until told to stop")
    ship.set_defaults(module="ship")

    check = subcommands.add_parser("check-config", help="say what is wrong with the config, all at once")
    check.add_argument("--connect", action="store_true", help="also ask the server whether it would take points")
    check.set_defaults(module="check_config")

    status = subcommands.add_parser("status", help="what is watched, pending and wrong")
    status.add_argument("--json", action="store_true", help="the same as JSON, sizes in bytes, times in Unix seconds")
    status.add_argument("--cost", action="store_true", help="instead: which names cost the most to read, and how often")
    status.set_defaults(module="status")

    quarantine = subcommands.add_parser("quarantine", help="lines that the server refused: look, send again, give up")
    quarantine.add_argument("action", choices=("list", "export", "retry", "drop"), help="export writes line protocol")
    quarantine.add_argument("ids", metavar="ID", nargs="*", type=int, help="as listed; without any, all of them")
    quarantine.set_defaults(module="quarantine")

    for subcommand in (run, ship, check, status, quarantine):
        subcommand.add_argument("--config", metavar="FILE", help="default: /etc/psstop/psstop.toml")
    return command


if __name__ == "__main__":
    sys.exit(main())
