"""What a mapping is called, how mappings are summed, and the table that is made of them."""

import io
import os
import pty
import termios
from collections.abc import Sequence
from typing import Any

import pytest

from psstopd.client.mappings.exact import judge
from psstopd.client.mappings.findings import Alone, Findings, Shown
from psstopd.client.mappings.table import Kind, Part, Row, Space, arranged, part_of, parts, summed, thread_stacks, total
from psstopd.client.mappings.text import Style, lines
from psstopd.client.waiting import ProgressBar
from psstopd.kernel.mappings import Mapping
from psstopd.kernel.pages import ANONYMOUS, FILE, SHARED_MEMORY, Pages
from psstopd.kernel.threads import Thread
from psstopd.model import Unreadable
from tests.fakes import KIB, memory

PAGE = 4096


def mapping(path: bytes = b"", start: int = 0x10000, pages: int = 4, **fields: Any) -> Mapping:
    """Make up a mapping all of whose pages are private."""
    size = pages * PAGE
    made = Mapping(start, start + size, b"rw-p", 0, path, size, size, size, 0, 0, b" rd wr ")
    return made._replace(**fields)


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        (b"", Kind.ANONYMOUS, "[anonymous]"),
        (b"[heap]", Kind.HEAP, "[heap]"),
        (b"[stack]", Kind.STACK, "[stack]"),
        (b"[anon:jemalloc]", Kind.ANONYMOUS, "[anon:jemalloc]"),
        (b"[anon_shmem:pool]", Kind.SHARED, "[anon_shmem:pool]"),
        (b"[vdso]", Kind.KERNEL, "[vdso]"),
        (b"anon_inode:[perf_event]", Kind.KERNEL, "anon_inode:[perf_event]"),
        (b"/dev/zero (deleted)", Kind.SHARED, "[shared anonymous]"),
        (b"/dev/zero", Kind.FILE, "/dev/zero"),
        (b"/memfd:pool (deleted)", Kind.MEMFD, "[memfd pool]"),
        (b"/memfd:pool", Kind.FILE, "/memfd:pool"),
        (b"/SYSV0000002a (deleted)", Kind.SYSV, "[SysV shared memory, key 0x0000002a, id 0]"),
        (b"/SYSV-sets/42", Kind.FILE, "/SYSV-sets/42"),
        (b"/usr/lib/libc.so.6", Kind.FILE, "/usr/lib/libc.so.6"),
        (b"/usr/lib/libc.so.6 (deleted)", Kind.DELETED, "/usr/lib/libc.so.6 (deleted)"),
        (b"/\x1b[2J\n\xff\\", Kind.FILE, r"/\x1b[2J\x0a\xff\x5c"),
        (b"/[heap]", Kind.FILE, "/[heap]"),
        (b"/memfd:\x1b]0;x\x07 (deleted)", Kind.MEMFD, r"[memfd \x1b]0;x\x07]"),
    ],
)
def test_paths_say_what_a_mapping_is(path: bytes, kind: Kind, name: str) -> None:
    """What the kernel writes for a path becomes a name that holds no terminal sequence."""
    assert part_of(mapping(path), None, by_thread=True) == Part(kind, name)


def test_segments_are_told_apart_by_their_ids() -> None:
    """Private segments all have the key 0."""
    first, second = (
        part_of(mapping(b"/SYSV00000000 (deleted)", inode=number), None, by_thread=True) for number in (1, 2)
    )

    assert first != second
    assert first.name == "[SysV shared memory, key 0x00000000, id 1]"


def test_huge_pages_are_a_kind_of_their_own() -> None:
    """A flag tells them, whatever the path is."""
    made = [mapping(path, flags=b" rd wr ht ") for path in (b"/anon_hugepage (deleted)", b"/mnt/huge/a")]

    assert [part_of(one, None, by_thread=True) for one in made] == [
        Part(Kind.HUGETLB, "[anonymous hugetlb]"),
        Part(Kind.HUGETLB, "/mnt/huge/a"),
    ]


GUARD = mapping(start=0xF000, pages=1, permissions=b"---p")
STACK = mapping(start=0x10000)
WORKER = Thread(8, b"worker\n", 0x11000)


def test_a_stack_is_where_its_thread_points() -> None:
    """The mapping above a guard page that one thread points into is its stack; with several processes, of its name."""
    space = Space([GUARD, STACK], [Thread(7, b"main", 0x7000_0000), WORKER, Thread(9, b"busy", None)])

    assert thread_stacks(space) == {0x10000: WORKER}
    assert parts(space, by_thread=True)[1] == Part(Kind.STACK, r"[stack of thread 8 worker\x0a]")
    assert parts(space, by_thread=False)[1] == Part(Kind.STACK, r"[stacks of threads worker\x0a]")


@pytest.mark.parametrize(
    ("mappings", "threads"),
    [
        ([STACK], [WORKER]),  # no guard: Go's goroutines run on its heap
        ([GUARD._replace(end=0xF800), STACK], [WORKER]),
        ([GUARD._replace(permissions=b"rw-p"), STACK], [WORKER]),
        ([GUARD, STACK], [WORKER, WORKER._replace(tid=9)]),  # two on one
        ([GUARD, STACK._replace(path=b"/a")], [WORKER]),
        ([GUARD, STACK], [WORKER._replace(stack_pointer=0x14000)]),
        ([GUARD, STACK], [WORKER._replace(stack_pointer=0x10)]),
    ],
)
def test_what_may_be_something_else_is_no_stack(mappings: list[Mapping], threads: list[Thread]) -> None:
    """Memory that a thread merely happens to point to is not called its stack."""
    assert thread_stacks(Space(mappings, threads)) == {}


def test_guard_pages_inside_are_guards() -> None:
    """The flag gu stands for them."""
    space = Space([STACK._replace(flags=b" rd wr gu ")], [WORKER])

    assert thread_stacks(space) == {0x10000: WORKER}


A, B = mapping(b"/a"), mapping(b"/b", pages=1, private=0, swap_pss=KIB)
ROWS = [
    Row(Part(Kind.FILE, "/a"), 2, 8 * PAGE, 8 * PAGE, 0, 0, 8 * PAGE, 0),
    Row(Part(Kind.FILE, "/b"), 1, PAGE, 0, PAGE, KIB, PAGE, 0),
]


def all_parts(mappings: Sequence[Mapping]) -> list[Part]:
    """Give the part of each mapping."""
    return [part_of(one, None, by_thread=True) for one in mappings]


def test_the_same_mapping_is_summed() -> None:
    """Over all processes, and over the parts of one file; what is unknown of one is unknown of the sum."""
    spaces = [([A], all_parts([A])), ([B, A], all_parts([B, A]))]
    unknown = B._replace(swap_pss=None)

    assert summed(spaces) == ROWS
    assert summed([([B, unknown], all_parts([B, unknown]))])[0].swap_pss is None
    assert total(ROWS, "total")[1:] == (3, 9 * PAGE, 8 * PAGE, PAGE, KIB, 9 * PAGE, 0)


@pytest.mark.parametrize(
    ("column", "names", "largest"),
    [
        ("pss", ["/b", "/a"], "/a"),
        ("private", ["/b", "/a"], "/a"),
        ("shared", ["/a", "/b"], "/b"),
        ("swap", ["/a", "/b"], "/b"),
        ("size", ["/b", "/a"], "/a"),
        ("name", ["/a", "/b"], "/a"),
    ],
)
def test_the_largest_come_last(column: str, names: list[str], largest: str) -> None:
    """Of each column; names are in the order of the alphabet, and of these the largest PSS is the largest."""
    for given_rows in (ROWS, ROWS[::-1]):
        ordered, none = arranged(given_rows, column, None)
        shown, rest = arranged(given_rows, column, 1)

        assert [row.part.name for row in ordered] == names
        assert [row.part.name for row in shown] == [largest]
        assert (none, len(rest)) == ([], 1)


def findings(*, rollup_kib: int = 36, exact: Alone | None = None, **fields: Any) -> Findings:
    """Make up what was found of one process."""
    shown = Shown(42, "program", memory(rollup_kib), [B, A, A], [])
    made = Findings([shown], [all_parts([B, A, A])], ROWS, {}, 0, 0, exact)
    return made._replace(**fields)


def text(found: Findings, shown: list[Row], rest: list[Row], width: int | None = None) -> list[str]:
    """Give the table without colours."""
    return list(lines(found, shown, rest, Style(width, lambda _colour, words: words, euid=1000)))


def test_the_biggest_is_at_the_prompt() -> None:
    """The table ascends, as psstop's does, to the total; below it the rollup is compared."""
    assert text(findings(), ROWS[::-1], []) == [
        "      PSS   PRIVATE    SHARED      SWAP      SIZE   MAPS MAPPING",
        "  4.0 KiB       0 B   4.0 KiB   1.0 KiB   4.0 KiB      1 /b",
        " 32.0 KiB  32.0 KiB       0 B       0 B  32.0 KiB      2 /a",
        " 36.0 KiB  32.0 KiB   4.0 KiB   1.0 KiB  36.0 KiB      3 total",
        "1 process (42): smaps_rollup says 36.0 KiB, as do these together",
    ]


@pytest.mark.parametrize(
    ("rollup_kib", "said"),
    [
        (38, "38.0 KiB, 2.0 KiB more than these together"),
        (99, "99.0 KiB, 63.0 KiB more than these together: memory changed between the reads"),
        (30, "30.0 KiB, 6.0 KiB less than these together: memory changed between the reads"),
    ],
)
def test_the_difference_to_the_rollup_is_explained(rollup_kib: int, said: str) -> None:
    """By the kernel's rounding as far as that goes, which is said, and by what changed beyond it."""
    *_, compared, why = text(findings(rollup_kib=rollup_kib), ROWS, [])

    assert compared == f"1 process (42): smaps_rollup says {said}"
    assert why == "(of each mapping the kernel leaves out what is under 1 KiB, here up to 3.0 KiB)"


def test_what_is_missing_is_said() -> None:
    """Unreadable processes with the cure, stacks that were not found, processes that were left out as the same."""
    said = text(findings(unreadable={Unreadable.DENIED: 2}, repeated=1, unknown_stacks=3), ROWS, [])[5:]

    assert said[0] == "1 process more in the address space of one of these: counted once"
    assert said[1].startswith("3 stacks of threads in other rows: ")
    assert said[2].startswith("2 not readable: not permitted: run as root")


def test_long_paths_are_cut_at_their_beginning() -> None:
    """A terminal shows the end of a path, in its width."""
    row = ROWS[0]._replace(part=Part(Kind.FILE, "/a/long/path/to/libsomething.so"))

    shown = text(findings(), [row], [], 80)

    assert shown[1] == " 32.0 KiB  32.0 KiB       0 B       0 B  32.0 KiB      2 …ath/to/libsomething.so"
    assert len(shown[1]) == 80


def test_huge_pages_have_a_column_when_there_are_any() -> None:
    """They are in no other."""
    rows = [*ROWS, Row(Part(Kind.HUGETLB, "[anonymous hugetlb]"), 1, 0, 0, 0, 0, 2 << 20, 2 << 20)]

    assert text(findings(rows=rows), rows[::-1], [])[:2] == [
        "      PSS   PRIVATE    SHARED      SWAP      SIZE   HUGETLB   MAPS MAPPING",
        "      0 B       0 B       0 B       0 B   2.0 MiB   2.0 MiB      1 [anonymous hugetlb]",
    ]


FATES = [
    (Part(Kind.ANONYMOUS, "[anonymous]"), ANONYMOUS, "anonymous"),
    (Part(Kind.FILE, "/a"), ANONYMOUS, "anonymous"),
    (Part(Kind.SHARED, "[shared anonymous]"), SHARED_MEMORY, "unnamed"),
    (Part(Kind.MEMFD, "[memfd a]"), SHARED_MEMORY, "unnamed"),
    (Part(Kind.DELETED, "/a (deleted)"), FILE, "unnamed"),
    (Part(Kind.DELETED, "/dev/shm/a (deleted)"), SHARED_MEMORY, "unnamed"),
    (Part(Kind.SYSV, "[SysV 1]", 1), SHARED_MEMORY, "unnamed"),
    (Part(Kind.SYSV, "[SysV 2]", 2), SHARED_MEMORY, "shared_stays"),
    (Part(Kind.FILE, "/dev/shm/a"), SHARED_MEMORY, "shared_stays"),
    (Part(Kind.FILE, "/a"), FILE, "cache"),
    (Part(Kind.HUGETLB, "[anonymous hugetlb]"), ANONYMOUS, "hugetlb"),
]


@pytest.mark.parametrize(("part", "kind", "fate"), FATES)
def test_what_becomes_of_pages(part: Part, kind: int, fate: str) -> None:
    """Segment 1 is marked to end; only what is unique to the set has a fate."""
    judged = judge([(part, kind, Pages(PAGE, 2 * PAGE, 4 * PAGE, 5 * PAGE))], {1})

    assert {name: getattr(judged, name) for name in Alone._fields[:5] if getattr(judged, name)} == {fate: 3 * PAGE}
    assert judged.by_part == {part: 3 * PAGE}
    expected = (0, 0, 0, 0) if fate == "hugetlb" else (PAGE, 2 * PAGE, 4 * PAGE, 5 * PAGE)
    assert (judged.once, judged.among, judged.others, judged.pss) == expected


def test_exact_is_told_in_words() -> None:
    """What comes back, what stays, what others map too, and how PSS relates to that."""
    exact = Alone(20 * KIB, 4 * KIB, 2 * KIB, KIB, 0, 25 * KIB, 2 * KIB, 40 * KIB, 35 * KIB, {ROWS[0].part: 27 * KIB})
    said = text(findings(exact=exact), ROWS[:1], ROWS[1:])

    assert said[:3] == [
        "      PSS   PRIVATE    SHARED      SWAP      SIZE    UNIQUE   MAPS MAPPING",
        " 32.0 KiB  32.0 KiB       0 B       0 B  32.0 KiB  27.0 KiB      2 /a",
        " 36.0 KiB  32.0 KiB   4.0 KiB   1.0 KiB  36.0 KiB  27.0 KiB      3 total",
    ]
    assert said[4:] == [
        "",
        " 24.0 KiB comes back when all of them end",
        "           20.0 KiB anonymous memory",
        "            4.0 KiB shared memory and deleted files, unless somebody holds them open",
        "  3.0 KiB is theirs alone too, and stays",
        "            2.0 KiB shared memory with a name: until it is removed (rm, ipcrm)",
        "            1.0 KiB page cache of files: until the kernel needs the room",
        " 40.0 KiB others map too",
        "theirs alone is 27.0 KiB: 25.0 KiB mapped once, 2.0 KiB shared among them",
        "PSS is 12.0 KiB more than what comes back: 3.0 KiB stays, 8.0 KiB is",
        "their share of what others map, the rest is rounding and what psstop itself mapped",
        "and 1.0 KiB of swap (SwapPss): who shares it, page tables don't tell",
    ]


def drawn(patience_seconds: float) -> str:
    """Give what a bar writes to a terminal for one thing that is half done."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    termios.tcsetwinsize(ours, (24, 80))
    with os.fdopen(theirs, "w") as stream, ProgressBar(stream, patience_seconds=patience_seconds) as bar:
        bar.at("counting", 0.5)
        bar.at("counting", 0.6)  # too soon to be drawn
    try:
        return os.read(ours, 4096).decode()
    except (BlockingIOError, OSError):
        return ""
    finally:
        os.close(ours)


def test_a_bar_is_for_terminals_and_for_what_takes_time() -> None:
    """Nothing in the first second, nothing in a pipe; what was drawn is erased in the end."""
    pipe = io.StringIO()
    with ProgressBar(pipe, patience_seconds=0) as bar:
        bar.at("counting", 0.5)

    assert pipe.getvalue() == ""
    assert drawn(60) == ""
    assert drawn(0) == f"\r\x1b[Kcounting [{'#' * 15}{'.' * 15}]  50%\r\x1b[K"
