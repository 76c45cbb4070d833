"""The keeper's process: one shipper kept running for the journal of a sampler. `psstopd ship` becomes this one."""

import gc
import logging
import os
import sys
from collections.abc import Sequence

from psstopd import __version__, exits
from psstopd.cli.entry import guarded
from psstopd.cli.fresh import handed_over, journal_trouble, take_name
from psstopd.cli.logs import set_up_logging
from psstopd.service import signals
from psstopd.service.child import ShipperChild
from psstopd.service.keeper import Keeper
from psstopd.service.notify import Notifier
from psstopd.service.reload import ConfigLoad

log = logging.getLogger("psstopd")


def main(arguments: Sequence[str]) -> int:
    """Keep a shipper until SIGTERM or SIGINT, or until the config names no server."""
    set_up_logging()
    signals.block()
    options = handed_over(arguments)
    take_name("psstopd-ship")
    config = options.config
    shipper, notifier = ShipperChild(config), Notifier(os.environ)
    with journal_trouble():
        shipper.claim()
    sink = config.influxdb.url if config.influxdb else "none"
    log.info("started: version=%s journal=%s sink=%s", __version__, config.journal.path, sink)
    gc.freeze()
    try:
        Keeper(config, shipper, notifier, load_config=lambda: ConfigLoad(options.config_path)).run()
    finally:
        shipper.stop()
        notifier.close()
    log.info("stopped: journal=%s", config.journal.path)
    return exits.OK


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
