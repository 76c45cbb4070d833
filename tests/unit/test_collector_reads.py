"""What a pass makes of processes that cannot be measured, or not yet: counted where it matters, no error where not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.model import Identity, Sample, Unreadable
from psstopd.sampling.collector import Collection
from tests.collecting import collector, config, kib, named, samples
from tests.fakes import PF_KTHREAD, FakeProc, FakeProcess, memory, rollup_text
from tests.waiting import wait_for


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


@pytest.mark.parametrize("process", [FakeProcess(8, b"web", flags=PF_KTHREAD), FakeProcess(8, b"web", state="Z")])
def test_who_has_no_memory_is_no_error(proc: FakeProc, process: FakeProcess) -> None:
    """Kernel threads and zombies are not among the processes, nor among the unreadable ones."""
    proc.add(FakeProcess(7, b"web"), process)
    proc.file(8).unlink()

    taken = collector(proc.procfs, config(*named("web"))).collect()

    assert (taken.samples[0].processes, taken.samples[0].unreadable, taken.unreadable) == (1, 0, {})


def test_who_vanishes_during_the_pass_is_no_error(proc: FakeProc) -> None:
    """A process that ends between being listed and being read is left out of everything."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"web"))
    taking = collector(proc.procfs, config(*named("web")))
    taking.collect()
    proc.file(8).unlink()
    (proc.root / "8/stat").unlink()

    taken = taking.collect()

    assert (taken.samples[0].processes, taken.samples[0].unreadable, taken.unreadable) == (1, 0, {})


def test_what_cannot_be_read_is_counted(proc: FakeProc) -> None:
    """Its memory is missing from the sum, and the sample says of how many."""
    proc.add(*(FakeProcess(pid, b"web", memory=memory(pid)) for pid in (7, 8, 9)))
    proc.deny(8)
    proc.write(9, b"nonsense")

    taken = collector(proc.procfs, config(*named("web"))).collect()

    assert kib({"web": taken.samples[0]}) == {"web": 7}
    assert (taken.samples[0].processes, taken.samples[0].unreadable) == (3, 2)
    assert taken.unreadable == {Unreadable.DENIED: 1, Unreadable.UNPARSEABLE: 1}


def test_when_nothing_can_be_read_the_memory_is_unknown(proc: FakeProc) -> None:
    """Unknown is not zero."""
    proc.add(FakeProcess(8, b"web"))
    proc.deny(8)

    sample = samples(collector(proc.procfs, config(*named("web"))))["web"]

    assert (sample.memory, sample.pss_max, sample.processes, sample.unreadable) == (None, None, 1, 1)


def test_a_read_that_hangs_is_counted_and_its_result_used_late(proc: FakeProc) -> None:
    """Until it returns the process is unreadable; its late reading is older than the pass that uses it."""
    proc.add(FakeProcess(7, b"web", memory=memory(7)), FakeProcess(8, b"web", memory=memory(8)))
    proc.hang(8)
    taking = collector(proc.procfs, config(*named("web")))
    hanging = taking.collect()
    stuck = taking.stuck
    proc.release(8, rollup_text(memory(800), "8-9"))
    released = time.perf_counter()
    wait_for(lambda: time.perf_counter() > released + 0.05, 5, "the reading has an age")
    late = wait_for(lambda: _without_unreadable(taking.collect()), 5, "the late reading")

    assert (kib({"web": hanging.samples[0]}), hanging.unreadable) == ({"web": 7}, {Unreadable.STUCK: 1})
    assert stuck == {Identity(8, 100)}
    assert kib({"web": late}) == {"web": 807}
    assert late.age_ms > 0


def _without_unreadable(collection: Collection) -> Sample | None:
    return None if collection.unreadable else collection.samples[0]


def test_who_only_looks_alike_is_counted(proc: FakeProc) -> None:
    """Processes with one address range count each, unless the kernel says that they share it."""
    beyond_pid_max = 1 << 22
    proc.add(*(FakeProcess(beyond_pid_max + n, b"web", memory=memory(5), span="1000-2000") for n in (1, 2, 3)))

    assert kib(samples(collector(proc.procfs, config(*named("web"))))) == {"web": 15}
