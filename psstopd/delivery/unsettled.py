"""What a server may lose although it has accepted it: VictoriaMetrics says 204 up to 13 s before its disk has it.

After a crash of the server these are sent again, which changes nothing where they are still there. A crash shows as a
try that fails or, when the server was back before the next request, as no more than another connection.
"""

from collections import deque
from typing import NamedTuple

RESEND_WINDOW_SECONDS = 300  # sent again after a failure, and when a new shipper begins
UNSETTLED_SECONDS = 30  # sent again when the connection was lost between two requests: that may have been a crash
FRESH_IN_A_ROW = 3  # flushes, or requests; then losing the connection is this server's habit, and says nothing


class Accepted(NamedTuple):
    """Ticks that were accepted: those behind `after`, up to `until`."""

    at: float  # monotonic
    after: int
    until: int


class Unsettled:
    """Remembers what was accepted within the resend window; lives as long as the shipper."""

    def __init__(self) -> None:
        self._accepted: deque[Accepted] = deque()
        self._fresh_in_a_row = 0

    def note(self, accepted: Accepted) -> None:
        """Remember what was accepted now, and forget what is settled."""
        self._accepted.append(accepted)
        while self._accepted[0].at < accepted.at - RESEND_WINDOW_SECONDS:
            self._accepted.popleft()

    def count(self, *, fresh: bool) -> None:
        """Count what was accepted over a `fresh` connection; new ticks over the one before begin anew."""
        self._fresh_in_a_row = self._fresh_in_a_row + 1 if fresh else 0

    def after_reconnect(self) -> list[Accepted]:
        """Give, and forget, what may be lost where an answer came over another connection than the last."""
        return self.last(UNSETTLED_SECONDS) if self._fresh_in_a_row <= FRESH_IN_A_ROW else []

    def last(self, seconds: float) -> list[Accepted]:
        """Give, and forget, what was accepted in the `seconds` up to the last acceptance."""
        doubtful: list[Accepted] = []
        begin = self._accepted[-1].at - seconds if self._accepted else 0.0
        while self._accepted and self._accepted[-1].at >= begin:
            doubtful.append(self._accepted.pop())
        return doubtful
