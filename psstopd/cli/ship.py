"""`psstopd ship`: read the config, then become the keeper of a shipper, beside a `psstopd run --no-shipper`."""

import argparse
from typing import NoReturn

from psstopd.cli.fresh import Options, become
from psstopd.cli.load import load


def main(options: argparse.Namespace) -> NoReturn:
    """Replace this process by the keeper."""
    become("psstopd.cli.keeper", Options(load(options.config), options.config))
