"""Know which processes there are and which watched name each belongs to, before anything is measured."""

from contextlib import suppress

from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs, Stat
from psstopd.model import Identity
from psstopd.sampling.names import COMM_LENGTH, printable, program_name
from psstopd.sampling.rules import Facts, Rules


class Process:
    """One process as the census knows it; it lives until the process is gone. `group` is its watched name."""

    __slots__ = ("comm", "counted_in", "group", "identity", "inode", "is_kernel_thread")

    def __init__(self, inode: int, stat: Stat) -> None:
        self.inode = inode
        self.identity: Identity = stat.identity
        self.is_kernel_thread = stat.is_kernel_thread
        self.comm = stat.comm
        self.group: str | None = None
        self.counted_in: str | None = None  # the group in which its start was counted


class Renamed(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised when a watched process has another name than when it was judged: not to be measured for the old one."""


class Census:
    """The table of processes, brought up to date by `take`; lives as long as the daemon.

    Names are read again on every pass, because exec and prctl change them. Those of watched processes can wait until
    just before the measurement, `confirm`, when the kernel has the process at hand: that takes a third of the time.
    """

    def __init__(self, procfs: Procfs, rules: Rules) -> None:
        self._procfs = procfs
        self._rules = rules
        self._known: dict[int, Process] = {}
        self._renamed: list[Process] = []

    def replace_rules(self, rules: Rules) -> None:
        """Judge every process by new rules from the next pass on."""
        self._rules = rules
        for process in self._known.values():
            process.group = None  # so that the next pass reads its name again
            process.comm = b"\0"  # and finds another: no process is called so

    def take(self) -> list[Process]:
        """Look at all processes once; give the watched ones in the order of their pids."""
        known, present = self._known, {}
        for pid, inode in self._procfs.pids():
            process = known.get(pid)
            try:
                if process is None or process.inode != inode:
                    process = self._meet(pid, inode, process)
                elif not (process.is_kernel_thread or self._can_wait(process)):
                    self._look_again(process, self._procfs.comm(pid))
            except (ProcessGone, AccessDenied, Unparseable):
                continue
            present[pid] = process
        self._known = present
        return [process for process in present.values() if process.group is not None]

    def confirm(self, pid: int) -> None:
        """See whether a watched process still has its name. Raises Renamed, ProcessGone or AccessDenied."""
        process = self._known[pid]
        comm = self._procfs.comm(pid)
        if comm != process.comm:
            process.comm = comm
            self._renamed.append(process)
            raise Renamed

    def judge_renamed(self) -> list[Process]:
        """Judge those that `confirm` found renamed; give the ones that are still watched."""
        renamed, self._renamed = self._renamed, []
        for process in renamed:
            process.group = None
            with suppress(ProcessGone, AccessDenied, Unparseable):
                self._judge(process)
        return [process for process in renamed if process.group is not None]

    def _meet(self, pid: int, inode: int, before: Process | None) -> Process:
        """Take in a process that is new, or whose directory the kernel forgot and made anew."""
        stat = self._procfs.stat(pid)
        if before is not None and before.identity == stat.identity:
            before.inode = inode
            if not before.is_kernel_thread:
                self._look_again(before, stat.comm)
            return before
        process = Process(inode, stat)
        if not process.is_kernel_thread:
            self._judge(process)
        return process

    def _can_wait(self, process: Process) -> bool:
        """Tell whether nothing but its short name decides about a watched process; `confirm` then sees to it."""
        decided = process.group is not None and len(process.comm) < COMM_LENGTH
        return decided and not self._rules.asks_more_than_program

    def _look_again(self, process: Process, comm: bytes) -> None:
        if comm != process.comm or len(comm) >= COMM_LENGTH or self._rules.asks_more_than_program:
            process.comm = comm
            self._judge(process)

    def _judge(self, process: Process) -> None:
        pid = process.identity.pid
        program = printable(self._full_name(process))
        process.group = self._rules.group(Facts(self._procfs, pid, program))

    def _full_name(self, process: Process) -> bytes:
        comm, pid = process.comm, process.identity.pid
        if len(comm) < COMM_LENGTH:
            return comm
        try:
            exe = self._procfs.exe(pid)
        except (AccessDenied, Unparseable):
            exe = None
        return program_name(comm, exe, lambda: self._procfs.cmdline(pid))
