"""The two system calls that Python has no name for: kcmp(2), and capset(2) with prctl(2) to give up rights."""

import ctypes
import os
import signal

_KCMP = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "armv7l": 378, "ppc64le": 354, "s390x": 343}
_KCMP_VM = 1
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4

_libc = ctypes.CDLL(None, use_errno=True)


def compare_address_spaces(pid_a: int, pid_b: int) -> int:
    """Order two processes by their address space, kcmp(2) with KCMP_VM: 0 same, -1 or 1 otherwise.

    The order is the kernel's own and holds while both live. Raises OSError: EPERM without ptrace rights on both,
    ESRCH when one has ended, ENOSYS without CONFIG_KCMP or on a machine whose call number is not known here.
    """
    number = _KCMP.get(os.uname().machine)
    answer = -1 if number is None else _libc.syscall(number, pid_a, pid_b, _KCMP_VM, 0, 0)
    if answer < 0:
        code = ctypes.get_errno() if number else 38  # ENOSYS
        raise OSError(code, f"kcmp: {os.strerror(code)}")
    return (0, -1, 1, 1)[answer]


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends, however it ends: prctl(2)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def drop_all_capabilities() -> None:
    """Give up every capability of this process and its children for good, and the way to new ones: capabilities(7).

    Raises OSError when the kernel refuses to empty the sets. Emptying the bounding set
    takes CAP_SETPCAP; without it that set stays, and no_new_privs makes it useless.
    """
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, empty) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")
