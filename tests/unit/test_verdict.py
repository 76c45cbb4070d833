"""The verdict table, row by row, as design and servers have it."""

import pytest

from psstopd.delivery.sink import ACCEPTED, Answer
from psstopd.delivery.verdict import Verdict, judge


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (ACCEPTED, Verdict.ACCEPTED),
        *((Answer(status), Verdict.KEEP) for status in (200, 202, 301, 307, 308, 408, 425, 429, 500, 502, 503, 504)),
        *(
            (Answer(None, error=error), Verdict.KEEP)
            for error in ("gaierror: x", "TimeoutError: x", "SSLError: x", "ConnectionResetError: x", "")
        ),
        (Answer(200, body="<html>sign in</html>"), Verdict.KEEP),
        *((Answer(status), Verdict.ASK) for status in (401, 402, 403, 404, 405, 407, 418, 451)),
        (Answer(413), Verdict.HALVE),
        (Answer(400, body="too big request size; it must not exceed 67108864 bytes"), Verdict.HALVE),
        (Answer(400, body="unable to parse 'x'"), Verdict.ISOLATE),
        (Answer(422, body="failure writing points to database"), Verdict.ISOLATE),
        (Answer(500, body='{"error":"partial write: points beyond retention policy dropped=1"}'), Verdict.ISOLATE),
        (Answer(500, body="engine: out of memory"), Verdict.KEEP),
    ],
)
def test_each_answer_has_its_verdict(answer: Answer, verdict: Verdict) -> None:
    """Statuses decide, and where they are no contract between servers, the words do."""
    assert judge(answer) == verdict
