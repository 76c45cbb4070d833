"""Read the memory of many processes in a thread of their own, so that a read that hangs holds up nobody else.

A read blocks while its target holds its mmap lock for writing, and nothing can interrupt it. Texts are therefore read
in a worker thread; when one read is over its deadline, that worker is left to it and another takes the rest. What the
texts say is found out by the caller's thread, some hundred at a time: alternating between the two would take longer.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import AddressSpace
from psstopd.model import Identity, Reading, Unreadable

SHORTEST_DEADLINE_SECONDS = 0.01
_AT_ONCE = 64  # texts of 1 KiB that wait to be parsed

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


# What one read has brought, None as long as it has not returned; when it began and ended.
Answer: TypeAlias = tuple[bytes | Exception | None, float, float]
_STUCK: Answer = None, 0.0, 0.0


class _Batch:
    """What one worker is asked for, shared with who asked."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self.identities = identities
        # In order; the next one is under way. An answer is entered by its worker, or by who gives it up, whoever comes
        # first: setdefault is one step for all threads, and a lock would cost as much as the rest of this.
        self.answers: dict[int, Answer] = {}
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
        self._late: dict[Identity, Answer] = {}
        self.stuck: set[Identity] = set()
        self._jobs = self._start_worker()

    def take(self, asked: Sequence[Asked]) -> Iterator[Outcome | None]:
        """Read every process once; give the outcome of each in order, None for who has ended or has no memory.

        Some at a time, so that whoever keeps them need not have all of the last and all of the new ones at once.
        """
        known = self._collect_late() | dict.fromkeys(self.stuck, _STUCK)
        self._patience = self._deadline
        for first in range(0, len(asked), _AT_ONCE):
            some = asked[first : first + _AT_ONCE]
            answers = self._read([each.identity for each in some if each.identity not in known])
            for each in some:
                yield self._outcome(each, known[each.identity] if each.identity in known else next(answers))

    def _outcome(self, asked: Asked, answer: Answer) -> Outcome | None:
        """Say what an answer means. A text that is the last one again is not parsed again."""
        text, began, ended = answer
        if text is None:
            return Unreadable.STUCK
        if not isinstance(text, bytes):
            return _meaning(text)
        mark, read_us = hash(text), int((ended - began) * 1e6)
        last = asked.outcome
        if type(last) is Reading and last.mark == mark:
            return Reading(asked.identity, last.memory, last.span, ended, read_us, mark)
        try:
            space = self._source.parse(text)
        except Unparseable as error:
            return _meaning(error)
        return Reading(asked.identity, space.memory, space.span, ended, read_us, mark)

    def _collect_late(self) -> dict[Identity, Answer]:
        """Take over what stuck reads have brought since the last pass."""
        returned = {identity: self._late.pop(identity) for identity in list(self._late)}
        self.stuck -= returned.keys()
        return returned

    def _read(self, identities: Sequence[Identity]) -> Iterator[Answer]:
        """Give the answer of each in order. Where one hangs, many may: the next has less time, so that a pass ends."""
        answers: list[Answer] = []
        while rest := identities[len(answers) :]:
            batch = _Batch(rest)
            self._jobs.put(batch)
            self._await(batch)
            answers += batch.answers.values()
        return iter(answers)

    def _await(self, batch: _Batch) -> None:
        """Wait for a batch as long as it moves, and give up the read that doesn't."""
        settled = -1
        while not batch.done.wait(self._patience):
            before, settled = settled, len(batch.answers)
            if before == settled < len(batch.identities) and self._give_up(batch, settled):
                self._patience = max(self._patience / 2, SHORTEST_DEADLINE_SECONDS)
                return

    def _give_up(self, batch: _Batch, number: int) -> bool:
        """Leave a worker to the read that it hangs in, unless that read has just returned."""
        if batch.answers.setdefault(number, _STUCK) is not _STUCK:
            return False
        self.stuck.add(batch.identities[number])
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
        text, clock = self._source.text, self._clock
        ended = clock()
        for number, identity in enumerate(batch.identities):
            began = ended
            try:
                brought: bytes | Exception = text(identity.pid)
            except (ProcessGone, NoAddressSpace, AccessDenied, Unparseable, OSError) as error:
                brought = error
            ended = clock()
            answer = (brought, began, ended)
            if batch.answers.setdefault(number, answer) is not answer:
                self._late[identity] = answer
                return False
        batch.done.set()
        return True


def _meaning(error: Exception) -> Unreadable | None:
    """Say what it means that there is no text, or none that can be parsed."""
    if isinstance(error, ProcessGone | NoAddressSpace):
        return None
    if isinstance(error, AccessDenied):
        return Unreadable.DENIED
    return Unreadable.UNPARSEABLE  # OSError: no file descriptor left, say
