"""The surroundings of one daemon's loop, all in the test's hands: clocks, signals, a disk, a systemd."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from psstopd.config import Config, JournalConfig, Overhead, Sampling, Watch
from psstopd.journal.errors import JournalFull
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from psstopd.kernel.procfs import Procfs
from psstopd.model import Tick
from psstopd.sampling.collector import Collector
from psstopd.service.child import ShipperChild
from psstopd.service.loop import Daemon, Parts
from psstopd.service.notify import Notifier
from psstopd.service.queue import Queue
from psstopd.service.reload import ConfigLoad
from psstopd.service.report import Report
from psstopd.service.self_cost import SelfCost
from tests.systemd import NotifySocket, notify_socket

Event = Callable[[], int | None]  # happens at its time; gives the signal that it sends, if any


class World:
    """Wall clock, monotonic clock, signals and systemd as one daemon meets them; ends it with SIGTERM at `until`."""

    def __init__(self, systemd: NotifySocket, *, now: float, until: float) -> None:
        self.seconds = now
        self.steady = 0.0
        self._end = until - now  # by the clock that never steps
        self.events: list[tuple[float, Event]] = []
        self.heard: list[tuple[float, bytes]] = []  # when systemd was told what
        self.refuse_ticks = 0  # the journal is full for so many ticks
        self.reports: list[Report] = []
        self._systemd = systemd

    def now(self) -> float:
        """Give the wall clock's time."""
        return self.seconds

    def monotonic(self) -> float:
        """Give the time of the clock that never steps."""
        return self.steady

    def pass_time(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.seconds += seconds
        self.steady += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self.seconds += seconds

    def wait(self, seconds: float) -> int | None:
        """Sleep until an event, the end, or as long as asked for."""
        self.listen()
        until = self.seconds + seconds
        if self.events and self.events[0][0] <= until:
            at, event = self.events.pop(0)
            self.pass_time(max(0.0, at - self.seconds))
            return event()
        if self.steady + seconds > self._end:
            return signal.SIGTERM
        self.pass_time(seconds)
        return None

    def listen(self) -> None:
        """Note what systemd has been told up to now."""
        self.heard += [(self.seconds, message) for message in self._systemd.received()]

    def told(self, word: bytes) -> list[float]:
        """Give the moments at which systemd was told a word."""
        return [when for when, message in self.heard if word in message.split(b"\n")]


class FillingJournal(Journal):
    """A journal on a disk that is full for as long as its world says."""

    def __init__(self, config: JournalConfig, world: World) -> None:
        super().__init__(config, boot_id="a boot")
        self._world = world

    def append(self, tick: Tick, *, delivered: Position | None) -> None:
        """Refuse the tick or take it."""
        if self._world.refuse_ticks:
            self._world.refuse_ticks -= 1
            raise JournalFull("disk full")
        super().append(tick, delivered=delivered)


def config(directory: Path, *, interval: int = 10, name: str = "nobody-has-this") -> Config:
    """Configure one name and a journal, and no server."""
    watch = Watch(name, name, None, None, None, None, None, "program")
    journal = JournalConfig(str(directory / "journal.db"), 3600, 3600, 8 << 20)
    return Config((watch,), Sampling(interval, 200, 0), Overhead(0.005, 0.02), journal, None, {})


def run(world: World, config: Config, load_config: Callable[[], ConfigLoad] | None = None, watchdog: str = "") -> None:
    """Run a daemon in `world` to its end."""
    with closing(FillingJournal(config.journal, world)) as journal:
        notifier = Notifier({**os.environ, "WATCHDOG_USEC": watchdog})
        shipper = ShipperChild(config)
        parts = Parts(
            collector=Collector(config, procfs=Procfs(), newest_starts={}),
            journal=journal,
            shipper=shipper,
            notifier=notifier,
            self_cost=SelfCost(Procfs()),
            queue=Queue(journal, config.journal.path, shipper),
            clock=world,
            load_config=load_config or (lambda: ConfigLoad(None)),
            observe=world.reports.append,
            monotonic=world.monotonic,
        )
        Daemon(config, parts).run()
        world.listen()
        notifier.close()


def ticks(directory: Path) -> list[int]:
    """Give the times of all journalled ticks."""
    with closing(JournalReader(str(directory / "journal.db"))) as journal:
        return [tick.time for tick in journal.batch(0, 10**9)]


@contextmanager
def world(directory: Path, *, now: float, until: float) -> Iterator[World]:
    """Give a world with a systemd in it."""
    with notify_socket(f"{directory}/notify") as systemd:
        yield World(systemd, now=now, until=until)
