"""What a server's answer means for the batch that was sent: one table, and nothing that it depends on but its input.

Statuses are no contract between engines: for one malformed line InfluxDB 1.x and 3 answer 400 and write the rest,
InfluxDB 2 and later VictoriaMetrics answer 400 and write nothing, earlier VictoriaMetrics answers 204. So a refusal
never says which line is wrong; only sending parts again does.
"""

import re
from enum import StrEnum
from http import HTTPStatus

from psstopd.delivery.sink import Answer, accepted

_RESETS = ("ConnectionResetError", "BrokenPipeError", "RemoteDisconnected", "IncompleteRead")
_TOO_LARGE = re.compile(r"too (big|large)|exceeds? .*(limit|size)|maxRequestSize|entity too large", re.IGNORECASE)
_PARTIAL_WRITE = re.compile(r"partial write", re.IGNORECASE)
_TEMPORARY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_ON_THE_WAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_BAD_LINES = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class Verdict(StrEnum):
    """What to do with a batch."""

    ACCEPTED = "accepted"  # it is delivered: the cursor moves
    KEEP = "keep"  # try again later: the server or the network is in trouble
    ASK = "ask"  # try again later, but an operator has to mend something first
    HALVE = "halve"  # it is too large: send it in two
    ISOLATE = "isolate"  # a line in it is refused: send parts until that line is alone

    @property
    def ends_attempt(self) -> bool:
        """Tell whether sending parts is no use: everything is kept until later."""
        return self in (Verdict.KEEP, Verdict.ASK)


def judge(answer: Answer, *, is_stuck: bool = False) -> Verdict:
    """Give the verdict on one answer; `is_stuck` tells that the server has failed on this batch time and again."""
    if accepted(answer):
        return Verdict.ACCEPTED
    status = answer.status
    if status is None:
        return Verdict.KEEP
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (status in _BAD_LINES and _TOO_LARGE.search(answer.body)):
        return Verdict.HALVE
    if status in _BAD_LINES or (is_server_error(answer) and (is_stuck or _PARTIAL_WRITE.search(answer.body))):
        return Verdict.ISOLATE
    if status in _TEMPORARY or not 400 <= status < 500:  # noqa: PLR2004 - the client's mistakes
        return Verdict.KEEP
    return Verdict.ASK


def is_server_error(answer: Answer) -> bool:
    """Tell whether the server failed in itself, as it may over one line; 502, 503 and 504 are of the way to it."""
    return answer.status is not None and answer.status >= 500 and answer.status not in _ON_THE_WAY  # noqa: PLR2004


def is_reset(answer: Answer) -> bool:
    """Tell whether the connection ended in the middle, as it also does where a server closes on a large body."""
    return answer.status is None and (answer.error or "").startswith(_RESETS)
