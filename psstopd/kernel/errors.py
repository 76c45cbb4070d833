"""The ways in which a process refuses to be measured: one class for each decision that a caller makes."""


class ProcessGone(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised when the process ended before or during the read. Not an error: leave it out."""


class NoAddressSpace(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised for kernel threads, zombies and processes on their way out: they have no memory. Not an error."""


class AccessDenied(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised when the kernel wants more rights (ptrace_may_access). Count the process as unreadable."""


class Unparseable(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised when a kernel file is torn, or unlike proc(5). Count the process as unreadable."""
