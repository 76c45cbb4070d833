"""`psstopd check-config`: everything that is wrong with the config, and with the server, before the daemon meets it."""

import argparse

from psstopd import exits
from psstopd.cli.load import load
from psstopd.exits import CommandError
from psstopd.words import counted


def main(options: argparse.Namespace) -> int:
    """Say that the config is valid or all that is wrong; with --connect, whether the server takes points."""
    config = load(options.config)
    sink = f"InfluxDB at {config.influxdb.url}" if config.influxdb else "the journal alone"
    print(f"config ok: {counted(len(config.watch), 'rule')}, every {config.sampling.interval} s, to {sink}")
    if not options.connect:
        return exits.OK
    if config.influxdb is None:
        print("no [influxdb] section: nothing to connect to")
        return exits.OK
    from psstopd.delivery.diagnosis import check  # noqa: PLC0415 - 33 MiB that only --connect needs

    problem = check(config.influxdb)
    if problem is not None:
        raise CommandError(problem, exits.UNAVAILABLE)
    print(f"server ok: {config.influxdb.url} takes points for {config.influxdb.bucket}")
    return exits.OK
