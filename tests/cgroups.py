"""Cgroups as systemd makes them for its units, made by a test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def systemd_hierarchies() -> list[Path]:
    """Give where cgroup v2 and the v1 hierarchy of systemd are mounted, proc_pid_mountinfo(5)."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [
        Path(before.split()[4])
        for before, after in mounts
        if after.startswith("cgroup2 ") or (after.startswith("cgroup ") and "name=systemd" in after)
    ]


@contextmanager
def unit(mount: Path) -> Iterator[Path]:
    """Make a cgroup below one that is called like a unit of ours; it has to be empty again at the end."""
    below = mount / f"psstop-test-{os.getpid()}.slice" / f"psstop-test@{os.getpid()}.service" / "worker"
    below.mkdir(parents=True)
    try:
        yield below
    finally:
        for directory in (below, *below.parents[:2]):
            directory.rmdir()
