"""Find processes that share one address space (CLONE_VM without CLONE_THREAD), so that it is counted once."""

from collections.abc import Callable, Iterable
from functools import cmp_to_key
from itertools import pairwise

from psstopd.model import Identity, Reading

Compare = Callable[[int, int], int]


def compare_by_kcmp(pid_a: int, pid_b: int) -> int:
    """Order two processes by address space; the system call is looked up when it is first needed."""
    from psstopd.kernel.syscalls import compare_address_spaces  # noqa: PLC0415 - ctypes is 1 MiB, most hosts need none

    return compare_address_spaces(pid_a, pid_b)


class SharedSpaces:
    """Remembers which processes share; lives as long as the daemon.

    Only processes with one address range can share, so that kcmp(2) is asked about forked families alone. Of those
    that share nothing it is asked once, since sharing begins at clone(2). It ends at execve(2), which moves the range
    only where that is randomised, so that those who share are asked again.
    """

    def __init__(self, compare: Compare = compare_by_kcmp) -> None:
        self._compare = compare
        self._apart: set[tuple[Identity, ...]] = set()

    def repeated(self, readings: Iterable[Reading]) -> set[Identity]:
        """Give those whose address space belongs to an older process among `readings` as well."""
        spans: dict[bytes, list[Identity]] = {}
        for reading in readings:
            spans.setdefault(reading.span, []).append(reading.identity)
        families = [tuple(family) for family in spans.values() if len(family) > 1]
        judged = {family: self._judge(family) for family in families if family not in self._apart}
        self._apart = {family for family in families if not judged.get(family)}
        return {identity for repeated in judged.values() for identity in repeated}

    def _judge(self, family: tuple[Identity, ...]) -> frozenset[Identity]:
        """Sort a family by address space, which takes n log n calls, and keep the oldest of each run of equals."""
        by_age = sorted(family, key=lambda identity: (identity.start_time, identity.pid))
        try:
            ordered = sorted(by_age, key=cmp_to_key(self._order))
            return frozenset(second for first, second in pairwise(ordered) if self._compare(first.pid, second.pid) == 0)
        except OSError:  # not permitted, or one has just ended: judged again when the family changes
            return frozenset()

    def _order(self, a: Identity, b: Identity) -> int:
        return self._compare(a.pid, b.pid)
