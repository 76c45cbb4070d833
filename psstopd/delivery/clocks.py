"""Compare this host's clock with the server's, by the Date of its answers (RFC 9110, section 6.6.1).

A clock that is far off makes points that nobody finds: VictoriaMetrics drops those of more than two days ahead and says
204, databases with a retention period drop those of before it. The points themselves can't tell.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

TOLERANCE_SECONDS = 60  # NTP holds a clock to milliseconds; an answer may have been some seconds on its way


def http_date(text: str) -> float | None:
    """Give the Unix time that a header says, None when it says none."""
    try:
        moment = parsedate_to_datetime(text)
        # "-0000" gives a naive time, which Python would take for local time.
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # what email's parser raises depends on the garbage
        return None


def seconds_ahead(date: str | None, *, now: float) -> int | None:
    """Give how far `now` is ahead of the server's Date, negative behind it, 0 in tolerance; None without a Date."""
    server = None if date is None else http_date(date)
    if server is None:
        return None
    ahead = round(now - server)
    return ahead if abs(ahead) > TOLERANCE_SECONDS else 0
