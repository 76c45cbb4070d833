"""The daemon: a tick on every grid point, each journalled before anything else is done with it.

What fails, and what then happens:

| what                                | what the loop does                                                           |
|-------------------------------------|------------------------------------------------------------------------------|
| a process ends, or its read hangs   | its name's sample says so; the tick goes on                                  |
| the journal takes no tick           | it is held in memory and written when there is room; logged at begin and end |
| the shipper dies                    | it is started again, with growing delays; what it had not sent is journalled |
| the server is down, slow or wrong   | nothing: the loop never talks to it                                          |
| a tick takes more than its interval | missed grid points are counted in late_ticks_total, never queued             |
| the clock steps                     | the grid begins anew from the new time                                       |
| SIGHUP with a bad config            | it is logged, and the old one stays                                          |
| the loop itself hangs               | no WATCHDOG=1 any more: systemd kills and restarts the daemon                |
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from psstopd.config import Config
from psstopd.journal.errors import JournalFull
from psstopd.journal.position import Position
from psstopd.journal.writer import Journal
from psstopd.model import Health, Tick
from psstopd.sampling import ticker
from psstopd.sampling.collector import Collection, Collector
from psstopd.service import signals
from psstopd.service.notify import Notifier
from psstopd.service.queue import Queue, QueueState
from psstopd.service.reload import ConfigLoad, Reloads, Told, require_same_journal
from psstopd.service.report import Report
from psstopd.service.self_cost import SelfCost
from psstopd.service.shipping import Shipper

log = logging.getLogger("psstopd")

_LONGEST_SLEEP_SECONDS = 30.0  # after which a clock that stepped is noticed
_TRIM_SHARE = 0.02  # of the interval, for keeping the journal's bounds


class Clock(Protocol):
    """Where the grid lies, and the sleep; tests turn it by hand."""

    def now(self) -> float:
        """Give the Unix time in seconds."""

    def wait(self, seconds: float) -> int | None:
        """Sleep up to `seconds`; give the signal that ended the sleep."""


class Parts(NamedTuple):
    """What a daemon is made of; built, and closed, by the command that runs it."""

    collector: Collector
    journal: Journal
    shipper: Shipper
    notifier: Notifier
    self_cost: SelfCost
    queue: Queue
    clock: Clock
    load_config: Callable[[], ConfigLoad]
    observe: Callable[[Report], None]
    monotonic: Callable[[], float] = time.monotonic  # seconds on a clock that never steps


class Daemon:
    """The sampler's loop; lives as long as its process. `step` is one tick, `run` all of them until a signal."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._schedule = 0
        self._late_ticks = 0
        self._ready = self._stopping = False
        self._status = "starting"
        self._trouble: str | None = None
        self._reloads = Reloads(parts.load_config, Told(self._begin_reload, self._adopt, self._end_reload))

    def run(self) -> None:
        """Tick until SIGTERM or SIGINT. The first tick is due at once, for the grid point that has just passed."""
        now = self._parts.clock.now()
        self._schedule = ticker.grid_point(now, self._interval)
        if self._schedule <= (self._parts.journal.last_time() or -1) <= now:
            # Restarted inside one tick, or since then with a shorter interval: this grid point has its sample.
            self._schedule += self._interval
            self._status = "waiting for the next tick: this one was recorded before the restart"
            self._become_ready()
        before = self._parts.monotonic()
        while self._sleep():
            due, missed = ticker.take(self._schedule, self._interval, self._parts.clock.now())
            began = self._parts.monotonic()
            # A clock that was set forward, or a machine that slept, has made no tick late.
            self._late_ticks += min(missed, int((began - before) // self._interval))
            self._schedule, before = due + self._interval, began
            self.step(due)
        self._parts.notifier.stopping()
        self._parts.shipper.stop()
        self._reloads.close()

    def step(self, due: int) -> None:
        """Sample, journal and report one tick for the grid point `due`."""
        began = time.perf_counter()
        collection = self._parts.collector.collect()
        tick_us = int((time.perf_counter() - began) * 1e6)
        queue, shippers = self._parts.queue.look(), self._parts.shipper.pids
        health = self._health(collection, queue, shippers, due=due, tick_us=tick_us)
        tick = Tick(due, collection.samples, health)
        self._journal(tick, queue.delivered)
        report = Report(tick, collection.unreadable, self._trouble, queue.delivery, ships=bool(shippers))
        self._status = report.words()
        if not self._ready and self._trouble is None:
            self._become_ready()
        self._parts.observe(report)

    @property
    def _interval(self) -> int:
        return self._config.sampling.interval

    def _sleep(self) -> bool:
        """Sleep until the next tick is due, seeing to signals and the watchdog; False when it is time to stop.

        The shipper is seen to on every wake: SIGCHLD tells that it has ended, only time that its next start is due.
        """
        clock, notifier, shipper = self._parts.clock, self._parts.notifier, self._parts.shipper
        longest = min(_LONGEST_SLEEP_SECONDS, (notifier.watchdog_seconds or 60.0) / 2)
        while True:
            notifier.alive(self._status, ready=self._ready)
            shipper.poll()
            self._reloads.poll()
            if self._stopping or shipper.closed:
                return False
            now = clock.now()
            self._schedule = ticker.realign(self._schedule, self._interval, now)
            self._attend(clock.wait(min(longest, max(0.0, self._schedule - now))))
            if clock.now() >= self._schedule and not self._stopping:
                return True

    def _attend(self, signal: int | None) -> None:
        if signal in signals.STOP:
            self._stopping = True
        elif signal == signals.RELOAD:
            self._reloads.ask()

    def _begin_reload(self) -> None:
        if self._ready:  # systemd knows of no reload before
            self._parts.notifier.reloading()

    def _end_reload(self) -> None:
        if self._ready:
            self._parts.notifier.ready(self._status)

    def _adopt(self, config: Config) -> None:
        require_same_journal(config, self._config)
        if config.sampling.interval != self._interval:
            self._schedule = ticker.grid_point(self._parts.clock.now(), config.sampling.interval)
            self._schedule += config.sampling.interval
        self._parts.collector.reload(config)
        self._parts.journal.reload(config.journal)
        self._parts.shipper.reconfigure(config)
        self._config = config
        log.info("reloaded: rules=%d interval_seconds=%d", len(config.watch), self._interval)

    def _become_ready(self) -> None:
        self._ready = True
        self._parts.notifier.ready(self._status)

    def _journal(self, tick: Tick, delivered: Position | None) -> None:
        """Write a tick and keep the journal's bounds; log when it stops and when it begins to take ticks again."""
        journal = self._parts.journal
        trouble = None
        try:
            journal.append(tick, delivered=delivered)
            journal.trim(tick.time, delivered=delivered, seconds=_TRIM_SHARE * self._interval)
        except JournalFull as full:
            trouble = str(full)
        if trouble is not None and trouble != self._trouble:
            log.error("journal takes no ticks, holding them in memory: %s", trouble)
        elif trouble is None and self._trouble is not None:
            log.warning("journal takes ticks again: dropped_total=%d", journal.dropped_total)
        self._trouble = trouble

    def _health(
        self, collection: Collection, queue: QueueState, shippers: Sequence[int], *, due: int, tick_us: int
    ) -> Health:
        return Health(
            processes=sum(sample.processes for sample in collection.samples),
            tick_us=tick_us,
            late_ticks_total=self._late_ticks,
            pending_points=queue.points,
            pending_age_s=queue.age(due),
            dropped_total=self._parts.journal.dropped_total,
            quarantined_total=queue.quarantined_total,
            send_errors_total=queue.errors_total,
            self_pss_bytes=self._parts.self_cost.pss_bytes(shippers),
            self_cpu_us_total=self._parts.self_cost.cpu_us_total(shippers),
        )
