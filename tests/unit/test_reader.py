"""Reads that hang: they cost the others nothing, are counted, left alone, and used when they return after all."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import AddressSpace
from psstopd.model import Identity, Reading
from psstopd.sampling.reader import MemoryReads, Outcome
from tests.fakes import memory
from tests.waiting import wait_for

DEADLINE = 0.05
ANSWERS: dict[int, Exception] = {
    10: ProcessGone(),
    11: NoAddressSpace(),
    12: AccessDenied(),
    13: Unparseable(),
    14: OSError("Too many open files"),
}


class Spaces:
    """Address spaces in place of /proc: reads of the pids in `hanging` return when `release` says so."""

    def __init__(self, *hanging: int) -> None:
        self._gates = {pid: threading.Event() for pid in hanging}
        self.reads: list[int] = []
        self.parsed: list[bytes] = []
        self.texts: dict[int, bytes] = {}
        self.seconds = 0.0  # that each read takes
        self.answers = dict(ANSWERS)

    def text(self, pid: int) -> bytes:
        """Read one: its PSS is its pid in KiB."""
        self.reads.append(pid)
        threading.Event().wait(self.seconds)
        if pid in self._gates:
            self._gates[pid].wait()
        if pid in self.answers:
            raise self.answers[pid]
        return self.texts.get(pid, b"%d" % pid)

    def parse(self, text: bytes) -> AddressSpace:
        """Say what a text means; garbage means nothing."""
        self.parsed.append(text)
        if not text.isdigit():
            raise Unparseable
        return AddressSpace(memory(int(text)), text)

    def release(self, pid: int, *, answer: Exception | None = None) -> None:
        """Let the read that hangs return, or end with `answer`, and later ones not hang."""
        if answer:
            self.answers[pid] = answer
        self._gates.pop(pid).set()

    def release_all(self) -> None:
        """Leave no thread behind."""
        for pid in list(self._gates):
            self.release(pid)


class Asked(NamedTuple):
    """A process that is asked for."""

    identity: Identity
    outcome: Outcome | None = None


class Brought(NamedTuple):
    """What one read brought, by name."""

    asked: Asked
    outcome: Outcome | None
    ended: float
    seconds: float


@contextmanager
def reading(*hanging: int) -> Iterator[tuple[Spaces, MemoryReads]]:
    """Give spaces and what reads them; let everything return at the end."""
    spaces = Spaces(*hanging)
    try:
        yield spaces, MemoryReads(spaces, deadline_seconds=DEADLINE)
    finally:
        spaces.release_all()


def take(reads: MemoryReads, *processes: Asked) -> list[Brought]:
    """Take a pass over processes."""
    return [Brought(*each) for each in reads.take(processes)]


def asked(*pids: int) -> list[Asked]:
    """Ask for processes that started together."""
    return [Asked(Identity(pid, 100)) for pid in pids]


def taken(reads: MemoryReads, *pids: int) -> dict[int, int | str]:
    """Take a pass over processes and shorten what it brings: PSS in KiB, or why there is none."""
    outcomes = {brought.asked.identity.pid: brought.outcome for brought in take(reads, *asked(*pids))}
    assert outcomes.keys() == set(pids)
    return {
        pid: outcome.memory.pss // 1024 if isinstance(outcome, Reading) else str(outcome)
        for pid, outcome in outcomes.items()
        if outcome is not None
    }


def late_reading(reads: MemoryReads, pid: int) -> Brought:
    """Take passes until a process has a reading."""

    def take_one() -> Brought | None:
        (late,) = take(reads, *asked(pid))
        return late if isinstance(late.outcome, Reading) else None

    return wait_for(take_one, 5, "the late reading")


def returned(reads: MemoryReads, pids: list[int], done: Callable[[dict[int, int | str]], bool]) -> dict[int, int | str]:
    """Take passes until one is as expected, and give that one."""

    def take_all() -> dict[int, int | str] | None:
        outcomes = taken(reads, *pids)
        return outcomes if done(outcomes) else None

    return wait_for(take_all, 5, "the late reading is used")


def test_each_outcome() -> None:
    """Who has ended or has no memory is left out; who refuses or answers nonsense is counted as that."""
    with reading() as (_, reads):
        outcomes = taken(reads, 1, 10, 11, 12, 13, 14, 2)

    assert outcomes == {1: 1, 12: "denied", 13: "unparseable", 14: "unparseable", 2: 2}


def test_a_reading_says_when_and_how_long() -> None:
    """With what a read brought comes the moment of its end and the time that it took."""
    with reading() as (_, reads):
        before = time.monotonic()
        first, second = take(reads, *asked(7, 8))
        after = time.monotonic()

    assert before <= first.ended <= second.ended <= after
    assert 0 <= first.seconds + second.seconds <= after - before


def test_a_text_that_says_the_same_again_is_not_parsed_again() -> None:
    """Most processes are as they were: they keep their reading, which was taken anew."""
    with reading() as (spaces, reads):
        (before,) = take(reads, *asked(7))
        (again,) = take(reads, Asked(Identity(7, 100), before.outcome))
        (other,) = take(reads, Asked(Identity(8, 100), before.outcome))

    assert isinstance(before.outcome, Reading)
    assert isinstance(other.outcome, Reading)
    assert again.outcome is before.outcome
    assert again.ended > before.ended
    assert other.outcome.memory.pss == 8 * 1024
    assert spaces.parsed == [b"7", b"8"]


def test_nonsense_is_told_apart_from_silence() -> None:
    """A text that means nothing is unparseable, each time anew."""
    with reading() as (spaces, reads):
        spaces.texts[1] = b"nonsense"

        assert [taken(reads, 1), taken(reads, 1)] == [{1: "unparseable"}] * 2


def test_more_than_are_read_at_once() -> None:
    """A large crowd is read in parts, and each has its own answer; a read that hangs in one costs the others none."""
    pids = list(range(1000, 1500))
    with reading(1200) as (_, reads):
        outcomes = taken(reads, *pids)

    assert outcomes == {pid: "stuck" if pid == 1200 else pid for pid in pids}


def test_without_processes_there_is_nothing_to_do() -> None:
    """A pass over nobody ends at once."""
    with reading() as (_, reads):
        assert list(reads.take([])) == []


@pytest.mark.parametrize("hanging", [1, 3, 5])
def test_a_read_that_hangs_costs_the_others_nothing(hanging: int) -> None:
    """Wherever it is among them, all others are read, each once, and the pass ends soon."""
    pids = [1, 2, 3, 4, 5]
    with reading(hanging) as (spaces, reads):
        began = time.monotonic()
        outcomes = taken(reads, *pids)
        seconds = time.monotonic() - began

    assert outcomes == {pid: "stuck" if pid == hanging else pid for pid in pids}
    assert sorted(spaces.reads) == pids
    assert seconds < 20 * DEADLINE


def test_what_hangs_is_left_alone() -> None:
    """While a read has not returned its process is counted as stuck, and not asked again."""
    with reading(2) as (spaces, reads):
        taken(reads, 1, 2, 3)
        outcomes = [taken(reads, 1, 2, 3) for _ in range(3)]

        assert outcomes == [{1: 1, 2: "stuck", 3: 3}] * 3
        assert spaces.reads.count(2) == 1
        assert reads.stuck == {Identity(2, 100)}


def test_a_late_reading_is_the_next_one() -> None:
    """What the read brings when it returns is used once, then the process is read like any other."""
    with reading(2) as (spaces, reads):
        taken(reads, 1, 2)
        spaces.release(2)

        outcomes = returned(reads, [1, 2], lambda outcomes: outcomes[2] != "stuck")
        reads_until_then = spaces.reads.count(2)
        taken(reads, 1, 2)

        assert outcomes == {1: 1, 2: 2}
        assert (reads_until_then, spaces.reads.count(2)) == (1, 2)
        assert not reads.stuck


def test_a_late_reading_is_as_old_as_it_is() -> None:
    """Its age counts from the end of the read, not from its use."""
    with reading(2) as (spaces, reads):
        taken(reads, 2)
        spaces.release(2)
        late = late_reading(reads, 2)
        now = time.monotonic()

    assert late.seconds >= DEADLINE
    assert late.ended < now


@pytest.mark.parametrize(("answer", "then"), [(AccessDenied(), {1: 1, 2: "denied"}), (ProcessGone(), {1: 1})])
def test_a_late_end_is_no_reading(answer: Exception, then: dict[int, int | str]) -> None:
    """A process that ended, or refused, while its read hung is not stuck any more."""
    with reading(2) as (spaces, reads):
        taken(reads, 1, 2)
        spaces.release(2, answer=answer)

        outcomes = returned(reads, [1, 2], lambda outcomes: outcomes.get(2) != "stuck")

        assert outcomes == then
        assert not reads.stuck


def test_a_late_reading_of_somebody_else_is_dropped() -> None:
    """Who is not asked for any more has no outcome."""
    with reading(2) as (spaces, reads):
        taken(reads, 1, 2)
        spaces.release(2)

        outcomes = returned(reads, [1], lambda _: not reads.stuck)

        assert outcomes == {1: 1}


def test_a_pid_that_was_reused_is_another_process() -> None:
    """The hanging read of a process says nothing of the next one with its pid."""
    with reading(2) as (spaces, reads):
        taken(reads, 2)
        spaces.release(2)

        (answer,) = take(reads, Asked(Identity(2, 101)))

        assert isinstance(answer.outcome, Reading)
        assert answer.outcome.identity == Identity(2, 101)


def test_many_may_hang_at_once() -> None:
    """When a disk stalls, dozens hang together: the pass ends within seconds and loses no one."""
    stuck, fine = range(100, 130), range(200, 230)
    pids = [pid for pair in zip(stuck, fine, strict=True) for pid in pair]
    with reading(*stuck) as (spaces, reads):
        began = time.monotonic()
        outcomes = taken(reads, *pids)
        seconds = time.monotonic() - began
        spaces.release_all()
        late = returned(reads, pids, lambda outcomes: "stuck" not in outcomes.values())

    assert outcomes == {pid: "stuck" if pid in stuck else pid for pid in pids}
    assert seconds < 1.5 * len(stuck) * DEADLINE
    assert late == {pid: pid for pid in pids}


def test_slow_reads_that_move_on_are_not_stuck() -> None:
    """A pass may take many deadlines as long as no single read does."""
    pids = list(range(100, 140))
    with reading() as (spaces, reads):
        spaces.seconds = DEADLINE / 10
        outcomes = taken(reads, *pids)

    assert outcomes == {pid: pid for pid in pids}


def test_a_read_that_returns_at_its_deadline_is_settled_once() -> None:
    """A read that is given up while it is being entered comes late, and is in nobody's way from then on."""
    with reading() as (spaces, _):
        lost_its_cpu = iter([False, True])

        def clock() -> float:
            if threading.current_thread() is not threading.main_thread() and next(lost_its_cpu, False):
                threading.Event().wait(4 * DEADLINE)
            return time.monotonic()

        reads = MemoryReads(spaces, deadline_seconds=DEADLINE, clock=clock)
        outcomes = taken(reads, 1, 2, 3)
        late = late_reading(reads, 1)

        assert outcomes == {1: "stuck", 2: 2, 3: 3}
        assert late.outcome == Reading(Identity(1, 100), memory(1), b"1", hash(b"1"))
        assert not reads.stuck
