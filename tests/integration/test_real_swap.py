"""SwapPss of real processes in real swap, to the KiB."""

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Memory
from tests.collecting import collector, config, named, samples
from tests.daemon import psstop
from tests.integration.memory_fixture import Family, build
from tests.integration.pagemap import PAGE, pages_in, pages_of
from tests.waiting import wait_for

KIB, MIB = 1 << 10, 1 << 20
PAGES = 64 * MIB // PAGE
CONTROL = Path("/sys/class/zram-control")

pytestmark = pytest.mark.swap


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Keep other runs of these tests away: pages of one could go to the swap of another, and come back with it."""
    lock = os.open(CONTROL, os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
    os.close(lock)


@pytest.fixture(scope="module")
def swap(alone: None) -> Iterator[Path]:  # noqa: ARG001 - its order
    """Give a swap device of our own: memory, compressed."""
    number = (CONTROL / "hot_add").read_text().strip()
    device, settings = Path(f"/dev/zram{number}"), Path(f"/sys/block/zram{number}")
    try:
        (settings / "disksize").write_text("256M")
        wait_for(device.is_block_device, 5, f"{device} is there")
        subprocess.run(["mkswap", device], check=True, capture_output=True)
        subprocess.run(["swapon", "--priority", "32000", device], check=True)
        try:
            yield device
        finally:
            subprocess.run(["swapoff", device], check=True)
    finally:
        (settings / "reset").write_text("1")
        (CONTROL / "hot_remove").write_text(number)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the program under a name of its own."""
    directory = tmp_path_factory.mktemp("swap")
    return build(directory).rename(directory / f"swapper-{os.getpid()}")


def read(pid: int) -> Memory:
    """Measure one process."""
    return MemoryReader(Procfs()).read(pid).memory


@pytest.mark.usefixtures("swap")
def test_swapped_pages_are_counted(program: Path) -> None:
    """What one process has in swap is all its own; what it has left in memory is PSS."""
    with Family(program, "swap", PAGES, 0) as family:
        memory, truth = read(family.pid), pages_of(family.pid)

    assert truth.swapped > 0.99 * PAGES
    assert memory.swap_pss is not None
    assert abs(memory.swap_pss - truth.swapped * PAGE) <= KIB
    assert abs(memory.pss - truth.pss) <= KIB + 1


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("children", [1, 3])
def test_shared_swap_is_divided(program: Path, children: int) -> None:
    """What was swapped out before fork is shared by all: each has its part, and together they have it once."""
    with Family(program, "swap", PAGES, children) as family:
        memories = [read(pid) for pid in family.pids]
        swapped = [pages_in(pid, family.regions["private"], PAGES).swapped for pid in family.pids]
        sample = samples(collector(Procfs(), config(*named(program.name))))[program.name]

    share = swapped[0] * PAGE / len(memories)
    assert swapped == [swapped[0]] * len(memories)
    assert swapped[0] > 0.99 * PAGES
    assert [memory.swap_pss for memory in memories] == pytest.approx([share] * len(memories), abs=KIB + 1)
    assert sample.memory
    assert sample.memory.swap_pss == sum(memory.swap_pss or 0 for memory in memories)


@pytest.mark.usefixtures("swap")
def test_every_view_of_psstop_has_the_swap_once(program: Path) -> None:
    """The table, the sums by program and the mappings agree with the kernel about what four processes have in swap."""
    with Family(program, "swap", PAGES, 3) as family:
        expected = sum(read(pid).swap_pss or 0 for pid in family.pids)
        table, groups, mappings = (
            json.loads(psstop(*command, "--json").stdout)
            for command in (("-p", program.name), ("--by", "program", "-S", "-p", program.name), ("show", program.name))
        )

    assert expected > 0.99 * PAGES * PAGE
    assert table["total"]["swap_pss_bytes"] == expected
    assert groups["total"]["swap_bytes"] == expected
    assert sum(row["swap_pss_bytes"] for row in mappings["mappings"]) == pytest.approx(expected, abs=100 * KIB)
