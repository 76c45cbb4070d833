"""Sleep until a time has come or a signal arrives: the signals are blocked, and waiting for them is the sleep.

No handlers: an Event that is set in a handler can deadlock CPython, and a handler can raise in the middle of a commit.
"""

import signal
import time

STOP = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP
CHILD = signal.SIGCHLD
_ALL = (*STOP, RELOAD, CHILD)


def block() -> None:
    """Block the daemon's signals for this thread and those that it starts, and for its children."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)


class SystemClock:
    """The machine's clock, and a sleep that signals end."""

    def now(self) -> float:
        """Read the wall clock, in Unix seconds."""
        return time.time()

    def wait(self, seconds: float) -> int | None:
        """Sleep up to `seconds`; give the number of the signal that ended the sleep."""
        return wait(seconds)


def wait(seconds: float) -> int | None:
    """Sleep up to `seconds`, sigtimedwait(2); give the number of the signal that ended it."""
    arrived = signal.sigtimedwait(_ALL, max(0.0, seconds))
    return None if arrived is None else arrived.si_signo
