"""`psstop --by`: sums, order and layout as ps_mem's users know them, without its mistakes."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.client.colour import painter
from psstopd.client.groups.counting import count
from psstopd.client.groups.labels import labelling
from psstopd.client.groups.machine import write_csv, write_csv_header, write_json
from psstopd.client.groups.sums import Charge, Groups, Member, grouped
from psstopd.client.groups.text import Layout, header, remarks, size, table
from psstopd.client.picking import Picks
from psstopd.client.table.text import Style
from psstopd.model import Memory, Unreadable
from psstopd.sampling.sharing import Compare
from tests.fakes import KIB, FakeProc, FakeProcess, memory, rollup_text

MIB = KIB * KIB
WRITE_ONLY = Path("/sys/bus/platform/drivers_probe")  # against root too


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give an empty /proc."""
    with FakeProc(tmp_path / "proc") as fake:
        yield fake


def counted(
    proc: FakeProc, by: str = "program", *picks: str, split_args: bool = False, by_pid: bool = False
) -> dict[str, tuple[int, int, int]]:
    """Count a /proc of the test's; give processes, private and shared KiB by name."""
    label = labelling(proc.procfs, by, split_args=split_args)
    groups = count(proc.procfs, Picks(picks) if picks else None, label, by_pid=by_pid, compare=apart)
    return {
        group.name if group.pid is None else f"{group.name} {group.pid}": (
            group.processes, group.private // KIB, group.shared // KIB,
        )
        for group in groups.rows
    }  # fmt: skip


def apart(pid_a: int, pid_b: int) -> int:
    """Say what the kernel says of processes that share nothing."""
    return (pid_a > pid_b) - (pid_a < pid_b)


def sharing(pss_kib: int, uss_kib: int, swap_kib: int = 0) -> Memory:
    """Make up the memory of a process that shares some."""
    return memory(pss_kib, swap_pss_kib=swap_kib)._replace(uss=uss_kib * KIB)


def made(*members: tuple[str, int, int, int]) -> Groups:
    """Sum processes of some label, private and shared KiB and swapped KiB, in the order of their pids."""
    return grouped(
        (
            Member(pid, label, Charge(private * KIB, shared * KIB, swap * KIB))
            for pid, (label, private, shared, swap) in enumerate(members, 1)
        ),
        by_pid=False,
    ).arranged("pss", None, descending=False)


def layout(*, title: str = "Program", has_swap: bool = False, unit: str = "human", width: int | None = None) -> Layout:
    """Lay out for a pipe, or for so many cells."""
    return Layout(title, has_swap, Style(unit, width, painter(io.StringIO()), euid=1000))


def test_private_and_shared_are_summed_by_program(proc: FakeProc) -> None:
    """Shared is what PSS has beyond private memory; half a KiB a process makes up for the kernel's cutting."""
    proc.add(FakeProcess(1, b"a", memory=sharing(30, 10)), FakeProcess(2, b"b", memory=sharing(7, 7)))
    proc.add(FakeProcess(3, b"a", memory=sharing(12, 11)))

    groups = count(proc.procfs, None, labelling(proc.procfs, "program"), compare=apart)

    assert [(group.name, group.processes, group.private, group.shared) for group in groups.rows] == [
        ("a", 2, 21 * KIB, 22 * KIB),
        ("b", 1, 7 * KIB, 512),
    ]
    assert (groups.total.ram, groups.total.processes) == (50 * KIB + 512, 3)


def test_alike_processes_are_counted_in_full(proc: FakeProc) -> None:
    """Four workers of 10 MiB whose rollups have the same text use 40 MiB, in which ps_mem sees 10."""
    worker = FakeProcess(1, b"worker", memory=memory(10 * KIB, swap_pss_kib=3), span="1000-2000")
    proc.add(*(worker.__class__(**{**vars(worker), "pid": pid}) for pid in (1, 2, 3, 4)))

    assert len({proc.file(pid).read_bytes() for pid in (1, 2, 3, 4)}) == 1
    assert counted(proc) == {"worker": (4, 40 * KIB, 2)}


@pytest.mark.parametrize("by_pid", [False, True])
def test_a_shared_address_space_is_counted_once(proc: FakeProc, by_pid: bool) -> None:  # noqa: FBT001
    """Memory and swap of processes that share one address space are the first one's; the others are still processes."""
    for pid, span in ((1, "1-2"), (2, "1-2"), (3, "1-2")):
        proc.add(FakeProcess(pid, b"a", memory=sharing(30, 10, 5), span=span))
    same: Compare = lambda a, b: apart(a == 3, b == 3)  # noqa: E731 - 1 and 2 share

    groups = count(proc.procfs, None, labelling(proc.procfs, "program"), by_pid=by_pid, compare=same)

    assert (groups.total.processes, groups.total.private, groups.total.swap) == (3, 20 * KIB, 10 * KIB)
    assert [group.private // KIB for group in groups.rows] == ([10, 0, 10] if by_pid else [20])


def test_private_huge_pages_are_private(proc: FakeProc) -> None:
    """PSS has no huge pages of hugetlb; those that nobody else maps are private memory of who maps them."""
    proc.add(FakeProcess(1, b"a", memory=sharing(30, 10)))
    proc.write(1, huge(rollup_text(sharing(30, 10)), private=2048))

    assert counted(proc) == {"a": (1, 2058, 20)}


def test_huge_pages_that_are_not_told_are_estimated(proc: FakeProc) -> None:
    """Where smaps tells no files, each program has what its largest process has, as in ps_mem, and says so."""
    for pid, name, shared in ((1, b"a", 2048), (2, b"a", 4096), (3, b"b", 4096)):
        proc.add(FakeProcess(pid, name, memory=sharing(30, 10)))
        proc.write(pid, huge(rollup_text(sharing(30, 10)), shared=shared))

    groups = count(proc.procfs, None, labelling(proc.procfs, "program"), compare=apart)

    assert [(group.shared // KIB, group.is_estimate) for group in groups.rows] == [(4096 + 41, True), (4096 + 20, True)]
    assert list(remarks(groups, layout().style)) == ["estimated, for who shares which huge pages is not known: a, b"]


def huge(rollup: bytes, *, shared: int = 0, private: int = 0) -> bytes:
    """Put KiB of huge pages into a rollup."""
    rollup = re.sub(rb"(?<=Shared_Hugetlb: )  .*", b"%8d kB" % shared, rollup)
    return re.sub(rb"(?<=Private_Hugetlb:) .*", b"%8d kB" % private, rollup)


def test_groups_by_everything(proc: FakeProc) -> None:
    """Program, command line, pid, unit, user and cgroup each make their own groups."""
    service = b"0::/system.slice/web.service/worker\n"
    proc.add(FakeProcess(1, b"a", cmdline=(b"/bin/a", b"-x", b"y z"), cgroup=service, uid=0))
    proc.add(FakeProcess(2, b"a", cmdline=(b"",), uid=4242), FakeProcess(3, b"b", cgroup=service, uid=4242))

    assert {name: row[0] for name, row in counted(proc).items()} == {"a": 2, "b": 1}
    assert {name: row[0] for name, row in counted(proc, split_args=True).items()} == {
        "/bin/a -x y z": 1,
        "a": 1,
        "b": 1,
    }
    assert list(counted(proc, by_pid=True)) == ["a 1", "a 2", "b 3"]
    assert {name: row[0] for name, row in counted(proc, "unit").items()} == {"web.service": 2, "(no unit)": 1}
    assert {name: row[0] for name, row in counted(proc, "user").items()} == {"root": 1, "4242": 2}
    assert list(counted(proc, "cgroup")) == ["/system.slice/web.service/worker", "/"]


def test_who_hides_its_facts_is_in_a_group_as_well(proc: FakeProc) -> None:
    """What the kernel doesn't tell of a process does not take its memory out of the sums."""
    proc.add(FakeProcess(1, b"a"))
    (proc.root / "1" / "cgroup").unlink()
    (proc.root / "1" / "cgroup").symlink_to(WRITE_ONLY)

    assert counted(proc, "unit") == {"(unknown)": (1, 1, 0)}


def test_picks_are_about_programs_whatever_is_grouped(proc: FakeProc) -> None:
    """-p takes names, globs, pids, and pids with commas between them as ps_mem does."""
    proc.add(*(FakeProcess(pid, name) for pid, name in ((1, b"a"), (2, b"ab"), (3, b"1,2"), (12, b"c"))))

    assert set(counted(proc, "program", "1,12")) == {"a", "c"}
    assert set(counted(proc, "program", "2")) == {"ab"}
    assert set(counted(proc, "program", "1,2")) == {"a", "ab", "1,2"}
    assert counted(proc, "user", "a*")["root"][0] == 2


def test_what_can_not_be_read_is_no_zero(proc: FakeProc, capsys: pytest.CaptureFixture[str]) -> None:
    """A process without rights is missing from the sizes, is in the counts, and the cure is said; null is not zero."""
    proc.add(FakeProcess(1, b"a"), FakeProcess(2, b"a"), FakeProcess(3, b"b"))
    proc.deny(2)
    proc.deny(3)
    groups = count(proc.procfs, None, labelling(proc.procfs, "program"), compare=apart)

    assert next(table(groups, layout())) == "  1.0 KiB +   0.5 KiB =   1.5 KiB\ta"
    assert list(table(groups, layout()))[-1].startswith("2 not readable: not permitted: run as root")
    write_json(groups, "program")
    written = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["processes"], row["unreadable"], row["ram_bytes"]) for row in written["groups"]] == [
        ("a", 1, 1, 1536),
        ("b", 0, 1, None),
    ]
    assert written["unreadable"] == [
        {"pid": 2, "name": "a", "reason": "denied"},
        {"pid": 3, "name": "b", "reason": "denied"},
    ]


@pytest.mark.parametrize(
    ("kib", "text"),
    [(0, "0.0 KiB"), (28.5, "28.5 KiB"), (999.9, "999.9 KiB"), (1000, "1.0 MiB"), (10240, "10.0 MiB"),
     (1000 * 1024, "1.0 GiB"), (5 * 1024**3, "5.0 TiB"), (1000 * 1024**3, "1.0 PiB"), (10**4 * 1024**4, "10000.0 PiB")],
)  # fmt: skip
def test_sizes_as_in_ps_mem(kib: float, text: str) -> None:
    """One digit behind the point, fewer than 1000 before it, nothing under a KiB; and no error at 1000 TiB."""
    assert size(int(kib * KIB), "human") == text


def test_the_layout_is_that_of_ps_mem() -> None:
    """Columns, count, order, tab and lines are where those who parse them look for them."""
    groups = made(("big", 4096, 1024, 7), ("small", 100, 28, 0), ("big", 4096, 1024, 0), ("none", 0, 0, 0))

    assert [*header(layout()), *table(groups, layout())] == [
        " Private  +   Shared  =  RAM used\tProgram",
        "",
        "100.0 KiB +  28.0 KiB = 128.0 KiB\tsmall",
        "  8.0 MiB +   2.0 MiB =  10.0 MiB\tbig (2)",
        "---------------------------------",
        "                         10.1 MiB",
        "=================================",
    ]


def test_the_layout_with_swap_is_that_of_ps_mem() -> None:
    """Swap has a column and a total of its own; who is swapped out as a whole still has a row."""
    groups = made(("out", 0, 0, 7), ("in", 100, 28, 0))
    with_swap = layout(has_swap=True, title="Program[pid]")

    assert [*header(with_swap), *table(groups, with_swap)] == [
        " Private  +   Shared  =  RAM used   Swap used\tProgram[pid]",
        "",
        "  0.0 KiB +   0.0 KiB =   0.0 KiB     7.0 KiB\tout",
        "100.0 KiB +  28.0 KiB = 128.0 KiB     0.0 KiB\tin",
        "---------------------------------------------",
        "                        128.0 KiB     7.0 KiB",
        "=============================================",
    ]


@pytest.mark.parametrize("unit", ["human", "B", "KiB", "MiB", "GiB"])
@pytest.mark.parametrize("width", [None, 50, 81])
def test_columns_stay_and_fit(unit: str, width: int | None) -> None:
    """In every unit the columns end where the titles do, and names are cut to the terminal, whose tabs take eight."""
    groups = made(("x" * 200, 999 * MIB, 999 * MIB, 3 * MIB), ("y", 1, 1, 1))
    for has_swap in (False, True):
        wide = layout(unit=unit, has_swap=has_swap, width=width)
        lines = [*header(wide), *table(groups, wide)]
        cells = [line.split("\t")[0] for line in lines if "\t" in line]

        assert len(set(map(len, cells))) == 1
        assert len(lines[-1]) == len(cells[0])
        room = {50: 66, 81: 81}.get(width or 0)  # numbers are not cut
        assert room is None or max(len(line.expandtabs()) for line in lines) <= max(room, len(cells[0]) + 8)


def test_order() -> None:
    """Ascending by RAM, equal ones by their first pid; other columns, the other way round and the largest as asked."""
    groups = made(("b", 1, 5, 9), ("a", 5, 1, 0), ("c", 2, 2, 3))

    def order(column: str, most: int | None = None, *, descending: bool = False) -> str:
        return "".join(group.name for group in groups.arranged(column, most, descending=descending).rows)

    assert order("pss") == "cba"
    assert order("swap") == "acb"
    assert order("uss") == "bca"
    assert order("name") == "abc"
    assert order("pss", 2, descending=True) == "ab"


def test_swap_that_the_kernel_does_not_tell_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Before Linux 4.3 there are no shares of swap: a dash for people, nothing in CSV."""
    groups = grouped([Member(1, "a", Charge(KIB, 0, None)), Member(2, "a", Charge(KIB, 0, 3))], by_pid=False)
    write_csv(groups)

    assert next(table(groups, layout(has_swap=True))) == "  2.0 KiB +   0.0 KiB =   2.0 KiB           -\ta (2)"
    assert capsys.readouterr().out == "a,,2,0,2048,0,2048,,False\n"


def test_csv_and_json_have_the_same_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes are bytes under names that stay; a name with a comma, a quote or a line end is one field."""
    groups = grouped(
        [Member(7, 'a,"b"\n', Charge(KIB, 2 * KIB, 3)), Member(8, "c", None, Unreadable.STUCK)], by_pid=True
    )
    write_csv_header()
    write_csv(groups)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    write_json(groups, "program")
    written = json.loads(capsys.readouterr().out)

    assert [list(row) for row in rows] == [list(row) for row in written["groups"]]
    assert written["groups"][0] == {
        "name": 'a,"b"\n', "pid": 7, "processes": 1, "unreadable": 0, "private_bytes": 1024, "shared_bytes": 2048,
        "ram_bytes": 3072, "swap_bytes": 3, "is_estimate": False,
    }  # fmt: skip
    assert rows[0]["name"] == 'a,"b"\n'
    assert rows[1]["ram_bytes"] == ""
    assert written["total"] == {
        "processes": 1, "unreadable": 1, "private_bytes": 1024, "shared_bytes": 2048, "ram_bytes": 3072,
        "swap_bytes": 3, "is_estimate": False,
    }  # fmt: skip
