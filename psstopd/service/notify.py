"""Tell systemd that the daemon is ready, alive, reloading or stopping: sd_notify(3)."""

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sdnotify

log = logging.getLogger("psstopd")

_LONGEST_STATUS = 1000
_MORE_TIME_US = 120_000_000  # the loop comes by at least every 30 s


class Notifier:
    """The line to systemd, or to nobody where there is none; lives as long as the daemon.

    A line that is cut costs no sample: it is logged once, and the watchdog decides.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._notifier = _connect() if environ.get("NOTIFY_SOCKET") else None
        self._cut = False
        watchdog = environ.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = int(watchdog) / 1e6 if watchdog.isdecimal() else None

    def close(self) -> None:
        """Close the socket, which sdnotify itself never does."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def ready(self, status: str) -> None:
        """Say that the first tick is in the journal, or that a reload is over."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def alive(self, status: str, *, ready: bool) -> None:
        """Feed the watchdog and say in words how things are; while not `ready`, ask for more time to become it.

        A daemon that waits for room on the disk holds ticks in memory, and systemd's start timeout would end it.
        """
        more_time = "" if ready else f"EXTEND_TIMEOUT_USEC={_MORE_TIME_US}\n"
        self._send(f"{more_time}WATCHDOG=1\nSTATUS={_one_line(status)}")

    def reloading(self) -> None:
        """Say that the config is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def _send(self, state: str) -> None:
        if self._notifier is None:
            return
        try:
            self._notifier.notify(state)
        except OSError as error:
            if not self._cut:
                log.warning("systemd does not hear psstop: NOTIFY_SOCKET: %s", error)
            self._cut = True
        else:
            self._cut = False


def _connect() -> "sdnotify.SystemdNotifier | None":
    """Connect to the address in NOTIFY_SOCKET; sdnotify 0.3.2 swallows every error unless asked not to."""
    import sdnotify  # noqa: PLC0415 - and with it socket, half a MiB that only systemd is worth

    try:
        return sdnotify.SystemdNotifier(debug=True)
    except OSError as error:
        log.warning("systemd does not hear psstop: NOTIFY_SOCKET: %s", error)
        return None


def _one_line(status: str) -> str:
    """Keep a status to one line of printable ASCII that fits: a line end would begin another field.

    systemd ignores a whole message above 4096 bytes (NOTIFY_BUFFER_MAX), the WATCHDOG=1 in it too.
    """
    plain = "".join(character if character.isprintable() else " " for character in status)
    return plain.encode("ascii", "backslashreplace").decode()[:_LONGEST_STATUS]
