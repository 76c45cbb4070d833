"""`psstop` in a container that has the host's processes: all of them are seen, and read where the container may."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Unreadable
from psstopd.words import cure
from tests.cgroups import systemd_hierarchies, unit
from tests.daemon import psstop
from tests.grouping import renamed
from tests.integration.memory_fixture import Family, build
from tests.system.hostpids import PREFIX, run_with_host_pids
from tests.system.installation import install

pytestmark = pytest.mark.container

MIB = 1 << 20
PAGES_OF_8_MIB = 8 * MIB // 4096
NOBODY = 65534
GRANTED = ("perfmon", "sys_ptrace")  # as the README has it


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory with psstop installed below it."""
    directory = tmp_path_factory.mktemp("image")
    install(directory)
    return directory


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Family]]:
    """Run two programs of one name outside of the container, root's and another user's, each with a child of 8 MiB."""
    directory = tmp_path_factory.mktemp("hostpids")
    program = renamed(build(directory), f"host{os.getpid()}")
    workers = (program, "workers", PAGES_OF_8_MIB, 1)
    with Family(*workers) as roots, Family("setpriv", f"--reuid={NOBODY}", *workers) as others:
        yield [roots, others]


def name() -> str:
    """Give what the programs are called."""
    return f"host{os.getpid()}"


def pids(families: list[Family]) -> list[int]:
    """Give the pids of all, as the host has them."""
    return sorted(pid for family in families for pid in family.pids)


def contained(image: Path, *arguments: str, cap_add: Sequence[str] = GRANTED, code: int = 0) -> str:
    """Run psstop in a container; give what it writes."""
    done = run_with_host_pids(image, ["/opt/psstop/bin/psstop", *arguments], cap_add=cap_add)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def as_json(image: Path, *arguments: str, cap_add: Sequence[str] = GRANTED) -> dict[str, Any]:
    """Give what psstop says as JSON."""
    found: dict[str, Any] = json.loads(contained(image, *arguments, "--json", cap_add=cap_add))
    return found


def denied(found: dict[str, Any]) -> set[int]:
    """Give the pids of what was not read."""
    return {row["pid"] for row in found["unreadable"]}


def test_only_the_processes_are_the_hosts(image: Path) -> None:
    """The container is one: it has its own files, names, network and cgroups, and Docker's capabilities."""
    script = (
        "readlink /proc/self/ns/*; hostname; ls /sys/class/net; cat /proc/self/cgroup; grep CapBnd /proc/self/status"
    )
    done = run_with_host_pids(image, ["bash", "-c", f"{script}; ls -d /opt/psstop /.host/*"])
    told = done.stdout.split()

    shared = {str(entry.readlink()) for entry in Path("/proc/self/ns").iterdir()} & set(told)
    kinds = {link.partition(":")[0] for link in shared}
    assert kinds & {"pid", "mnt", "uts", "ipc", "net", "cgroup"} == {"pid"}
    assert told[-3:] == ["CapBnd:", "00000000a80425fb", "/opt/psstop"]
    assert {"psstop-tests", "lo", "0::/"} <= set(told)


def test_the_sizes_are_the_kernels(image: Path, families: list[Family]) -> None:
    """With both capabilities every process of the host is read, under the host's pid, whoever it belongs to."""
    read = MemoryReader(Procfs()).read
    expected = {pid: read(pid).memory.pss for pid in pids(families)}
    found = as_json(image, "-p", name())
    everything, outside = as_json(image), json.loads(psstop("--json").stdout)

    assert {row["pid"]: row["pss_bytes"] for row in found["processes"]} == expected
    assert all(8 * MIB <= expected[family.children[0]] < 9 * MIB for family in families)
    assert denied(everything) <= denied(outside)  # a security module may deny to root what it likes
    assert {os.getpid(), *expected} <= {row["pid"] for row in everything["processes"]}


def test_without_them_all_others_are_counted_with_a_cure(image: Path, families: list[Family]) -> None:
    """Docker's root may read neither others' processes nor those of the host's root, which has more capabilities."""
    table = contained(image, "-p", name(), cap_add=())
    found = as_json(image, cap_add=())

    assert table.splitlines()[1:] == [
        "PSS 0 B, SwapPss 0 B in 0 processes",
        f"4 not readable: {cure(Unreadable.DENIED, 0)}",
    ]
    assert {os.getpid(), *pids(families)} <= denied(found)
    assert {row["reason"] for row in found["unreadable"]} == {"denied"}


def test_the_cure_cures(image: Path, families: list[Family]) -> None:
    """The one capability that is named for this kernel is enough."""
    version = tuple(map(int, os.uname().release.split(".")[:2]))
    capability = "perfmon" if version >= (6, 15) else "sys_ptrace"
    found = as_json(image, "-p", name(), cap_add=[capability])

    assert f"CAP_{capability.upper()}" in cure(Unreadable.DENIED, 0)
    assert sorted(row["pid"] for row in found["processes"]) == pids(families)


def test_show(image: Path, families: list[Family]) -> None:
    """What the memory of a host's process is made of is told inside as well; without the rights, why not."""
    child = families[1].children[0]
    found = as_json(image, "show", str(child))
    refused = contained(image, "show", str(child), cap_add=(), code=1)

    rows = {row["mapping"]: row["pss_bytes"] for row in found["mappings"]}
    assert rows["[anonymous]"] >= 8 * MIB
    assert refused == f"{child}: 1 not readable: {cure(Unreadable.DENIED, 0)}\n"


def test_by_program(image: Path, families: list[Family]) -> None:
    """All processes of one name are one row, whoever they belong to."""
    (group,) = as_json(image, "--by", "program", "-p", name())["groups"]
    (unread,) = as_json(image, "--by", "program", "-p", name(), cap_add=())["groups"]

    assert (group["name"], group["processes"], group["unreadable"]) == (name(), 4, 0)
    assert 16 * MIB <= group["ram_bytes"] < 18 * MIB
    assert len(pids(families)) == unread["unreadable"] == 4


def test_by_unit(image: Path, families: list[Family]) -> None:
    """The host's units keep their names, although the container has cgroups of its own beside them."""
    member = families[1].children[0]
    for mount in systemd_hierarchies():
        home = mount / cgroup_of(member, mount).lstrip("/")
        with unit(mount) as cgroup:
            (cgroup / "cgroup.procs").write_text(str(member))
            try:
                (group,) = as_json(image, "--by", "unit", "-p", str(member))["groups"]
            finally:
                (home / "cgroup.procs").write_text(str(member))

        assert group["name"] == cgroup.parent.name, mount
        assert group["processes"] == 1


def cgroup_of(pid: int, mount: Path) -> str:
    """Give the cgroup of a process in a hierarchy of systemd's: v1's by its name, or v2."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    wanted = "0::" if (mount / "cgroup.controllers").exists() else ":name=systemd:"
    return next(line.split(":", 2)[2] for line in lines if wanted in line)


def test_nothing_is_left(image: Path) -> None:
    """Mounts, cgroups and files of a container end with it, even with one that fails."""
    failed = run_with_host_pids(image, ["false"])

    assert failed.returncode == 1
    assert [*Path("/sys/fs/cgroup").glob(f"**/{PREFIX}*"), *Path(gettempdir()).glob(f"{PREFIX}*")] == []
    assert PREFIX not in Path("/proc/self/mountinfo").read_text()
