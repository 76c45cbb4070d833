"""Carry out what the governor decides: which processes to read on this tick, and what their reads cost."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from psstopd.config import Config
from psstopd.model import Reading, Unreadable
from psstopd.sampling import governor
from psstopd.sampling.census import NO_MARK, Process
from psstopd.sampling.governor import Limits, Rate, Wish
from psstopd.sampling.reader import Outcome, Taken


class Changes(NamedTuple):
    """Who has another outcome than before, or has ended; and whether anybody has another address range."""

    processes: list[Process]
    has_moved: bool


class Schedule:
    """The budget, and what reads have cost so far; lives as long as the daemon."""

    def __init__(self, config: Config, *, now: float, cpu_time: Callable[[], float] = time.process_time) -> None:
        self._cpu_time = cpu_time
        self._rate = Rate()
        self._lead = 0.0
        self._filled_at, self._cpu_then, self._reading = now, cpu_time(), 0.0
        self.reload(config)
        self._saved = governor.full(self._limits)

    def reload(self, config: Config) -> None:
        """Go on with other limits."""
        overhead = config.overhead
        self._limits = Limits(overhead.target_share, overhead.cpu_share, overhead.max_age, config.sampling.interval)

    def unsettled(self, processes: Iterable[Process], *, now: float) -> list[Process]:
        """Give those whose last answer may not hold any more."""
        return governor.unsettled(processes, now, self._limits.max_age)

    def choose(self, unsettled: Sequence[Process], *, now: float) -> list[Process]:
        """Give those to be read now. Stuck ones are among them: they are not read, but may have answered meanwhile."""
        self._refill(now)
        due = governor.due(unsettled, now, self._limits.target_share)
        estimate, rate = governor.estimate, self._rate.seconds_a_page
        seconds = [estimate(process, rate) for process in due]
        allowance = governor.allowance(self._saved, self._limits)
        if sum(seconds) <= allowance:
            self._lead = 0.0
            return due
        wishes = [
            Wish(index, seconds[index], governor.movement(process), process.asked_at)
            for index, process in enumerate(due)
            if process.outcome is not Unreadable.STUCK
        ]
        stuck = [process for process in due if process.outcome is Unreadable.STUCK]
        chosen, self._lead = governor.plan(wishes, allowance, self._lead)
        return stuck + [due[wish.subject] for wish in chosen]

    def note(self, reads: Iterable[Taken[Process]], *, now: float) -> Changes:
        """Keep what reads have brought with their processes, and learn from what they took."""
        changed, has_moved, count, pages, seconds = [], False, 0, 0, 0.0
        for process, outcome, ended, took in reads:
            process.asked_at, process.taken_at, process.read_seconds = now, ended, took
            process.asked_rss_pages = process.rss_pages
            process.asked_faults = process.faults
            if outcome is not process.outcome or outcome is None:
                changed.append(process)
                has_moved = has_moved or _span(outcome) != _span(process.outcome)
                process.outcome = outcome
            process.held_seconds = 0.0
            if type(outcome) is Reading:
                process.held_seconds = governor.held_seconds(took, outcome.memory)
                pages += process.rss_pages
                seconds += process.held_seconds
                count += 1
            elif outcome is None:  # it has ended, or ends: as soon as its stat says anything, that counts
                process.has_memory, process.mark = False, NO_MARK
        self._rate = governor.learn(self._rate, Rate(seconds, pages), reads=count)
        self._reading = seconds
        return Changes(changed, has_moved)

    def _refill(self, now: float) -> None:
        cpu = self._cpu_time()
        self._saved = governor.refill(
            self._saved,
            elapsed=now - self._filled_at,
            cpu=cpu - self._cpu_then,
            reading=self._reading,
            limits=self._limits,
        )
        self._filled_at, self._cpu_then = now, cpu


def _span(outcome: Outcome | None) -> bytes | None:
    return outcome.span if isinstance(outcome, Reading) else None
