"""The sampler's process: wire the daemon together and let it run. `psstopd run` becomes this one, see there."""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from psstopd import __version__, exits
from psstopd.cli.entry import guarded
from psstopd.cli.logs import set_up_logging
from psstopd.config import Config, from_json
from psstopd.exits import CommandError
from psstopd.journal.errors import JournalLocked, JournalUnusable
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

if TYPE_CHECKING:
    from psstopd.cli.live import LiveView

log = logging.getLogger("psstopd")


class Options(NamedTuple):
    """What `psstopd run` hands over: the config it has read, and where from, for reloads."""

    config: Config
    config_path: str | None
    stdout: bool


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT."""
    set_up_logging()
    signals.block()
    options = _options(arguments)
    _take_name("psstopd")
    journal = _open_journal(options.config)
    try:
        return _run(options, journal)
    except JournalUnusable as unusable:  # damaged, and the new one can't be made
        raise CommandError(f"journal: {unusable}", exits.CANNOT_CREATE) from unusable
    finally:
        journal.close()


def _options(arguments: Sequence[str]) -> Options:
    """Take the config from the descriptor that is the first argument, and the options of `run` from the rest."""
    descriptor, *rest = arguments
    with open(int(descriptor), "rb") as file:
        config = from_json(file.read())
    path = rest[rest.index("--config") + 1] if "--config" in rest else None
    return Options(config, path, "--stdout" in rest)


def _take_name(name: str) -> None:
    """Be called psstopd by ps(1) and pgrep(1), not python3: proc_pid_comm(5)."""
    with suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)


def _open_journal(config: Config) -> Journal:
    boot_id = read_once("/proc/sys/kernel/random/boot_id").decode().strip()
    try:
        return Journal(config.journal, boot_id=boot_id)
    except JournalLocked as locked:
        raise CommandError(f"journal: {locked}", exits.LOCKED) from locked
    except JournalUnusable as unusable:
        raise CommandError(f"journal: {unusable}", exits.CANNOT_CREATE) from unusable


def _run(options: Options, journal: Journal) -> int:
    config = options.config
    procfs = Procfs()
    shipper = ShipperChild(config, stdout=options.stdout, after=journal.newest_tick)
    notifier = Notifier(os.environ)
    view = _live_view(options)
    parts = Parts(
        collector=Collector(config, procfs=procfs, newest_starts=journal.newest_starts()),
        journal=journal,
        shipper=shipper,
        notifier=notifier,
        self_cost=SelfCost(procfs),
        queue=Queue(journal, config.journal.path, shipper),
        clock=signals.SystemClock(),
        load_config=lambda: ConfigLoad(options.config_path),
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


def _settings(options: Options) -> str:
    config = options.config
    sink = "stdout" if options.stdout else config.influxdb.url if config.influxdb else "none"
    return (
        f"version={__version__} rules={len(config.watch)} interval_seconds={config.sampling.interval}"
        f" journal={config.journal.path} sink={sink}"
    )


def _live_view(options: Options) -> "LiveView | None":
    """Give a view where a person watches: on a terminal that doesn't get line protocol."""
    if options.stdout or not sys.stderr.isatty():
        return None
    from psstopd.cli.live import LiveView  # noqa: PLC0415 - the service never needs it

    return LiveView(sys.stderr, options.config.journal.path, euid=os.geteuid())


def _ignore(_report: Report) -> None:
    """Show nothing: the log has what changes, the journal the rest."""


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
