"""`psstop --by` and real huge pages of hugetlb: counted once where it can be known, labelled where not."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.daemon import psstop
from tests.grouping import groups, ps_mem, renamed
from tests.integration.memory_fixture import Family, build

HUGE = 2 << 20
POOL = Path("/proc/sys/vm/nr_hugepages")

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program under a name that no other test uses."""
    directory = tmp_path_factory.mktemp("huge")
    return build(directory).rename(directory / f"huge{os.getpid()}")


@contextmanager
def huge_pages(count: int, directory: Path) -> Iterator[Path]:
    """Reserve huge pages and mount their file system; what the machine had reserved is put back."""
    before = POOL.read_text() if POOL.exists() else ""
    try:
        try:
            POOL.write_text(f"{int(before) + count}")
            got = int(POOL.read_text()) - int(before)
        except (OSError, ValueError):
            got = 0
        if got < count:
            lacking(f"{count} huge pages")
        directory.mkdir()
        subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", directory], check=True)
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)
    finally:
        if before:
            POOL.write_text(before)


def lacking(what: str) -> None:
    """Skip a test, which nothing does in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {what}; nothing is skipped in CI", pytrace=False)
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="module")
def hugetlbfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a directory whose files are huge pages, 16 of them."""
    with huge_pages(16, tmp_path_factory.mktemp("huge") / "fs") as directory:
        yield directory


def huge_sizes(*programs: Path) -> dict[str, tuple[int, int, bool]]:
    """Give private and shared huge pages of programs, rounded from their sizes, and whether that is an estimate."""
    picks = [word for program in programs for word in ("-p", program.name)]
    return {
        row["name"]: (row["private_bytes"] // HUGE, row["shared_bytes"] // HUGE, row["is_estimate"])
        for row in groups(*picks)
    }


def test_huge_pages_of_two_programs_are_counted_once(program: Path, hugetlbfs: Path) -> None:
    """The same file in hugetlbfs is the same memory: divided between its programs, in whose sum it is once."""
    one, other = renamed(program, f"{program.name}-h1"), renamed(program, f"{program.name}-h2")
    with (
        Family(one, "huge", hugetlbfs / "a", 4, 0, 4, 2) as first,
        Family(other, "huge", hugetlbfs / "a", 4, 0, 4, 0) as second,
    ):
        pids = f"{first.pid},{second.pid}"
        both, theirs = huge_sizes(one, other), int(ps_mem("-t", "-p", pids))
        total = int(psstop("--by", "program", "-t", "-p", pids).stdout)
        table = psstop("--by", "program", "-p", pids)

    assert both == {one.name: (2, 2, False), other.name: (0, 2, False)}
    assert theirs - total == 4 * HUGE
    assert "estimate" not in table.stdout
    (hugetlbfs / "a").unlink()


def test_huge_pages_of_two_groups_of_one_program_are_different(program: Path, hugetlbfs: Path) -> None:
    """Two clusters of one database do not share: other files are other memory, where ps_mem takes the largest."""
    with ExitStack() as stack:
        for name in "abab":
            stack.enter_context(Family(program, "huge", hugetlbfs / name, 3, 0, 3, 0))
        found = huge_sizes(program)

    assert found == {program.name: (0, 6, False)}
    for name in "ab":
        (hugetlbfs / name).unlink()


def test_huge_pages_that_can_not_be_told_are_labelled(program: Path, hugetlbfs: Path) -> None:
    """Three processes that map different parts of one file: the least that it can be, called an estimate."""
    with ExitStack() as stack:
        for begin, end in ((0, 3), (2, 5), (0, 5)):
            stack.enter_context(Family(program, "huge", hugetlbfs / "c", 6, begin, end, 0))
        found = huge_sizes(program)
        table = psstop("--by", "program", "-p", program.name).stdout

    assert found == {program.name: (0, 5, True)}
    assert table.splitlines()[-1] == f"estimated, for who shares which huge pages is not known: {program.name}"
    (hugetlbfs / "c").unlink()
