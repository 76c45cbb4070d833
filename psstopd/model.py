"""The values that flow through psstop: one process at one moment, one name at one tick, one tick.

Named tuples, not dataclasses: these bring `inspect` along, 1 MiB in a process that may have 12.
"""

from enum import StrEnum
from typing import NamedTuple


class Identity(NamedTuple):
    """A process for as long as the machine runs: pids are reused, a pid with its start time is not."""

    pid: int
    start_time: int  # clock ticks since boot, field 22 of /proc/PID/stat


class Memory(NamedTuple):
    """What `smaps_rollup` says of one address space or of several, in bytes; None where the kernel has no such line."""

    pss: int
    swap_pss: int | None
    uss: int
    rss: int
    pss_anon: int | None
    pss_file: int | None
    pss_shmem: int | None


NO_MEMORY = Memory(0, 0, 0, 0, 0, 0, 0)


class Unreadable(StrEnum):
    """Why the memory of a living process could not be measured."""

    DENIED = "denied"
    STUCK = "stuck"
    UNPARSEABLE = "unparseable"
    PENDING = "pending"  # nobody has read it yet, for want of budget


class Reading(NamedTuple):
    """What the memory file of one process said, for as long as it says the same."""

    identity: Identity
    memory: Memory
    span: bytes  # equal for processes that may share one address space
    mark: int = 0  # of the text, by which one that says the same again is known


class ProcessSample(NamedTuple):
    """One of the largest processes of a name at one tick; `slot` is its ordinal, held while the process lives."""

    slot: int
    identity: Identity
    memory: Memory


class Sample(NamedTuple):
    """One name at one tick: the sum over its processes. `memory` is None when none of them was readable."""

    name: str
    memory: Memory | None
    pss_max: int | None
    processes: int
    unreadable: int  # or not read yet: new ones, where the budget for reads was spent
    starts: int  # processes seen for the first time since the last tick
    newest_start: int  # the largest start_time among its processes, 0 without any
    age_ms: int  # of the oldest reading in the sum
    read_us: int  # spent on this tick; 0 where all readings are carried over
    top: tuple[ProcessSample, ...] = ()


class Health(NamedTuple):
    """The daemon on itself at one tick, as the `psstopd` measurement has it; None where it has no shipper."""

    processes: int
    tick_us: int
    late_ticks_total: int
    pending_points: int | None
    pending_age_s: int | None
    dropped_total: int
    quarantined_total: int | None
    send_errors_total: int | None
    self_pss_bytes: int | None
    self_cpu_us_total: int


class Tick(NamedTuple):
    """One pass over the watched names. `time` is the grid point in Unix seconds and never changes afterwards."""

    time: int
    samples: tuple[Sample, ...]
    health: Health
