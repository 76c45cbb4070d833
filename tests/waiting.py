"""The one way in which tests wait for something: bounded polling."""

import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE_SECONDS = 0.02

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], timeout_seconds: float, what: str) -> T:
    """Call `condition` until it answers something true and return that; raise TimeoutError with `what` otherwise."""
    deadline = time.monotonic() + timeout_seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_seconds} s: {what}; the last answer was {answer!r}")
        time.sleep(_PAUSE_SECONDS)
    return answer
