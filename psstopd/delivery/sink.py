"""What the shipper asks of a destination, and what it hears back: the answer is kept apart from what it means."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from psstopd.delivery.lineprotocol import printable

MAX_EXCERPT = 500  # characters of an answer's body: enough for InfluxDB's message, too little to flood a log


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one send. A sink says what happened; the shipper decides what to do about it."""

    status: int | None  # None: no HTTP answer
    body: str = ""  # excerpt, escaped
    retry_after: str | None = None  # as sent
    date: str | None = field(default=None, compare=False)  # the server's clock, as sent
    error: str | None = None  # exception class and cause in words, where there was no usable answer
    is_fresh: bool = field(default=False, compare=False)  # it came over a connection made for this request


ACCEPTED = Answer(int(HTTPStatus.NO_CONTENT))


class Sink(Protocol):
    """Takes line protocol to one destination. The shipper opens it, uses it from one thread and closes it."""

    def send(self, lines: Iterable[str]) -> Answer:
        """Deliver a batch and tell the answer; never raise for what a server, a network or a reader does."""
        ...

    def close(self) -> None:
        """Let go of the connection; nothing is buffered here, so nothing can be lost."""
        ...


def accepted(answer: Answer) -> bool:
    """Tell whether the batch was taken: 204 alone says so; a proxy's login page is a 200 too."""
    return answer.status == ACCEPTED.status


def excerpt(text: str) -> str:
    """Cut a foreign text to what fits in a log line and on a terminal, control characters escaped."""
    return printable(text[:MAX_EXCERPT])[:MAX_EXCERPT]
