"""The configs under which the benches run psstop: watch the crowd, keep a journal, perhaps send."""

from pathlib import Path
from typing import Any

from psstopd import settings
from psstopd.config import Config, InfluxDBConfig, JournalConfig, Overhead, Sampling, Secret, Watch
from tests.bench.crowd import PREFIX

NAMES = 50
INTERVAL_SECONDS = 10
BATCH_SIZE: int = settings.InfluxDB.model_fields["batch_size"].default
_DAY = 86400


def watching_crowd(journal: Path, *, url: str | None = None, batch_size: int = BATCH_SIZE, max_age: int = 0) -> Config:
    """Watch the crowd and nothing else, every process on every tick, and send to `url` if there is one.

    With a `max_age` those that did not move since they were read are not read again.
    """
    return Config(
        watch=(Watch(None, None, f"{PREFIX}*", None, None, None, None, "program"),),
        sampling=Sampling(interval=INTERVAL_SECONDS, max_names=200, top_processes=0),
        overhead=Overhead(target_share=1.0, cpu_share=1.0, max_age=max_age),
        journal=JournalConfig(str(journal), raw_for=7 * _DAY, rollup_for=180 * _DAY, max_size=512 << 20),
        influxdb=None if url is None else _influxdb(url, batch_size),
        tags={},
    )


def _influxdb(url: str, batch_size: int) -> InfluxDBConfig:
    return InfluxDBConfig(
        url=url,
        api="v2",
        org="ops",
        bucket="psstop",
        token=Secret("sesame"),
        token_file=None,
        batch_size=batch_size,
        flush_interval=1,
        timeout=10,
        fields=None,
        backfill_rate=1_000_000,
        ca_file=None,
    )


def as_tables(url: str) -> dict[str, Any]:
    """Give the config file's tables with which the daemon watches the crowd and sends to `url` every second."""
    return {
        "names": [],
        "watch": [{"comm": f"{PREFIX}*", "group_by": "program"}],
        "influxdb": {"url": url, "org": "ops", "bucket": "psstop", "token": "sesame", "flush_interval": "1s"},
    }
