"""Stat files that stay open: of real processes, whose descriptors outlive exec and tell the end."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psstopd.kernel.errors import ProcessGone
from psstopd.kernel.procfs import Procfs, parse_stat
from psstopd.sampling.statfiles import CLOSED, StatFiles
from tests.collecting import collector, config, named, samples
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


@contextmanager
def sleeper(name: str = "sleep") -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process that waits to be killed, under a name."""
    with subprocess.Popen(["bash", "-c", f"exec -a {name} sleep 600"]) as process:
        wait_for(lambda: Procfs().comm(process.pid) == b"sleep", 5, "exec")
        try:
            yield process
        finally:
            process.kill()


def open_files() -> int:
    """Count this process' descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_kept_file_outlives_exec() -> None:
    """The descriptor is the process', whatever program that runs."""
    files = StatFiles(Procfs())
    with subprocess.Popen(["sh", "-c", "read word; exec sleep 600"], stdin=subprocess.PIPE) as process:
        kept = files.keep(process.pid)
        before = parse_stat(process.pid, files.text(process.pid, kept))
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
        wait_for(lambda: Procfs().comm(process.pid) == b"sleep", 5, "exec")
        after = parse_stat(process.pid, files.text(process.pid, kept))
        files.close(kept)
        process.kill()

    assert (before.comm, after.comm) == (b"sh", b"sleep")
    assert before.identity == after.identity
    assert before.faults < after.faults


def test_a_kept_file_tells_the_end() -> None:
    """Once the process was waited for its file says so, as /proc does."""
    files = StatFiles(Procfs())
    with sleeper() as process:
        kept = files.keep(process.pid)

    with pytest.raises(ProcessGone):
        files.text(process.pid, kept)
    files.close(kept)


def test_only_so_many_files_are_kept() -> None:
    """Beyond them stat is opened each time, and says the same; what is given back can be used again."""
    files = StatFiles(Procfs(), most_kept=1)
    kept, beyond = files.keep(os.getpid()), files.keep(os.getpid())
    texts = {parse_stat(os.getpid(), files.text(os.getpid(), each)).identity for each in (kept, beyond)}
    files.close(beyond)
    files.close(kept)
    again = files.keep(os.getpid())
    files.close(again)

    assert (beyond, len(texts)) == (CLOSED, 1)
    assert again != CLOSED


def test_descriptors_of_the_ended_are_given_back() -> None:
    """A collector that has seen a hundred processes come and go holds as many files as before."""
    taking = collector(Procfs(), config(*named("sleep")))
    taking.collect()
    before = open_files()
    for _ in range(10):
        with subprocess.Popen(["bash", "-c", "for i in {1..10}; do sleep 600 & done; wait"]) as parent:
            wait_for(lambda: samples(taking)["sleep"].processes >= 10, 5, "ten processes")
            assert open_files() >= before + 10
            subprocess.run(["pkill", "-KILL", "-P", str(parent.pid)], check=True)

    taking.collect()
    assert open_files() <= before + 1


OUT_OF_DESCRIPTORS = """
import resource, sys
from psstopd.kernel.procfs import Procfs
from tests.collecting import collector, config
resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
taking = collector(Procfs(), config())
files = [open("/dev/null") for _ in range(60)]
taken = [taking.collect() for _ in range(2)]
print(*(sum(sample.processes for sample in each.samples) > 0 for each in taken), *map(str, taken[-1].unreadable))
"""


def test_without_descriptors_to_spare_everybody_is_measured() -> None:
    """Where the limit leaves no room, files are opened one by one as ever."""
    command = [sys.executable, "-c", OUT_OF_DESCRIPTORS]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert said in ("True True\n", "True True denied\n")


def test_the_limit_is_raised_as_far_as_it_takes() -> None:
    """A service begins with 1024 descriptors and may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))\n"
        "from psstopd.sampling.statfiles import StatFiles, MOST_KEPT; from psstopd.kernel.procfs import Procfs\n"
        "StatFiles(Procfs()); print(MOST_KEPT < resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 4096)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert said == "True\n"
    assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
