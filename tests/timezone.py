"""Local time as a test wants it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

UTC = "UTC0"
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"  # as POSIX writes it, tzset(3): no machine lacks it


@contextmanager
def timezone(name: str) -> Iterator[None]:
    """Let local time be that of `name` until the block ends."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
