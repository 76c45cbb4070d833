"""Run the real `psstopd` with a config and a journal of its own, watch it, and leave nothing of it behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from sqlite3 import DatabaseError
from typing import Any, TypeAlias

from psstopd.journal.cursor import read_delivery
from psstopd.journal.reader import JournalReader, StoredTick
from tests.waiting import wait_for

Tables: TypeAlias = dict[str, Any]

START_SECONDS = 20.0
_NOT_INHERITED = ("NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC", "http_proxy", "https_proxy", "all_proxy")


class Daemon:
    """`psstopd run`, or `ship`, in a directory of its own; started, stopped, killed and started again by a test."""

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "psstopd.cli.daemon"),
        subcommand: str = "run",
    ) -> None:
        self.config = directory / "psstop.toml"
        self.journal = directory / "journal.db"
        self.log = directory / f"{subcommand}.err"
        self.output = directory / f"{subcommand}.out"
        self.command = command
        self._arguments = (subcommand, "--config", str(self.config), *arguments)
        self._environ = clean_environ() | dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, **tables: Any) -> None:
        """Write the config: every table given, ticks of a second, the journal here and no program unless named."""
        config: Tables = {"names": ["nobody-has-this"], "sampling": {}, "journal": {}} | tables
        config["sampling"] = {"interval": "1s"} | config["sampling"]
        config["journal"] = {"path": str(self.journal)} | config["journal"]
        self.config.write_text(toml(config))

    def start(self, *, stdout: int | None = None) -> None:
        """Start the daemon; its output goes to files unless `stdout` is a descriptor."""
        assert self._process is None, "the daemon is already running"
        with self.log.open("ab") as log, self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.command, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=log,
                env=self._environ,
            )

    def await_ticks(self, count: int = 1) -> list[StoredTick]:
        """Wait for `count` more ticks than there are and give all."""
        wanted = len(self.ticks()) + count
        wait_for(lambda: self._alive() and len(self.ticks()) >= wanted, START_SECONDS + count, self._what("a tick"))
        return self.ticks()

    def _alive(self) -> bool:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise RuntimeError(f"psstopd ended with {code}:\n{self.errors()}")
        return True

    def _what(self, what: str) -> str:
        return f"{what}, see {self.log}"

    @property
    def runs(self) -> bool:
        """Whether the daemon was started and not ended since; raises RuntimeError when it ended by itself."""
        return self._alive() and self._process is not None

    @property
    def pid(self) -> int:
        """The sampler's pid."""
        assert self._process is not None, "the daemon is not running"
        return self._process.pid

    @property
    def shipper_pid(self) -> int:
        """The shipper's pid, once there is one."""
        return wait_for(self.find_shipper, START_SECONDS, self._what("a shipper"))

    def find_shipper(self) -> int | None:
        """Give the shipper's pid, None when there is none."""
        return self._find_child(b"psstopd.cli.shipper")

    def find_reader(self) -> int | None:
        """Give the pid of the child that reads the config for a reload, None when there is none."""
        return self._find_child(b"psstopd.settings")

    def _find_child(self, argument: bytes) -> int | None:
        return next((pid for pid in children(self.pid) if argument in cmdline(pid)), None)

    def ticks(self) -> list[StoredTick]:
        """Give all ticks in the journal, the oldest first; none while it is being made."""
        try:
            with closing(JournalReader(str(self.journal))) as journal:
                return journal.batch(0, 10**9)
        except DatabaseError:
            return []

    def await_delivery(self, *, seconds: float = 60) -> None:
        """Wait until everything that is journalled now has been accepted."""
        newest = self.ticks()[-1].id
        wait_for(lambda: self._delivered() >= newest, seconds, self._what(f"delivery of tick {newest}"))

    def _delivered(self) -> int:
        delivery = read_delivery(str(self.journal))
        return 0 if delivery is None else delivery.position.complete

    def errors(self) -> str:
        """Give what went to standard error so far."""
        return self.log.read_text(errors="surrogateescape")

    def await_log(self, words: str, *, count: int = 1) -> None:
        """Wait until the log has `words` `count` times."""
        wait_for(lambda: self.errors().count(words) >= count, START_SECONDS, self._what(f"{words!r} in the log"))

    def reload(self) -> None:
        """Send SIGHUP, as `systemctl reload` does."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, signal_number: int = signal.SIGTERM) -> tuple[int, float]:
        """End the daemon in good order; give its exit code and the seconds that it took."""
        began = time.monotonic()
        os.kill(self.pid, signal_number)
        code = self.wait()
        return code, time.monotonic() - began

    def wait(self) -> int:
        """Wait until the daemon has ended by itself; give its exit code."""
        assert self._process is not None, "the daemon is not running"
        code = self._process.wait(START_SECONDS)
        self._process = None
        return code

    def kill(self) -> None:
        """End the daemon as the OOM killer would; its shipper has to find out by itself."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def status(self) -> Any:
        """Give what `psstopd status --json` says."""
        return json.loads(self.run("status", "--json").stdout)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another subcommand of psstopd with the same config."""
        return psstopd(*arguments, "--config", str(self.config), environ=self._environ)


@contextmanager
def daemon(
    directory: Path, *arguments: str, environ: Mapping[str, str] | None = None, subcommand: str = "run"
) -> Iterator[Daemon]:
    """Give a daemon that is not yet configured; what still runs when the block ends is killed, the shipper too."""
    running = Daemon(directory, *arguments, environ=environ, subcommand=subcommand)
    shippers: set[int] = set()
    try:
        yield running
    finally:
        with suppress(AssertionError):
            shippers |= set(children(running.pid))
        running.kill()
        wait_for(lambda: not any(map(lives, shippers)), START_SECONDS, f"the end of {shippers}")


def psstopd(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run one command of psstopd to its end."""
    return _run("psstopd.cli.daemon", arguments, environ)


def psstop(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run one command of psstop to its end."""
    return _run("psstopd.cli.client", arguments, environ)


def _run(
    module: str, arguments: Sequence[str], environ: Mapping[str, str] | None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environ or clean_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def clean_environ() -> dict[str, str]:
    """Give this process' environment without what would configure psstop."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PSSTOP_") and name not in _NOT_INHERITED
    }


def children(pid: int) -> list[int]:
    """Give the pids of a process' children, proc_tid_children(5)."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def cmdline(pid: int) -> list[bytes]:
    """Give the arguments of a process, none when it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def lives(pid: int) -> bool:
    """Tell whether there is such a process that is no zombie."""
    return bool(cmdline(pid)[1:])


def stand_still(pid: int) -> None:
    """Stop a process with SIGSTOP, and return when it does."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    wait_for(lambda: stat.read_bytes().rpartition(b")")[2].split()[0] == b"T", 10, f"process {pid} to stand still")


def toml(tables: Tables) -> str:
    """Write tables of strings, numbers and lists as TOML; what JSON and TOML share is enough for a config."""
    keys = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if not _is_rules(value)]
    for key, rules in keys.items():
        for rule in rules if _is_rules(rules) else ():
            lines += [f"[[{key}]]", *(f"{name} = {json.dumps(value)}" for name, value in rule.items())]
    for key, table in tables.items():
        if isinstance(table, dict):
            lines += [f"[{key}]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items())]
    return "\n".join([*lines, ""])


def _is_rules(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)
