"""The other end of sd_notify(3): a real datagram socket that keeps what it is told."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 65536


class NotifySocket:
    """A socket bound to `address`, whose first character @ means the abstract namespace; lives for one test."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def received(self) -> list[bytes]:
        """Give the messages that have come since the last call."""
        messages = []
        try:
            while True:
                messages.append(self._socket.recv(_LONGEST))
        except BlockingIOError:
            return messages

    def close(self) -> None:
        """Leave the address; whoever is connected hears of it with its next message."""
        self._socket.close()


@contextmanager
def notify_socket(address: str) -> Iterator[NotifySocket]:
    """Be the systemd that NOTIFY_SOCKET names until the block ends."""
    systemd, before = NotifySocket(address), os.environ.get("NOTIFY_SOCKET")
    os.environ["NOTIFY_SOCKET"] = address
    try:
        yield systemd
    finally:
        systemd.close()
        del os.environ["NOTIFY_SOCKET"]
        if before is not None:
            os.environ["NOTIFY_SOCKET"] = before
