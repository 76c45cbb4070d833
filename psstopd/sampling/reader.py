"""Read the memory of many processes in a thread of their own, so that a read that hangs holds up nobody else.

A read blocks while its target holds its mmap lock for writing, and nothing can interrupt it. The batch therefore runs
in a worker thread; when one read is over its deadline, that worker is left to it and another takes the rest.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import AddressSpace
from psstopd.model import Identity, Reading, Unreadable

Outcome = Reading | Unreadable
Read = Callable[[int], AddressSpace]


class _Batch:
    """What one call of `MemoryReads.take` asks for, shared between it and one worker."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self.identities = identities
        self.outcomes: dict[Identity, Outcome] = {}
        self.position = 0
        self.abandoned = False
        self.done = threading.Event()


class MemoryReads:
    """Takes readings with a deadline for each; lives as long as the daemon, and its threads end with the process.

    An identity whose read hangs is in `stuck` and is not read again before that read has returned; what it then brings
    is the identity's next reading.
    """

    def __init__(self, read: Read, *, deadline_seconds: float) -> None:
        self._read = read
        self._deadline = deadline_seconds
        self._late: dict[Identity, Outcome | None] = {}
        self.stuck: set[Identity] = set()
        self._jobs = self._start_worker()

    def take(self, identities: Sequence[Identity]) -> dict[Identity, Outcome]:
        """Read every identity once; those that have ended or have no memory are absent from the answer."""
        outcomes = self._collect_late()
        outcomes |= dict.fromkeys(self.stuck.intersection(identities), Unreadable.STUCK)
        rest: Sequence[Identity] = [identity for identity in identities if identity not in outcomes]
        while rest:
            batch = _Batch(rest)
            self._jobs.put(batch)
            rest = self._await(batch)
            outcomes |= batch.outcomes
        return outcomes

    def _collect_late(self) -> dict[Identity, Outcome]:
        """Take over what stuck reads have brought since the last pass."""
        returned = {identity: self._late.pop(identity) for identity in list(self._late)}
        self.stuck -= returned.keys()
        return {identity: outcome for identity, outcome in returned.items() if outcome is not None}

    def _await(self, batch: _Batch) -> Sequence[Identity]:
        """Wait for a batch as long as it moves; give what is left of it behind a read that doesn't."""
        position = -1
        while not batch.done.wait(self._deadline):
            if position == batch.position:
                return self._abandon(batch)
            position = batch.position
        return ()

    def _abandon(self, batch: _Batch) -> Sequence[Identity]:
        batch.abandoned = True
        self._jobs = self._start_worker()
        identity = batch.identities[batch.position]
        if identity not in batch.outcomes:
            self.stuck.add(identity)
            batch.outcomes[identity] = Unreadable.STUCK
        return batch.identities[batch.position + 1 :]

    def _start_worker(self) -> "SimpleQueue[_Batch]":
        jobs: SimpleQueue[_Batch] = SimpleQueue()
        threading.Thread(target=self._work, args=(jobs,), name="reads", daemon=True).start()
        return jobs

    def _work(self, jobs: "SimpleQueue[_Batch]") -> None:
        while True:
            batch = jobs.get()
            for position, identity in enumerate(batch.identities):
                batch.position = position
                outcome = read_one(self._read, identity)
                if batch.abandoned:
                    self._late[identity] = outcome
                    return
                if outcome is not None:
                    batch.outcomes[identity] = outcome
            batch.done.set()


def read_one(read: Read, identity: Identity) -> Outcome | None:
    """Measure one process and the time that it takes; None when it has ended or has no memory."""
    before = time.perf_counter()
    try:
        memory, span = read(identity.pid)
    except (ProcessGone, NoAddressSpace):
        return None
    except AccessDenied:
        return Unreadable.DENIED
    except Unparseable:
        return Unreadable.UNPARSEABLE
    after = time.perf_counter()
    return Reading(identity, memory, span, after, int((after - before) * 1e6))
