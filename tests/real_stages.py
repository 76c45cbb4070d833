"""The real servers of the failure matrix: InfluxDB 1.x and VictoriaMetrics, ended, stopped, and set up wrongly."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from psstopd.config import Secret
from tests.matrix import Key, Scene, Stage, configured
from tests.servers import FIELDS, InfluxDB, Server, VictoriaMetrics, free_port

USER = {"u": "psstop", "p": "sesame"}
SMALL_BODY = 300  # bytes; the whole journal of a case is several times as large

Run = Callable[[Path], AbstractContextManager[InfluxDB | VictoriaMetrics]]


class GuardedInfluxDB(InfluxDB):
    """An InfluxDB that may want a password."""

    def request(self, path: str, query: Mapping[str, str] | None = None, *, data: bytes | None = None) -> bytes:
        """Ask with the password."""
        return super().request(path, USER | dict(query or {}), data=data)


@contextmanager
def victoriametrics(directory: Path, *flags: str, port: int | None = None) -> Iterator[VictoriaMetrics]:
    """Run VictoriaMetrics with flags of the case's own."""
    address = f"127.0.0.1:{port or free_port()}"
    argv = ["victoria-metrics", f"-storageDataPath={directory / 'data'}", f"-httpListenAddr={address}", *flags]
    server = VictoriaMetrics(
        [*argv, "-retentionPeriod=100y"], f"http://{address}", ready_path="/health", log=directory / "server.log"
    )
    with _running(server):
        yield server


@contextmanager
def influxdb(directory: Path, **options: str) -> Iterator[InfluxDB]:
    """Run InfluxDB 1.x without a database, with options of the case's own, named as in its environment variables."""
    address = f"127.0.0.1:{free_port()}"
    usual = {
        "reporting_disabled": "true",
        "bind_address": f"127.0.0.1:{free_port()}",
        "meta_dir": str(directory / "meta"),
        "data_dir": str(directory / "data"),
        "data_wal_dir": str(directory / "wal"),
        "monitor_store_enabled": "false",
        "http_bind_address": address,
    }
    environ = [f"INFLUXDB_{name.upper()}={value}" for name, value in {**usual, **options}.items()]
    argv = ["env", *environ, "influxd", "-config", os.devnull]
    server = GuardedInfluxDB(argv, f"http://{address}", ready_path="/ping", log=directory / "server.log")
    with _running(server):
        server.query("CREATE USER psstop WITH PASSWORD 'sesame' WITH ALL PRIVILEGES")
        yield server


@contextmanager
def _running(server: Server) -> Iterator[None]:
    try:
        server.start()
        yield
    finally:
        server.stop()


@contextmanager
def influxdb_with_database(directory: Path) -> Iterator[InfluxDB]:
    """Run InfluxDB 1.x as it should be."""
    with influxdb(directory) as server:
        server.create_database("psstop")
        yield server


def scene_of(server: InfluxDB | VictoriaMetrics) -> Scene:
    """Make the scene of a server as it should be."""
    return Scene(configured(server.url, api="v1", token=Secret("psstop:sesame")), lambda: arrived(server))


def arrived(server: InfluxDB | VictoriaMetrics) -> set[Key]:
    """Give the points that a server hands out."""
    rows = ((measurement, row) for measurement in FIELDS for row in server.points(measurement))
    return {(measurement, str(row.get("name", "")), int(row["time"])) for measurement, row in rows}


def falling(run: Run, fall: Callable[[Server], object], rise: Callable[[Server], object]) -> Stage:
    """Run a server that has accepted points when it falls."""

    @contextmanager
    def stage(directory: Path) -> Iterator[Scene]:
        with run(directory) as server:
            yield scene_of(server)._replace(fall=lambda: fall(server), mend=lambda: rise(server))

    return stage


def freeze(server: Server) -> None:
    """Stop the process; the kernel goes on accepting connections for it."""
    os.kill(server.pid, signal.SIGSTOP)


def thaw(server: Server) -> None:
    """Let the process go on."""
    os.kill(server.pid, signal.SIGCONT)


@contextmanager
def without_database(directory: Path) -> Iterator[Scene]:
    """Run an InfluxDB whose database the operator has yet to create."""
    with influxdb(directory) as server:
        yield scene_of(server)._replace(mend=lambda: server.create_database("psstop"))


def misconfigured(**changes: Any) -> Stage:
    """Run an InfluxDB that the configuration misses in some way, until the operator corrects it."""

    @contextmanager
    def stage(directory: Path) -> Iterator[Scene]:
        with influxdb(directory, http_auth_enabled="true") as server:
            server.create_database("psstop")
            scene = scene_of(server)
            yield scene._replace(config=scene.config._replace(**changes), mended=scene.config)

    return stage


@contextmanager
def small_bodies(directory: Path) -> Iterator[Scene]:
    """Run an InfluxDB that takes small requests alone, and is never mended."""
    with influxdb(directory, http_max_body_size=str(SMALL_BODY)) as server:
        server.create_database("psstop")
        yield scene_of(server)


@contextmanager
def type_conflict(directory: Path) -> Iterator[Scene]:
    """Run an InfluxDB that has one of psstop's fields with another type."""
    with influxdb_with_database(directory) as server:
        server.request("/write", {"db": "psstop"}, data=b"psstop_process,host=other pid=1.5")
        yield scene_of(server)


@contextmanager
def short_memory(directory: Path) -> Iterator[Scene]:
    """Run an InfluxDB that keeps an hour, which the journal is older than, until the operator lets it keep more."""
    with influxdb(directory) as server:
        server.query("CREATE DATABASE psstop WITH DURATION 1h")
        longer = "ALTER RETENTION POLICY autogen ON psstop DURATION INF"
        yield scene_of(server)._replace(mend=lambda: server.query(longer))


@contextmanager
def without_space(directory: Path) -> Iterator[Scene]:
    """Run a VictoriaMetrics that wants more free disk space than there is, until the operator has made some."""
    port = free_port()
    with (
        victoriametrics(directory, "-storage.minFreeDiskSpaceBytes=1000000GB", port=port) as full,
        ExitStack() as later,
    ):

        def mend() -> None:
            full.stop()
            later.enter_context(victoriametrics(directory, port=port))

        yield scene_of(full)._replace(mend=mend)
