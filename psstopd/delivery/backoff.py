"""Decide how long to wait before the next try, so that a fleet does not fall upon a server that has just come back."""

from collections.abc import Callable

from psstopd.delivery.clocks import http_date

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
LONGEST_RETRY_AFTER_SECONDS = 900.0
_DOUBLINGS = 9  # 1 s, doubled nine times, is past the longest


def next_delay(failures: int, retry_after: str | None, *, now: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait after `failures` failed tries in a row, `now` in Unix seconds, `random` in [0, 1).

    Full jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). What the server asks for in
    Retry-After comes first and the jitter on top of it, or all who were told the same would come back together.
    """
    ceiling = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, _DOUBLINGS)) if failures > 0 else 0.0
    jitter = random() * ceiling
    if retry_after is None:
        return jitter
    return min(LONGEST_RETRY_AFTER_SECONDS, parse_retry_after(retry_after, now=now) + jitter)


def parse_retry_after(value: str, *, now: float) -> float:
    """Return the seconds that a Retry-After header (RFC 9110, section 10.2.3) asks for; 0 for what is neither form."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = http_date(text)
    return 0.0 if until is None else max(0.0, until - now)
