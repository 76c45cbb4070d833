"""What the daemon and the client say in the same words."""

from psstopd.model import Unreadable

_CURES = {
    Unreadable.DENIED: "not permitted: run as root, or with CAP_PERFMON (Linux 6.15) or CAP_SYS_PTRACE",
    Unreadable.STUCK: "the read hangs: the process holds its memory lock; left alone until it returns",
    Unreadable.PENDING: "not read yet, to stay within [overhead] cpu_share and target_share; it will be",
    Unreadable.UNPARSEABLE: "the kernel's answer is torn or in a format unknown to psstop",
}


def cure(reason: Unreadable, euid: int) -> str:
    """Say why a process could not be read and what helps whoever asks as `euid`: may_access_mm in kernel/fork.c."""
    if reason == Unreadable.DENIED and euid == 0:
        return f"not permitted: {withheld_from_root('CAP_PERFMON (CAP_SYS_PTRACE before Linux 6.15)')}"
    return _CURES[reason]


def withheld_from_root(capability: str) -> str:
    """Say why the kernel refuses root: it was started without that capability, capabilities(7), or there is an LSM."""
    return f"root needs {capability} from its container or unit; if it has that, AppArmor or SELinux refuses"


def counted(count: int, noun: str) -> str:
    """Write a number with its noun: 1 name, 2 names."""
    return f"{count} {noun}{'' if count == 1 else 's' if noun[-1] != 's' else 'es'}"


def duration(seconds: float) -> str:
    """Write a duration with its largest unit: 45 s, 12 min, 3 h, 5 d. A clock that was set back makes none negative."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def clock(seconds_ahead: int) -> str:
    """Say where this host's clock is beside the server's."""
    return f"{duration(abs(seconds_ahead))} {'ahead of' if seconds_ahead > 0 else 'behind'} the server's"
