"""Start and supervise the shipper: a process of its own, without rights, whose death or hang costs no sample."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from psstopd.config import Config, to_json

log = logging.getLogger("psstopd")

SINK_CLOSED = 74  # EX_IOERR: the exit code of a shipper whose standard output was closed
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
_STEADY_SECONDS = 60.0  # a shipper that lived this long starts with the first delay again
_STOP_SECONDS = 1.5  # the whole stop has 2


class ShipperChild:
    """One shipper at a time, or none when the config names no sink; lives as long as the daemon.

    The daemon polls it on SIGCHLD and on every tick, and stops it. The config goes to the child's standard input, so
    that no secret is among its arguments.
    """

    def __init__(self, config: Config, *, stdout: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._stdout = stdout
        self._monotonic = monotonic
        self._process: subprocess.Popen[bytes] | None = None
        self._delay = _FIRST_DELAY
        self._started_at = self._start_at = 0.0
        self.closed = False  # nobody reads standard output any more

    @property
    def delivers(self) -> bool:
        """Tell whether there is a server that the journal waits for."""
        return self._config.influxdb is not None and not self._stdout

    @property
    def pid(self) -> int | None:
        """The pid of the running shipper."""
        return None if self._process is None else self._process.pid

    def poll(self) -> None:
        """Reap a shipper that has ended, and start one when its time has come."""
        now = self._monotonic()
        if self._process is not None and (code := self._process.poll()) is not None:
            self._note_end(code, now)
        if self._process is None and (self.delivers or self._stdout) and now >= self._start_at and not self.closed:
            self._start(now)

    def reconfigure(self, config: Config) -> None:
        """Let a new shipper begin when what concerns it has changed; what the old one had not sent is journalled."""
        before, self._config = self._config, config
        if (config.influxdb, config.tags, config.journal.path) != (before.influxdb, before.tags, before.journal.path):
            self.stop()
            self._start_at = 0.0
            self.poll()

    def stop(self) -> None:
        """Let the shipper send once more, and end it when it doesn't end itself in time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _note_end(self, code: int, now: float) -> None:
        self._process = None
        self.closed = code == SINK_CLOSED
        if now - self._started_at > _STEADY_SECONDS:
            self._delay = _FIRST_DELAY
        why = "a request was over its deadline" if code == -signal.SIGALRM else f"exit_code={code}"
        log.warning("shipper ended: %s, next_start_in_seconds=%g", why, self._delay)
        self._start_at = now + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def _start(self, now: float) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
        command = [sys.executable, "-P", "-m", "psstopd.cli.ship", *(["--stdout"] if self._stdout else [])]
        read, write = os.pipe()
        self._process = subprocess.Popen(command, stdin=read, env=environment)
        self._started_at = now
        os.close(read)
        with suppress(BrokenPipeError), open(write, "wb") as standard_input:
            standard_input.write(to_json(self._config).encode())
