"""Take ticks from the journal to a sink, in order, and move the cursor only over what was accepted."""

import hashlib
import logging
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from psstopd.delivery.backoff import next_delay
from psstopd.delivery.batch import Batch
from psstopd.delivery.isolation import Delivered, deliver
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.sink import ACCEPTED, Answer, Sink, accepted
from psstopd.delivery.verdict import is_reset, judge
from psstopd.journal.errors import QuarantineFull
from psstopd.journal.reader import JournalReader

log = logging.getLogger("psstopd.shipper")

# Sent again after every outage: VictoriaMetrics says 204 up to 13 s before what it has is safe from its own crash, and
# sending a point twice changes nothing.
RESEND_WINDOW_SECONDS = 300
RESETS_TO_HALVE = 3  # in a row; after that the batch grows again with every success
LAST_SEND_SECONDS = 1.2  # of the 1.5 that the daemon gives its shipper to end
_SHORTEST_SECONDS = 0.001  # 0 would disarm the timer


class Progress(Protocol):
    """Where the queue has been read to: `journal.cursor.Cursor`, or `FromNow` for a sink that wants no past."""

    def position(self, journal: JournalReader) -> int:
        """Give the last accepted tick of this journal."""

    def advance(self, tick_id: int, *, points: int, now: int) -> None:
        """Note that everything up to `tick_id` was accepted."""

    def fail(self, error: str, *, now: int) -> None:
        """Note why a batch was not accepted."""

    @property
    def failing_since(self) -> int | None:
        """When the tries that are not accepted began, in Unix seconds; None while they are."""

    def rewind(self, tick_id: int) -> None:
        """Go back so that everything behind `tick_id` is sent once more."""

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Keep lines that the server refuses, each with its answer."""

    def to_retry(self) -> list[tuple[int, str]]:
        """Give id and line of what was set aside and is to be sent again."""

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Forget a line that was accepted at last, None, or keep it with the new answer."""


class FromNow:
    """A cursor in memory that begins behind a tick: for standard output, whose reader asks for no history."""

    def __init__(self, after: int) -> None:
        self._position = after

    def position(self, journal: JournalReader) -> int:  # noqa: ARG002 - as Progress has it
        """Give the last written tick."""
        return self._position

    def advance(self, tick_id: int, *, points: int, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Go on behind `tick_id`."""
        self._position = tick_id

    def fail(self, error: str, *, now: int) -> None:
        """Keep nothing: the log has it."""

    @property
    def failing_since(self) -> int | None:
        """Remember no failure: a stream that was written to has what was written."""
        return None

    def rewind(self, tick_id: int) -> None:
        """Stay: a line is written once."""

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Keep nothing: a stream refuses no line."""

    def to_retry(self) -> list[tuple[int, str]]:
        """Have nothing to send again."""
        return []

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much and how often to send; durations in seconds."""

    batch_size: int
    flush_interval: float
    deadline: float  # for one request, whatever the server does


class Shipper:
    """Sends what is behind the cursor; lives as long as its process. `flush` is the step, `run` the loop."""

    def __init__(self, journal_path: str, progress: Progress, encoder: Encoder, sink: Sink, *, pace: Pace) -> None:
        self._journal_path = journal_path
        self._progress = progress
        self._encoder = encoder
        self._sink = sink
        self._pace = pace
        self._failures = 0
        self._error: str | None = None
        self._failing_since = 0.0
        self._refusal: str | None = None  # what the server said of the line that was set aside last
        self._resets = 0  # in a row on the batch at the head of the queue
        self._largest = pace.batch_size  # that the server has not found too large
        self._batch_size = pace.batch_size

    def run(self, stop: Callable[[float], bool], *, phase: float) -> None:
        """Flush at `phase` of every flush interval, later after failures, until `stop(seconds to sleep)` says so.

        Then send once more for as long as a stopping daemon has.
        """
        answer: Answer | None = None
        stopped = False

        def stopped_now() -> bool:
            nonlocal stopped
            stopped = stopped or stop(0)  # a signal is seen once
            return stopped

        while not (stopped or stop(self._delay(answer, phase))):
            answer = self.flush(stopped_now)
        self.flush(lambda: False, seconds=LAST_SEND_SECONDS)

    def flush(self, stop: Callable[[], bool], *, seconds: float | None = None) -> Answer | None:
        """Send batches until nothing is left, one is not accepted, or `stop` says so; give the last answer.

        The journal is opened anew each time: after a repair another file has its name.
        """
        until = None if seconds is None else time.monotonic() + seconds
        answer = None
        try:
            with closing(JournalReader(self._journal_path)) as journal:
                self._retry_quarantined(until)
                while not (stop() or _is_over(until)) and (self._failures == 0 or answer is None):
                    sent = self._send_batch(journal, until)
                    if sent is None:
                        break
                    answer = sent
        except QuarantineFull as full:
            self._note_failure(str(full))
        except sqlite3.DatabaseError as error:
            self._note_failure(f"journal: {self._journal_path}: {error}")
        return answer

    def _send_batch(self, journal: JournalReader, until: float | None) -> Answer | None:
        """Send one batch and note what came of it; None when there was nothing to send."""
        ticks = journal.batch(self._progress.position(journal), self._batch_size)
        if not ticks:
            return None
        lines = Batch(self._encoder, ticks)
        delivered = deliver(lines, lambda part: self._send(part, until))
        if delivered.stopped is not None:
            self._shrink_after_resets(delivered.stopped)
            self._note_failure(describe(delivered.stopped))
            return delivered.stopped
        self._largest = min(self._largest, delivered.largest or self._largest)
        self._batch_size, self._resets = min(self._largest, self._batch_size * 2), 0
        self._set_aside(delivered)
        failing_since = self._progress.failing_since
        self._progress.advance(ticks[-1].id, points=len(lines) - len(delivered.refused), now=int(time.time()))
        if failing_since is not None:
            self._progress.rewind(journal.last_before(failing_since - RESEND_WINDOW_SECONDS))
        self._note_success()
        return ACCEPTED

    def _shrink_after_resets(self, answer: Answer) -> None:
        """Halve the batch when the connection ends amid it time and again: the body may be too large."""
        self._resets = self._resets + 1 if is_reset(answer) else 0
        if self._resets == RESETS_TO_HALVE:
            self._batch_size, self._resets = max(1, self._batch_size // 2), 0

    def _set_aside(self, delivered: Delivered) -> None:
        """Keep what the server refused before the cursor moves over it; log it when the reason is new."""
        if not delivered.refused:
            return
        refused = [(line, describe(answer)) for line, answer in delivered.refused]
        self._progress.set_aside(refused, now=int(time.time()))
        if refused[0][1] != self._refusal:
            log.warning(
                "set aside, see psstopd quarantine list: lines=%d refused_with: %s", len(refused), refused[0][1]
            )
        self._refusal = refused[0][1]

    def _retry_quarantined(self, until: float | None) -> None:
        """Send what an operator wants sent again, line by line, as long as the server answers."""
        for line_id, line in self._progress.to_retry():
            answer = self._send([line], until)
            if judge(answer).ends_attempt:
                return
            self._progress.settle_retry(line_id, None if accepted(answer) else describe(answer))

    def _send(self, lines: Sequence[str], until: float | None) -> Answer:
        """Send under one deadline for all of it: SIGALRM's default action ends this process, and nothing moved.

        Timeouts of sockets start anew with every byte of a server that drips; the daemon starts another shipper.
        """
        deadline = self._pace.deadline if until is None else max(_SHORTEST_SECONDS, until - time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, deadline)
        try:
            return self._sink.send(lines)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _delay(self, answer: Answer | None, phase: float) -> float:
        now = time.time()
        if self._failures == 0:
            return seconds_to_flush(now, self._pace.flush_interval, phase)
        retry_after = answer.retry_after if answer is not None else None
        return next_delay(self._failures, retry_after, now=now, random=random.random)

    def _note_success(self) -> None:
        if self._error is not None:
            log.info("delivering again: after_seconds=%d", time.monotonic() - self._failing_since)
        self._failures, self._error = 0, None

    def _note_failure(self, error: str) -> None:
        """Count a failure; log it when it begins and when it changes."""
        self._progress.fail(error, now=int(time.time()))
        if self._failures == 0:
            self._failing_since = time.monotonic()
        if error != self._error:
            log.warning("not delivering, keeping everything: %s", error)
        self._failures, self._error = self._failures + 1, error


def _is_over(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until


def describe(answer: Answer) -> str:
    """Say in one line what a server answered, or why it did not."""
    if answer.status is None:
        return answer.error or "no answer"
    return " ".join(part for part in (f"status {answer.status}", answer.body, answer.error) if part)


def flush_phase(machine_id: str, flush_interval: float) -> float:
    """Give this machine's place in the flush interval, so that a fleet does not send in the same second."""
    digest = hashlib.sha256(machine_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * flush_interval


def seconds_to_flush(now: float, flush_interval: float, phase: float) -> float:
    """Give the time left to the next moment at `phase` of the interval; a whole interval at that very moment."""
    return flush_interval - (now - phase) % flush_interval or flush_interval
