"""The loop of `psstopd ship`: one shipper is kept running, and systemd is told how delivery does."""

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

from psstopd.config import Config
from psstopd.journal.cursor import read_delivery
from psstopd.journal.reader import JournalReader
from psstopd.service import signals
from psstopd.service.child import ShipperChild
from psstopd.service.notify import Notifier
from psstopd.service.reload import ConfigLoad, Reloads, Told, require_same_journal
from psstopd.service.report import obstacles

log = logging.getLogger("psstopd")

_NOTHING = "nothing to ship: the config has no [influxdb] section"
_LONGEST_SLEEP_SECONDS = 5.0  # after which the status is told anew
_SHORTEST_SLEEP_SECONDS = 1.0


class Keeper:
    """Sees to one shipper until it is told to stop, or there is no server to ship to; lives as long as its process."""

    def __init__(
        self, config: Config, shipper: ShipperChild, notifier: Notifier, *, load_config: Callable[[], ConfigLoad]
    ) -> None:
        self._config = config
        self._shipper = shipper
        self._notifier = notifier
        self._reloads = Reloads(load_config, Told(notifier.reloading, self._adopt, self._become_ready))
        self._has_journal = False

    def run(self) -> None:
        """Keep the shipper until SIGTERM or SIGINT, or until a config has no server. Ready is who keeps one."""
        self._poll()
        self._become_ready()
        signal = None
        while self._shipper.delivers and signal not in signals.STOP:
            self._notifier.alive(self._words(), ready=True)
            signal = signals.wait(self._seconds_to_sleep())
            if signal == signals.RELOAD:
                self._reloads.ask()
            self._poll()
            self._reloads.poll()
        if not self._shipper.delivers:
            log.info(_NOTHING)
        self._notifier.stopping()
        self._shipper.stop()
        self._reloads.close()

    def _poll(self) -> None:
        """See to the shipper, once there is something to read: whoever makes the journal may come later than this."""
        self._has_journal = self._has_journal or _is_there(self._config.journal.path)
        if self._has_journal:
            self._shipper.poll()

    def _seconds_to_sleep(self) -> float:
        longest = min(_LONGEST_SLEEP_SECONDS, (self._notifier.watchdog_seconds or 60.0) / 2)
        return min(longest, max(_SHORTEST_SLEEP_SECONDS, self._shipper.seconds_to_poll))

    def _become_ready(self) -> None:
        self._notifier.ready(self._words())

    def _adopt(self, config: Config) -> None:
        require_same_journal(config, self._config)
        self._config = config
        self._shipper.reconfigure(config)
        log.info("reloaded: sink=%s", config.influxdb.url if config.influxdb else "none")

    def _words(self) -> str:
        """Say in one line where to, when last, and what is in the way."""
        if self._config.influxdb is None:
            return _NOTHING
        if not self._has_journal:
            return f"waiting for {self._config.journal.path}"
        delivery = read_delivery(self._config.journal.path)
        parts = [f"to {self._config.influxdb.url}"]
        if delivery is not None and delivery.delivered_at is not None:
            parts.append(f"last delivery {time.strftime('%H:%M:%S', time.localtime(delivery.delivered_at))}")
        return "; ".join([*parts, *obstacles(delivery)])


def _is_there(path: str) -> bool:
    """Tell whether there is a journal that can be read; one that is being made or mended is none yet."""
    try:
        with closing(JournalReader(path)) as journal:
            return bool(journal.journal_id())
    except sqlite3.Error:
        return False
