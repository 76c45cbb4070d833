"""The validated configuration as plain values.

`psstopd.settings` reads and checks the file with pydantic in a short-lived child and prints the result as JSON; the
daemon and its shipper rebuild it here with the standard library alone. A field is described where users set it, in
`config/psstop.toml`; a test holds these fields, the settings models and that file together.
"""

import json
from typing import Any, NamedTuple


class Secret(str):
    """A string that doesn't show itself in a log or a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


class Watch(NamedTuple):
    """One `[[watch]]` rule, or one of `names`. Every condition that is not None must hold."""

    name: str | None
    program: str | None  # exact full program name: the short form `names`
    comm: str | None
    cmdline: str | None
    exe: str | None
    user: str | None
    unit: str | None
    group_by: str  # rule, program, unit or user


class Sampling(NamedTuple):
    """The grid and the bounds on names."""

    interval: int  # seconds
    max_names: int
    top_processes: int


class Overhead(NamedTuple):
    """What psstop may cost: shares of wall time, 0 to 1, and for how many seconds an unmoved process isn't read."""

    target_share: float
    cpu_share: float
    max_age: int = 60


class JournalConfig(NamedTuple):
    """Where the journal is and how much it keeps: seconds and bytes."""

    path: str
    raw_for: int
    rollup_for: int
    max_size: int


class InfluxDBConfig(NamedTuple):
    """Where the shipper sends, and how. Durations in seconds."""

    url: str
    api: str  # v1 or v2
    org: str
    bucket: str
    token: Secret | None
    token_file: str | None
    batch_size: int
    flush_interval: int
    timeout: int
    backfill_rate: int  # points a second
    fields: tuple[str, ...] | None  # None: all
    ca_file: str | None
    cert_file: str | None = None  # the client's own certificate, and its key unless key_file has it
    key_file: str | None = None

    @property
    def deadline(self) -> float:
        """The seconds that one request may take, whatever the server does; `timeout` alone is per read."""
        return 3.0 * self.timeout


class Config(NamedTuple):
    """Everything `psstop.toml` and the environment say, checked and with defaults filled in."""

    watch: tuple[Watch, ...]
    sampling: Sampling
    overhead: Overhead
    journal: JournalConfig
    influxdb: InfluxDBConfig | None
    tags: dict[str, str]


def to_json(config: Config) -> str:
    """Write `config` so that `from_json` gives it back; it holds the token, so keep it off disks and screens."""
    return json.dumps(_plain(config))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Turn named tuples into objects; json would make arrays of them."""
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        return dict(zip(fields, map(_plain, value), strict=True)) if fields else list(map(_plain, value))
    return value


def from_json(text: str | bytes) -> Config:
    """Rebuild the Config that `to_json` wrote."""
    plain: dict[str, Any] = json.loads(text)
    influxdb = plain["influxdb"]
    if influxdb is not None:
        influxdb["token"] = influxdb["token"] and Secret(influxdb["token"])
        influxdb["fields"] = influxdb["fields"] and tuple(influxdb["fields"])
    return Config(
        watch=tuple(Watch(**rule) for rule in plain["watch"]),
        sampling=Sampling(**plain["sampling"]),
        overhead=Overhead(**plain["overhead"]),
        journal=JournalConfig(**plain["journal"]),
        influxdb=None if influxdb is None else InfluxDBConfig(**influxdb),
        tags=plain["tags"],
    )
