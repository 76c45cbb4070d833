"""Turn what the kernel calls a process into the name that psstop records: full length, printable, forging nothing."""

import os
from collections.abc import Callable

from psstopd.kernel.errors import AccessDenied, Unparseable
from psstopd.kernel.procfs import Procfs

COMM_LENGTH = 15  # TASK_COMM_LEN less its NUL, include/linux/sched.h
_LONGEST = 255  # NAME_MAX: argv[0] is the process' own word and can be megabytes long
_SCRIPT_ARGUMENTS = 4  # interpreter, its options and the script: all that a #! line can put before the arguments
UNNAMED = "(unnamed)"


def program_name(comm: bytes, exe: bytes | None, cmdline: Callable[[], list[bytes]]) -> bytes:
    """Give the full name of a program whose `comm` may have been cut at 15 bytes, proc_pid_comm(5).

    It is the base name of the executable, or of one of the first arguments (a script is behind its interpreter), of
    which `comm` is a prefix; `comm` itself when there is none, because then the process named itself. The arguments
    are only read when the executable doesn't tell: that read waits for the process' memory lock.
    """
    if len(comm) < COMM_LENGTH:
        return comm
    from_exe = os.path.basename(exe or b"")
    if from_exe.startswith(comm):
        return from_exe
    arguments = map(os.path.basename, cmdline()[:_SCRIPT_ARGUMENTS])
    return next((base[:_LONGEST] for base in arguments if base.startswith(comm)), comm)


def full_name(procfs: Procfs, pid: int, comm: bytes) -> bytes:
    """Give the full name of a running process that has this `comm`. Raises ProcessGone and AccessDenied."""
    if len(comm) < COMM_LENGTH:
        return comm
    try:
        exe = procfs.exe(pid)
    except (AccessDenied, Unparseable):
        exe = None
    return program_name(comm, exe, lambda: procfs.cmdline(pid))


def printable(name: bytes) -> str:
    r"""Write a name so that it holds printable characters alone and can be told from every other name.

    Bytes that are not UTF-8 become `\xNN`, other characters that do not print `\xNN`, `\uNNNN` or `\UNNNNNNNN`, and so
    does the backslash: no terminal sequence, line end or trailing backslash gets into a log, a tag or a table.
    """
    text = name.decode(errors="surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text or UNNAMED
    return "".join(
        character if character.isprintable() and character != "\\" else _escape(character) for character in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - PEP 383: an undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:  # noqa: PLR2004 - ASCII
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the basic plane
