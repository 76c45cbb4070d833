"""As much of HTTP/1.1 as it takes to write to one server over a connection that stays open."""

import asyncio
from collections.abc import Mapping

from psstopd.delivery.sink import Answer


class Connection:
    """One keep-alive connection, opened when it is needed; closed when the server says so, and by `close`."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._address = (host, port)
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\nContent-Length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect unless there is a connection that the server has not closed; OSError where nobody listens."""
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)

    async def post(self, body: bytes) -> Answer:
        """Post over the open connection; OSError or IncompleteReadError where it ends without an answer."""
        assert self._streams is not None, "the connection is not open"
        reader, writer = self._streams
        writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        await writer.drain()
        status, headers = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, retry_after=headers.get("retry-after"))

    def close(self) -> None:
        """Close the connection; the next `open` makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _parse_head(head: bytes) -> tuple[int, Mapping[str, str]]:
    """Return the status and the headers, names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = (line.partition(":") for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in headers}
