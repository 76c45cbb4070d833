"""The sampler with its time sped up: the same parts as in `psstopd.cli.sampler`, but each sleep is over at once.

The first line of standard input is the config as JSON. For each further line, a number of ticks, it takes ticks until
so many have been taken since the start and answers "TICKS CPU SHIPPER": its CPU in microseconds, and the shipper's pid
or 0. It stands still between the lines, and stops where they end. With --no-shipper somebody else keeps the shipper.
"""

import os
import signal
import sys
import time

import psstopd.cli.sampler  # noqa: F401 - for all that it imports
from psstopd.cli.logs import set_up_logging
from psstopd.config import Config, from_json
from psstopd.journal.writer import Journal
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.collector import Collector
from psstopd.service import signals
from psstopd.service.child import ShipperChild
from psstopd.service.loop import Daemon, Parts
from psstopd.service.notify import Notifier
from psstopd.service.queue import Queue
from psstopd.service.reload import ConfigLoad
from psstopd.service.self_cost import SelfCost
from psstopd.service.shipping import Shipper, ShipperElsewhere


class Director:
    """Moves the clock and counts the ticks; lives as long as the process."""

    def __init__(self, start: float) -> None:
        self._now = start
        self._ticks = 0
        self._pause_at: int | None = 0

    def now(self) -> float:
        """Give the time that it is supposed to be."""
        return self._now

    def monotonic(self) -> float:
        """Give the same: it never steps here."""
        return self._now

    def wait(self, seconds: float) -> int | None:
        """Let the time pass without waiting for it; signals that have arrived are taken as ever."""
        if self._pause_at is None:
            return signal.SIGTERM
        self._now += seconds
        return signals.wait(0)

    def count(self, shipper: Shipper) -> None:
        """Count a tick, and stand still when it is the last that was asked for."""
        self._ticks += 1
        if self._ticks == self._pause_at:
            os.write(1, f"{self._ticks} {time.process_time() * 1e6:.0f} {(0, *shipper.pids)[-1]}\n".encode())
            self.listen()

    def listen(self) -> None:
        """Wait for the next line; there is no pause any more where the lines have ended."""
        line = sys.stdin.readline()
        self._pause_at = int(line) if line else None


def main() -> int:
    """Take ticks as told."""
    set_up_logging()
    signals.block()
    config = from_json(sys.stdin.readline())
    journal = Journal(config.journal, boot_id="a boot of its own")
    try:
        _run(config, journal)
    finally:
        journal.close()
    return 0


def _run(config: Config, journal: Journal) -> None:
    procfs = Procfs()
    shipper = ShipperElsewhere(config) if "--no-shipper" in sys.argv else ShipperChild(config)
    director = Director(time.time() // 86400 * 86400)
    parts = Parts(
        collector=Collector(config, procfs=procfs, newest_starts=journal.newest_starts()),
        journal=journal,
        shipper=shipper,
        notifier=Notifier(os.environ),
        self_cost=SelfCost(procfs),
        queue=Queue(journal, config.journal.path, shipper),
        clock=director,
        load_config=lambda: ConfigLoad(None),
        observe=lambda _report: director.count(shipper),
    )
    director.listen()
    try:
        Daemon(config, parts).run()
    finally:
        shipper.stop()


if __name__ == "__main__":
    sys.exit(main())
