"""Many processes, large ones and ones that come and go: what the governor promises, on real ones for some seconds."""

import statistics
import time
from pathlib import Path

import pytest

from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, SAMPLE_FIELDS
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from tests.bench import giant, sharers
from tests.bench.crowd import PREFIX, compiled
from tests.bench.dialogue import Dialogue, dialogue
from tests.bench.table import MIB
from tests.daemon import daemon

pytestmark = pytest.mark.root

CHURN_SECONDS, STARTS_A_SECOND, LIFE_SECONDS = 10, 500, 0.1
CHURN_ROUNDS_A_SECOND = 20
GIANT = giant.Scale(1024, 12, target_share=0.002)  # 3 to 5 ms every 2 to 3 s, as 40 ms are for 8 GiB every 8 s
TICKS = 30
GROWTH_BOUND = 1 * MIB
LATE, TICK_US, STARTS, UNREADABLE = (
    HEALTH_FIELDS.index("late_ticks_total"),
    HEALTH_FIELDS.index("tick_us"),
    SAMPLE_FIELDS.index("starts_total"),
    SAMPLE_FIELDS.index("unreadable"),
)


def test_five_hundred_new_processes_a_second_break_nothing(tmp_path: Path) -> None:
    """All of them are watched, most of them live for less than a tick: no tick is late, and nothing piles up."""
    name = f"{PREFIX}churn"[:15]
    with dialogue([str(compiled("sharers.c", tmp_path)), name, "0"]) as family, daemon(tmp_path) as psstop:
        psstop.configure(names=[name])
        psstop.start()
        churn(family, seconds=2)
        psstop.await_ticks(2)
        before, files_before = uss(psstop.pid), open_files(psstop.pid)
        started = churn(family, CHURN_SECONDS)
        after, files_after = uss(psstop.pid), open_files(psstop.pid)
        ticks, errors = psstop.ticks(), psstop.errors()

    assert started >= STARTS_A_SECOND * CHURN_SECONDS * 0.9, "this machine is too slow for the test"
    assert missing(ticks) == set()
    assert ticks[-1].health[LATE] == 0, [tick.health[TICK_US] for tick in ticks]
    assert values(ticks[-1], name)[STARTS] > STARTS_A_SECOND * LIFE_SECONDS
    assert after - before < GROWTH_BOUND
    assert files_after - files_before <= STARTS_A_SECOND * LIFE_SECONDS * 2
    assert errors.count("\n") == 1, errors  # started


def test_a_large_process_is_read_for_its_share_of_the_time() -> None:
    """Its reads are `target_share` of the time, its samples tell their age, and nobody else is read the less for it."""
    watched, _ = giant.measure(GIANT)

    one_read = max(watched.read_seconds) / watched.seconds
    assert watched.share <= GIANT.target_share + one_read, watched
    assert 1 < len(watched.read_seconds) < watched.seconds / 2, watched
    assert max(watched.age_errors_ms) <= 1000
    assert statistics.quantiles(watched.other_ages_ms, n=10)[-1] < 1000  # a read may be held up, and its target rests
    assert watched.missing == 0


@pytest.mark.parametrize("workload", sharers.WORKLOADS, ids=lambda workload: workload.run.__name__)
def test_what_is_not_read_again_has_not_changed(workload: sharers.Workload) -> None:
    """Fork and exit of those who share memory are noticed by who did not move, and in time all else is too."""
    found = sharers.measure(workload, TICKS)

    assert found.left_bytes == 0
    if workload.is_bounded:
        assert found.median <= sharers.MEDIAN_BOUND, found
        assert found.most <= sharers.MAX_BOUND, found


def churn(family: Dialogue, seconds: float) -> int:
    """Start STARTS_A_SECOND processes a second that live for LIFE_SECONDS; give how many."""
    at_once = STARTS_A_SECOND // CHURN_ROUNDS_A_SECOND
    began, started, alive = time.monotonic(), 0, 0.0
    while (elapsed := time.monotonic() - began) < seconds:
        ending = at_once if alive >= STARTS_A_SECOND * LIFE_SECONDS else 0
        (alive,) = family.ask(at_once, ending, 0, 0)
        started += at_once
        time.sleep(max(0.0, started / STARTS_A_SECOND - elapsed))
    return started


def uss(pid: int) -> int:
    """Read what only one process has."""
    return MemoryReader(Procfs()).read(pid).memory.uss


def open_files(pid: int) -> int:
    """Count the descriptors of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def missing(ticks: list[StoredTick]) -> set[int]:
    """Give the grid points without a tick."""
    times = {tick.time for tick in ticks}
    return set(range(min(times), max(times))) - times


def values(tick: StoredTick, name: str) -> tuple[int, ...]:
    """Give the sample of a name, of which every value is known."""
    found = dict(tick.samples)[name]
    return tuple(value or 0 for value in found)
