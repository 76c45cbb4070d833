"""Builders of ticks and samples, and of the configs of the journals that take them."""

import os
from pathlib import Path

from psstopd.config import JournalConfig
from psstopd.model import Health, Identity, Memory, ProcessSample, Sample, Tick

BOOT = "11111111-2222-3333-4444-555555555555"
BEGIN = 1_795_294_200  # a multiple of 300 s
INTERVAL = 10
DAY = 86_400
HEALTH = Health(
    processes=3,
    tick_us=1500,
    late_ticks_total=0,
    pending_points=None,
    pending_age_s=None,
    dropped_total=0,
    quarantined_total=None,
    send_errors_total=None,
    self_pss_bytes=9_000_000,
    self_cpu_us_total=123_456,
)


def rounds(usual: int) -> int:
    """Give how often a random test is repeated; TORTURE=500 in the environment makes a long run of it."""
    return int(os.environ.get("TORTURE", usual))


def journal_config(
    path: Path | str, *, raw_for: int = 7 * DAY, rollup_for: int = 180 * DAY, max_size: int = 2**23
) -> JournalConfig:
    """Give the config of a journal at `path`, with the smallest `max_size` that settings allow."""
    return JournalConfig(str(path), raw_for, rollup_for, max_size)


def memory(pss: int) -> Memory:
    """Make up an address space whose numbers can be told apart and follow from its PSS."""
    return Memory(pss, pss // 2, pss - 1, pss + 1, pss // 4, pss // 5, pss // 6)


def sample(
    name: str, pss: int | None = 4096, *, starts: int = 0, newest_start: int = 0, top: tuple[ProcessSample, ...] = ()
) -> Sample:
    """Make up one name at one tick; `pss` None: its one process could not be read."""
    measured = None if pss is None else memory(pss)
    return Sample(
        name=name,
        memory=measured,
        pss_max=pss,
        processes=1,
        unreadable=int(pss is None),
        starts=starts,
        newest_start=newest_start,
        age_ms=0,
        read_us=87,
        top=top,
    )


def process(slot: int, pss: int = 4096) -> ProcessSample:
    """Make up one of the largest processes of a name."""
    return ProcessSample(slot, Identity(1000 + slot, 5000 + slot), memory(pss))


def tick(number: int, *samples: Sample, time: int | None = None) -> Tick:
    """Make up the tick at a place of the grid, of the one name nginx unless there are others."""
    return Tick(BEGIN + number * INTERVAL if time is None else time, samples or (sample("nginx"),), HEALTH)


def wide_tick(number: int, names: int, *, time: int | None = None) -> Tick:
    """Make up a tick of many names."""
    return tick(number, *(sample(f"name{index}", 4096 * (number + index)) for index in range(names)), time=time)
