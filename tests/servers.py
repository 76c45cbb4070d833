"""Real servers for the tests: VictoriaMetrics and InfluxDB 1.x on loopback, their data in the test's directory."""

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psstopd.journal.schema import HEALTH_FIELDS, PROCESS_FIELDS, SAMPLE_FIELDS
from tests.waiting import wait_for

Row = dict[str, str | int]  # "time" in Unix seconds, then tags and fields under their own names

START_SECONDS = 30

# VictoriaMetrics joins measurement and field with "_", so that the measurement alone cannot be told from a name.
FIELDS = {"psstop": SAMPLE_FIELDS, "psstop_process": PROCESS_FIELDS, "psstopd": ("up", "names", *HEALTH_FIELDS)}

# A proxy of the environment has no business between a test and its own server.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """A server program, run by `start`, ended by `stop` or `kill`, and started again on the same port and data."""

    def __init__(self, argv: list[str], url: str, *, ready_path: str, log: Path) -> None:
        self.url = url
        self._argv = argv
        self._ready_url = url + ready_path
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the program was started and not ended since; raises RuntimeError when it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self._argv[0]} ended by itself:\n{self._log.read_text()[-2000:]}")
        return self._process is not None

    def start(self) -> None:
        """Run the program and return once it answers."""
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Run the program; it answers some time later."""
        assert self._process is None, "the server is already running"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log)

    def await_answer(self) -> None:
        """Wait until the program answers."""
        wait_for(self._answers, START_SECONDS, f"{self._argv[0]} to answer, see {self._log}")

    def stop(self) -> None:
        """End the server in good order: what it has acknowledged is on disk afterwards."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End the server as a power cut or the OOM killer would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def request(self, path: str, query: Mapping[str, str] | None = None, *, data: bytes | None = None) -> bytes:
        """Return what the server answers to a GET, or to a POST of `data`."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(query or {})}"
        with _opener.open(url, data=data, timeout=START_SECONDS) as response:
            body: bytes = response.read()
        return body

    def _answers(self) -> bool:
        if not self.runs:
            return False
        try:
            _opener.open(self._ready_url, timeout=START_SECONDS).close()
        except OSError:
            return False
        return True


class VictoriaMetrics(Server):
    """Takes `/write` and `/api/v2/write` alike and keeps every sample, duplicates too."""

    def points(self, measurement: str) -> list[Row]:
        """Return the points of a measurement in the order of their times, one row for each set of tags and time."""
        # Otherwise a new series shows up in answers only seconds after it was acknowledged.
        self.request("/internal/force_flush")
        names = "|".join(FIELDS[measurement]) if measurement in FIELDS else ".+"
        matching = f'{{__name__=~"{measurement}_({names})"}}'
        exported = self.request("/api/v1/export", {"match[]": matching}).decode().splitlines()
        rows: dict[str, Row] = defaultdict(dict)
        for series in map(json.loads, exported):
            field = series["metric"].pop("__name__").removeprefix(f"{measurement}_")
            for value, milliseconds in zip(series["values"], series["timestamps"], strict=True):
                moment = {"time": milliseconds // 1000, **series["metric"]}
                rows[json.dumps(moment, sort_keys=True)] |= {**moment, field: int(value)}
        return sorted(rows.values(), key=lambda row: row["time"])


class InfluxDB(Server):
    """InfluxDB 1.x: databases are made first, reads see every acknowledged write."""

    def create_database(self, name: str) -> None:
        """Make a database with the default retention policy `autogen`."""
        self.query(f'CREATE DATABASE "{name}"')

    def query(self, statement: str, *, database: str = "") -> list[Row]:
        """Run an InfluxQL statement and return the rows of its first series, without columns that are null."""
        answer = json.loads(self.request("/query", {"q": statement, "db": database, "epoch": "s"}, data=b""))
        result = answer["results"][0]
        if "error" in result:
            raise RuntimeError(f"{statement}: {result['error']}")
        return [
            {column: value for column, value in zip(series["columns"], values, strict=True) if value is not None}
            for series in result.get("series", [])[:1]
            for values in series["values"]
        ]

    def points(self, measurement: str, *, database: str = "psstop") -> list[Row]:
        """Return the points of a measurement in the order of their times."""
        return self.query(f'SELECT * FROM "{measurement}"', database=database)  # noqa: S608 - the test's own word


@contextmanager
def victoriametrics(directory: Path) -> Iterator[VictoriaMetrics]:
    """Run VictoriaMetrics on a free port of 127.0.0.1, its data under `directory`, until the block ends."""
    address = f"127.0.0.1:{free_port()}"
    argv = [
        "victoria-metrics",
        f"-storageDataPath={directory / 'victoria-metrics'}",
        f"-httpListenAddr={address}",
        "-retentionPeriod=100y",
    ]
    server = VictoriaMetrics(argv, f"http://{address}", ready_path="/health", log=directory / "victoria-metrics.log")
    with _running(server):
        yield server


@contextmanager
def influxdb(directory: Path) -> Iterator[InfluxDB]:
    """Run InfluxDB 1.x on a free port of 127.0.0.1, its data under `directory`, until the block ends."""
    address = f"127.0.0.1:{free_port()}"
    config = directory / "influxdb.conf"
    config.write_text(_influxdb_config(directory / "influxdb", address))
    argv = ["influxd", "-config", str(config)]
    server = InfluxDB(argv, f"http://{address}", ready_path="/ping", log=directory / "influxdb.log")
    with _running(server):
        yield server


@contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


def _influxdb_config(data: Path, address: str) -> str:
    return f"""
reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
  dir = "{data}/meta"
[data]
  dir = "{data}/data"
  wal-dir = "{data}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "{address}"
  log-enabled = false
"""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
