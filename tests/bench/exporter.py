"""Debian's prometheus-process-exporter, told to gather PSS of the crowd and asked for it by a scrape."""

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psstopd.kernel.procfs import Procfs
from tests.bench.configs import NAMES
from tests.bench.crowd import PREFIX
from tests.servers import free_port
from tests.waiting import wait_for

PROGRAM = "prometheus-process-exporter"
_START_SECONDS, _SCRAPE_SECONDS = 30, 60
_PROCESSES = re.compile(rb'^namedprocess_namegroup_num_procs\{groupname="[^"]*"\} (\d+)$', re.MULTILINE)
_US_A_CLOCK_TICK = 1e4


class Exporter:
    """A running exporter; lives as long as the block of `exporter`."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid = pid
        self._url = url

    def scrape(self) -> int:
        """Scrape once and give the number of processes that the answer sums up."""
        with urllib.request.urlopen(self._url, timeout=_SCRAPE_SECONDS) as answer:
            return sum(map(int, _PROCESSES.findall(answer.read())))

    def ask(self, scrapes: int) -> list[float]:
        """Scrape and give CPU and wall time of one scrape in microseconds, and the number of processes in it.

        The CPU time is the kernel's utime and stime, to the hundredth of a second over all of the scrapes.
        """
        cpu, wall = self._cpu_us(), time.perf_counter()
        for _ in range(scrapes):
            processes = self.scrape()
        wall = time.perf_counter() - wall
        return [(self._cpu_us() - cpu) / scrapes, wall / scrapes * 1e6, processes]

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return self.scrape() >= 0
        except urllib.error.URLError:
            return False

    def _cpu_us(self) -> float:
        return Procfs().stat(self.pid).cpu_ticks * _US_A_CLOCK_TICK


def is_installed() -> bool:
    """Tell whether the package is there."""
    return shutil.which(PROGRAM) is not None


@contextmanager
def exporter(directory: Path) -> Iterator[Exporter]:
    """Start one on loopback that groups the crowd by name, one group for each; it is dead when the block ends."""
    config = directory / "exporter.yml"
    names = ", ".join(f'"{PREFIX}{number:02}"' for number in range(NAMES))
    config.write_text(f'process_names:\n  - name: "{{{{.Comm}}}}"\n    comm: [{names}]\n')
    address = f"127.0.0.1:{free_port()}"
    command = [PROGRAM, f"-config.path={config}", f"-web.listen-address={address}", "-gather-smaps"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            started = Exporter(process.pid, f"http://{address}/metrics")
            wait_for(started.is_up, _START_SECONDS, f"{PROGRAM} to answer")
            yield started
        finally:
            process.kill()
