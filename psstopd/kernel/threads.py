"""Read and parse /proc/PID/task: the threads of a process, and where their stacks are."""

import os
from contextlib import suppress
from typing import NamedTuple

from psstopd.kernel.errors import ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs, read_once


class Thread(NamedTuple):
    """One thread. `stack_pointer` is None where the kernel does not tell it: the thread runs, or no permission."""

    tid: int
    name: bytes
    stack_pointer: int | None


def read_threads(procfs: Procfs, pid: int) -> list[Thread]:
    """Read the threads of a process; those that end meanwhile are left out. Raises ProcessGone.

    Linux named the stacks of threads in maps until 4.4. Since then a stack is known by the pointer into it, of which
    /proc/PID/task/TID/syscall tells while the thread waits, proc_pid_syscall(5), to whom ptrace(2) would be permitted.
    """
    directory = f"{procfs.root}/{pid}/task"
    try:
        tids = sorted(int(name) for name in os.listdir(directory))
    except OSError as error:
        raise ProcessGone(f"{directory}: {error.strerror}") from error
    threads = []
    for tid in tids:
        with suppress(FileNotFoundError, ProcessLookupError):
            name = read_once(f"{directory}/{tid}/comm")[:-1]
            threads.append(Thread(tid, name, _stack_pointer(f"{directory}/{tid}/syscall")))
    return threads


def parse_syscall(text: bytes) -> int | None:
    """Give the stack pointer from /proc/PID/task/TID/syscall, the last but one word; None for `running`.

    Raises Unparseable for anything else.
    """
    words = text.split()
    if words == [b"running"]:
        return None
    try:
        return int(words[-2], 16)
    except (IndexError, ValueError) as error:
        raise Unparseable(f"syscall: {text[:100]!r}") from error


def _stack_pointer(path: str) -> int | None:
    try:
        return parse_syscall(read_once(path))
    except (FileNotFoundError, ProcessLookupError):  # FileNotFoundError: no CONFIG_HAVE_ARCH_TRACEHOOK
        return None
    except PermissionError:
        return None
