"""What stands in the way of a reading, as whoever asks can mend it."""

import pytest

from psstopd.model import Unreadable
from psstopd.words import cure

TO_A_USER = "not permitted: run as root, or with CAP_PERFMON (Linux 6.15) or CAP_SYS_PTRACE"
TO_ROOT = (
    "not permitted: root needs CAP_PERFMON (CAP_SYS_PTRACE before Linux 6.15) from its container or unit;"
    " if it has that, AppArmor or SELinux refuses"
)


@pytest.mark.parametrize(("euid", "said"), [(1000, TO_A_USER), (0, TO_ROOT)])
def test_nobody_is_told_to_become_who_they_are(euid: int, said: str) -> None:
    """Root is denied where it lacks a capability, which it can't give itself; everybody else may become root."""
    assert cure(Unreadable.DENIED, euid) == said


@pytest.mark.parametrize("reason", sorted(set(Unreadable) - {Unreadable.DENIED}))
def test_other_reasons_are_the_same_to_all(reason: Unreadable) -> None:
    """A read that hangs or is torn has nothing to do with rights."""
    assert cure(reason, 0) == cure(reason, 1000)
    assert "root" not in cure(reason, 0)
