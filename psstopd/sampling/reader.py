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

SHORTEST_DEADLINE_SECONDS = 0.01

Outcome = Reading | Unreadable
Read = Callable[[int], AddressSpace]


class _Batch:
    """What one call of `MemoryReads.take` asks for, shared between it and one worker."""

    def __init__(self, identities: Sequence[Identity]) -> None:
        self.identities = identities
        self.outcomes: dict[Identity, Outcome | None] = {}  # in order; the next one is under way
        self.done = threading.Event()

    def settle(self, identity: Identity, outcome: Outcome | None) -> bool:
        """Enter what a read has brought, by its worker or by who gives it up; False for the second of them.

        setdefault is one step for all threads: no lock, which would cost as much as the rest of this.
        """
        return self.outcomes.setdefault(identity, outcome) is outcome


class MemoryReads:
    """Takes readings with a deadline for each; lives as long as the daemon, and its threads end with the process.

    An identity whose read hangs is in `stuck` and is not read again before that read has returned; what it then brings
    is the identity's next reading.
    """

    def __init__(self, read: Read, *, deadline_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells the times of readings, in seconds."""
        self._read = read
        self._clock = clock
        self._deadline = deadline_seconds
        self._late: dict[Identity, Outcome | None] = {}
        self.stuck: set[Identity] = set()
        self._jobs = self._start_worker()

    def take(self, identities: Sequence[Identity]) -> dict[Identity, Outcome]:
        """Read every identity once; those that have ended or have no memory are absent from the answer."""
        late = self._collect_late()
        outcomes: dict[Identity, Outcome] = {identity: late[identity] for identity in late if identity in identities}
        outcomes |= dict.fromkeys(self.stuck.intersection(identities), Unreadable.STUCK)
        rest = [identity for identity in identities if identity not in outcomes] if outcomes else identities
        deadline = self._deadline
        while rest:
            batch = _Batch(rest)
            self._jobs.put(batch)
            rest = self._await(batch, deadline)
            outcomes |= {identity: each for identity, each in batch.outcomes.items() if each is not None}
            # Where one hangs, many may, on the same disk: a pass has to end before the watchdog runs out.
            deadline = max(deadline / 2, SHORTEST_DEADLINE_SECONDS)
        return outcomes

    def _collect_late(self) -> dict[Identity, Outcome]:
        """Take over what stuck reads have brought since the last pass."""
        returned = {identity: self._late.pop(identity) for identity in list(self._late)}
        self.stuck -= returned.keys()
        return {identity: outcome for identity, outcome in returned.items() if outcome is not None}

    def _await(self, batch: _Batch, deadline: float) -> Sequence[Identity]:
        """Wait for a batch as long as it moves; give what is left of it behind a read that doesn't."""
        settled = -1
        while not batch.done.wait(deadline):
            before, settled = settled, len(batch.outcomes)
            if before == settled < len(batch.identities) and self._give_up(batch, batch.identities[settled]):
                return batch.identities[settled + 1 :]
        return ()

    def _give_up(self, batch: _Batch, identity: Identity) -> bool:
        """Leave a worker to the read that it hangs in, unless that read has just returned."""
        if not batch.settle(identity, Unreadable.STUCK):
            return False
        self.stuck.add(identity)
        self._jobs = self._start_worker()
        return True

    def _start_worker(self) -> "SimpleQueue[_Batch]":
        jobs: SimpleQueue[_Batch] = SimpleQueue()
        threading.Thread(target=self._work, args=(jobs,), name="reads", daemon=True).start()
        return jobs

    def _work(self, jobs: "SimpleQueue[_Batch]") -> None:
        while True:
            batch = jobs.get()
            for identity in batch.identities:
                outcome = read_one(self._read, identity, self._clock)
                if not batch.settle(identity, outcome):
                    self._late[identity] = outcome
                    return
            batch.done.set()


def read_one(read: Read, identity: Identity, clock: Callable[[], float] = time.monotonic) -> Outcome | None:
    """Measure one process and the time that it takes; None when it has ended or has no memory."""
    before = clock()
    try:
        space = read(identity.pid)
    except (ProcessGone, NoAddressSpace):
        return None
    except AccessDenied:
        return Unreadable.DENIED
    except (Unparseable, OSError):  # OSError: no file descriptor left, say
        return Unreadable.UNPARSEABLE
    after = clock()
    return Reading(identity, space.memory, space.span, after, int((after - before) * 1e6))
