"""Stand-ins for the two ends of the shipper: a server and the memory of how far delivery has come."""

from collections.abc import Callable, Iterable, Sequence

from psstopd.delivery.sink import ACCEPTED, Answer
from psstopd.journal.position import Position
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


class PickyServer(FakeSink):
    """Refuses every request with a line that holds `poison`, as InfluxDB 2 does, and takes all others."""

    def __init__(self, poison: str | None, *, status: int = 400) -> None:
        super().__init__()
        self.poison = poison
        self._status = status

    def send(self, lines: Iterable[str]) -> Answer:
        """Take all of the lines or none."""
        self.sent.append(list(lines))
        refused = self.poison is not None and any(self.poison in line for line in self.sent[-1])
        return Answer(self._status, body="bad line") if refused else ACCEPTED


class FakeProgress:
    """A place in memory in one journal after another; keeps every call."""

    def __init__(self) -> None:
        self.journal_id = ""
        self.place = Position()
        self.moves: list[tuple[Position, int]] = []  # and points
        self.errors: list[str] = []
        self.quarantine: dict[int, tuple[str, str]] = {}  # line and answer by id
        self.retries: set[int] = set()
        self.clock_ahead: int | None = None
        self.is_failing = False
        self.delivered_at: int | None = None

    def position(self, journal: JournalReader) -> Position:
        """Give the place; the beginning in a journal that is new to it."""
        if journal.journal_id() != self.journal_id:
            self.journal_id, self.place = journal.journal_id(), Position()
        return self.place

    def move(self, position: Position, *, points: int, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Move."""
        self.place = position
        self.moves.append((position, points))

    def fail(self, error: str, *, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Note the error."""
        self.errors.append(error)
        self.is_failing = True

    def recover(self) -> None:
        """Note that it is over."""
        self.is_failing = False

    def doubt(self, after: int, until: int) -> None:
        """Go back."""
        self.place = self.place.leaving(after, min(until, self.place.cursor))

    def note_clock(self, seconds_ahead: int) -> None:
        """Keep it."""
        self.clock_ahead = seconds_ahead

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Keep the lines."""
        for line, answer in refused:
            self.quarantine[len(self.quarantine) + 1] = line, answer

    def to_retry(self) -> list[tuple[int, str]]:
        """Give what the test wants sent again."""
        return [(line_id, self.quarantine[line_id][0]) for line_id in sorted(self.retries)]

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Forget the line, or keep it with its new answer."""
        self.retries.discard(line_id)
        line, _ = self.quarantine.pop(line_id)
        if answer is not None:
            self.quarantine[line_id] = line, answer


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
