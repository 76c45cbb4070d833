"""From processes to one sample a name: every process in one sum, whatever starts, ends and changes its name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.model import NO_MEMORY, Memory, Sample
from psstopd.sampling.tally import total
from tests.collecting import EVERY, collector, config, kib, named, samples
from tests.fakes import KIB, Clock, FakeProc, FakeProcess, memory


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


def test_a_sample_is_the_sum_over_its_processes(proc: FakeProc) -> None:
    """Each column is added up, and the largest process is told."""
    one = Memory(*(KIB * size for size in (100, 1, 50, 120, 60, 30, 10)))
    two = Memory(*(KIB * size for size in (7, 0, 3, 9, 4, 2, 1)))
    proc.add(FakeProcess(7, b"web", 100, one), FakeProcess(8, b"web", 300, two), FakeProcess(9, b"db", 200, two))

    taken = samples(collector(proc.procfs, config(*named("web"))))

    expected = Memory(*(KIB * size for size in (107, 1, 53, 129, 64, 32, 11)))
    assert taken == {"web": Sample("web", expected, 100 * KIB, 2, 0, 2, 300, 0, taken["web"].read_us)}


@given(st.dictionaries(st.integers(1, 4000), st.tuples(st.sampled_from("abcdefg"), st.integers(0, 10**9)), max_size=20))
def test_every_process_is_in_one_sum(
    tmp_path_factory: pytest.TempPathFactory, table: dict[int, tuple[str, int]]
) -> None:
    """With every program watched the samples add up to what all processes use, however few names may have a series."""
    with FakeProc(tmp_path_factory.mktemp("proc")) as proc:
        proc.add(*(FakeProcess(pid, name.encode(), pid, memory(size)) for pid, (name, size) in table.items()))
        taken = samples(collector(proc.procfs, config(*named("a"), EVERY, max_names=3)))

    assert sum(sample.memory.pss for sample in taken.values() if sample.memory) == KIB * sum(
        size for _, size in table.values()
    )
    assert sum(sample.processes for sample in taken.values()) == len(table)
    assert len(taken.keys() - {"a", "other"}) <= 3


def test_the_first_rule_wins(proc: FakeProc) -> None:
    """A process that two rules match is in the sum of the first alone."""
    proc.add(FakeProcess(7, b"web", memory=memory(10)), FakeProcess(8, b"db", memory=memory(1)))
    rules = (*named("web"), EVERY._replace(name="all", comm="*", group_by="rule"))

    assert kib(samples(collector(proc.procfs, config(*rules)))) == {"web": 10, "all": 1}


def test_a_fixed_name_without_a_process_is_zero(proc: FakeProc) -> None:
    """Not running is a fact with a point of its own."""
    taken = samples(collector(proc.procfs, config(*named("web"))))

    assert taken == {"web": Sample("web", NO_MEMORY, 0, 0, 0, 0, 0, 0, 0)}


def test_a_found_name_rests_an_hour_after_its_last_process(proc: FakeProc) -> None:
    """It is zero for an hour, then has no point until it comes back."""
    clock = Clock(5000)
    taking = collector(proc.procfs, config(), monotonic=clock.now)
    proc.add(FakeProcess(7, b"job"))
    assert kib(samples(taking)) == {"job": 1}
    proc.remove(7)

    clock.wait(3599)
    assert kib(samples(taking)) == {"job": 0}
    clock.wait(1)
    assert samples(taking) == {}
    proc.add(FakeProcess(8, b"job"))
    assert kib(samples(taking)) == {"job": 1}


def test_the_largest_names_have_a_series_of_their_own(proc: FakeProc) -> None:
    """What is beyond max_names is summed as other; fixed names take no place."""
    proc.add(*(FakeProcess(pid, b"p%d" % pid, memory=memory(pid)) for pid in range(1, 7)))

    taken = samples(collector(proc.procfs, config(*named("p1"), EVERY, max_names=2)))

    assert kib(taken) == {"p1": 1, "p6": 6, "p5": 5, "other": 2 + 3 + 4}
    assert taken["other"].processes == 3


def test_who_has_a_series_keeps_it(proc: FakeProc) -> None:
    """A series does not change hands while its name lives; a free place goes to the largest of the others."""
    clock = Clock(0)
    taking = collector(proc.procfs, config(max_names=1), monotonic=clock.now)
    proc.add(FakeProcess(1, b"first"))
    samples(taking)
    proc.remove(1)
    proc.add(FakeProcess(2, b"second", memory=memory(20)), FakeProcess(3, b"third", memory=memory(30)))

    clock.wait(1800)
    assert kib(samples(taking)) == {"first": 0, "other": 50}
    clock.wait(1800)
    assert kib(samples(taking)) == {"other": 20, "third": 30}


def test_other_may_be_a_fixed_name(proc: FakeProc) -> None:
    """A rule that is called like the rest gets the rest; a name never has two samples."""
    proc.add(*(FakeProcess(pid, b"p%d" % pid, memory=memory(pid)) for pid in (1, 2, 3)))

    assert kib(samples(collector(proc.procfs, config(*named("other"), EVERY, max_names=1)))) == {"other": 3, "p3": 3}


def test_starts_are_counted_once(proc: FakeProc) -> None:
    """A process counts when it is first seen under a name, in the order of passes and not of names."""
    taking = collector(proc.procfs, config(*named("web", "db")))
    proc.add(FakeProcess(7, b"web", 100), FakeProcess(8, b"web", 90))
    first = samples(taking)
    proc.add(FakeProcess(9, b"web", 110))
    proc.forget(7)
    second = samples(taking)
    proc.change(7, comm=b"db")
    third = samples(taking)

    assert [taken["web"].starts for taken in (first, second, third)] == [2, 1, 0]
    assert [taken["db"].starts for taken in (first, second, third)] == [0, 0, 1]
    assert [taken["web"].newest_start for taken in (first, second, third)] == [100, 110, 110]


def test_a_restarted_daemon_counts_no_start_twice(proc: FakeProc) -> None:
    """On its first pass it leaves out what an earlier daemon has counted, by the newest start of each name."""
    proc.add(FakeProcess(7, b"web", 100), FakeProcess(8, b"web", 200), FakeProcess(9, b"db", 150))
    taking = collector(proc.procfs, config(), newest_starts={"web": 100})
    first = samples(taking)
    proc.add(FakeProcess(10, b"web", 50))

    assert {name: sample.starts for name, sample in first.items()} == {"web": 1, "db": 1}
    assert samples(taking)["web"].starts == 1


def test_exec_moves_a_process_on_the_next_pass(proc: FakeProc) -> None:
    """Its memory leaves the old sum when it enters the new one."""
    taking = collector(proc.procfs, config(*named("sh", "web")))
    proc.add(FakeProcess(7, b"sh", memory=memory(5)))

    assert kib(samples(taking)) == {"sh": 5, "web": 0}
    proc.change(7, comm=b"web", memory=memory(50))
    assert kib(samples(taking)) == {"sh": 0, "web": 50}


def test_the_largest_processes_have_slots(proc: FakeProc) -> None:
    """A slot is held while its process lives, whoever is largest; a newcomer takes the smallest that is free."""
    taking = collector(proc.procfs, config(*named("web"), top_processes=2))
    proc.add(*(FakeProcess(pid, b"web", memory=memory(size)) for pid, size in ((1, 30), (2, 20), (3, 10))))
    first = slots(samples(taking)["web"])
    proc.change(3, memory=memory(99))
    second = slots(samples(taking)["web"])
    proc.remove(1)
    proc.add(FakeProcess(4, b"web", memory=memory(50)))
    third = slots(samples(taking)["web"])

    assert (first, second, third) == ({0: 1, 1: 2}, {2: 3, 0: 1}, {2: 3, 0: 4})


def slots(sample: Sample) -> dict[int, int]:
    """Give the pid in each slot, the largest first."""
    return {process.slot: process.identity.pid for process in sample.top}


def test_a_reload_changes_the_names(proc: FakeProc) -> None:
    """Names that the new config does not fix have no more points, and no start is counted again."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"db"))
    taking = collector(proc.procfs, config(*named("web")))
    taking.collect()

    taking.reload(config(*named("db", "cache", "web")))
    taken = samples(taking)
    taking.reload(config(*named("db")))

    assert {name: sample.starts for name, sample in taken.items()} == {"db": 1, "cache": 0, "web": 0}
    assert kib(samples(taking)) == {"db": 1}


columns = st.none() | st.integers(0, 1 << 60)
sizes = st.integers(0, 1 << 60)


@given(st.lists(st.builds(Memory, sizes, columns, sizes, sizes, columns, columns, columns)))
def test_totals_keep_absent_columns_absent(memories: list[Memory]) -> None:
    """A column that one process lacks has no sum; no processes use no bytes."""
    summed = total(memories)

    for index in range(len(Memory._fields)):
        column = [each[index] for each in memories]
        assert summed[index] == (None if None in column else sum(size or 0 for size in column))
