"""What smaps says of each mapping: whole texts of all kernels are understood, torn ones never."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.mappings import Mapping, parse_mappings, read_mappings
from psstopd.kernel.memory import parse_smaps
from psstopd.kernel.sysvipc import ending_segments, parse_ending_segments
from psstopd.kernel.threads import Thread, parse_syscall, read_threads
from tests.fakes import KIB, FakeProc, FakeProcess

GOLDEN = Path(__file__).parents[1] / "golden"
KERNELS = ["4.14", "5.10", "6.1", "6.18"]
TEXT = b"""7f8c1000-7f8c3000 rw-p 00000000 00:00 0\x20
Size:                  8 kB
Rss:                   8 kB
Pss:                   6 kB
Shared_Clean:          0 kB
Shared_Dirty:          4 kB
Private_Clean:         0 kB
Private_Dirty:         4 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:    4096 kB
Swap:                 12 kB
SwapPss:               3 kB
Locked:                0 kB
THPeligible:           0
VmFlags: rd wr mr ht\x20
"""
MAPPING = Mapping(
    0x7F8C1000, 0x7F8C3000, b"rw-p", 0, b"", 6 * KIB, 4 * KIB, 8 * KIB, 3 * KIB, 6144 * KIB, b" rd wr mr ht "
)


def test_a_mapping_has_its_sizes() -> None:
    """Sizes are bytes, shared is what of the resident is not private, and size is what the addresses span."""
    assert parse_mappings(TEXT) == [MAPPING]
    assert (MAPPING.size, MAPPING.shared) == (8 * KIB, 4 * KIB)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mappings_of_all_kernels_add_up(kernel: str) -> None:
    """The sums over the mappings are those of the whole file."""
    text = (GOLDEN / f"smaps-{kernel}.txt").read_bytes()
    mappings, memory = parse_mappings(text), parse_smaps(text).memory

    assert len(mappings) == text.count(b"VmFlags:")
    assert sum(one.pss for one in mappings) == memory.pss
    assert sum(one.private for one in mappings) == memory.uss
    assert sum(one.rss for one in mappings) == memory.rss
    assert sum(one.swap_pss or 0 for one in mappings) == memory.swap_pss


def test_lines_that_a_kernel_lacks_are_not_zero() -> None:
    """Without SwapPss, before Linux 4.3, its size is None; hugetlb, before 4.4, has nothing to tell."""
    text = b"".join(
        line for line in TEXT.splitlines(keepends=True) if not line.startswith((b"SwapPss", b"Shared_Huge"))
    )

    (mapping,) = parse_mappings(text)

    assert mapping == MAPPING._replace(swap_pss=None, hugetlb=4096 * KIB)


@given(st.integers(0, 2 * len(TEXT) - 1))
def test_a_torn_text_is_an_error(length: int) -> None:
    """A part of the file is no answer, unless it ends with a mapping."""
    text = (TEXT + TEXT)[:length]
    if text == TEXT:
        assert parse_mappings(text) == [MAPPING]
        return
    with pytest.raises(Unparseable):
        parse_mappings(text)


@pytest.mark.parametrize("missing", [b"Pss:", b"Rss:", b"Private_Dirty:"])
def test_a_mapping_without_its_sizes_is_an_error(missing: bytes) -> None:
    """What every kernel tells must be there."""
    with pytest.raises(Unparseable):
        parse_mappings(TEXT.replace(b"\n" + missing, b"\nOther:"))


@pytest.mark.parametrize(
    "path",
    [
        b"/a b",
        b"/a  kB",
        b"/VmFlags: rd",
        b"/\x1b[2J",
        b"/\xff\xfe",
        b"/a\rb\x0b\x85",
        b"/x (deleted)",
        b"[heap]",
        b"/ ",
    ],
)
def test_paths_are_taken_as_they_are(path: bytes) -> None:
    """A path may hold anything but a line feed, and forges neither a line nor a size."""
    text = TEXT.replace(b" 0 \n", b" 42 " + 20 * b" " + path + b"\n", 1)

    assert parse_mappings(text + TEXT) == [MAPPING._replace(inode=42, path=path), MAPPING]


def test_line_feeds_in_paths_come_back() -> None:
    r"""The kernel writes \012 for them."""
    text = TEXT.replace(b" 0 \n", b" 42 /a\\012Pss: 9 kB\n", 1)

    assert parse_mappings(text)[0].path == b"/a\nPss: 9 kB"


def test_outcomes_are_told_apart(tmp_path: Path) -> None:
    """Gone, refused, without memory and torn are four outcomes."""
    with FakeProc(tmp_path, has_rollup=False) as proc:
        proc.add(FakeProcess(1), FakeProcess(2), FakeProcess(3, state="Z"), FakeProcess(4), FakeProcess(5))
        proc.write(1, TEXT)
        proc.deny(2)
        proc.write(3, b"")
        proc.write(4, b"")
        proc.write(5, TEXT[:-1])

        assert read_mappings(proc.procfs, 1) == [MAPPING]
        for pid, outcome in (
            (2, AccessDenied),
            (3, NoAddressSpace),
            (4, Unparseable),
            (5, Unparseable),
            (6, ProcessGone),
        ):
            with pytest.raises(outcome):
                read_mappings(proc.procfs, pid)


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b"34 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffe801e9278 0x7f1ad1b162ad\n", 0x7FFE801E9278),
        (b"-1 0x7ffe801e9278 0x7f1ad1b162ad\n", 0x7FFE801E9278),
        (b"running\n", None),
    ],
)
def test_stack_pointers(text: bytes, pointer: int | None) -> None:
    """In a system call, stopped outside of one, and running, when there is nothing to tell."""
    assert parse_syscall(text) == pointer


@pytest.mark.parametrize("text", [b"", b"0x1", b"x y z\n"])
def test_anything_else_is_no_stack_pointer(text: bytes) -> None:
    """What has another form is an error."""
    with pytest.raises(Unparseable):
        parse_syscall(text)


def test_threads_have_names_and_pointers(tmp_path: Path) -> None:
    """A thread that doesn't tell, or that ends meanwhile, is none the less listed, or left out."""
    with FakeProc(tmp_path) as proc:
        proc.add(FakeProcess(7))
        for tid, syscall in ((7, b"0 0x10 0x20\n"), (8, b"running\n"), (9, None)):
            task = tmp_path / "7/task" / str(tid)
            task.mkdir(parents=True)
            (task / "comm").write_bytes(b"a\nb\n")
            if syscall is not None:
                (task / "syscall").write_bytes(syscall)
        (tmp_path / "7/task/10").mkdir()

        assert read_threads(proc.procfs, 7) == [
            Thread(7, b"a\nb", 0x10),
            Thread(8, b"a\nb", None),
            Thread(9, b"a\nb", None),
        ]
        with pytest.raises(ProcessGone):
            read_threads(proc.procfs, 99)


def test_segments_that_are_to_end_are_marked(tmp_path: Path) -> None:
    """The mark is in the permissions; without the file nothing is known to end."""
    text = (
        b"       key      shmid perms                  size  cpid\n"
        b"         0          3  1600                688128   100\n"
        b"1361126401          4   600                655360   100\n"
    )

    assert parse_ending_segments(text) == {3}
    assert ending_segments(str(tmp_path)) == set()
