"""The texts in which kernels tell memory: whole ones are understood to the byte, torn ones never."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, ProcessGone, Unparseable
from psstopd.kernel.memory import MemoryReader, parse_by_name, parse_smaps, parse_smaps_rollup
from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from tests.fakes import KIB, PF_KTHREAD, FakeProc, FakeProcess, memory, rollup_text

GOLDEN = Path(__file__).parents[1] / "golden"
KERNELS = ["4.14", "5.10", "6.1", "6.18"]
ROLLUPS = {
    "4.14": (2841, 408, 2136, 6732, None, None, None),
    "5.10": (2841, 408, 2136, 6732, 1780, 937, 124),
    "6.1": (2841, 408, 2136, 6732, 1780, 937, 124),
    "6.18": (900, 0, 596, 1208, 190, 518, 192),
}
SMAPS = dict.fromkeys(KERNELS, (217, 15, 108, 412, None, None, None)) | {"6.18": (900, 0, 596, 1208, None, None, None)}
EXTRA_LINES = st.lists(st.sampled_from(["Zswap", "Pss_Device", "Fresh"]), unique=True)
SIZES = st.integers(0, 10**12).map(lambda kib: kib * KIB)


def golden(name: str) -> bytes:
    """Give one of the kept kernel texts."""
    return (GOLDEN / f"{name}.txt").read_bytes()


def in_bytes(kib: tuple[int | None, ...]) -> Memory:
    """Turn sizes in KiB, in the order of Memory, into one."""
    return Memory._make(None if size is None else size * KIB for size in kib)


@pytest.mark.parametrize("kernel", KERNELS)
def test_rollups_of_all_kernels_are_understood(kernel: str) -> None:
    """Every size has its value; what a kernel does not tell is None, never 0."""
    space = parse_smaps_rollup(golden(f"rollup-{kernel}"))

    assert space.memory == in_bytes(ROLLUPS[kernel])


@pytest.mark.parametrize("kernel", KERNELS)
def test_smaps_of_all_kernels_are_summed(kernel: str) -> None:
    """The sum over the mappings has every size that smaps tells."""
    space = parse_smaps(golden(f"smaps-{kernel}"))

    assert space.memory == in_bytes(SMAPS[kernel])


def test_huge_pages_are_told_apart() -> None:
    """Those of hugetlb are in no other size, and what others map too is not summed with what nobody else maps."""
    line = re.compile(rb"(?<=Shared_Hugetlb:) +\d+")
    rollup = parse_smaps_rollup(line.sub(b"    4096", golden("rollup-6.1")))
    smaps = parse_smaps(line.sub(b"    4096", golden("smaps-6.1"), count=2))

    assert rollup == (in_bytes(ROLLUPS["6.1"]), rollup.span, 4096 * KIB, 2048 * KIB)
    assert smaps == (in_bytes(SMAPS["6.1"]), smaps.span, 8192 * KIB, 0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_fast_way_says_what_the_slow_one_says(kernel: str) -> None:
    """Both ways to parse a rollup agree on every kernel's text."""
    text = golden(f"rollup-{kernel}")
    without_huge_pages = text.replace(b"2048 kB", b"   0 kB")

    assert parse_smaps_rollup(text) == parse_by_name(text)
    assert parse_smaps_rollup(without_huge_pages) == parse_by_name(without_huge_pages)


@given(st.builds(Memory, SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, SIZES), EXTRA_LINES, st.integers(1, 20))
def test_both_ways_agree_on_any_numbers(sizes: Memory, extra: list[str], before: int) -> None:
    """Numbers that outgrow their column, and lines that no kernel has yet, change no size."""
    sizes = sizes._replace(rss=sizes.rss + sizes.uss)
    lines = rollup_text(sizes).decode().splitlines(keepends=True)
    lines[before:before] = [f"{name}:              7 kB\n" for name in extra]
    text = "".join(lines).encode()

    assert parse_smaps_rollup(text) == parse_by_name(text)
    assert parse_smaps_rollup(text).memory == sizes


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_rollup_cut_at_any_byte_is_unparseable(kernel: str) -> None:
    """A partial sum would be a wrong answer."""
    text = golden(f"rollup-{kernel}")

    for length in range(len(text)):
        with pytest.raises(Unparseable):
            parse_smaps_rollup(text[:length])


@pytest.mark.parametrize("kernel", KERNELS)
def test_smaps_cut_inside_a_mapping_are_unparseable(kernel: str) -> None:
    """Between two mappings a cut shows nowhere in the text: there the reader takes care."""
    text = golden(f"smaps-{kernel}")
    ends = {match.end() for match in re.finditer(rb"^VmFlags:.*\n", text, re.MULTILINE)}

    for length in set(range(len(text))) - ends:
        with pytest.raises(Unparseable):
            parse_smaps(text[:length])


@pytest.mark.parametrize("name", ["Rss", "Pss", "Private_Clean", "Private_Dirty"])
def test_without_a_size_that_every_kernel_tells_a_text_is_unparseable(name: str) -> None:
    """A line that has always been there is not taken for 0 when it is missing."""
    line = re.compile(rf"^{name}:.*\n".encode(), re.MULTILINE)

    with pytest.raises(Unparseable):
        parse_smaps_rollup(line.sub(b"", golden("rollup-6.18")))
    with pytest.raises(Unparseable):
        parse_smaps(line.sub(b"", golden("smaps-6.18")))


@pytest.mark.parametrize(
    ("line", "column"),
    [("SwapPss", "swap_pss"), ("Pss_Anon", "pss_anon"), ("Pss_File", "pss_file"), ("Pss_Shmem", "pss_shmem")],
)
def test_a_size_that_the_kernel_does_not_tell_is_none(line: str, column: str) -> None:
    """What came with some kernel, SwapPss with 4.3, is unknown before, not 0; the rest is as ever."""
    text = re.sub(rf"^{line}:.*\n".encode(), b"", golden("rollup-6.18"), flags=re.MULTILINE)

    expected = in_bytes(ROLLUPS["6.18"])._asdict() | {column: None}
    assert parse_smaps_rollup(text).memory._asdict() == expected


def test_smaps_without_swap_shares_have_none() -> None:
    """Smaps of Linux 4.2 and earlier have no SwapPss."""
    text = re.sub(rb"^SwapPss:.*\n", b"", golden("smaps-4.14"), flags=re.MULTILINE)

    assert parse_smaps(text).memory == in_bytes(SMAPS["4.14"])._replace(swap_pss=None)


def test_a_mapped_path_is_no_size() -> None:
    """A process that maps files with odd names stays readable and grows by nothing."""
    text = golden("smaps-6.18").replace(b"/usr/bin/two-maps", b"/tmp/Pss: 9999 kB")

    assert parse_smaps(text).memory == in_bytes(SMAPS["6.18"])


@pytest.fixture(params=[True, False], ids=["smaps_rollup", "smaps"])
def proc(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc of a newer and of an older kernel."""
    with FakeProc(tmp_path / "proc", has_rollup=request.param) as fake:
        yield fake


def test_the_kernel_decides_what_is_read(proc: FakeProc) -> None:
    """A kernel without smaps_rollup is read mapping by mapping, and is known to be one."""
    proc.add(FakeProcess(7))
    reader = MemoryReader(proc.procfs)
    proc.write(7, golden("rollup-4.14" if reader.has_rollup else "smaps-4.14"))

    space = reader.read(7)

    assert space.memory == in_bytes(ROLLUPS["4.14"] if reader.has_rollup else SMAPS["4.14"])


@pytest.mark.parametrize("process", [FakeProcess(7, state="Z"), FakeProcess(7, flags=PF_KTHREAD)])
def test_no_text_without_an_address_space(proc: FakeProc, process: FakeProcess) -> None:
    """Older kernels give an empty file where later ones refuse: zombies and kernel threads are no error on either."""
    proc.add(process)
    proc.write(7, b"")

    with pytest.raises(NoAddressSpace):
        MemoryReader(proc.procfs).read(7)


def test_an_ended_process_is_gone(proc: FakeProc) -> None:
    """A process that is not there any more is gone, not unreadable."""
    with pytest.raises(ProcessGone):
        MemoryReader(proc.procfs).read(7)


def test_a_refusal_is_denied(proc: FakeProc) -> None:
    """What the kernel refuses to open is denied."""
    proc.add(FakeProcess(7))
    proc.deny(7)

    with pytest.raises(AccessDenied):
        MemoryReader(proc.procfs).read(7)


@pytest.mark.parametrize("text", [b"", b"nonsense\n"])
def test_a_living_process_without_an_answer_is_unparseable(proc: FakeProc, text: bytes) -> None:
    """A process that has memory but does not tell it is not passed over in silence."""
    proc.add(FakeProcess(7))
    proc.write(7, text)

    with pytest.raises(Unparseable):
        MemoryReader(proc.procfs).read(7)


def test_a_living_process_without_the_file_is_unparseable(proc: FakeProc) -> None:
    """A kernel that tells no memory at all does not make its processes vanish."""
    proc.add(FakeProcess(7))
    proc.file(7).unlink()

    with pytest.raises(Unparseable):
        MemoryReader(proc.procfs).read(7)


def test_rollups_of_two_processes_share_a_span_only_if_equal(tmp_path: Path) -> None:
    """The address range tells which processes may share memory."""
    with FakeProc(tmp_path / "proc") as proc:
        proc.add(FakeProcess(7, memory=memory(3), span="1000-9000"), FakeProcess(8, span="1000-9000"), FakeProcess(9))
        reader = MemoryReader(proc.procfs)

        spans = [reader.read(pid).span for pid in (7, 8, 9)]

    assert spans[0] == spans[1] == b"1000-9000"
    assert spans[2] != spans[0]


def test_this_process_is_read() -> None:
    """On the kernel of this machine everything is told, and private memory is a part of PSS, which is a part of RSS."""
    read = MemoryReader(Procfs()).read(os.getpid()).memory

    assert None not in read
    assert 0 < read.uss <= read.pss <= read.rss
