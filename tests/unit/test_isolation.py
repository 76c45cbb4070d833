"""Parts of a batch, against models of what servers do with a bad line, a large body or a wrong config."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.delivery.isolation import MOST_REFUSED, Delivered, deliver
from psstopd.delivery.sink import ACCEPTED, Answer

REFUSED = Answer(400, body="bad line")


class Server:
    """Takes lines by the number; keeps those that it has, as a database would."""

    def __init__(self, *, bad: set[int], largest: int, partly: bool) -> None:
        self.bad = bad
        self.largest = largest
        self.partly = partly  # writes the good lines of a request that it refuses
        self.has: set[str] = set()
        self.requests = 0

    def send(self, lines: Sequence[str]) -> Answer:
        """Answer one request."""
        self.requests += 1
        if len(lines) > self.largest:
            return Answer(413)
        good = {line for line in lines if int(line) not in self.bad}
        if len(good) == len(lines) or self.partly:
            self.has |= good
        return ACCEPTED if len(good) == len(lines) else REFUSED


def batch(size: int) -> list[str]:
    """Make a batch of numbers."""
    return [str(number) for number in range(size)]


@given(
    size=st.integers(2, 300),
    bad=st.sets(st.integers(0, 298), max_size=20),
    largest=st.integers(1, 400),
    partly=st.booleans(),
)
def test_every_line_is_accepted_or_set_aside(size: int, bad: set[int], largest: int, partly: bool) -> None:  # noqa: FBT001
    """With one good line in the batch nothing is lost, nothing good is set aside, and no bad line holds up the rest."""
    bad = set(sorted(number for number in bad if number < size - 1)[: size // 2])
    server = Server(bad=bad, largest=largest, partly=partly)

    delivered = deliver(batch(size), server.send)

    assert delivered.stopped is None
    assert {int(line) for line, _ in delivered.refused} == bad
    assert server.has == {str(number) for number in range(size)} - {str(number) for number in bad}


@given(size=st.integers(1, 300))
def test_a_server_that_refuses_everything_is_misconfigured(size: int) -> None:
    """Where no line is accepted none is set aside, and few requests are spent to find out."""
    server = Server(bad=set(range(size)), largest=1000, partly=False)

    delivered = deliver(batch(size), server.send)

    assert delivered == Delivered(REFUSED)
    assert server.requests <= 4


@pytest.mark.parametrize(("bad", "size"), [(MOST_REFUSED + 1, 1000), (6, 10)])
def test_many_bad_lines_are_kept(bad: int, size: int) -> None:
    """More refusals than a few, or than half of the batch, are no matter of single lines: nothing is set aside."""
    server = Server(bad=set(range(bad)), largest=1000, partly=False)

    assert deliver(batch(size), server.send) == Delivered(REFUSED)


@pytest.mark.parametrize("trouble", [Answer(503), Answer(401), Answer(None, error="TimeoutError: timed out")])
@pytest.mark.parametrize("at", range(1, 12))
def test_trouble_in_the_middle_keeps_everything(trouble: Answer, at: int) -> None:
    """Whenever the server fails amid the search, the whole batch stays, and the answer says why."""
    server = Server(bad={3}, largest=1000, partly=False)

    assert deliver(batch(100), failing_at(at, trouble, server.send)) == Delivered(trouble)


def test_what_was_too_large_is_remembered() -> None:
    """The largest part that was accepted is what to begin with next time."""
    assert deliver(batch(100), Server(bad=set(), largest=30, partly=False).send).largest == 25
    assert deliver(batch(100), Server(bad=set(), largest=100, partly=False).send).largest is None


def failing_at(at: int, trouble: Answer, send: Callable[[Sequence[str]], Answer]) -> Callable[[Sequence[str]], Answer]:
    """Answer the request number `at` with trouble."""
    requests = 0

    def answer(lines: Sequence[str]) -> Answer:
        nonlocal requests
        requests += 1
        return trouble if requests == at else send(lines)

    return answer
