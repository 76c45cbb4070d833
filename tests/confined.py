"""The shipper's sandbox from inside: `python -m tests.confined COMMAND`, with a config as JSON on standard input.

`try` does everything before and after entering and prints a JSON object: how each try ended then, None for well.
`follow` enters, says so, and reads the journal again and again until it has the tick of the id that is its argument;
it prints a JSON list of what went wrong meanwhile.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib import import_module, reload
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from psstopd.cli.sandbox import enter
from psstopd.config import Config, InfluxDBConfig, from_json
from psstopd.journal.cursor import Cursor
from psstopd.journal.reader import JournalReader
from psstopd.kernel.syscalls import drop_all_capabilities
from tests.servers import free_port

Tries = Mapping[str, Callable[[], object]]


def main() -> None:
    """Run one command."""
    command, *arguments = sys.argv[1:]
    drop_all_capabilities()
    config = from_json(sys.stdin.read())
    answer = follow(config, int(arguments[0])) if command == "follow" else try_all(config)
    print(json.dumps(answer))  # noqa: T201 - what the test reads


def try_all(config: Config) -> dict[str, dict[str, str | None]]:
    """Try everything, enter, and try again."""
    assert config.influxdb is not None
    tries = {**forbidden(config), **allowed(config, config.influxdb)}
    before = {name: outcome(action) for name, action in tries.items()}
    enter(config, delivers=True)
    after = {name: outcome(action) for name, action in tries.items()}
    return {"before": before, "after": after}


def follow(config: Config, last_id: int) -> list[str]:
    """Read the newest tick until it is the last one."""
    errors, newest = set(), 0
    enter(config, delivers=True)
    print("entered", flush=True)  # noqa: T201 - what the test waits for
    while newest < last_id:
        try:
            with closing(JournalReader(config.journal.path)) as reader:
                ticks = reader.batch(newest, 10**6)
                newest = ticks[-1].id if ticks else newest
        except sqlite3.Error as error:
            errors.add(str(error))
    return sorted(errors)


def forbidden(config: Config) -> Tries:
    """List what the shipper has no business with."""
    journal, port = config.journal.path, free_port()
    return {
        "read shadow": lambda: touch("/etc/shadow"),
        "list root's files": lambda: list(Path.home().iterdir()),
        "read init's environment": lambda: touch("/proc/1/environ"),
        "write the journal": lambda: touch(journal, os.O_RDWR),
        "write its shared memory": lambda: touch(f"{journal}-shm", os.O_RDWR),
        "create a file beside it": lambda: touch(f"{journal}.new", os.O_WRONLY | os.O_CREAT),
        "rename the journal": lambda: rename_and_back(journal),
        "run a program": lambda: subprocess.run(["/usr/bin/true"], check=True),
        "listen": lambda: bind(port),
        "signal its parent": lambda: os.kill(os.getppid(), signal.SIGCONT),
    }


def allowed(config: Config, influxdb: InfluxDBConfig) -> Tries:
    """List what the shipper does."""
    assert influxdb.token_file is not None
    journal, token, url = config.journal.path, influxdb.token_file, urlsplit(influxdb.url)
    return {
        "read the journal": lambda: read(journal),
        "read the token": lambda: touch(token),
        "write its cursor": lambda: write_cursor(journal),
        "import a module": lambda: reload(import_module("colorsys")),
        "read the time zones": lambda: ZoneInfo.no_cache("Europe/Paris"),
        "resolve a name": lambda: socket.getaddrinfo("localhost", 80),
        "bind to any port": lambda: bind(0),
        "connect": lambda: socket.create_connection((url.hostname, url.port), timeout=5).close(),
        "write to nowhere": lambda: touch(os.devnull, os.O_WRONLY),
    }


def outcome(action: Callable[[], object]) -> str | None:
    """Try one."""
    try:
        action()
    except (OSError, sqlite3.Error, ImportError, LookupError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def touch(path: str, flags: int = os.O_RDONLY) -> None:
    """Open a file and close it."""
    os.close(os.open(path, flags))


def rename_and_back(path: str) -> None:
    """Rename a file twice."""
    Path(path).rename(f"{path}.away")
    Path(f"{path}.away").rename(path)


def read(journal: str) -> None:
    """Read all ticks."""
    with closing(JournalReader(journal)) as reader:
        assert reader.batch(0, 10**6)


def write_cursor(journal: str) -> None:
    """Count one error in the cursor file, by another connection each time."""
    with closing(Cursor(journal)) as cursor:
        cursor.fail("a test", now=0)


def bind(port: int) -> None:
    """Bind a TCP socket to a port of loopback, 0 for any."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))


if __name__ == "__main__":
    main()
