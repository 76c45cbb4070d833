"""Confine this process to the files that it names, and keep it from listening, for good: Landlock, landlock(7).

Unlike what systemd confines, this holds for one process of a service, and wherever it is started from. It takes no
right but no_new_privs, concerns what is opened from here on, and passes on to children.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

# One number each for all machines but Alpha, on which these are unused.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG = (1 << bit for bit in (0, 1, 2, 3, 5, 8))
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the others are rights on directories
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _REMOVE_FILE
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1, 2
_LOG_SAME_EXEC_OFF = 1

# By version: how many rights on files there are. Without REFER, from the second on, nothing moves between directories.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_NEWEST_FILE_RIGHTS = 16
_NET_VERSION, _SCOPE_VERSION, _LOG_VERSION = 4, 6, 7

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Give the version of Landlock's interface that this kernel has; 0 where it has none, or a filter forbids it."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)))


def confine(readable: Iterable[str], writable: Iterable[str], *, connect: bool) -> int:
    """Open from now on only what is at or below these paths, write only at the writable ones, execute nothing.

    No TCP port is listened on (Linux 6.7), none is connected to unless `connect`, and no signal and no abstract socket
    reaches a process outside (6.12). A path that is not there is left out: it stays closed when it comes. A path means
    the file that has this name now, not another that takes its place. Needs no_new_privs. Returns the `version`, 0
    when nothing is confined; raises OSError, and nothing is confined either.
    """
    known = version()
    if known == 0:
        return 0
    files = (1 << _FILE_RIGHTS.get(known, _NEWEST_FILE_RIGHTS)) - 1
    net = (_BIND_TCP | (0 if connect else _CONNECT_TCP)) if known >= _NET_VERSION else 0
    scoped = _ABSTRACT_UNIX_SOCKET | _SIGNAL if known >= _SCOPE_VERSION else 0
    ruleset = _call(_CREATE_RULESET, attributes := struct.pack("=3Q", files, net, scoped), len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, files & _READ)
        for path in writable:
            _allow(ruleset, path, files & _WRITE)
        if net and connect:  # port 0 is any free one: urllib3 binds to it to find out whether there is IPv6
            _call(_ADD_RULE, ruleset, _RULE_NET_PORT, struct.pack("=2Q", _BIND_TCP, 0), 0)
        # What is refused is not for the audit log: SQLite tries to open each -shm for writing before it only reads.
        _call(_RESTRICT_SELF, ruleset, _LOG_SAME_EXEC_OFF if known >= _LOG_VERSION else 0)
    finally:
        os.close(ruleset)
    return known


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what can't be found can't be opened
        return
    try:
        rights &= ~0 if stat.S_ISDIR(os.fstat(fd).st_mode) else _OF_FILES
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: int | bytes) -> int:
    answer = int(_libc.syscall(number, *arguments))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return answer
