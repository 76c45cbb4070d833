"""Turn what the kernel calls a process into the name that psstop records: full length, printable, forging nothing."""

import os

COMM_LENGTH = 15  # TASK_COMM_LEN less its NUL, include/linux/sched.h
_LONGEST = 255  # NAME_MAX: argv[0] is the process' own word and can be megabytes long
_SCRIPT_ARGUMENTS = 4  # interpreter, its options and the script: all that a #! line can put before the arguments
UNNAMED = "(unnamed)"


def program_name(comm: bytes, exe: bytes | None, cmdline: list[bytes]) -> bytes:
    """Give the full name of a program whose `comm` may have been cut at 15 bytes, proc_pid_comm(5).

    It is the base name of the executable, or of one of the first arguments (a script is behind its interpreter), of
    which `comm` is a prefix; `comm` itself when there is none, because then the process named itself.
    """
    if len(comm) < COMM_LENGTH:
        return comm
    for candidate in (exe or b"", *cmdline[:_SCRIPT_ARGUMENTS]):
        base = os.path.basename(candidate)
        if base.startswith(comm):
            return base[:_LONGEST]
    return comm


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
