"""The memory of real processes, to the KiB: against arithmetic and against the kernel's page tables."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from psstopd.kernel.errors import AccessDenied, NoAddressSpace, Unparseable
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from tests.collecting import collector, config, named, samples
from tests.integration.memory_fixture import Family, build
from tests.integration.pagemap import PAGE, pages_in, pages_of
from tests.waiting import wait_for

KIB = 1024
EXACT = KIB + 1  # the kernel cuts to whole KiB, and each page's share to 1/4096 byte
PAGES = 1200  # of each region; divides by twice the number of children, and by every number of sharers
CHILDREN = 4


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program under a name that no other test uses."""
    directory = tmp_path_factory.mktemp("memory")
    return build(directory).rename(directory / f"sharer-{os.getpid()}")


@pytest.fixture(scope="module")
def tree(program: Path) -> Iterator[Family]:
    """Give a process and its children that share an anonymous map, a file, and what they haven't rewritten."""
    file = program.parent / "file"
    with file.open("wb", buffering=0) as out:
        for _ in range(PAGES):  # not at once: Linux 6.18 maps large folios whole, whichever of their pages is touched
            out.write(bytes(PAGE))
    with Family(program, "tree", file, PAGES, CHILDREN) as family:
        yield family


class OldKernel(Procfs):
    """The real /proc of some processes, without smaps_rollup."""

    def __init__(self, root: Path, pids: list[int]) -> None:
        (root / "self").mkdir(parents=True)
        for pid in pids:
            (root / str(pid)).symlink_to(f"/proc/{pid}")
        super().__init__(str(root))


def has(region: str, page: int, number: int) -> bool:
    """Tell whether a process has a page of a region in common with the parent, number 0; as in the C program."""
    if number == 0:
        return True
    first, last = PAGES * (number - 1) // CHILDREN, PAGES * number // CHILDREN
    return {"shared": page < last, "file": page >= first, "private": not first <= 2 * page < last}[region]


def expected_pss(region: str, number: int) -> float:
    """Work out what a region costs one process: its share of what it shares, and the pages that it has rewritten."""
    sharers = [sum(has(region, page, n) for n in range(CHILDREN + 1)) for page in range(PAGES)]
    mapped = [sharers[page] for page in range(PAGES) if has(region, page, number)]
    rewritten = PAGES - len(mapped) if region == "private" else 0
    return PAGE * (sum(1 / mappers for mappers in mapped) + rewritten)


@pytest.mark.root
@pytest.mark.parametrize("region", ["shared", "private", "file"])
def test_the_oracle_agrees_with_arithmetic(tree: Family, region: str) -> None:
    """What page tables say of a region is what the program is written to do."""
    found = [pages_in(pid, tree.regions[region], PAGES).pss for pid in tree.pids]

    assert found == pytest.approx([expected_pss(region, number) for number in range(CHILDREN + 1)])


@pytest.mark.root
def test_each_process_is_exact(tree: Family) -> None:
    """PSS is within 1 KiB of the truth in every process of the tree, RSS and USS are the truth."""
    reader = MemoryReader(Procfs())

    for pid in tree.pids:
        truth, read = pages_of(pid), reader.read(pid).memory

        assert abs(read.pss - truth.pss) <= EXACT
        assert (read.rss, read.uss) == (truth.rss, truth.uss)


@pytest.mark.root
def test_the_kinds_of_memory_are_exact(tree: Family) -> None:
    """Anonymous, file and shared memory are told apart, and add up to PSS."""
    memory = MemoryReader(Procfs()).read(tree.pid).memory

    assert None not in memory
    assert abs((memory.pss_anon or 0) + (memory.pss_file or 0) + (memory.pss_shmem or 0) - memory.pss) <= 3 * EXACT
    assert abs((memory.pss_shmem or 0) - expected_pss("shared", 0)) <= EXACT


@pytest.mark.root
def test_the_sum_of_a_name_is_exact(program: Path, tree: Family) -> None:
    """The sample of a program that runs as a tree is within 1 KiB a process of the truth."""
    truth = sum(pages_of(pid).pss for pid in tree.pids)

    sample = samples(collector(Procfs(), config(*named(program.name))))[program.name]

    assert (sample.processes, sample.unreadable) == (CHILDREN + 1, 0)
    assert sample.memory
    assert abs(sample.memory.pss - truth) <= (CHILDREN + 1) * EXACT


@pytest.mark.root
def test_reading_mapping_by_mapping_is_nearly_exact(tree: Family, tmp_path: Path) -> None:
    """Without smaps_rollup PSS is less by up to 1 KiB for each mapping, and the rest is the same."""
    reader = MemoryReader(OldKernel(tmp_path / "proc", tree.pids))
    newer = MemoryReader(Procfs())

    for pid in tree.pids:
        truth, read = pages_of(pid), reader.read(pid).memory
        mappings = len(Path(f"/proc/{pid}/maps").read_text().splitlines())

        assert -KIB * mappings <= read.pss - truth.pss <= 1
        assert read == newer.read(pid).memory._replace(pss=read.pss, pss_anon=None, pss_file=None, pss_shmem=None)


@pytest.mark.root
def test_the_sum_of_a_name_is_nearly_exact_without_rollups(program: Path, tree: Family, tmp_path: Path) -> None:
    """An older kernel's samples are what its smaps say."""
    procfs = OldKernel(tmp_path / "proc", tree.pids)
    reader = MemoryReader(procfs)

    sample = samples(collector(procfs, config(*named(program.name))))[program.name]

    assert sample.memory
    assert sample.memory.pss == sum(reader.read(pid).memory.pss for pid in tree.pids)
    assert sample.memory.pss_anon is None


@pytest.mark.root
def test_who_shares_an_address_space_counts_once(program: Path) -> None:
    """Clone with CLONE_VM makes a second process of the same memory: two processes, one sum."""
    pair = program.with_name(f"pair-{os.getpid()}")
    pair.hardlink_to(program)
    with Family(pair, "clone", PAGES) as family:
        truth = pages_of(family.pid)
        sample = samples(collector(Procfs(), config(*named(pair.name))))[pair.name]

    assert len(family.children) == 1
    assert (sample.processes, sample.unreadable) == (2, 0)
    assert sample.memory
    assert abs(sample.memory.pss - truth.pss) <= EXACT
    assert sample.memory.rss == truth.rss


def test_execve_during_the_read_gives_no_partial_sum(program: Path, tmp_path: Path) -> None:
    """Smaps ends early when its process goes on as another program; that is not an answer."""
    pages = 20_000
    with Family(program, "exec", program, pages) as family:
        reader = MemoryReader(OldKernel(tmp_path / "proc", [family.pid]))
        whole = reader.read(family.pid).memory
        outcomes: list[Memory | Exception] = []
        reading = threading.Thread(target=lambda: outcomes.append(read_or_reason(reader, family.pid)))
        reading.start()
        wait_for(lambda: has_begun(f"/proc/{family.pid}/smaps"), 5, "smaps is being read")
        family.go_on()
        reading.join()
        family.await_ready()
        then = reader.read(family.pid).memory

    assert whole.rss > pages * PAGE
    assert isinstance(outcomes[0], Unparseable) or outcomes[0] == whole
    assert then.rss < pages * PAGE


def read_or_reason(reader: MemoryReader, pid: int) -> Memory | Exception:
    """Read a process, or give the reason why that was not possible."""
    try:
        return reader.read(pid).memory
    except (Unparseable, NoAddressSpace, AccessDenied) as reason:
        return reason


def has_begun(path: str) -> bool:
    """Tell whether this process has read a part of a file that it has open."""
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(fd.readlink()) == path:
                return not (Path("/proc/self/fdinfo") / fd.name).read_text().startswith("pos:\t0\n")
    return False
