"""Kill processes and make them stand still, again and again, at moments that nobody chose but a seed."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from tests.waiting import wait_for

SHORTEST_PEACE, LONGEST_PEACE = 0.2, 3.0  # seconds between two moments
LONGEST_DEATH = 2.0  # before it is started again; as often that is at once, and nobody has missed it
FOR_EVER_SHARE = 0.3  # of the stops
LONGEST_RETURN = 150.0  # of one that others start again, in their own time
SHORTEST_STOP, LONGEST_STOP = 0.1, 6.0

Span = tuple[float, float]  # Unix seconds


def send(pid: int, signal_number: int) -> None:
    """Send a signal to a process that may have ended by itself at this very moment."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal_number)


def _always() -> bool:
    return True


class Victim:
    """One process that is hit and comes back; lives as long as the mayhem.

    `find` gives its pid, None while it is not there. `start` is None for one that others start again. `is_back` tells
    whether one that was started again does its work.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], int | None],
        *,
        kill: Callable[[int], None],
        start: Callable[[], None] | None = None,
        is_back: Callable[[], bool] = _always,
    ) -> None:
        self.name = name
        self.find = find
        self.absences: list[Span] = []  # from SIGSTOP to SIGCONT, from SIGKILL to work again
        self._kill, self._start, self._is_back = kill, start, is_back
        self._absent_since: float | None = None
        self._return_at: float | None = None  # on the monotonic clock
        self._stopped_pid: int | None = None
        self._is_reborn = False  # killed, and not yet seen at work again

    @property
    def stands_still(self) -> bool:
        """Whether the process is stopped, be it for ever."""
        return self._stopped_pid is not None and self._stopped_pid == self.find()

    def kill(self, pid: int, dead_seconds: float) -> None:
        """Send SIGKILL, and start it again after `dead_seconds` where nobody else does."""
        self._leave()
        self._kill(pid)
        self._stopped_pid, self._is_reborn = None, True
        self._return_at = None if self._start is None else time.monotonic() + dead_seconds

    def stop(self, pid: int, seconds: float | None) -> None:
        """Send SIGSTOP, and SIGCONT after `seconds`, or never."""
        self._leave()
        send(pid, signal.SIGSTOP)
        self._stopped_pid = pid
        self._return_at = None if seconds is None else time.monotonic() + seconds

    def see_to(self, *, now: bool = False) -> bool:
        """Bring it back when its time has come, or `now`; tell whether nothing more is to be done."""
        if self._return_at is not None and (now or time.monotonic() >= self._return_at):
            self._return_at = None
            self._bring_back()
        if self._absent_since is not None and self._return_at is None and self._works():
            self.absences.append((self._absent_since, time.time()))
            self._absent_since = None
        return self._absent_since is None

    def _leave(self) -> None:
        self._absent_since = self._absent_since or time.time()

    def _bring_back(self) -> None:
        if self._stopped_pid is not None:
            send(self._stopped_pid, signal.SIGCONT)
            self._stopped_pid = None
        elif self._start is not None:
            self._start()

    def _works(self) -> bool:
        if self._stopped_pid is not None and self.find() in {None, self._stopped_pid}:
            return False
        self._stopped_pid = None
        self._is_reborn = self._is_reborn and not self._is_back()
        return not self._is_reborn


class Mayhem:
    """Hits one of `victims` at each of many moments, whatever state the others are in; lives as long as a test."""

    def __init__(self, victims: Sequence[Victim], seed: int, *, stops_for_ever: Sequence[Victim] = ()) -> None:
        """`stops_for_ever` are those that may be left standing still, because something else must replace them."""
        self.hits: Counter[str] = Counter()
        self._victims = victims
        self._stops_for_ever = stops_for_ever
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._seconds = 0.0

    def __str__(self) -> str:
        hits = " ".join(f"{what}={count}" for what, count in sorted(self.hits.items()))
        return f"seconds={self._seconds:.0f} {hits}"

    def rage(self, moments: int) -> None:
        """Hit at `moments` moments, and leave with everything back at its work."""
        began = time.monotonic()
        try:
            for _ in range(moments):
                self._let_pass(self._random.uniform(SHORTEST_PEACE, LONGEST_PEACE))
                self._hit()
        finally:
            self._bring_back_all()
            self._seconds = time.monotonic() - began

    def _let_pass(self, seconds: float) -> None:
        """Let time go by, bringing back what is due."""
        until = time.monotonic() + seconds

        def is_over() -> bool:
            self._see_to_all()
            return time.monotonic() >= until

        wait_for(is_over, seconds + 60, "the next moment")

    def _see_to_all(self) -> bool:
        """Bring back what is due; tell whether everything is back at its work."""
        absent = [victim for victim in self._victims if not victim.see_to()]
        return not absent

    def _hit(self) -> None:
        """Hit one of those that are there."""
        victim, pid = self._random.choice(wait_for(self._present, LONGEST_RETURN, "somebody to hit"))
        if victim.stands_still or self._random.random() < 0.5:
            victim.kill(pid, self._random.choice((0.0, self._random.uniform(0, LONGEST_DEATH))))
            self.hits[f"{victim.name}_killed"] += 1
        elif victim in self._stops_for_ever and self._random.random() < FOR_EVER_SHARE:
            victim.stop(pid, None)
            self.hits[f"{victim.name}_stopped_for_ever"] += 1
        else:
            victim.stop(pid, self._random.uniform(SHORTEST_STOP, LONGEST_STOP))
            self.hits[f"{victim.name}_stopped"] += 1

    def _present(self) -> list[tuple[Victim, int]]:
        """Give who is there, with the pid."""
        self._see_to_all()
        return [(victim, pid) for victim in self._victims if (pid := victim.find()) is not None]

    def _bring_back_all(self) -> None:
        for victim in self._victims:
            victim.see_to(now=True)
        wait_for(self._see_to_all, LONGEST_RETURN, "everything back at work")
