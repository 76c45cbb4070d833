"""What `psstop show` takes for large processes: --exact on 1 GiB of 4 KiB pages, and smaps of 65,000 mappings.

Time and memory are those of the whole command, from its start as a process to its end. The frames lie where the kernel
has found room: on a machine that has run for long they are spread, and more of kpagecount is read for them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.table import MIB, Row, at_most, spread
from tests.integration import mapping_fixture, memory_fixture

SECONDS_BOUND, MEMORY_BOUND_MIB = 1.0, 150
PAGES = (1 << 30) // 4096
MAPPINGS = 65_000
_ROUNDS, _SHORT_ROUNDS = 7, 3
_ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """One run of the command: what it said, how long it took, and the most that it had resident."""

    answer: dict[str, Any]
    seconds: float
    peak_mib: float


class Costs(NamedTuple):
    """All runs, and what the pages are by a count one after the other, before and after them."""

    runs: list[Run]
    counted: tuple[int, int]

    @property
    def seconds(self) -> float:
        """Give the median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def peak_mib(self) -> float:
        """Give the largest."""
        return max(run.peak_mib for run in self.runs)

    @property
    def unique(self) -> set[int]:
        """Give what the runs found: one value, if they agree."""
        return {run.answer["exact"]["unique_bytes"] for run in self.runs}


def bench(*, short: bool) -> list[Row]:
    """Time both."""
    rounds = _SHORT_ROUNDS if short else _ROUNDS
    exact, many = measure(rounds), measure_mappings(rounds)
    differs = max(abs(found - counted) for found in exact.unique for counted in exact.counted)
    return [
        at_most(
            "psstop show --exact on 1 GiB of 4 KiB pages", exact.seconds, SECONDS_BOUND, unit=" s", note=_note(exact)
        ),
        at_most("  its largest resident size", exact.peak_mib, MEMORY_BOUND_MIB, unit=" MiB"),
        at_most("  unique bytes beside a count page by page", differs, 0),
        at_most(f"psstop show of {MAPPINGS} mappings", many.seconds, SECONDS_BOUND, unit=" s", note=_note(many)),
        Row("  its largest resident size", f"{many.peak_mib:.1f} MiB"),
    ]


def measure(rounds: int) -> Costs:
    """Show a process of 1 GiB with --exact."""
    with _family("clone", PAGES) as family:
        before = sum(mapping_fixture.unique_to([family.pid]))
        runs = [_run(family.pid, "--exact") for _ in range(rounds)]
        return Costs(runs, (before, sum(mapping_fixture.unique_to([family.pid]))))


def measure_mappings(rounds: int) -> Costs:
    """Show a process of very many mappings."""
    with _family("exec", MAPPINGS) as family:
        return Costs([_run(family.pid) for _ in range(rounds)], (0, 0))


@contextmanager
def _family(mode: str, pages: int) -> Iterator[memory_fixture.Family]:
    """Run a static program, whose pages no other program maps."""
    with tempfile.TemporaryDirectory() as directory:
        program = memory_fixture.build(Path(directory))
        arguments = (program, pages) if mode == "exec" else (pages,)
        with memory_fixture.Family(program, mode, *arguments) as family:
            yield family


def _run(pid: int, *options: str) -> Run:
    command = [sys.executable, "-m", "psstopd.cli.client", "show", str(pid), "--json", *options]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        answer = json.loads(started.stdout.read())
        _, status, usage = os.wait4(started.pid, 0)
        seconds = time.perf_counter() - began
        started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0
    return Run(answer, seconds, usage.ru_maxrss * 1024 / MIB)


def _note(costs: Costs) -> str:
    return spread([run.seconds for run in costs.runs])
