"""`psstop`: the command that people type."""

import gc
import sys

from psstopd.cli.entry import dispatch, guarded


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        gc.disable()  # one table is soon over
        from psstopd.cli import table  # noqa: PLC0415 - argparse takes a third of the time that all else takes to start

        code = guarded(lambda: table.main(table.DEFAULTS))
        gc.freeze()  # or Python, as it ends, looks for garbage after all: 2 ms
        return code
    from psstopd.cli.client_parser import parser  # noqa: PLC0415

    return dispatch(parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())
