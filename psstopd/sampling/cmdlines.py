"""Read command lines in a thread of their own: such a read waits for the target's mmap lock, perhaps for ever."""

import threading
from queue import SimpleQueue

from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs

DEADLINE_SECONDS = 0.2
_SHORTEST_SECONDS = 0.01


class _Job:
    """One command line that is asked for; `outcome` is there when `done` is set."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.outcome: list[bytes] | Exception = []
        self.done = threading.Event()


class PatientProcfs(Procfs):
    """A /proc whose command lines have a deadline; lives as long as the daemon, and its threads end with the process.

    A process whose read hangs has no arguments meanwhile, and is not asked again before that read has returned. What
    was decided without them is to be decided again: it is `undecided` while its read hangs and on the pass after that.
    """

    def __init__(self, root: str = "/proc") -> None:
        super().__init__(root)
        self._hanging: dict[int, _Job] = {}
        self.undecided: set[int] = set()  # pids
        self._seconds = DEADLINE_SECONDS
        self._jobs: SimpleQueue[_Job] | None = None

    def begin_pass(self) -> None:
        """Allow a full deadline again: where one hangs, many may, and a pass has to end."""
        self._seconds = DEADLINE_SECONDS
        self.undecided = set(self._hanging)
        self._hanging = {pid: job for pid, job in self._hanging.items() if not job.done.is_set()}

    def cmdline(self, pid: int) -> list[bytes]:
        """Read the arguments like Procfs; none while the read hangs."""
        if pid in self._hanging:
            return []
        job = _Job(pid)
        if self._jobs is None:
            self._jobs = self._start_worker()
        self._jobs.put(job)
        if not job.done.wait(self._seconds):
            self._hanging[pid] = job
            self._jobs = None
            self._seconds = max(self._seconds / 2, _SHORTEST_SECONDS)
            return []
        if isinstance(job.outcome, Exception):
            raise job.outcome
        return job.outcome

    def _start_worker(self) -> "SimpleQueue[_Job]":
        jobs: SimpleQueue[_Job] = SimpleQueue()
        threading.Thread(target=self._work, args=(jobs,), name="cmdlines", daemon=True).start()
        return jobs

    def _work(self, jobs: "SimpleQueue[_Job]") -> None:
        """Answer until a read has hung: another worker has the queue's place by then."""
        while True:
            job = jobs.get()
            try:
                job.outcome = super().cmdline(job.pid)
            except (AccessDenied, ProcessGone, Unparseable, OSError) as error:
                job.outcome = error
            job.done.set()
            if jobs is not self._jobs:
                return
