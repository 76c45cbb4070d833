"""Know which processes there are and which watched name each belongs to, before anything is measured.

On a large server nearly everybody is somebody whom nobody watches. What a pass spends on each of these is a fraction of
a microsecond: their short names are read again in slices, each within LOOK_AGAIN_SECONDS.
"""

import math
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.kernel.procfs import PAGE_SIZE, Stat, parse_stat
from psstopd.model import Identity, Reading, Unreadable
from psstopd.sampling.cmdlines import PatientProcfs
from psstopd.sampling.names import COMM_LENGTH, full_name, printable
from psstopd.sampling.rules import Facts, Rules
from psstopd.sampling.statfiles import CLOSED, MOST_KEPT, USUAL_SIZE, StatFiles

LOOK_AGAIN_SECONDS = 60.0
NO_MARK = 0
_CANNOT_TELL = (ProcessGone, AccessDenied, Unparseable)


class Process:
    """One process as the census knows it; it lives until the process is gone. `group` is its watched name.

    What it was when its memory was last asked for, and the answer, is the collector's to note here.
    """

    __slots__ = (
        "asked_at",
        "asked_faults",
        "asked_rss_pages",
        "comm",
        "counted_in",
        "faults",
        "file",
        "group",
        "has_memory",
        "held_seconds",
        "identity",
        "is_kernel_thread",
        "mark",
        "outcome",
        "read_seconds",
        "rss_pages",
        "taken_at",
    )

    def __init__(self, stat: Stat, now: float) -> None:
        self.identity: Identity = stat.identity
        self.is_kernel_thread = stat.is_kernel_thread
        self.group: str | None = None
        self.counted_in: str | None = None  # the group in which its start was counted
        self.file = CLOSED
        self.mark = NO_MARK  # of the text of its stat, by which a change is known
        self.asked_at = now  # for its memory, or for its name while nobody watches it
        self.asked_rss_pages = self.asked_faults = 0
        self.outcome: Reading | Unreadable | None = None
        self.taken_at = self.read_seconds = self.held_seconds = 0.0  # of the last read; held by readings alone
        self.update(stat)

    def update(self, stat: Stat) -> None:
        """Take over what can change."""
        self.comm = stat.comm
        self.has_memory = stat.has_memory
        self.rss_pages = stat.rss_pages
        self.faults = stat.faults

    def doubt(self, off: int = 0) -> None:
        """Be like a process that moved as far as its last reading may be `off`, in bytes."""
        self.asked_faults = min(self.asked_faults, self.faults - max(1, off // PAGE_SIZE))

    def forget_answer(self) -> None:
        """Be like a process that was never asked."""
        self.outcome = None
        self.mark = NO_MARK


class Census:
    """The table of processes, brought up to date by `take`; lives as long as the daemon.

    Of each watched process a pass reads stat, which tells its name, state, resident size and faults at once; of the
    others, what is new. Exec and prctl change names: a watched process is judged anew on the next pass, another one
    within LOOK_AGAIN_SECONDS, and a new one on the pass after it was met, since it may have been about to exec.
    """

    def __init__(
        self,
        procfs: PatientProcfs,
        rules: Rules,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        most_kept_files: int = MOST_KEPT,
    ) -> None:
        self._procfs = procfs
        self._rules = rules
        self._monotonic = monotonic
        self._files = StatFiles(self._procfs, most_kept=most_kept_files)
        self._listing: dict[str, int] = {}
        self._known: dict[int, Process] = {}
        self._watched: dict[int, Process] = {}
        self._unwatched: OrderedDict[int, Process] = OrderedDict()  # who is to be looked at next comes first
        self._newcomers: list[Process] = []  # unwatched ones of the last pass
        self._looked_at = monotonic()
        self._judge_all = False

    def replace_rules(self, rules: Rules) -> None:
        """Judge every process by new rules from the next pass on."""
        self._rules = rules
        self._judge_all = True

    def take(self) -> list[Process]:
        """Look for who came, went and changed; give the watched ones that have memory."""
        self._procfs.begin_pass()
        again = self._due_again()
        self._update_table()
        for process in again:
            self._look_again(process)
        watched = self._examine()
        self._judge_all = False
        return watched

    def _update_table(self) -> None:
        known, listing = self._listing, self._procfs.listing()
        if listing == known:
            return
        for name in [name for name in known if name not in listing]:
            self._drop(name)
            del known[name]
        # By pid, like the kernel: in that order all later work goes through memory, the kernel's and our own.
        for name, inode in [(name, inode) for name, inode in listing.items() if known.get(name) != inode]:
            if not name.isdecimal() or self._meet(int(name)):
                known[name] = inode
            else:  # it is to be new again on the next pass
                known.pop(name, None)

    def _drop(self, name: str) -> None:
        process = self._known.pop(int(name), None) if name.isdecimal() else None
        if process is not None:
            self._unwatch(process)
            self._unwatched.pop(process.identity.pid, None)

    def _meet(self, pid: int) -> bool:
        """Take in a process that is new, or whose directory the kernel forgot and made anew; False if it can't be."""
        before = self._known.get(pid)
        try:
            stat = self._procfs.stat(pid)
            if before is not None and before.identity == stat.identity:
                if not before.is_kernel_thread and before.group is None:
                    self._rename(before, stat.comm)
                return True
            if before is not None:
                self._drop(str(pid))
            process = self._known[pid] = Process(stat, self._looked_at)
            if not process.is_kernel_thread:
                self._judge(process)
                if process.group is None:
                    self._newcomers.append(process)
        except _CANNOT_TELL:
            self._drop(str(pid))
            return False
        return True

    def _due_again(self) -> list[Process]:
        """Give the unwatched processes to be looked at on this pass: newcomers, and a slice of the others by time."""
        now = self._monotonic()
        elapsed, self._looked_at = now - self._looked_at, now
        slice_size = math.ceil(len(self._unwatched) * min(1.0, elapsed / LOOK_AGAIN_SECONDS))
        too_old = now - LOOK_AGAIN_SECONDS + elapsed / 2
        again = []
        for number, process in enumerate(self._unwatched.values()):
            if number >= slice_size and process.asked_at > too_old and not self._judge_all:
                break
            again.append(process)
        for process in again:
            process.asked_at = now
            self._unwatched.move_to_end(process.identity.pid)
        newcomers, self._newcomers = self._newcomers, []
        return again + newcomers

    def _look_again(self, process: Process) -> None:
        """Read the name of an unwatched process, if it is still there and nobody watches it."""
        pid = process.identity.pid
        if self._unwatched.get(pid) is process:
            with suppress(*_CANNOT_TELL):
                self._rename(process, self._procfs.comm(pid))

    def _rename(self, process: Process, comm: bytes) -> None:
        if comm != process.comm or len(comm) >= COMM_LENGTH or self._judge_all or self._rules.asks_more_than_program:
            process.comm = comm
            self._judge(process)

    def _examine(self) -> list[Process]:
        """Read the stat of each watched process; give those that are still watched and have memory."""
        watched, pread = [], os.pread
        always = self._rules.asks_more_than_program or self._judge_all or bool(self._procfs.undecided)
        for process in list(self._watched.values()):
            try:  # without a function for each: this is done for everybody on every pass
                text = pread(process.file, USUAL_SIZE, 0) if process.file >= 0 else b""
                mark = hash(text)
            except OSError:
                text, mark = b"", NO_MARK
            there = (mark == process.mark != NO_MARK and not always) or self._has_changed(process, text)
            if there and process.has_memory and process.group is not None:
                watched.append(process)
        return watched

    def _has_changed(self, process: Process, text: bytes) -> bool:
        """Take over a changed stat, of which `text` is the beginning at least; False if the process is gone.

        Who changed its name, or may have executed another program, is judged anew.
        """
        pid = process.identity.pid
        try:
            if not text.endswith(b"\n"):
                text = self._files.text(pid, process.file)
            stat = parse_stat(pid, text)
            renamed = stat.comm != process.comm
            executed = stat.faults != process.faults and len(stat.comm) >= COMM_LENGTH
            process.update(stat)
            process.mark = hash(text)
            anyway = self._judge_all or self._rules.asks_more_than_program or pid in self._procfs.undecided
            if renamed or executed or anyway:
                self._judge(process)
        except ProcessGone:
            return False
        except (AccessDenied, Unparseable):
            process.forget_answer()
        return True

    def _judge(self, process: Process) -> None:
        pid = process.identity.pid
        program = printable(full_name(self._procfs, pid, process.comm))
        group = self._rules.group(Facts(self._procfs, pid, program))
        # Many have one name. The program is not interned: each that is soon dropped would leave a hole in that table.
        process.group = group and sys.intern(group)
        if process.group is None:
            self._unwatch(process)
            if pid not in self._unwatched:
                process.asked_at = self._looked_at
                self._unwatched[pid] = process
        elif pid not in self._watched:
            self._unwatched.pop(pid, None)
            self._watched[pid] = process
            process.file = self._files.keep(pid)

    def _unwatch(self, process: Process) -> None:
        if self._watched.pop(process.identity.pid, None) is not None:
            self._files.close(process.file)
            process.file = CLOSED
            process.forget_answer()
