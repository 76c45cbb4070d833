"""What `psstop --by` calls the group of a process: its program or command line, its unit, its user or its cgroup."""

from collections.abc import Callable

from psstopd.kernel.errors import AccessDenied, Unparseable
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.names import printable

UNKNOWN = "(unknown)"

Label = Callable[[int, bytes], str]


def labelling(procfs: Procfs, by: str, *, split_args: bool = False) -> Label:
    """Give the function from a pid and its program's name to the label. It raises ProcessGone."""
    label = {"unit": _unit, "user": _user, "cgroup": _cgroup, "program": _command_line if split_args else _program}[by]

    def told(pid: int, program: bytes) -> str:
        try:
            return label(procfs, pid, program)
        except (AccessDenied, Unparseable):
            return UNKNOWN

    return told


def _program(_procfs: Procfs, _pid: int, program: bytes) -> str:
    return printable(program)


def _command_line(procfs: Procfs, pid: int, program: bytes) -> str:
    """Join the arguments by spaces; a process that has cleared them is called as its program is."""
    return printable(b" ".join(procfs.cmdline(pid)) or program)


def _unit(procfs: Procfs, pid: int, _program: bytes) -> str:
    from psstopd.kernel.cgroup import parse_cgroup, units_of  # noqa: PLC0415 - other groups do without

    return printable((units_of(parse_cgroup(procfs.cgroup(pid))).unit or "(no unit)").encode())


def _user(procfs: Procfs, pid: int, _program: bytes) -> str:
    from psstopd.sampling.rules import user_name  # noqa: PLC0415 - the rules bring fnmatch and pwd along

    return printable(user_name(procfs.uid(pid)).encode())


def _cgroup(procfs: Procfs, pid: int, _program: bytes) -> str:
    from psstopd.kernel.cgroup import parse_cgroup  # noqa: PLC0415 - other groups do without

    return printable(parse_cgroup(procfs.cgroup(pid)).encode())
