"""Stand-ins for the two ends of the shipper: a server and the memory of how far delivery has come."""

from collections.abc import Callable, Iterable

from psstopd.delivery.sink import ACCEPTED, Answer
from psstopd.journal.reader import JournalReader


class FakeSink:
    """Answers as it is told, ACCEPTED once it has no more answers, and keeps what was sent."""

    def __init__(self, *answers: Answer, before_answer: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.sent: list[list[str]] = []
        self._before_answer = before_answer

    def send(self, lines: Iterable[str]) -> Answer:
        """Keep the lines and give the next answer."""
        self.sent.append(list(lines))
        self._before_answer()
        return self.answers.pop(0) if self.answers else ACCEPTED

    def close(self) -> None:
        """Close nothing."""


class FakeProgress:
    """A cursor in memory for one journal after another; keeps every call."""

    def __init__(self) -> None:
        self.journal_id = ""
        self.cursor = 0
        self.advances: list[tuple[int, int]] = []  # tick id, points
        self.errors: list[str] = []

    def position(self, journal: JournalReader) -> int:
        """Give the last accepted tick; 0 in a journal that is new to it."""
        if journal.journal_id() != self.journal_id:
            self.journal_id, self.cursor = journal.journal_id(), 0
        return self.cursor

    def advance(self, tick_id: int, *, points: int, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Move."""
        self.cursor = tick_id
        self.advances.append((tick_id, points))

    def fail(self, error: str, *, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Note the error."""
        self.errors.append(error)


class FakeSleep:
    """The shipper's `stop`: notes how long it would have slept, and stops after so many sleeps."""

    def __init__(self, *, sleeps: int, signal_during_flush: int | None = None) -> None:
        self.slept: list[float] = []
        self._sleeps = sleeps
        self._polls = 0
        self._signal_at = signal_during_flush

    def __call__(self, seconds: float) -> bool:
        """Tell whether to stop, as sigtimedwait does: a signal is told once."""
        if seconds == 0:
            self._polls += 1
            return self._polls == self._signal_at
        self.slept.append(seconds)
        return len(self.slept) > self._sleeps
