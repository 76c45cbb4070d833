"""Processes that share an address space are counted once, and nobody is asked twice for nothing."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.model import Identity, Reading
from psstopd.sampling.sharing import SharedSpaces
from tests.fakes import memory


class Spaces:
    """Which pid has which address space, in place of the kernel; counts how often it is asked."""

    def __init__(self, space_of: dict[int, int]) -> None:
        self.space_of = space_of
        self.asked = 0
        self.error: OSError | None = None

    def __call__(self, a: int, b: int) -> int:
        """Compare as kcmp(2) does."""
        self.asked += 1
        if self.error:
            raise self.error
        first, second = self.space_of[a], self.space_of[b]
        return (first > second) - (first < second)


def readings(pids: Iterable[int], span: bytes = b"range") -> list[Reading]:
    """Make readings of processes with one address range, started in the order of their pids."""
    return [Reading(Identity(pid, 1000 + pid), memory(1), span) for pid in pids]


def pids(identities: set[Identity]) -> set[int]:
    """Take the pids of identities."""
    return {identity.pid for identity in identities}


@given(st.dictionaries(st.integers(1, 40), st.integers(0, 6)), st.randoms())
def test_the_oldest_of_each_space_is_counted(space_of: dict[int, int], random: Random) -> None:
    """Of the processes of each address space all but the oldest are repeated, in whatever order they come."""
    order = readings(space_of)
    random.shuffle(order)

    repeated = SharedSpaces(Spaces(space_of)).repeated(order)

    oldest = {min(pid for pid in space_of if space_of[pid] == space) for space in space_of.values()}
    assert pids(repeated) == space_of.keys() - oldest


def test_different_ranges_need_no_question() -> None:
    """Processes whose addresses differ cannot share: the kernel is not asked."""
    spaces = Spaces({1: 0, 2: 0})

    repeated = SharedSpaces(spaces).repeated(readings([1], b"here") + readings([2], b"there"))

    assert not repeated
    assert spaces.asked == 0


def test_forked_processes_are_asked_about_once() -> None:
    """A family that shares nothing can't begin to without a new member."""
    spaces = Spaces({1: 0, 2: 1, 3: 2})
    shared = SharedSpaces(spaces)
    shared.repeated(readings([1, 2, 3]))
    asked = spaces.asked

    shared.repeated(readings([1, 2, 3]))

    assert spaces.asked == asked > 0


def test_a_new_member_is_asked_about() -> None:
    """A process that joins a family may share with one of it."""
    spaces = Spaces({1: 0, 2: 1, 3: 1})
    shared = SharedSpaces(spaces)

    assert not shared.repeated(readings([1, 2]))
    assert pids(shared.repeated(readings([1, 2, 3]))) == {3}


def test_sharing_that_ended_is_noticed() -> None:
    """Execve ends sharing, and without randomisation the address range stays the same."""
    spaces = Spaces({1: 0, 2: 0})
    shared = SharedSpaces(spaces)

    assert pids(shared.repeated(readings([1, 2]))) == {2}
    assert pids(shared.repeated(readings([1, 2]))) == {2}
    spaces.space_of[2] = 1
    assert not shared.repeated(readings([1, 2]))


@pytest.mark.parametrize("error", [PermissionError(), ProcessLookupError()])
def test_without_an_answer_all_are_counted(error: OSError) -> None:
    """Where kcmp is not permitted, or a process ends meanwhile, none is left out on suspicion."""
    spaces = Spaces({1: 0, 2: 0})
    spaces.error = error

    assert not SharedSpaces(spaces).repeated(readings([1, 2]))
