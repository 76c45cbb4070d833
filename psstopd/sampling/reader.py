"""Read the memory of many processes in a thread of their own, so that a read that hangs holds up nobody else.

A read blocks while its target holds its mmap lock for writing, and nothing can interrupt it. Texts are therefore read
in a worker thread; when one read is over its deadline, that worker is left to it and another takes the rest. The worker
keeps no text: 4 KiB for each process, at the moment when all of them say something new, would never be given back.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeAlias, TypeVar

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import AddressSpace
from psstopd.model import Identity, Reading, Unreadable

SHORTEST_DEADLINE_SECONDS = 0.01
_AT_ONCE = 64  # readings that there are twice while a pass goes on

Outcome = Reading | Unreadable


class Source(Protocol):
    """Where texts come from, and what they mean; a MemoryReader, but for tests."""

    def text(self, pid: int) -> bytes:
        """Read a process' memory file. Raises ProcessGone, NoAddressSpace, AccessDenied, Unparseable or OSError."""

    def parse(self, text: bytes) -> AddressSpace:
        """Parse it. Raises Unparseable."""


class Asked(Protocol):
    """A process to be read; `outcome` is that of the last time."""

    @property
    def identity(self) -> Identity:
        """Who it is."""

    @property
    def outcome(self) -> Outcome | None:
        """Its last reading, if it has one."""


SomeAsked = TypeVar("SomeAsked", bound=Asked)
# Who was read, and what that brought, None from a process that has ended or has no memory; when the read ended, and how
# long it took, in seconds.
Taken: TypeAlias = tuple[SomeAsked, Outcome | None, float, float]


class _Batch:
    """What one worker is asked for, shared with who asked."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = asked
        # Gathered before the reads, and not between them, when each further object is one that the caches have lost.
        self.pids = [each.identity.pid for each in asked]
        self.outcomes = [each.outcome for each in asked]  # of the last time, until there is another one
        self.marks = [outcome.mark if type(outcome) is Reading else None for outcome in self.outcomes]
        self.began = 0.0
        # When each read ended, in order, or None where it is given up. The next one is under way. It is entered by its
        # worker, or by who gives it up, whoever comes first: setdefault is one step for all threads, and a lock would
        # cost as much as the rest of this.
        self.ends: dict[int, float | None] = {}
        self.done = threading.Event()


class MemoryReads:
    """Takes readings with a deadline for each; lives as long as the daemon, and its threads end with the process.

    An identity whose read hangs is in `stuck` and is not read again before that read has returned; what it then brings
    is the identity's next reading.
    """

    def __init__(self, source: Source, *, deadline_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells the times of readings, in seconds."""
        self._source = source
        self._clock = clock
        self._deadline = self._patience = deadline_seconds
        self._late: dict[Identity, tuple[Outcome | None, float, float]] = {}  # with when it ended, and what it took
        self.stuck: set[Identity] = set()
        self._jobs = self._start_worker()

    def take(self, asked: Sequence[SomeAsked]) -> Iterator[Taken[SomeAsked]]:
        """Read every process once; give what that brought, the very same reading where it says the same.

        Some at a time, so that whoever keeps them need not have all of the last and all of the new ones at once.
        """
        if late := self._collect_late():
            for each in [each for each in asked if each.identity in late]:
                yield each, *late[each.identity]
            asked = [each for each in asked if each.identity not in late]
        if self.stuck:
            yield from [(each, Unreadable.STUCK, 0.0, 0.0) for each in asked if each.identity in self.stuck]
            asked = [each for each in asked if each.identity not in self.stuck]
        self._patience = self._deadline
        first = 0
        while some := asked[first : first + _AT_ONCE]:
            batch = self._read(some)
            first += len(batch.ends)
            began = batch.began
            for each, outcome, ended in zip(some, batch.outcomes, batch.ends.values(), strict=False):
                if ended is None:
                    yield each, Unreadable.STUCK, 0.0, 0.0
                else:
                    yield each, outcome, ended, ended - began
                    began = ended

    def _collect_late(self) -> dict[Identity, tuple[Outcome | None, float, float]]:
        """Take over what stuck reads have brought since the last pass."""
        returned = {identity: self._late.pop(identity) for identity in list(self._late)}
        self.stuck -= returned.keys()
        return returned

    def _read(self, asked: Sequence[Asked]) -> _Batch:
        """Let a worker read as long as it moves on, and give up the read that doesn't, so that the rest is left.

        Where one hangs, many may: the next has less time, so that a pass ends.
        """
        batch = _Batch(asked)
        self._jobs.put(batch)
        settled = -1
        while not batch.done.wait(self._patience):
            before, settled = settled, len(batch.ends)
            if before == settled < len(asked) and self._give_up(batch, settled):
                self._patience = max(self._patience / 2, SHORTEST_DEADLINE_SECONDS)
                break
        return batch

    def _give_up(self, batch: _Batch, number: int) -> bool:
        """Leave a worker to the read that it hangs in, unless that read has just returned."""
        if batch.ends.setdefault(number, None) is not None:
            return False
        self.stuck.add(batch.asked[number].identity)
        self._jobs = self._start_worker()
        return True

    def _start_worker(self) -> "SimpleQueue[_Batch]":
        jobs: SimpleQueue[_Batch] = SimpleQueue()
        threading.Thread(target=self._work, args=(jobs,), name="reads", daemon=True).start()
        return jobs

    def _work(self, jobs: "SimpleQueue[_Batch]") -> None:
        while self._do(jobs.get()):
            """Keep nothing of a batch while there is no other."""

    def _do(self, batch: _Batch) -> bool:
        """Read a batch to its end; False when one of its reads was given up meanwhile."""
        read, clock, marks, outcomes = self._source.text, self._clock, batch.marks, batch.outcomes
        batch.began = began = clock()
        for number, pid in enumerate(batch.pids):
            try:
                text = read(pid)
                if (mark := hash(text)) != marks[number]:
                    memory, span, *_ = self._source.parse(text)
                    outcomes[number] = Reading(batch.asked[number].identity, memory, span, mark)
            except (ProcessGone, NoAddressSpace, AccessDenied, Unparseable, OSError) as error:
                outcomes[number] = _meaning(error)
            ended = clock()
            if batch.ends.setdefault(number, ended) is None:
                self._late[batch.asked[number].identity] = outcomes[number], ended, ended - began
                return False
            began = ended
        batch.done.set()
        return True


def _meaning(error: Exception) -> Unreadable | None:
    """Say what it means that there is no text, or none that can be parsed."""
    if isinstance(error, ProcessGone | NoAddressSpace):
        return None
    if isinstance(error, AccessDenied):
        return Unreadable.DENIED
    return Unreadable.UNPARSEABLE  # OSError: no file descriptor left, say
