"""The programs that tell the PSS of processes, each ready to make one pass over the crowd and to be weighed."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from psstopd.config import to_json
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from tests.bench.accelerate import Accelerated, accelerated
from tests.bench.client import script
from tests.bench.configs import watching_crowd
from tests.bench.crowd import PREFIX, compiled
from tests.bench.dialogue import ROOT, Dialogue, dialogue, sampler_like
from tests.bench.exporter import Exporter, exporter
from tests.bench.interpreter import private_copy

TICK, EXPORTER, FLOOR = "psstop, a tick", "process-exporter, a scrape", "floor.c, the reads alone"
# Its own PSS is the last that a script of Python tells, when it has done what it does.
_WEIGHED = """
import atexit, os, runpy, sys
def tell():
    with open("/proc/self/smaps_rollup") as rollup:
        os.write(2, next(line for line in rollup if line.startswith("Pss:")).encode())
atexit.register(tell)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Cost(NamedTuple):
    """What one pass took."""

    cpu_us: float
    wall_us: float


class Contender(NamedTuple):
    """One program: `take` makes some passes and gives what one of them took, `weigh` gives its PSS in bytes.

    Those that are started anew for each pass have their start in it.
    """

    name: str
    take: Callable[[int], Cost]
    weigh: Callable[[], int]


@contextmanager
def contenders(pids: Sequence[int], *, has_exporter: bool, has_smem: bool) -> Iterator[list[Contender]]:
    """Start all of those that run for long, and give them with those that don't; ours and the exporter are neighbours.

    Each must see all of `pids`, which are all whose name begins as the crowd's do. Raises AssertionError.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ticks = stack.enter_context(_started("ticks", to_json(watching_crowd(directory / "journal.db"))))
        sampler = stack.enter_context(accelerated(ships=False))
        floor = stack.enter_context(dialogue([str(compiled("floor.c", directory))]))
        loop = stack.enter_context(_started("psutil_loop", PREFIX))
        found = [_ticking(ticks, sampler, len(pids))]
        if has_exporter:
            found += [_exporting(stack.enter_context(exporter(directory)), len(pids))]
        found += [_sampling(sampler), _floor(floor, pids)]
        found += [_looping(loop, len(pids)), _command("ps_mem", [script("ps_mem"), "-p", ",".join(map(str, pids))])]
        if has_smem:
            found.append(_command("smem, which sees all processes", ["/usr/bin/smem", "-t"]))
        yield found


@contextmanager
def _started(module: str, first_line: str) -> Iterator[Dialogue]:
    with dialogue(*sampler_like(module)) as started:
        started.send(first_line)
        yield started


def _ticking(ticks: Dialogue, sampler: Accelerated, processes: int) -> Contender:
    """Count the collector alone, but weigh the whole sampler."""

    def take(passes: int) -> Cost:
        cpu, wall, found, oldest_ms, *_ = ticks.ask(passes)
        assert (found, oldest_ms) == (processes, 0), (found, oldest_ms)
        return Cost(cpu, wall)

    return Contender(TICK, take, lambda: sampler.memory()[0].pss)


def _sampling(sampler: Accelerated) -> Contender:
    taken = 0

    def take(passes: int) -> Cost:
        nonlocal taken
        cpu, wall, taken = sampler.cpu_us, time.perf_counter(), taken + passes
        sampler.run_until(taken)
        return Cost((sampler.cpu_us - cpu) / passes, (time.perf_counter() - wall) / passes * 1e6)

    return Contender("psstop, a tick and its journal", take, lambda: sampler.memory()[0].pss)


def _exporting(running: Exporter, processes: int) -> Contender:
    def take(passes: int) -> Cost:
        cpu, wall, found = running.ask(passes)
        assert found == processes, (found, processes)
        return Cost(cpu, wall)

    return Contender(EXPORTER, take, lambda: _pss(running.pid))


def _floor(floor: Dialogue, pids: Sequence[int]) -> Contender:
    def take(passes: int) -> Cost:
        cpu, wall, found = floor.ask(passes, *pids)
        assert found == len(pids), (found, pids)
        return Cost(cpu, wall)

    return Contender(FLOOR, take, lambda: _pss(floor.pid))


def _looping(loop: Dialogue, processes: int) -> Contender:
    def take(passes: int) -> Cost:
        cpu, wall, found = loop.ask(passes)
        assert found == processes, (found, processes)
        return Cost(cpu, wall)

    return Contender("a loop over psutil", take, lambda: _pss(loop.pid))


def _command(name: str, command: Sequence[str]) -> Contender:
    def take(passes: int) -> Cost:
        costs = [_run(command) for _ in range(passes)]
        return Cost(*(sum(column) / passes for column in zip(*costs, strict=True)))

    return Contender(name, take, lambda: _weighed(command))


def _run(command: Sequence[str], tries: int = 5) -> Cost:
    """Run a command; again when it fails, as smem does when a process ends under its eyes."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_ENVIRONMENT) as run:
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode != 0 and tries > 1:
        return _run(command, tries - 1)
    assert run.returncode == 0, command
    return Cost((usage.ru_utime + usage.ru_stime) * 1e6, (time.perf_counter() - began) * 1e6)


def _weighed(command: Sequence[str]) -> int:
    """Run a script of Python under an interpreter that it shares with nobody, and give its PSS at its end."""
    with tempfile.TemporaryDirectory() as directory:
        python = private_copy(Path(directory))
        _, environment = sampler_like("ticks")
        words = [python.program, "-c", _WEIGHED, *command]
        done = subprocess.run(
            words, env=environment | python.environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
    return int(done.stderr.split()[-2]) << 10


def _pss(pid: int) -> int:
    return MemoryReader(Procfs()).read(pid).memory.pss
