"""The sampler's process: wire the daemon together and let it run. `psstopd run` becomes this one, see there."""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from psstopd import __version__, exits
from psstopd.cli.entry import guarded
from psstopd.cli.fresh import Options, handed_over, journal_trouble, take_name
from psstopd.cli.logs import set_up_logging
from psstopd.journal.writer import Journal
from psstopd.kernel.procfs import Procfs, read_once
from psstopd.sampling.collector import Collector
from psstopd.service import signals
from psstopd.service.child import ShipperChild
from psstopd.service.loop import Daemon, Parts
from psstopd.service.notify import Notifier
from psstopd.service.queue import Queue
from psstopd.service.reload import ConfigLoad
from psstopd.service.report import Report
from psstopd.service.self_cost import SelfCost
from psstopd.service.shipping import ShipperElsewhere

if TYPE_CHECKING:
    from psstopd.cli.live import LiveView

log = logging.getLogger("psstopd")

_STDOUT, _NO_SHIPPER = "--stdout", "--no-shipper"


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT."""
    set_up_logging()
    signals.block()
    options = handed_over(arguments)
    take_name("psstopd")
    boot_id = read_once("/proc/sys/kernel/random/boot_id").decode().strip()
    with journal_trouble():  # in the end too: damaged, and the new one can't be made
        journal = Journal(options.config.journal, boot_id=boot_id)
        try:
            return _run(options, journal)
        finally:
            journal.close()


def _run(options: Options, journal: Journal) -> int:
    config = options.config
    procfs = Procfs()
    ships = _NO_SHIPPER not in options.flags
    shipper = _shipper(options, journal) if ships else ShipperElsewhere(config)
    notifier = Notifier(os.environ)
    view = _live_view(options)
    parts = Parts(
        collector=Collector(config, procfs=procfs, newest_starts=journal.newest_starts()),
        journal=journal,
        shipper=shipper,
        notifier=notifier,
        self_cost=SelfCost(procfs, children=ships),
        queue=Queue(journal, config.journal.path, shipper),
        clock=signals.SystemClock(),
        load_config=lambda: ConfigLoad(options.config_path, ships=ships),
        observe=view.show if view else _ignore,
    )
    log.info("started: %s", _settings(options))
    gc.freeze()  # what is here now stays: the collector need not walk it again and again
    try:
        Daemon(config, parts).run()
    finally:
        shipper.stop()
        notifier.close()
    if view:
        view.say_goodbye()
    log.info("stopped: journal=%s", config.journal.path)
    return exits.SINK_CLOSED if shipper.closed else exits.OK


def _shipper(options: Options, journal: Journal) -> ShipperChild:
    """Give the keeper of a shipper of our own. Raises JournalLocked where another process keeps one."""
    shipper = ShipperChild(options.config, stdout=_STDOUT in options.flags, after=journal.newest_tick)
    shipper.claim()
    return shipper


def _settings(options: Options) -> str:
    config = options.config
    sink = "stdout" if _STDOUT in options.flags else config.influxdb.url if config.influxdb else "none"
    return (
        f"version={__version__} rules={len(config.watch)} interval_seconds={config.sampling.interval}"
        f" journal={config.journal.path} sink={sink}"
    )


def _live_view(options: Options) -> "LiveView | None":
    """Give a view where a person watches: on a terminal that doesn't get line protocol."""
    if _STDOUT in options.flags or not sys.stderr.isatty():
        return None
    from psstopd.cli.live import LiveView  # noqa: PLC0415 - the service never needs it

    return LiveView(sys.stderr, options.config.journal.path, euid=os.geteuid())


def _ignore(_report: Report) -> None:
    """Show nothing: the log has what changes, the journal the rest."""


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
