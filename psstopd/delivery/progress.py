"""What the shipper asks of whoever remembers how far delivery has come."""

from collections.abc import Sequence
from typing import Protocol

from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader


class Progress(Protocol):
    """Where the queue has been read to: `journal.cursor.Cursor`, or `FromNow` for a sink that wants no past."""

    def position(self, journal: JournalReader) -> Position:
        """Give the place in this journal."""

    def move(self, position: Position, *, points: int, now: int) -> None:
        """Go to another place after `points` points were accepted."""

    def fail(self, error: str, *, now: int) -> None:
        """Note why a batch was not accepted."""

    @property
    def delivered_at(self) -> int | None:
        """When the last batch was accepted, in Unix seconds."""

    def recover(self) -> None:
        """Note that nothing is in the way any more."""

    def doubt(self, after: int, until: int) -> None:
        """Make backlog of accepted ticks behind `after`, up to `until`: the server may have lost them."""

    def note_clock(self, seconds_ahead: int) -> None:
        """Note how far this host's clock is ahead of the server's; 0: as good as equal."""

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Keep lines that the server refuses, each with its answer."""

    def to_retry(self) -> list[tuple[int, str]]:
        """Give id and line of what was set aside and is to be sent again."""

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Forget a line that was accepted at last, None, or keep it with the new answer."""


class FromNow:
    """A place in memory that begins behind a tick: for standard output, whose reader asks for no history."""

    def __init__(self, after: int) -> None:
        self._position = Position(after)

    def position(self, journal: JournalReader) -> Position:  # noqa: ARG002 - as Progress has it
        """Give the place behind the last written tick."""
        return self._position

    def move(self, position: Position, *, points: int, now: int) -> None:  # noqa: ARG002 - as Progress has it
        """Go on there."""
        self._position = position

    def fail(self, error: str, *, now: int) -> None:
        """Keep nothing: the log has it."""

    @property
    def delivered_at(self) -> int | None:
        """Remember nothing: a stream that was written to has what was written."""
        return None

    def recover(self) -> None:
        """Keep nothing: the log has it."""

    def doubt(self, after: int, until: int) -> None:
        """Stay: a line is written once."""

    def note_clock(self, seconds_ahead: int) -> None:
        """Keep nothing: a stream has no clock."""

    def set_aside(self, refused: Sequence[tuple[str, str]], *, now: int) -> None:
        """Keep nothing: a stream refuses no line."""

    def to_retry(self) -> list[tuple[int, str]]:
        """Have nothing to send again."""
        return []

    def settle_retry(self, line_id: int, answer: str | None) -> None:
        """Keep nothing."""
