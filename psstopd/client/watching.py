"""Look again and again: what `psstop --watch` does, whatever it shows."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from psstopd import exits
from psstopd.exits import CommandError

Look = TypeVar("Look")


def first_look(take: Callable[[], Look], picks: list[str] | None) -> Look:
    """Take a look. Raises CommandError when nothing of what was picked is there."""
    look = take()
    if picks and not look:
        raise CommandError(f"no process is called {' or '.join(picks)}; names are exact, or globs", exits.FAILED)
    return look


def further_looks(take: Callable[[], Look], picks: list[str] | None, seconds: int) -> Iterator[Look]:
    """Give a look on every multiple of `seconds`, until nothing of what was picked is left, which is said."""
    while True:
        sys.stdout.flush()
        time.sleep(seconds - time.time() % seconds)
        look = take()
        if picks and not look:
            print(f"nothing called {' or '.join(picks)} runs any more", file=sys.stderr)
            return
        yield look
