"""An HTTP server on loopback that answers as scripted, wrongly above all, and records what it was asked."""

import gzip
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

from tests.certificates import Certificate

# socketserver serves datagrams too, and types both for either; here they are a TCP socket and its (host, port).
_Connection: TypeAlias = Any
_Address: TypeAlias = Any
_Server = TypeVar("_Server", bound="FaultServer")


class Fault(Enum):
    """What a broken server or network does in place of an answer, or to it."""

    SILENCE = auto()  # take the request and never answer
    RESET_BEFORE_BODY = auto()  # a TCP reset once the request's headers are in
    RESET_DURING_BODY = auto()  # a TCP reset once half of the body is in
    RESET_AFTER_BODY = auto()  # a TCP reset once the whole request is in
    CLOSE = auto()  # an orderly end in place of an answer
    TRUNCATE = auto()  # promise one byte more than is sent
    GARBAGE = auto()  # the body alone, without status line and headers


_RESETS_BEFORE_THE_END = {Fault.RESET_BEFORE_BODY, Fault.RESET_DURING_BODY}


@dataclass(frozen=True)
class Reply:
    """One answer of the script. With `drip_seconds` it goes out byte by byte, that far apart, headers included."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    fault: Fault | None = None


@dataclass(frozen=True)
class Request:
    """One request as it came in; `body` is unpacked, `client` tells connections apart."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    client: tuple[str, int]


class FaultServer(ThreadingHTTPServer):
    """Plays `replies` one a request, then `default` for ever; `close` also ends what is silent, delayed or dripping."""

    daemon_threads = False  # server_close waits for them: no thread and no socket outlives a test

    def __init__(
        self, replies: tuple[Reply, ...], *, default: Reply, certificate: Certificate | None, client_ca: Path | None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.default = default
        self.requests: list[Request] = []
        self.resets: set[socket.socket] = set()
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._script: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self.script(*replies)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            # The handshake happens in the connection's own thread, on its first read.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def script(self, *replies: Reply) -> None:
        """Add answers to those that are still to be given."""
        for reply in replies:
            self._script.put(reply)

    def next_reply(self) -> Reply:
        """Take the next answer off the script."""
        try:
            return self._script.get_nowait()
        except queue.Empty:
            return self.default

    def close(self) -> None:
        """End every connection and every thread; the port refuses from here on."""
        self.closing.set()
        self.shutdown()
        for connection in tuple(self._connections):
            _hang_up(connection)
        self.server_close()

    def process_request(self, request: _Connection, client_address: _Address) -> None:
        """Remember the connection, so that `close` can end one that waits for its next request."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Connection) -> None:
        """End a connection: with a reset where the script says so, in good order otherwise."""
        self._connections.discard(request)
        if request in self.resets:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: _Connection, client_address: _Address) -> None:
        """Say nothing of clients that hang up or refuse the certificate: tests provoke both."""


class _Handler(BaseHTTPRequestHandler):
    """One connection: answers its requests in turn, in its own thread."""

    protocol_version = "HTTP/1.1"  # keeps connections alive
    server: FaultServer

    def handle_one_request(self) -> None:
        """Read a request of any method, record it and play the next reply."""
        self.raw_requestline = self.rfile.readline()
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        reply = self.server.next_reply()
        length = int(self.headers.get("Content-Length", 0))
        if reply.fault in _RESETS_BEFORE_THE_END:
            self.rfile.read(length // 2 if reply.fault is Fault.RESET_DURING_BODY else 0)
            self._record(b"")
            self._reset()
            return
        self._record(self.rfile.read(length))
        self.server.closing.wait(reply.delay_seconds)
        self._play(reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Keep the tests' output to the tests."""

    def _record(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" and body else body
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(self.command, parts.path, query, headers, plain, self.client_address)
        self.server.requests.append(request)

    def _play(self, reply: Reply) -> None:
        if reply.fault is Fault.SILENCE:
            self.server.closing.wait()
            self.close_connection = True
        elif reply.fault is Fault.RESET_AFTER_BODY:
            self._reset()
        elif reply.fault is Fault.CLOSE:
            self.close_connection = True
        else:
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self.close_connection |= reply.fault is not None
        answer = reply.body if reply.fault is Fault.GARBAGE else _head(reply) + reply.body
        if not reply.drip_seconds:
            self.wfile.write(answer)
            return
        for byte in answer:
            self.wfile.write(bytes((byte,)))
            if self.server.closing.wait(reply.drip_seconds):
                self.close_connection = True
                return

    def _reset(self) -> None:
        self.server.resets.add(self.connection)
        self.close_connection = True


def _head(reply: Reply) -> bytes:
    """Write status line and headers; a 204 has no body and no length (RFC 9110, section 8.6)."""
    length = len(reply.body) + (reply.fault is Fault.TRUNCATE)
    headers = dict(reply.headers) if reply.status == 204 else {"Content-Length": str(length), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the client was faster
        return


@contextmanager
def fault_server(
    *replies: Reply,
    default: Reply | None = None,
    certificate: Certificate | None = None,
    client_ca: Path | None = None,
) -> Iterator[FaultServer]:
    """Serve `replies` in turn, then `default` (204 unless given), on a free port of 127.0.0.1 until the block ends.

    TLS with a `certificate`; with `client_ca` the server also demands a client certificate that this CA has signed.
    """
    with serving(
        FaultServer(replies, default=default or Reply(), certificate=certificate, client_ca=client_ca)
    ) as server:
        yield server


@contextmanager
def serving(server: _Server) -> Iterator[_Server]:
    """Let a server answer in a thread of its own until the block ends, and then close it."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
