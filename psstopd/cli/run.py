"""`psstopd run`: read the config, then become the sampler."""

import argparse
from typing import NoReturn

from psstopd.cli.fresh import Options, become
from psstopd.cli.load import load


def main(options: argparse.Namespace) -> NoReturn:
    """Replace this process by the sampler; one without a shipper never sees the token."""
    given = {"--stdout": options.stdout, "--no-shipper": not options.shipper}
    flags = tuple(flag for flag, is_given in given.items() if is_given)
    become("psstopd.cli.sampler", Options(load(options.config, ships=options.shipper), options.config, flags))
