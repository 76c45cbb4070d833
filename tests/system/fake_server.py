"""Servers in the place of InfluxDB, run inside the container as `fake_server.py KIND PORT` under Type=notify.

* accepting: takes every write, logs the Authorization header and the times of the points, in Unix seconds
* silent: accepts connections, reads, logs "received" and never answers
* full: never completes another connect, like a host behind a firewall that drops packets
"""

import gzip
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def notify_ready() -> None:
    """Tell systemd that the port is open, sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.connect(os.environ["NOTIFY_SOCKET"])
        notifications.send(b"READY=1")


def log(line: str) -> None:
    """Leave a line in systemd's journal."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Accepting(BaseHTTPRequestHandler):
    """Answers each write as InfluxDB does."""

    def do_POST(self) -> None:
        """Take the body, answer 204."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        times = {line.rpartition(" ")[2] for line in gzip.decompress(body).decode().splitlines()}
        log(f"authorization={self.headers['Authorization']} times={','.join(sorted(times))}")
        self.send_response(204)
        self.end_headers()


def accept(port: int) -> None:
    """Serve Accepting for good."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Accepting)
    notify_ready()
    server.serve_forever()


def swallow(port: int) -> None:
    """Accept, read and keep silent for good."""
    listener = socket.create_server(("127.0.0.1", port))
    notify_ready()
    kept = []
    while True:
        connection, _ = listener.accept()
        connection.recv(1)
        log("received")
        kept.append(connection)


def fill(port: int) -> None:
    """Listen without accepting, fill the backlog and stay so: the kernel then ignores further SYNs."""
    listener = socket.create_server(("127.0.0.1", port), backlog=0)
    kept = [listener]
    try:
        while True:
            kept.append(socket.create_connection(("127.0.0.1", port), timeout=0.2))
    except TimeoutError:
        notify_ready()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    {"accepting": accept, "silent": swallow, "full": fill}[sys.argv[1]](int(sys.argv[2]))
