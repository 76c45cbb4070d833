"""The shipper's two ends, real but for one thing: it can be killed at any moment between two of its deeds."""

from collections.abc import Iterable, Sequence

from psstopd.delivery.sink import Answer, Sink
from psstopd.journal.cursor import Cursor, Delivery


class Killed(BaseException):
    """What ends a shipper as SIGKILL does: nobody catches it."""


class Life:
    """The moments between the things that a shipper does; it is killed at one of them if `left` says so."""

    def __init__(self) -> None:
        self.left: int | None = None

    def go_on(self) -> None:
        """Let a moment pass."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


class MortalSink:
    """Sends to the real sink, unless killed before or after."""

    def __init__(self, sink: Sink, life: Life) -> None:
        self._sink = sink
        self._life = life

    def send(self, lines: Iterable[str]) -> Answer:
        """Send."""
        self._life.go_on()
        answer = self._sink.send(lines)
        self._life.go_on()
        return answer

    def close(self) -> None:
        """Close the real sink."""
        self._sink.close()


class MortalCursor(Cursor):
    """The real cursor, unless killed before it writes its file."""

    def __init__(self, journal_path: str, life: Life) -> None:
        super().__init__(journal_path)
        self._life = life

    def _set(self, delivery: Delivery) -> None:
        self._life.go_on()
        super()._set(delivery)

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Set aside."""
        self._life.go_on()
        super().set_aside(refused, now=now)

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Settle."""
        self._life.go_on()
        super().settle_retry(line_id, answer)
