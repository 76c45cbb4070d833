"""Take ticks from the journal to a sink, new ones before a backlog, and go on only past what was accepted."""

import hashlib
import logging
import math
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from psstopd.delivery.backoff import next_delay
from psstopd.delivery.batch import Batch
from psstopd.delivery.clocks import TOLERANCE_SECONDS, seconds_ahead
from psstopd.delivery.isolation import Delivered, deliver
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.progress import Progress
from psstopd.delivery.sink import ACCEPTED, Answer, Sink, accepted
from psstopd.delivery.unsettled import RESEND_WINDOW_SECONDS, Accepted, Unsettled
from psstopd.delivery.verdict import is_reset, is_server_error, judge
from psstopd.journal.errors import QuarantineFull
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader, StoredTick

log = logging.getLogger("psstopd.shipper")

RESETS_TO_HALVE = 3  # in a row on one batch
ERRORS_TO_ISOLATE = 10  # of the server on one batch, which may then be of its content
LAST_SEND_SECONDS = 1.2  # of the 1.5 that a keeper gives its shipper to end
_SHORTEST_SECONDS = 0.001  # 0 would disarm the timer


@dataclass(frozen=True, slots=True)
class Pace:
    """How much and how often to send; durations in seconds."""

    batch_size: int
    flush_interval: float
    deadline: float  # for one request, whatever the server does
    backfill_rate: float = math.inf  # points of the backlog a second


@dataclass(slots=True)
class _Lane:
    """One of the two ways through the queue: how to take its next batch and the place behind it, and how that went."""

    take: Callable[[JournalReader], tuple[Sequence[StoredTick], Position]]
    failures: int = 0  # in a row
    resets: int = 0  # in a row
    server_errors: int = 0  # in a row
    due: float = 0.0  # monotonic: no try before

    @property
    def is_stuck(self) -> bool:
        """Tell whether it is time to look for a line that makes the server fail."""
        return self.server_errors > 0 and self.server_errors % ERRORS_TO_ISOLATE == 0


class Shipper:
    """Sends what was not accepted yet; lives as long as its process. `flush` and `backfill` are the steps of `run`."""

    def __init__(self, journal_path: str, progress: Progress, encoder: Encoder, sink: Sink, *, pace: Pace) -> None:
        self._journal_path = journal_path
        self._progress = progress
        self._encoder = encoder
        self._sink = sink
        self._pace = pace
        self._new, self._backlog = _Lane(self._take_new), _Lane(self._take_backlog)
        self._has_backlog = False
        self._unsettled = Unsettled()
        self._has_begun = self._is_fresh = False
        self._error: str | None = None
        self._failing_since = 0.0
        self._clock_ahead: int | None = None  # seconds, not known before the first answer
        self._refusal: str | None = None  # what the server said of the line that was set aside last
        self._largest = pace.batch_size  # that the server has not found too large
        self._batch_size = pace.batch_size

    def run(self, stop: Callable[[float], bool], *, phase: float) -> None:
        """Flush at `phase` of every flush interval, later after failures, until `stop(seconds to sleep)` says so.

        The backlog is sent in between, at its rate. In the end send once more for as long as a stopping daemon has.
        """
        stopped = False

        def stopped_now() -> bool:
            nonlocal stopped
            stopped = stopped or stop(0)  # a signal is seen once
            return stopped

        while True:
            flush_in, backfill_in = self._seconds_to_flush(phase), self._seconds_to_backfill()
            if stop(min(flush_in, backfill_in)):
                break
            step = self.backfill if backfill_in < flush_in else self.flush
            step(stopped_now)
            if stopped:
                break
        self.flush(lambda: False, seconds=LAST_SEND_SECONDS)

    def flush(self, stop: Callable[[], bool], *, seconds: float | None = None) -> Answer | None:
        """Send what is new, then what is due of the backlog, until a batch is not accepted or `stop` says so.

        Give the last answer, None when there was nothing to send.
        """
        until = None if seconds is None else time.monotonic() + seconds
        return self._send_all((self._new, self._backlog), stop, until)

    def backfill(self, stop: Callable[[], bool]) -> Answer | None:
        """Send what is due of the backlog alone: new ticks wait for their phase, or a fleet would send at once."""
        return self._send_all((self._backlog,), stop, None)

    def _send_all(self, lanes: Sequence[_Lane], stop: Callable[[], bool], until: float | None) -> Answer | None:
        """Open the journal, anew each time: after a repair another file has its name; and send batch after batch."""
        answer, lane = None, lanes[0]
        try:
            with closing(JournalReader(self._journal_path)) as journal:
                self._begin(journal)
                self._retry_quarantined(until)
                for lane in lanes:
                    while not (stop() or _is_over(until)) and (sent := self._send_batch(lane, journal, until)):
                        answer = sent
                        if not accepted(sent) or journal.misses_writer():
                            return answer
        except QuarantineFull as full:
            self._note_failure(lane, str(full))
        except sqlite3.DatabaseError as error:
            self._note_failure(lane, f"journal: {self._journal_path}: {error}")
        return answer

    def _begin(self, journal: JournalReader) -> None:
        """Doubt what an earlier shipper sent last: nobody saw what became of its server since."""
        delivered_at = self._progress.delivered_at
        if not self._has_begun and delivered_at is not None:
            position = self._progress.position(journal)
            self._progress.doubt(journal.last_before(delivered_at - RESEND_WINDOW_SECONDS), position.cursor)
        self._has_begun = True

    def _take_new(self, journal: JournalReader) -> tuple[Sequence[StoredTick], Position]:
        """Take the newest ticks; what is more than a batch behind them becomes backlog."""
        position = self._progress.position(journal)
        position = position.leaving(position.cursor, journal.newest_batch(position.cursor, self._batch_size))
        ticks = journal.batch(position.cursor, self._batch_size)
        self._has_backlog = position.has_backlog
        return ticks, position.sent(ticks[-1].id) if ticks else position

    def _take_backlog(self, journal: JournalReader) -> tuple[Sequence[StoredTick], Position]:
        """Take the oldest ticks of the backlog, if its rate allows; what the journal had to drop of it is left out."""
        position = self._progress.position(journal)
        self._has_backlog = position.has_backlog
        if not position.has_backlog or time.monotonic() < self._backlog.due:
            return (), position
        ticks = journal.batch(position.backlog_after, self._batch_size, until=position.backlog_until)
        if not ticks:
            self._progress.move(position.backfilled(position.backlog_until), points=0, now=int(time.time()))
        return ticks, position.backfilled(ticks[-1].id) if ticks else position

    def _send_batch(self, lane: _Lane, journal: JournalReader, until: float | None) -> Answer | None:
        """Send one batch and note what came of it; None when there was nothing to send."""
        ticks, position = lane.take(journal)
        if not ticks:
            return None
        lines, began = Batch(self._encoder, ticks), time.monotonic()
        delivered = deliver(lines, lambda part: self._send(part, until), is_stuck=lane.is_stuck)
        if delivered.stopped is not None:
            self._shrink_after_resets(lane, delivered.stopped, len(lines))
            self._note_failure(lane, describe(delivered.stopped), delivered.stopped)
            return delivered.stopped
        self._largest = min(self._largest, delivered.largest or self._largest)
        self._batch_size = min(self._largest, self._batch_size * 2)
        self._set_aside(delivered)
        self._progress.move(position, points=len(lines) - len(delivered.refused), now=int(time.time()))
        self._settle(lane, Accepted(began, ticks[0].id - 1, ticks[-1].id))
        self._note_success(lane)
        lane.due = began + len(lines) / self._pace.backfill_rate
        return ACCEPTED

    def _settle(self, lane: _Lane, accepted: Accepted) -> None:
        """Remember what was accepted when, and doubt what came shortly before a connection was lost unnoticed."""
        if lane is self._new or self._is_fresh:  # within a flush, only another connection says something
            self._unsettled.count(fresh=self._is_fresh)
        if self._is_fresh:
            self._doubt(self._unsettled.after_reconnect())
        self._is_fresh = False
        self._unsettled.note(accepted)

    def _doubt(self, accepted: Sequence[Accepted]) -> None:
        """Make backlog of what the server may have lost."""
        for _, after, until in accepted:
            self._progress.doubt(after, until)
            self._has_backlog = True

    def _shrink_after_resets(self, lane: _Lane, answer: Answer, points: int) -> None:
        """Send no more than half when the connection ends amid a batch time and again: the body may be too large."""
        lane.resets = lane.resets + 1 if is_reset(answer) else 0
        if lane.resets == RESETS_TO_HALVE:
            self._largest = self._batch_size = max(1, min(self._batch_size, points) // 2)
            lane.resets = 0

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
            answer = self._sink.send(lines)
            self._is_fresh |= answer.is_fresh
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._compare_clocks(answer)
        return answer

    def _compare_clocks(self, answer: Answer) -> None:
        """Note and log it when this host's clock is, or no longer is, far from the server's."""
        ahead = seconds_ahead(answer.date, now=time.time())
        known = self._clock_ahead
        if ahead is None or (known is not None and abs(ahead - known) <= TOLERANCE_SECONDS):
            return
        self._clock_ahead = ahead
        self._progress.note_clock(ahead)
        if ahead:
            log.warning("this host's clock is not the server's, which may drop points: ahead_seconds=%d", ahead)
        elif known:
            log.info("this host's clock agrees with the server's again")

    def _seconds_to_flush(self, phase: float) -> float:
        if self._new.failures:
            return max(0.0, self._new.due - time.monotonic())
        return seconds_to_flush(time.time(), self._pace.flush_interval, phase)

    def _seconds_to_backfill(self) -> float:
        """Give the time left to the next batch of the backlog; none is tried while not even new ticks are accepted."""
        if self._new.failures or not self._has_backlog:
            return math.inf
        return max(0.0, self._backlog.due - time.monotonic())

    def _note_success(self, lane: _Lane) -> None:
        """Note that a batch was accepted, and whether that ends an outage."""
        if lane.failures and lane is self._new:
            self._backlog.due = 0.0
        lane.failures = lane.resets = lane.server_errors = 0
        if self._new.failures or self._backlog.failures:
            return
        self._progress.recover()
        if self._error is not None:
            log.info("delivering again: after_seconds=%d", time.monotonic() - self._failing_since)
        self._error = None

    def _note_failure(self, lane: _Lane, error: str, answer: Answer | None = None) -> None:
        """Count a failure and put the next try off; log it when it begins and when it changes."""
        self._progress.fail(error, now=int(time.time()))
        self._doubt(self._unsettled.last(RESEND_WINDOW_SECONDS))
        if self._error is None:
            self._failing_since = time.monotonic()
        if error != self._error:
            log.warning("not delivering, keeping everything: %s", error)
        self._error = error
        lane.failures += 1
        lane.server_errors = lane.server_errors + 1 if answer is not None and is_server_error(answer) else 0
        retry_after = answer.retry_after if answer is not None else None
        lane.due = time.monotonic() + next_delay(lane.failures, retry_after, now=time.time(), random=random.random)


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
