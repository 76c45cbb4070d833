"""What real processes are called, to whom they belong, and which of them have no memory to tell."""

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from psstopd.kernel.errors import NoAddressSpace, ProcessGone
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Sample
from psstopd.sampling.collector import Collector
from tests.cgroups import systemd_hierarchies, unit
from tests.collecting import EVERY, collector, config, named, samples
from tests.integration.memory_fixture import Family, build
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# What the daemon would see without rights: all imports first, because nobody may not even read our files.
AS_NOBODY = f"""
import os, sys
from psstopd.kernel.procfs import Procfs
from tests.cgroups import systemd_hierarchies, unit
from tests.collecting import collector, config, named
taking = collector(Procfs(), config(*named(sys.argv[1])))
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
taken = taking.collect()
print(taken.samples[0].memory, taken.samples[0].processes, taken.samples[0].unreadable, *map(str, taken.unreadable))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the program once."""
    return build(tmp_path_factory.mktemp("processes"))


@pytest.fixture
def program(built: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give the program under a name that no other test uses and that comm can hold."""
    path = built.with_name(f"p{zlib.crc32(request.node.name.encode()):08x}{os.getpid() % 100_000}")
    path.hardlink_to(built)
    yield path
    path.unlink()


def watching(*names: str) -> Collector:
    """Watch programs of the real /proc by name."""
    return collector(Procfs(), config(*named(*names)))


def the_sample(name: str) -> Sample:
    """Give the sample of one name."""
    return samples(watching(name))[name]


def test_a_zombie_has_no_memory(program: Path) -> None:
    """A child that nobody has waited for yet is neither counted nor unreadable."""
    with Family(program, "zombie") as family:
        with pytest.raises(NoAddressSpace):
            MemoryReader(Procfs()).read(family.children[0])
        sample = the_sample(program.name)

    assert (sample.processes, sample.unreadable) == (1, 0)


def test_a_process_whose_first_thread_ended_is_taken_for_a_zombie(program: Path) -> None:
    """Linux says Z of it, and tells its memory only under the thread's own id: psstop leaves it out, as ps(1) does."""
    with Family(program, "leaderless") as family:
        wait_for(lambda: Procfs().stat(family.pid).state == "Z", 5, "the first thread has ended")
        with pytest.raises(NoAddressSpace):
            MemoryReader(Procfs()).read(family.pid)
        sample = the_sample(program.name)

    assert (sample.processes, sample.unreadable) == (0, 0)


def test_an_ended_process_is_gone(program: Path) -> None:
    """Once it was waited for, nothing is left of it."""
    with Family(program, "idle") as family:
        pid = family.pid

    with pytest.raises(ProcessGone):
        MemoryReader(Procfs()).read(pid)


def test_kernel_threads_have_no_memory() -> None:
    """They are told from processes that can't be read. Containers show none."""
    procfs = Procfs()
    threads = [pid for pid, _ in procfs.pids() if pid < 100 and is_kernel_thread(procfs, pid)]

    for pid in threads:
        with pytest.raises(NoAddressSpace):
            MemoryReader(procfs).read(pid)


def is_kernel_thread(procfs: Procfs, pid: int) -> bool:
    """Tell whether a process that may end any moment is a kernel thread."""
    try:
        return procfs.stat(pid).is_kernel_thread
    except ProcessGone:
        return False


@pytest.mark.root
def test_without_rights_others_are_denied(program: Path) -> None:
    """Another user's processes are counted as unreadable, and their memory is unknown."""
    with Family(program, "idle"):
        command = [sys.executable, "-c", AS_NOBODY, program.name]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert said == "None 1 1 denied\n"


def test_long_names_are_whole(built: Path, tmp_path: Path) -> None:
    """The kernel keeps 15 bytes of a name; an executable's, and a script's, is found whole."""
    program, script = tmp_path / "a-very-long-program-name", tmp_path / "a-very-long-script-name"
    program.hardlink_to(built)
    script.write_text("#!/bin/sh -u\necho ready\nread word\n")
    script.chmod(0o755)
    with Family(program, "idle"), Family(script, "run"):
        taken = samples(watching(program.name, script.name, program.name[:15]))

    assert {name: sample.processes for name, sample in taken.items()} == {
        program.name: 1,
        script.name: 1,
        program.name[:15]: 0,
    }


def test_an_executable_that_was_deleted_keeps_its_name(built: Path, tmp_path: Path) -> None:
    """An upgrade under a running program changes neither its name nor whether a rule matches its path."""
    program = tmp_path / "a-very-long-program-name"
    program.hardlink_to(built)
    rule = EVERY._replace(name="mine", exe=str(program), group_by="rule")
    with Family(program, "idle"):
        program.unlink()
        taken = samples(collector(Procfs(), config(*named(f"{program.name}"), rule)))

    assert {name: sample.processes for name, sample in taken.items()} == {program.name: 1, "mine": 0}


def test_a_path_that_is_too_long_to_tell_hides_nobody(built: Path, tmp_path: Path) -> None:
    """Anybody can run a program from a path of more than 4 KiB, of which the kernel tells nothing."""
    name = f"hidden-in-the-depths-{os.getpid()}"
    deep = descend(tmp_path / "deep", levels=17)
    os.link(built, name, dst_dir_fd=deep)
    try:
        with Family(f"/proc/{os.getpid()}/fd/{deep}/{name}", "idle") as family:
            with pytest.raises(OSError, match="File name too long"):
                Path(f"/proc/{family.pid}/exe").readlink()
            taken = samples(collector(Procfs(), config(*named(name), EVERY._replace(exe="/nowhere/*"))))
    finally:
        os.close(deep)
        shutil.rmtree(tmp_path / "deep")

    assert taken[name].processes == 1


def descend(path: Path, *, levels: int) -> int:
    """Make directories in each other, with long names; give a descriptor of the last."""
    path.mkdir()
    here = os.open(path, os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    return here


def test_a_new_name_counts_from_the_next_pass_on(program: Path) -> None:
    """Prctl renames a process that goes on; it starts under its new name."""
    new = f"new-{os.getpid()}"
    taking = watching(program.name, new)
    with Family(program, "name", new) as family:
        before = samples(taking)
        family.go_on()
        family.await_ready()
        after = samples(taking)

    assert (before[program.name].processes, before[new].processes) == (1, 0)
    assert (after[program.name].processes, after[new].processes) == (0, 1)
    assert (before[program.name].starts, after[new].starts) == (1, 1)


def test_execve_counts_from_the_next_pass_on(program: Path) -> None:
    """A process that goes on as another program takes its memory along into another sum."""
    other = program.with_name(f"other-{os.getpid()}")
    other.hardlink_to(program)
    taking = watching(program.name, other.name)
    with Family(program, "exec", other) as family:
        before = samples(taking)
        family.go_on()
        family.await_ready()
        after = samples(taking)
    other.unlink()

    assert [before[name].processes for name in (program.name, other.name)] == [1, 0]
    assert [after[name].processes for name in (program.name, other.name)] == [0, 1]
    assert before[program.name].newest_start == after[other.name].newest_start


@pytest.mark.root
def test_units_are_matched_in_every_hierarchy(program: Path) -> None:
    """A rule on a unit has every process of its cgroup, below it too, wherever this host keeps systemd's cgroups."""
    rule = EVERY._replace(name="web", unit="psstop-test@*.service", group_by="rule")
    hierarchies = systemd_hierarchies()

    for mount in hierarchies:
        with unit(mount) as cgroup, Family(program, "idle") as family:
            (cgroup / "cgroup.procs").write_text(str(family.pid))
            sample = samples(collector(Procfs(), config(rule)))["web"]
        assert sample.processes == 1, mount
    assert hierarchies
