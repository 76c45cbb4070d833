"""A crowd of real processes to be watched, each in an address space and under a program name of its own making."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 120
PREFIX = f"psb{os.getpid()}-"  # what all of them are called, and nothing else, not even the crowd of another bench


class Part(NamedTuple):
    """Some processes of one size: that much anonymous memory, every 4 KiB page of it touched.

    Each has some 25 mappings, one thread and three files; and further ones.
    """

    processes: int
    mib: int
    mappings: int = 0
    threads: int = 0
    files: int = 0


# What servers run, in the sizes in which Debian 12 runs it: bash, of 3 MiB and 43 mappings; Python, of 21 MiB and 147
# mappings, and of 62 MiB, 315 mappings and two threads with pydantic and the like; VictoriaMetrics, of 21 MiB, 75
# mappings, 7 threads and 13 files; and a few large ones. 17 GiB in all.
SERVERS = (
    Part(600, 3, mappings=18),
    Part(125, 20, mappings=122, files=3),
    Part(125, 60, mappings=290, threads=1, files=2),
    Part(42, 20, mappings=50, threads=6, files=10),
    Part(8, 512, mappings=500, threads=40, files=100),
)
# A read costs the more, and all else the less, the more memory and mappings there are. In these crowds each process has
# the fewest mappings that it can have; in the second, nearly all of them have next to no memory either.
FEWER_SERVERS = (Part(400, 4), Part(110, 32), Part(6, 512))
TINY = (Part(800, 0), Part(100, 32), Part(8, 512))
HOUSEHOLD = (Part(150, 0), Part(50, 8))  # with 50 names: four processes for each


def compiled(source: str, directory: Path) -> Path:
    """Compile a C program of this package into `directory`."""
    program = directory / Path(source).stem
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, Path(__file__).with_name(source)], check=True)
    return program


@contextmanager
def crowd(parts: Sequence[Part], directory: Path, *, names: int = 50) -> Iterator[list[int]]:
    """Run the processes of `parts` under `names` names in turn and give their pids; all are dead when the block ends.

    They are started by exec, not by fork alone: forked processes have one address range, and telling whether they share
    the memory behind it takes system calls that no ordinary crowd of programs needs.
    """
    program = str(compiled("crowd.c", directory))
    each = [list(map(str, part[1:])) for part in parts for _ in range(part.processes)]
    pids: list[int] = []
    read, write = os.pipe()
    try:
        for number, sizes in enumerate(each):
            argv = [program, f"{PREFIX}{number % names:02}", *sizes]
            to_pipe = [(os.POSIX_SPAWN_DUP2, write, 1)]
            pids.append(os.posix_spawn(program, argv, {}, file_actions=to_pipe))
        _await_bytes(read, len(pids))
        yield pids
    finally:
        _kill(pids)
        os.close(read)
        os.close(write)


def _await_bytes(descriptor: int, count: int) -> None:
    while count > 0:
        ready, _, _ = select.select([descriptor], [], [], START_SECONDS)
        if not ready:
            raise TimeoutError(f"{count} processes of the crowd did not start within {START_SECONDS} s")
        count -= len(os.read(descriptor, count))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)
