"""What a pass does not do: it reads nobody again who did not move, too soon or over the budget, and it says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.config import Config, Overhead
from psstopd.kernel.procfs import parse_stat
from psstopd.model import Memory, Unreadable
from psstopd.sampling.census import Process
from psstopd.sampling.collector import Collector
from psstopd.sampling.schedule import Changes, Schedule
from tests.collecting import collector, config, kib, named, samples
from tests.fakes import KIB, Clock, FakeProc, FakeProcess, memory, stat_text

UNBOUNDED = Overhead(target_share=1.0, cpu_share=1.0, max_age=60)


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc without processes."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands still."""
    return Clock(5000)


def watching(proc: FakeProc, clock: Clock, *names: str, overhead: Overhead = UNBOUNDED) -> Collector:
    """Watch names within the bounds of `overhead`."""
    return collector(proc.procfs, governed(*names, overhead=overhead), monotonic=clock.now)


def governed(*names: str, overhead: Overhead) -> Config:
    """Configure names and what reading them may cost."""
    return config(*named(*names))._replace(overhead=overhead)


def test_who_did_not_move_is_not_read_again(proc: FakeProc, clock: Clock) -> None:
    """Until `max_age` the last reading counts, and the sample tells its age and that it cost nothing."""
    proc.add(FakeProcess(7, b"web", memory=memory(5)))
    taking = watching(proc, clock, "web")
    samples(taking)
    proc.change(7, memory=memory(50))

    clock.wait(59)
    kept = samples(taking)["web"]
    clock.wait(1)
    renewed = samples(taking)["web"]

    assert (kept.memory, kept.age_ms, kept.read_us) == (memory(5), 59_000, 0)
    assert (renewed.memory, renewed.age_ms) == (memory(50), 0)


@pytest.mark.parametrize("movement", [{"faults": 1}, {"rss_pages": 1}, {"rss_pages": 1, "faults": 3}])
def test_who_moved_is_read_on_the_next_pass(proc: FakeProc, clock: Clock, movement: dict[str, int]) -> None:
    """Another resident size or a page fault is enough."""
    proc.add(FakeProcess(7, b"web", memory=memory(5)))
    taking = watching(proc, clock, "web")
    samples(taking)
    proc.change(7, memory=memory(50), **movement)

    clock.wait(1)

    assert kib(samples(taking)) == {"web": 50}


def test_a_change_of_company_has_the_name_read_again(proc: FakeProc, clock: Clock) -> None:
    """Who shares memory with one that came or went has another share of it; other names are left alone."""
    proc.add(*(FakeProcess(pid, name, memory=memory(8)) for pid, name in ((7, b"web"), (8, b"web"), (9, b"db"))))
    taking = watching(proc, clock, "web", "db")
    samples(taking)
    proc.remove(8)
    proc.change(7, memory=memory(16))
    proc.change(9, memory=memory(1))

    clock.wait(1)

    assert kib(samples(taking)) == {"web": 16, "db": 8}


def test_with_max_age_0_everybody_is_read(proc: FakeProc, clock: Clock) -> None:
    """Whether it moved or not."""
    proc.add(FakeProcess(7, b"web", memory=memory(5)))
    taking = watching(proc, clock, "web", overhead=UNBOUNDED._replace(max_age=0))
    samples(taking)
    proc.change(7, memory=memory(50))

    clock.wait(1)

    assert kib(samples(taking)) == {"web": 50}


class Walker(Clock):
    """A clock that each reading of a process moves on: reads take time, and nobody has to wait for it."""

    def __init__(self, *, read_seconds: float) -> None:
        super().__init__(5000)
        self.read_seconds = read_seconds

    def now(self) -> float:
        """Give the time; a read asks for it before and after."""
        self.seconds += self.read_seconds
        return self.seconds


def test_an_expensive_process_is_read_seldom(proc: FakeProc) -> None:
    """Its reads are `target_share` of the time; meanwhile the sample ages, and the resident size is that of now."""
    large = memory(1 << 20)
    clock = Walker(read_seconds=0.01)
    proc.add(FakeProcess(7, b"db", memory=large, rss_pages=262_144))
    taking = watching(proc, clock, "db", overhead=Overhead(target_share=0.005, cpu_share=1.0, max_age=0))
    samples(taking)
    proc.change(7, memory=memory(1), rss_pages=262_145, faults=1)

    clock.wait(1)
    between = samples(taking)["db"]
    clock.wait(1)
    after = samples(taking)["db"]

    assert between.memory == large._replace(rss=large.rss + 4 * KIB)
    assert 1000 <= between.age_ms <= 1200
    assert after.memory == memory(1)


def test_over_budget_the_unread_are_counted(proc: FakeProc, clock: Clock) -> None:
    """Their memory is missing from the sum, and the sample says of how many; in time all of them are read."""
    proc.add(*(FakeProcess(pid, b"web", memory=memory(1)) for pid in range(1, 6)))
    taking = watching(proc, clock, "web", overhead=UNBOUNDED._replace(cpu_share=1e-9))
    first = taking.collect()
    for _ in range(10):
        clock.wait(1e9)
        last = taking.collect()

    assert kib({"web": first.samples[0]}) == {"web": 1}
    assert (first.samples[0].processes, first.samples[0].starts) == (5, 5)
    assert (first.samples[0].unreadable, first.unreadable) == (4, {Unreadable.PENDING: 4})
    assert kib({"web": last.samples[0]}) == {"web": 5}
    assert (last.samples[0].unreadable, last.unreadable) == (0, {})


def test_without_any_reading_the_memory_is_unknown(proc: FakeProc, clock: Clock) -> None:
    """A name of which nobody was read yet has no size, not a size of 0."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"db"))

    taken = samples(watching(proc, clock, "web", "db", overhead=UNBOUNDED._replace(cpu_share=1e-9)))

    assert sorted(sample.memory is None for sample in taken.values()) == [False, True]


def test_a_reload_changes_the_bounds(proc: FakeProc, clock: Clock) -> None:
    """From the next pass on."""
    proc.add(FakeProcess(7, b"web", memory=memory(5)))
    taking = watching(proc, clock, "web")
    samples(taking)
    proc.change(7, memory=memory(50))
    clock.wait(1)
    kept = kib(samples(taking))

    taking.reload(governed("web", overhead=UNBOUNDED._replace(max_age=0)))

    assert (kept, kib(samples(taking))) == ({"web": 5}, {"web": 50})


def test_a_reload_changes_what_is_told_of_single_processes(proc: FakeProc, clock: Clock) -> None:
    """Though nothing was read since."""
    proc.add(FakeProcess(7, b"web"))
    taking = watching(proc, clock, "web")
    before = [len(samples(taking)["web"].top) for _ in range(3)]

    taking.reload(config(*named("web"), top_processes=1)._replace(overhead=UNBOUNDED))

    assert (before, len(samples(taking)["web"].top)) == ([0, 0, 0], 1)


def test_a_refusal_is_not_tried_on_every_pass(proc: FakeProc, clock: Clock) -> None:
    """It is still counted on every pass, and tried again at `max_age`."""
    proc.add(FakeProcess(7, b"web", memory=memory(5)))
    proc.deny(7)
    taking = watching(proc, clock, "web")
    taking.collect()
    proc.file(7).unlink()
    proc.change(7)

    clock.wait(59)
    kept = taking.collect()
    clock.wait(1)

    assert kept.unreadable == {Unreadable.DENIED: 1}
    assert kib(samples(taking)) == {"web": 5}


def test_who_moved_back_has_its_size_back(proc: FakeProc) -> None:
    """A resident size that changed and changed back between two reads leaves nothing in the sum."""
    clock = Walker(read_seconds=0.01)
    proc.add(FakeProcess(7, b"db", memory=memory(1 << 20), rss_pages=262_144))
    taking = watching(proc, clock, "db", overhead=Overhead(target_share=1e-4, cpu_share=1.0, max_age=3600))
    sizes = []
    for pages in (262_144, 262_143, 262_144, 262_144):
        proc.change(7, rss_pages=pages)
        sample = samples(taking)["db"]
        sizes.append(sample.memory and sample.memory.rss // KIB - (1 << 20))

    assert sizes == [0, -4, 0, 0]


def test_who_shares_with_another_name_counts_there_once(proc: FakeProc, clock: Clock) -> None:
    """Whether they still share is asked on every pass, and the memory moves to the other name when they don't."""
    spaces = {7: 1, 8: 1}
    proc.add(FakeProcess(7, b"web", 100, memory(5), span="1-2"), FakeProcess(8, b"db", 200, memory(5), span="1-2"))
    taking = collector(
        proc.procfs,
        governed("web", "db", overhead=UNBOUNDED),
        monotonic=clock.now,
        compare=lambda a, b: spaces[a] - spaces[b],
    )
    shared = [kib(samples(taking)) for _ in range(2)]
    spaces[8] = 2
    apart = kib(samples(taking))

    assert shared == [{"web": 5, "db": 0}] * 2
    assert apart == {"web": 5, "db": 5}


def test_who_outlives_a_sharer_of_another_name_has_the_memory(proc: FakeProc, clock: Clock) -> None:
    """Nothing else tells that its own name's sum has changed."""
    proc.add(FakeProcess(7, b"web", 100, memory(5), span="1-2"), FakeProcess(8, b"db", 200, memory(5), span="1-2"))
    overhead = governed("web", "db", overhead=UNBOUNDED)
    taking = collector(proc.procfs, overhead, monotonic=clock.now, compare=lambda _a, _b: 0)
    before = kib(samples(taking))
    proc.remove(7)

    assert (before, kib(samples(taking))) == ({"web": 5, "db": 0}, {"web": 0, "db": 5})


def test_a_sum_that_only_ages_has_no_starts_and_no_cost(proc: FakeProc) -> None:
    """What happened on an earlier tick is not told again."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"web"))
    taking = collector(proc.procfs, governed("web", overhead=UNBOUNDED), monotonic=Walker(read_seconds=0.001).now)
    taken = [samples(taking)["web"] for _ in range(3)]

    assert [sample.starts for sample in taken] == [2, 0, 0]
    assert [sample.read_us > 0 for sample in taken] == [True, False, False]
    assert [sample.memory for sample in taken] == [taken[0].memory] * 3
    assert 0 == taken[0].age_ms < taken[1].age_ms < taken[2].age_ms


def test_who_says_the_same_again_has_been_read(proc: FakeProc) -> None:
    """A sum of the same readings, taken anew, is as old as these and costs what they took."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"web"))
    bounds = governed("web", overhead=UNBOUNDED._replace(max_age=0))
    taking = collector(proc.procfs, bounds, monotonic=Walker(read_seconds=0.001).now)
    taken = [samples(taking)["web"] for _ in range(3)]

    assert [sample.memory for sample in taken] == [taken[0].memory] * 3
    assert [sample.age_ms for sample in taken] == [0, 0, 0]
    assert [sample.read_us > 0 for sample in taken] == [True, True, True]


def test_who_turns_out_to_share_counts_once(proc: FakeProc, clock: Clock) -> None:
    """What could not be read, and can be now, may be what somebody else has too."""
    proc.add(FakeProcess(7, b"web", 100, memory(5), span="1-2"), FakeProcess(8, b"web", 200, memory(5), span="1-2"))
    readable = proc.file(8).read_bytes()
    proc.write(8, b"nonsense")
    bounds = governed("web", overhead=UNBOUNDED)
    taking = collector(proc.procfs, bounds, monotonic=clock.now, compare=lambda _a, _b: 0)
    before = samples(taking)["web"].unreadable
    proc.write(8, readable)

    assert (before, kib(samples(taking))) == (1, {"web": 5})


def test_who_has_ended_changes_the_sum() -> None:
    """Though nothing was known of it just before either, since its stat could not be read."""
    ended = Process(parse_stat(7, stat_text(FakeProcess(7, b"web"))), now=0.0)
    schedule = Schedule(governed("web", overhead=UNBOUNDED), now=0.0)

    assert schedule.note([(ended, None, 1.0, 1e-5)], now=1.0) == Changes([ended], has_moved=False)
    assert not ended.has_memory


def test_the_largest_processes_have_their_sizes_of_now(proc: FakeProc) -> None:
    """In the samples of single processes too the resident size is fresh, and the rest is of the last reading."""
    overhead = Overhead(target_share=1e-4, cpu_share=1.0, max_age=60)
    proc.add(FakeProcess(7, b"db", memory=memory(1 << 20), rss_pages=262_144))
    watched = config(*named("db"), top_processes=1)._replace(overhead=overhead)
    taking = collector(proc.procfs, watched, monotonic=Walker(read_seconds=0.01).now)
    samples(taking)
    proc.change(7, rss_pages=262_145)

    top = samples(taking)["db"].top

    assert [each.memory for each in top] == [memory(1 << 20)._replace(rss=(1 << 30) + 4 * KIB)]


def test_who_ends_between_the_census_and_its_read_is_left_out(proc: FakeProc, clock: Clock) -> None:
    """It is neither counted nor unreadable nor waited for."""
    proc.add(FakeProcess(7, b"web"), FakeProcess(8, b"web"))
    bounds = governed("web", overhead=UNBOUNDED._replace(max_age=0))
    taking = collector(proc.procfs, bounds, monotonic=clock.now, most_kept_files=10)
    taking.collect()
    proc.file(8).unlink()
    (proc.root / "8/stat").unlink()  # which stays readable for who has it open

    taken = taking.collect()

    assert (taken.samples[0].processes, taken.samples[0].unreadable, taken.unreadable) == (1, 0, {})


def test_without_budget_nothing_is_read(proc: FakeProc) -> None:
    """What a pass has read is charged, and as long as no budget has come in the next one reads nothing."""
    proc.add(*(FakeProcess(pid, b"web") for pid in range(1, 6)))
    clock = Walker(read_seconds=0.001)
    taking = collector(
        proc.procfs,
        governed("web", overhead=UNBOUNDED._replace(cpu_share=1e-9)),
        monotonic=clock.now,
    )

    assert [taking.collect().unreadable.get(Unreadable.PENDING, 0) for _ in range(3)] == [4, 4, 4]


def test_what_reads_take_on_this_machine_is_learnt(proc: FakeProc) -> None:
    """Ten new processes of 8 GiB would be too much for one tick, if a first one had not shown how quick it is."""
    proc.add(FakeProcess(1, b"db", memory=memory(8 << 20), rss_pages=8 << 18))
    taking = collector(proc.procfs, governed("db", overhead=UNBOUNDED), monotonic=Walker(read_seconds=0.0001).now)
    taking.collect()
    proc.add(*(FakeProcess(pid, b"db", memory=memory(8 << 20), rss_pages=8 << 18) for pid in range(2, 12)))

    assert taking.collect().unreadable.get(Unreadable.PENDING, 0) == 0


def test_many_large_newcomers_are_spread_over_ticks(proc: FakeProc, clock: Clock) -> None:
    """Before anything is known of this machine, by their sizes."""
    proc.add(*(FakeProcess(pid, b"db", memory=memory(8 << 20), rss_pages=8 << 18) for pid in range(1, 12)))
    taking = watching(proc, clock, "db")

    assert taking.collect().unreadable.get(Unreadable.PENDING, 0) == 4


def test_who_shares_with_another_name_that_moved_is_read_on_the_same_pass(proc: FakeProc, clock: Clock) -> None:
    """A newcomer has half of what it maps in common with somebody who stands still: the total is right at once."""
    proc.add(FakeProcess(7, b"db", memory=mapping(8192, uss=8192)))
    taking = watching(proc, clock, "db", "web")
    samples(taking)
    proc.change(7, memory=mapping(4096, uss=0))
    proc.add(FakeProcess(8, b"web", memory=mapping(4096, uss=0)))

    clock.wait(1)
    after = samples(taking)
    clock.wait(1)
    later = samples(taking)

    assert kib(after) == {"db": 4096, "web": 4096}
    assert [after[name].age_ms for name in ("db", "web")] == [0, 0]
    assert [later[name].age_ms for name in ("db", "web")] == [1000, 1000]  # once is enough


def mapping(pss: int, *, uss: int) -> Memory:
    """Give a memory that maps files alone, in KiB."""
    return memory(pss)._replace(uss=uss * KIB, pss_anon=0, pss_file=pss * KIB, pss_shmem=0)
