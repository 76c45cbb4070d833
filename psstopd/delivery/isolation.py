"""Deliver a batch in as many parts as its server needs: smaller when it is too large, single lines to find bad ones.

Sending a line twice changes nothing on a server, so that parts may be sent again and again. A line is refused for good
only when another one of its batch was accepted meanwhile: a wrong bucket or URL refuses every line, and loses none.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from psstopd.delivery.sink import Answer
from psstopd.delivery.verdict import Verdict, judge

MOST_REFUSED = 100  # lines of one batch, and at most half of it: more is a mistake on the server, not in the lines

Send = Callable[[Sequence[str]], Answer]


class Delivered(NamedTuple):
    """What became of a batch: `stopped` is the answer that ended the attempt, None when every line is settled.

    `refused` holds the lines to set aside with what the server said of each, and is empty when stopped; `largest` is
    the number of lines in the largest part that was accepted after a larger one was too large, None without such.
    """

    stopped: Answer | None
    refused: tuple[tuple[str, Answer], ...] = ()
    largest: int | None = None


def deliver(lines: Sequence[str], send: Send, *, is_stuck: bool = False) -> Delivered:
    """Send `lines`, then parts of them as the verdicts ask, until each is accepted or refused alone.

    `is_stuck` tells that the server has failed on this batch time and again: then a line may be what it fails on.
    """
    return _Attempt(send, is_stuck=is_stuck).run(lines)


class _Attempt:
    """One attempt at one batch; lives for one call of `deliver`."""

    def __init__(self, send: Send, *, is_stuck: bool) -> None:
        self._send = send
        self._is_stuck = is_stuck
        self._batch: Sequence[str] = ()
        self._accepted = 0  # lines
        self._largest: int | None = None
        self._too_large = False
        self._refused: list[tuple[str, Answer]] = []

    def run(self, lines: Sequence[str]) -> Delivered:
        """Work through a stack of parts; the first is the whole batch."""
        self._batch = lines
        parts = [lines]
        while parts:
            part = parts.pop()
            answer = self._send(part)
            verdict = judge(answer, is_stuck=self._is_stuck)
            stopped = self._settle(part, answer, verdict, parts)
            if stopped is not None:
                return Delivered(stopped)
        return Delivered(None, tuple(self._refused), self._largest)

    def _settle(
        self, part: Sequence[str], answer: Answer, verdict: Verdict, parts: list[Sequence[str]]
    ) -> Answer | None:
        """Do what the verdict on a part says; give the answer that ends the attempt, if it does."""
        if verdict.ends_attempt:
            return answer
        if verdict == Verdict.ACCEPTED:
            self._note_accepted(part)
            return None
        self._too_large |= verdict == Verdict.HALVE
        if verdict == Verdict.ISOLATE and not self._accepted:
            refusal = self._ask_with_single_lines(answer)
            if refusal is not None:
                return refusal
        if len(part) > 1:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
            return None
        self._refused.append((part[0], answer))
        return answer if self._refuses_too_much else None

    @property
    def _refuses_too_much(self) -> bool:
        return len(self._refused) > min(MOST_REFUSED, len(self._batch) / 2)

    def _note_accepted(self, part: Sequence[str]) -> None:
        self._accepted += len(part)
        if self._too_large:
            self._largest = max(self._largest or 0, len(part))

    def _ask_with_single_lines(self, refusal: Answer) -> Answer | None:
        """See whether the server takes any line: None when it does, else why not.

        The last line is the daemon's own, which has no odd name.
        """
        batch = self._batch
        for line in (batch[-1], batch[0], batch[len(batch) // 2]) if len(batch) > 1 else ():
            answer = self._send([line])
            verdict = judge(answer, is_stuck=self._is_stuck)
            if verdict == Verdict.ACCEPTED:
                self._accepted += 1
                return None
            if verdict.ends_attempt:
                return answer
        return refusal
