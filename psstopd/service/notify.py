"""Tell systemd that the daemon is ready, alive, reloading or stopping: sd_notify(3)."""

import time
from collections.abc import Mapping

import sdnotify


class Notifier:
    """The line to systemd, or to nobody where there is none; lives as long as the daemon.

    sdnotify 0.3.2 swallows every error unless asked not to, so that a line cut while running would go unnoticed: the
    watchdog then restarts the daemon, which is what a watchdog is for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._notifier = sdnotify.SystemdNotifier(debug=True) if environ.get("NOTIFY_SOCKET") else None
        watchdog = environ.get("WATCHDOG_USEC")
        self.watchdog_seconds = int(watchdog) / 1e6 if watchdog else None

    def close(self) -> None:
        """Close the socket, which sdnotify itself never does."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def ready(self, status: str) -> None:
        """Say that the first tick is in the journal, or that a reload is over."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def alive(self, status: str) -> None:
        """Feed the watchdog and say in words how things are."""
        self._send(f"WATCHDOG=1\nSTATUS={_one_line(status)}")

    def reloading(self) -> None:
        """Say that the config is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def _send(self, state: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(state)


def _one_line(status: str) -> str:
    """Keep a status to one line of ASCII: a line end would begin another field, and sdnotify encodes as Latin-1."""
    return status.replace("\n", " ").encode("ascii", "backslashreplace").decode()
