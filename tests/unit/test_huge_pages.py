"""Huge pages of hugetlb: the same ones are counted once and divided, and what can't be told is labelled."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.client.groups.huge_pages import HugeMapping, Share, parse_huge_mappings, shares
from psstopd.kernel.errors import Unparseable

HUGE = 2 << 20
GOLDEN = Path(__file__).parents[1] / "golden"
SMAPS = b"""\
7f0000000000-7f0000800000 rw-s 00400000 00:2f 1234                       /dev/hugepages/Shared_Hugetlb:   9 kB
Rss:                   0 kB
Shared_Hugetlb:     6144 kB
Private_Hugetlb:    2048 kB
VmFlags: rd wr sh mr mw me ms de ht sd
7f0000800000-7f0000a00000 rw-p 00000000 00:10 77                         /anon_hugepage (deleted)
Rss:                   0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:       0 kB
VmFlags: rd wr mr mw me de ht
7f0000a00000-7f0000b00000 rw-p 00000000 00:00 0
Rss:                1024 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
VmFlags: rd wr mr mw me
"""


def mapping(*, file: str, pages: int, of: int = 4, start: int = 0, is_copied: bool = False) -> HugeMapping:
    """Map `of` huge pages of a file, of which some are there."""
    return HugeMapping(file.encode(), start * HUGE, (start + of) * HUGE, pages * HUGE, is_copied)


def test_only_shared_huge_pages_are_asked_for() -> None:
    """Each mapping that has any is told with its file by device and inode, and with its place in that file."""
    assert parse_huge_mappings(SMAPS) == [
        HugeMapping(b"00:2f 1234", 2 * HUGE, 6 * HUGE, 3 * HUGE, is_copied=False),
        HugeMapping(b"00:10 77", 0, HUGE, HUGE, is_copied=True),
    ]


@pytest.mark.parametrize("kernel", ["4.14", "5.10", "6.1", "6.18"])
def test_smaps_of_all_kernels_are_understood(kernel: str) -> None:
    """What is found adds up to the lines of all mappings."""
    text = (GOLDEN / f"smaps-{kernel}.txt").read_bytes()
    expected = sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(b"Shared_Hugetlb:"))

    assert sum(found.shared for found in parse_huge_mappings(text)) == expected


@pytest.mark.parametrize("text", [b"", b"\n", SMAPS[:-1], SMAPS[: SMAPS.rindex(b"VmFlags")]])
def test_a_torn_text_is_unparseable(text: bytes) -> None:
    """A partial sum would be a wrong answer."""
    with pytest.raises(Unparseable):
        parse_huge_mappings(text)


def test_one_file_is_counted_once_and_divided() -> None:
    """Whoever maps a file pays for the part that it maps of what is mapped."""
    charged = shares(
        {1: [mapping(file="a", pages=4)], 2: [mapping(file="a", pages=4)], 3: [mapping(file="b", pages=1)]}
    )

    assert charged == {1: Share(2 * HUGE), 2: Share(2 * HUGE), 3: Share(HUGE)}


def test_several_files_add_up() -> None:
    """Pages of different files are different pages."""
    charged = shares({1: [mapping(file="a", pages=4), mapping(file="b", pages=4)], 2: [mapping(file="a", pages=4)]})

    assert charged == {1: Share(6 * HUGE), 2: Share(2 * HUGE)}


@pytest.mark.parametrize(
    "theirs",
    [mapping(file="a", pages=2), mapping(file="a", pages=4, start=4), mapping(file="a", pages=4, is_copied=True)],
    ids=["other pages", "another place", "copies"],
)
def test_what_can_not_be_told_is_the_least_and_labelled(theirs: HugeMapping) -> None:
    """Two processes may have different pages of one file: then it is no less than what one has, and not known."""
    ours = theirs._replace(start=0, end=4 * HUGE)
    charged = shares({1: [ours], 2: [theirs]})

    assert sum(share.size for share in charged.values()) == ours.shared
    assert not any(share.is_known for share in charged.values())


def test_pages_that_one_process_maps_twice_are_counted_once() -> None:
    """No more of a file is counted than there is."""
    assert shares({1: [mapping(file="a", pages=4), mapping(file="a", pages=4)]}) == {1: Share(4 * HUGE)}


FILES = st.lists(st.builds(mapping, file=st.sampled_from("abc"), pages=st.integers(1, 4)), max_size=3)


@given(st.dictionaries(st.integers(1, 9), FILES, max_size=6))
def test_nothing_is_lost_in_division(by_pid: dict[int, list[HugeMapping]]) -> None:
    """The parts of each file sum up to what its largest user maps of it, to the byte."""
    largest: dict[bytes, int] = {}
    for mappings in by_pid.values():
        for file in {one.file for one in mappings}:
            size = sum(one.shared for one in mappings if one.file == file)
            largest[file] = max(min(size, 4 * HUGE), largest.get(file, 0))

    assert sum(share.size for share in shares(by_pid).values()) == sum(largest.values())
