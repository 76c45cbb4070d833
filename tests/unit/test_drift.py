"""Readings of those who stand still, and what others do: who may be off is read again, and nobody else."""

from psstopd.kernel.procfs import parse_stat
from psstopd.model import Memory, Reading
from psstopd.sampling.census import Process
from psstopd.sampling.drift import Drift, Extent, extent
from psstopd.sampling.tally import Part, total
from tests.fakes import FakeProcess, stat_text

MIB = 1 << 20
BEFORE, NOW = 100.0, 101.0


def memory(pss: int, *, uss: int, mapped: int = 0) -> Memory:
    """Give a memory in MiB, of which `mapped` is of files and the rest anonymous."""
    return Memory(pss * MIB, 0, uss * MIB, pss * MIB, (pss - mapped) * MIB, mapped * MIB, 0)


def process(pid: int, its: Memory, *, asked_at: float = BEFORE) -> Process:
    """Give a process that has been read."""
    one = Process(parse_stat(pid, stat_text(FakeProcess(pid, b"web"))), asked_at)
    one.outcome = Reading(one.identity, its, b"span")
    return one


def part(*processes: Process) -> Part:
    """Sum them."""
    readings = [each.outcome for each in processes if isinstance(each.outcome, Reading)]
    return Part(total([reading.memory for reading in readings]), processes=processes)


STILL = process(1, memory(200, uss=200, mapped=200))
ALONE = process(2, memory(100, uss=100))


def settled(**parts: Part) -> Drift:
    """Give a drift for which these are right."""
    drift = Drift()
    drift.suspects(parts, BEFORE)
    return drift


def suspects(drift: Drift, **parts: Part) -> set[int]:
    """Give the pids of those who may be off."""
    return {each.identity.pid for each in drift.suspects(parts, NOW)}


def test_nothing_happens_and_nobody_is_off() -> None:
    """As long as sums are the same, readings are right."""
    drift = settled(db=part(STILL), cron=part(ALONE))

    assert suspects(drift, db=part(STILL), cron=part(ALONE)) == set()


def test_another_name_maps_the_file_of_one_that_stands_still() -> None:
    """Half of what it had is in the newcomer's reading; who has anonymous memory alone is right still."""
    newcomer = process(3, memory(101, uss=1, mapped=100), asked_at=NOW)
    drift = settled(db=part(STILL), cron=part(ALONE))

    assert suspects(drift, db=part(STILL), cron=part(ALONE), web=part(newcomer)) == {1}


def test_another_name_lets_go_of_it() -> None:
    """Who is gone had a part that is now somebody else's."""
    sharer = process(3, memory(101, uss=1, mapped=100))
    drift = settled(db=part(STILL), cron=part(ALONE), web=part(sharer))

    assert suspects(drift, db=part(STILL), cron=part(ALONE)) == {1}


def test_a_newcomer_with_memory_of_its_own_takes_nothing_away() -> None:
    """However large it is: neither its anonymous memory nor a file that only it maps."""
    newcomer = process(3, memory(500, uss=499, mapped=300), asked_at=NOW)
    drift = settled(db=part(STILL), cron=part(ALONE))

    assert suspects(drift, db=part(STILL), cron=part(ALONE), web=part(newcomer)) == set()


def test_a_family_that_forks_is_nobody_else_s_business() -> None:
    """Anonymous memory is shared within the name alone, whose others are looked at."""
    parent = process(3, memory(50, uss=10), asked_at=NOW)
    child, idle = process(4, memory(50, uss=10), asked_at=NOW), process(5, memory(90, uss=90))
    drift = settled(db=part(STILL), web=part(process(3, memory(100, uss=100)), idle))

    assert suspects(drift, db=part(STILL), web=part(parent, child, idle)) == {5}


def test_a_relative_writes_to_what_both_share() -> None:
    """Nobody came or went, and yet the one that stands still now has all of those pages."""
    idle, writer = process(4, memory(100, uss=0)), process(3, memory(100, uss=0))
    wrote = process(3, memory(105, uss=10), asked_at=NOW)
    drift = settled(web=part(idle, writer))

    assert suspects(drift, web=part(idle, wrote)) == {4}


def test_how_far_they_may_be_off() -> None:
    """By what changed hands, and by no more than they have: that is how urgent it is to read them."""
    newcomer = process(3, memory(101, uss=1, mapped=100), asked_at=NOW)
    small = process(6, memory(30, uss=30, mapped=20))
    drift = settled(db=part(STILL), cron=part(small))

    found = drift.suspects({"db": part(STILL), "cron": part(small), "web": part(newcomer)}, NOW)

    assert {each.identity.pid: off // MIB for each, off in found.items()} == {1: 100, 6: 20}


def test_little_by_little_it_adds_up() -> None:
    """What is tolerated is tolerated once, not on each pass."""
    idle = process(4, memory(400, uss=0))
    drift = settled(web=part(idle, process(3, memory(400, uss=0))))

    found = [
        suspects(drift, web=part(idle, process(3, memory(400, uss=step), asked_at=NOW))) for step in (1, 2, 3, 4, 5)
    ]

    assert found == [set(), set(), {4}, set(), set()]


def test_a_crowd_of_small_ones_is_left_alone() -> None:
    """All of them together can't be off by what is worth a read."""
    crowd = [process(pid, Memory(1024, 0, 0, 1024, 0, 1024, 0)) for pid in range(10, 60)]
    newcomer = process(3, memory(101, uss=1, mapped=100), asked_at=NOW)
    drift = settled(db=part(STILL), sleep=part(*crowd))

    assert suspects(drift, db=part(STILL), sleep=part(*crowd), web=part(newcomer)) == {1}


def test_a_kernel_that_tells_no_kinds_apart() -> None:
    """All of its PSS may be mapped by others."""
    assert extent(Memory(10, 0, 4, 20, None, None, None)) == Extent(common=6, mapped=10)
