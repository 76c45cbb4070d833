"""Know which processes there are and which watched name each belongs to, before anything is measured."""

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


class Census:
    """The table of processes, brought up to date by `take`; lives as long as the daemon.

    Names are read again on every pass, because exec and prctl change them.
    """

    def __init__(self, procfs: Procfs, rules: Rules) -> None:
        self._procfs = procfs
        self._rules = rules
        self._known: dict[int, Process] = {}

    def replace_rules(self, rules: Rules) -> None:
        """Judge every process by new rules from the next pass on."""
        self._rules = rules
        for process in self._known.values():
            process.comm = b"\0"  # no process is called so: all are judged anew

    def take(self) -> list[Process]:
        """Look at all processes once; give the watched ones in the order of their pids."""
        known, present = self._known, {}
        for pid, inode in self._procfs.pids():
            process = known.get(pid)
            try:
                if process is None or process.inode != inode:
                    process = self._meet(pid, inode, process)
                elif not process.is_kernel_thread:
                    self._look_again(process)
            except (ProcessGone, AccessDenied, Unparseable):
                continue
            present[pid] = process
        self._known = present
        return [process for process in present.values() if process.group is not None]

    def _meet(self, pid: int, inode: int, before: Process | None) -> Process:
        """Take in a process that is new, or whose directory the kernel forgot and made anew."""
        stat = self._procfs.stat(pid)
        if before is not None and before.identity == stat.identity:
            before.inode = inode
            return before
        process = Process(inode, stat)
        if not process.is_kernel_thread:
            self._judge(process)
        return process

    def _look_again(self, process: Process) -> None:
        comm = self._procfs.comm(process.identity.pid)
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
        except AccessDenied:
            exe = None
        return program_name(comm, exe, self._procfs.cmdline(pid))
