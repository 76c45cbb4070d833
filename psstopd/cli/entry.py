"""The top of both commands: what escapes from below becomes a line and an exit code here, never a traceback."""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import TYPE_CHECKING

from psstopd import exits
from psstopd.exits import CommandError

if TYPE_CHECKING:
    import argparse  # which the sampler does without


def dispatch(command: "argparse.ArgumentParser", arguments: list[str] | None) -> int:
    """Carry out the subcommand that the arguments name, by `main(options)` of its module; show the help without one."""
    options = command.parse_args(arguments)
    from importlib import import_module  # noqa: PLC0415 - the plain table needs none

    module = getattr(options, "module", None)
    if module is None:
        command.print_help(sys.stderr)
        return exits.USAGE
    return guarded(lambda: int(import_module(f"psstopd.cli.{module}").main(options)))


def guarded(command: Callable[[], int]) -> int:
    """Run a command; give its exit code, or that of what stopped it."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding lacks is no reason to end.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _outcome(command)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output as it exits and would complain; whoever read it has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    return code


def _outcome(command: Callable[[], int]) -> int:
    try:
        return command()
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:  # the one place where everything ends
        if os.environ.get("PSSTOPD_TRACEBACK"):  # without the prefix of settings, which refuse what they don't know
            raise
        print(f"a defect in psstop: {type(error).__name__}: {error}", file=sys.stderr)
        print("please report it with the output of the same command under PSSTOPD_TRACEBACK=1", file=sys.stderr)
        return exits.SOFTWARE
