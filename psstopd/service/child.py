"""Start and supervise the shipper: a process of its own, without rights, whose death or hang costs no sample."""

import logging
import math
import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

from psstopd import exits
from psstopd.config import Config, to_json
from psstopd.journal.cursor import shipper_lock
from psstopd.journal.errors import JournalLocked, JournalUnusable
from psstopd.journal.files import lock
from psstopd.service.handover import in_memory
from psstopd.service.process import Process
from psstopd.service.pulse import SLACK_SECONDS, Pulse

log = logging.getLogger("psstopd")

_FIRST_DELAY, _LONGEST_DELAY = 1.0, 60.0
_STEADY_SECONDS = 60.0  # a shipper that lived this long starts with the first delay again
_STOP_SECONDS = 1.5  # the whole stop has 2


class ShipperChild:
    """One shipper at a time, or none when the config names no sink; lives as long as the process that keeps it.

    That process, the sampler or a `keeper.Keeper`, polls it whenever it wakes, and stops it. The config goes to the
    child's standard input, so that no secret is among its arguments; its standard output is its pulse, unless that is
    where the lines go.
    """

    def __init__(
        self,
        config: Config,
        *,
        stdout: bool = False,
        after: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Supervise a shipper to the server of `config`, or one that prints what comes behind tick `after`."""
        self._config = config
        self._stdout = stdout
        self._after = after
        self._monotonic = monotonic
        self._process: Process | None = None
        self._pulse: Pulse | None = None
        self._delay = _FIRST_DELAY
        self._started_at = self._start_at = 0.0
        self._is_late = False  # the last one ended amid a request that was over its deadline
        self._kill_at: float | None = None  # when one that was told to end has had its time
        self._lock: int | None = None  # the descriptor that keeps other keepers out
        self.closed = False  # nobody reads standard output any more

    @property
    def delivers(self) -> bool:
        """Tell whether there is a server that the journal waits for."""
        return self._config.influxdb is not None and not self._stdout

    @property
    def pid(self) -> int | None:
        """The pid of the running shipper."""
        return None if self._process is None else self._process.pid

    @property
    def pids(self) -> tuple[int, ...]:
        """The pids of all that ships: this one, or none."""
        return () if self.pid is None else (self.pid,)

    @property
    def seconds_to_poll(self) -> float:
        """The time until something is due that no SIGCHLD tells."""
        due = self._start_at if self._process is None else self._kill_at
        return math.inf if due is None else max(0.0, due - self._monotonic())

    def claim(self) -> None:
        """Become the one keeper of a shipper to the server, for the life of this process. Raises JournalLocked.

        Where nothing can be written there is no lock either; the shipper will say what is in the way.
        """
        if self.delivers and self._lock is None:
            try:
                self._lock = lock(shipper_lock(self._config.journal.path))
            except JournalLocked:
                raise
            except JournalUnusable as unusable:
                log.debug("not locked: %s", unusable)

    def poll(self) -> None:
        """Reap a shipper that has ended, kill one that was told to and doesn't, start one when its time has come."""
        now = self._monotonic()
        if self._process is not None:
            self._look_after(self._process, now)
        wanted = self.delivers or (self._stdout and not self.closed)
        if self._process is None and wanted and now >= self._start_at:
            self._start(now)

    def reconfigure(self, config: Config) -> None:
        """Let a new shipper begin when what concerns it has changed; what the old one had not sent is journalled.

        The old one is told to end and not waited for: one that hangs must not make a tick late.
        """
        before, self._config = self._config, config
        if (config.influxdb, config.tags, config.journal.path) != (before.influxdb, before.tags, before.journal.path):
            self._start_at, self._delay = 0.0, _FIRST_DELAY
            if self._process is not None and self._kill_at is None:
                self._process.terminate()
                self._kill_at = self._monotonic() + _STOP_SECONDS
            self.poll()

    def stop(self) -> None:
        """Let the shipper send once more, and end it when it doesn't end itself in time."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(_STOP_SECONDS)
        self._process.reap()
        self._forget()

    def _look_after(self, process: Process, now: float) -> None:
        code = process.poll()
        if code is None:
            if self._kill_at is None:
                self._listen(now)
            if self._kill_at is not None and now >= self._kill_at:
                process.kill()
            return
        self._forget()
        if self._kill_at is None:
            self._note_end(code, now)
        self._kill_at = None

    def _listen(self, now: float) -> None:
        """Give up a shipper that has shown no progress for longer than any request may take: stopped, or stuck."""
        if self._pulse is None or self._config.influxdb is None:
            return
        silent = self._pulse.silent_seconds(now)
        if silent > self._config.influxdb.deadline + SLACK_SECONDS:
            self._put_off(f"killed: no progress for {silent:.0f} s", now)
            self._kill_at = now

    def _forget(self) -> None:
        """Let go of a shipper that has been reaped."""
        self._process = None
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None

    def _note_end(self, code: int, now: float) -> None:
        self.closed = code == exits.SINK_CLOSED
        if self.closed:
            return
        if code == exits.OK:  # it has said why it begins anew
            self._start_at, self._delay = now + _FIRST_DELAY, _FIRST_DELAY
            return
        if now - self._started_at > _STEADY_SECONDS:
            self._delay = _FIRST_DELAY
        self._is_late = code == -signal.SIGALRM
        why = "a request was over its deadline" if self._is_late else f"exit_code={code}"
        self._put_off(f"ended: {why}", now)

    def _put_off(self, why: str, now: float) -> None:
        """Let the next start wait, each time longer."""
        log.warning("shipper %s, next_start_in_seconds=%g", why, self._delay)
        self._start_at = now + self._delay
        self._delay = min(self._delay * 2, _LONGEST_DELAY)

    def _start(self, now: float) -> None:
        mode = ["--stdout", str(self._after)] if self._stdout else ["--late"] if self._is_late else []
        environ = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
        try:
            with ExitStack() as stack:
                files = {0: stack.enter_context(in_memory(to_json(self._config).encode())).fileno()}
                if not self._stdout:
                    self._pulse = Pulse(now)
                    stack.callback(self._pulse.close_mouth)
                    files[1] = self._pulse.mouth
                self.claim()
                self._process = Process("psstopd.cli.shipper", str(os.getpid()), *mode, files=files, environ=environ)
        except (OSError, JournalLocked) as error:  # no memory, process or descriptor to be had; another keeper
            self._forget()
            self._put_off(f"not started: {error}", now)
        self._started_at = now
