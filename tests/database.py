"""A server on loopback that reads what it is sent: keeps the lines that it accepts, refuses those that it must."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.certificates import Certificate
from tests.faultserver import FaultServer, Reply, Request, _Handler, serving

TAKEN = Reply(204)
BAD_LINE = Reply(400, b"unable to parse a line")
TOO_LARGE = Reply(413, b"Request Entity Too Large")
UNAUTHORIZED = Reply(401, b"unauthorized access")
REFUSALS = {400, 413, 422, 500}  # that may be about a line


class Database(FaultServer):
    """Plays its script, then judges what it reads, then gives `default`; `accepted` is what it has said 204 to."""

    def __init__(self, *, default: Reply = TAKEN, certificate: Certificate | None = None) -> None:
        super().__init__((), default=default, certificate=certificate, client_ca=None)
        self.RequestHandlerClass = _Reading
        self.accepted: set[str] = set()
        self.seen: set[str] = set()  # in any request, whatever became of it
        self.accepts = 0  # requests
        self.refused_alone: set[str] = set()
        self.token: str | None = None  # None: anybody may write
        self.poison: str | None = None  # a line that holds it is refused
        self.bad_line = BAD_LINE  # says so
        self.writes_the_rest = False  # of a request with a bad line, as InfluxDB 1 and 3 do and InfluxDB 2 does not
        self.most_lines: int | None = None  # in a request that is not too large
        self.too_large = TOO_LARGE  # says so

    def decide(self, request: Request, scripted: Reply) -> Reply:
        """Give the answer to a request whose turn on the script has `scripted`; keep the lines that it accepts."""
        lines = set(request.body.decode().splitlines())
        self.seen |= lines
        reply = self._judge(request, lines) if scripted is self.default else scripted
        if reply.status == TAKEN.status and reply.fault is None:
            self.accepted |= lines
            self.accepts += 1
        elif reply is self.bad_line and self.writes_the_rest:
            self.accepted |= {line for line in lines if not self._is_bad(line)}
        if reply.status in REFUSALS and len(lines) == 1:
            self.refused_alone |= lines
        return reply

    def mend(self) -> None:
        """Take everything from now on."""
        self.poison, self.most_lines, self.default = None, None, TAKEN
        while self.next_reply() is not self.default:
            pass

    def _judge(self, request: Request, lines: set[str]) -> Reply:
        if self.token is not None and request.headers.get("authorization") != f"Token {self.token}":
            return UNAUTHORIZED
        if self.most_lines is not None and len(lines) > self.most_lines:
            return self.too_large
        return self.bad_line if any(map(self._is_bad, lines)) else self.default

    def _is_bad(self, line: str) -> bool:
        return self.poison is not None and self.poison in line


class _Reading(_Handler):
    """A connection whose answers depend on what came in over it."""

    server: Database

    def _play(self, reply: Reply) -> None:
        super()._play(self.server.decide(self.server.requests[-1], reply))


@contextmanager
def database(*, default: Reply = TAKEN, certificate: Certificate | None = None) -> Iterator[Database]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    with serving(Database(default=default, certificate=certificate)) as server:
        yield server
