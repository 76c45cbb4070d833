"""What a tick costs on a large machine: few watched processes of ten thousand, and one that is costly to read.

Both run in a child with a clock of its own, on which a tick comes every interval without anybody waiting for it: what
is done by time is done as often as it would be, and CPU is what it is.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from psstopd.config import Config, Overhead, Sampling, from_json, to_json
from psstopd.kernel.errors import ProcessGone
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Sample
from psstopd.sampling.collector import Collector
from tests.bench.configs import watching_crowd
from tests.bench.crowd import PREFIX, Part, crowd
from tests.bench.dialogue import Dialogue, dialogue, sampler_like
from tests.bench.table import Row, at_most, spread

WATCHED, PROCESSES = 20, 10_000
BOUND_MS, BOUND = 20, 0.4
BOUND_BYTES = 1024  # a known process
TARGET_SHARE, SHARE_BOUND = 0.005, 0.0055
LARGE_MIB = 8192
_ROUNDS = 12
_SHORT_MIB = 1024


class Few(NamedTuple):
    """CPU of one tick and of reading every short name in microseconds, one of each for every round."""

    processes: int
    ticks: list[float]
    names: list[float]

    @property
    def ratios(self) -> list[float]:
        """Give the ratio of each pair."""
        return [tick / names for tick, names in zip(self.ticks, self.names, strict=True)]


class Spaced(NamedTuple):
    """How the reads of one large process were spaced, and how old the others' readings got."""

    share: float  # of wall time in reads of it
    reads: int
    read_ms: float
    oldest_s: float  # of its readings
    others_oldest_ms: float


def bench(*, short: bool) -> list[Row]:
    """Watch few of many, and a large one among small ones."""
    few = measure_few(PROCESSES // 5 if short else PROCESSES)
    known, watched = (measure_weight(few.processes, is_watched=is_watched) for is_watched in (False, True))
    spaced = measure_spaced(_SHORT_MIB if short else LARGE_MIB)
    median_ms = statistics.median(few.ticks) / 1e3
    return [
        at_most(f"CPU of a tick, {WATCHED} watched of {few.processes}", median_ms, BOUND_MS, unit=" ms"),
        at_most(
            "  the same / CPU of reading comm of all in Python",
            statistics.median(few.ratios),
            BOUND,
            note=f"pairs: {spread(few.ratios)}",
        ),
        at_most(f"  growth of USS by {few.processes} known processes, each", known, BOUND_BYTES, unit=" bytes"),
        Row("  the same where all of them are watched and read", f"{watched:.0f} bytes"),
        at_most(
            f"share of wall time in reads of a process that takes {spaced.read_ms:.0f} ms",
            spaced.share,
            SHARE_BOUND,
            note=f"{spaced.reads} reads, readings up to {spaced.oldest_s:.0f} s old",
        ),
        at_most("  meanwhile, the oldest reading of all others", spaced.others_oldest_ms, 0, unit=" ms"),
    ]


def measure_few(processes: int) -> Few:
    """Watch one name of many."""
    names = processes // WATCHED
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd((Part(processes, 0),), Path(directory), names=names) as pids,
        dialogue(*sampler_like("scale")) as child,
    ):
        config = watching_crowd(Path(directory) / "journal.db")
        watch = config.watch[0]._replace(comm=f"{PREFIX}07")
        child.send(to_json(config._replace(watch=(watch,))))
        rounds = []
        for _ in range(2 + _ROUNDS):
            tick_us, watched, *_ = child.ask("tick")
            assert watched == WATCHED, watched
            rounds.append((tick_us, child.ask("names")[0]))
    return Few(len(pids), [tick for tick, _ in rounds[2:]], [name for _, name in rounds[2:]])


def measure_weight(processes: int, *, is_watched: bool) -> float:
    """Let a sampler meet many processes, that it watches or not; give by how many bytes it has grown for each."""
    with tempfile.TemporaryDirectory() as directory, dialogue(*sampler_like("scale")) as child:
        config = watching_crowd(Path(directory) / "journal.db")
        watch = config.watch[0]._replace(comm=f"{PREFIX}*" if is_watched else "nobody-has-this")
        child.send(to_json(config._replace(watch=(watch,))))
        before = _weight(child)
        with crowd((Part(processes, 0),), Path(directory)) as pids:
            return (_weight(child) - before) / len(pids)


def _weight(child: Dialogue) -> int:
    for _ in range(_ROUNDS):
        child.ask("tick")
    return MemoryReader(Procfs()).read(child.pid).memory.uss


def measure_spaced(mib: int, *, interval: int = 1, seconds: int = 120) -> Spaced:
    """Watch a large process among small ones, everything read that may be."""
    large = f"{PREFIX}00"
    parts = (Part(1, mib), Part(49, 1))
    with (
        tempfile.TemporaryDirectory() as directory,
        crowd(parts, Path(directory)),
        dialogue(*sampler_like("scale")) as child,
    ):
        config = watching_crowd(Path(directory) / "journal.db")
        child.send(to_json(_spacing(config, interval)))
        answers = [child.ask("tick", large)[2:] for _ in range(seconds // interval)]
    reads = [read_us for read_us, _, _ in answers if read_us]
    return Spaced(
        share=sum(reads[:-1]) / 1e6 / (interval * max(index for index, answer in enumerate(answers) if answer[0])),
        reads=len(reads),
        read_ms=statistics.median(reads) / 1e3,
        oldest_s=max(age for _, age, _ in answers) / 1e3,
        others_oldest_ms=max(age for _, _, age in answers),
    )


def _spacing(config: Config, interval: int) -> Config:
    sampling = Sampling(interval=interval, max_names=200, top_processes=0)
    return config._replace(sampling=sampling, overhead=Overhead(TARGET_SHARE, cpu_share=0.02, max_age=0))


def main() -> int:
    """Answer "tick [NAME]" with "CPU PROCESSES READ AGE AGE-OF-OTHERS", "names" with "CPU", until the input ends."""
    config = from_json(sys.stdin.readline())
    procfs, ahead = Procfs(), 0.0
    collector = Collector(config, procfs=procfs, newest_starts={}, monotonic=lambda: time.monotonic() + ahead)
    for line in iter(sys.stdin.readline, ""):
        what, *name = line.split()
        cpu = time.process_time()
        if what == "tick":
            ahead += config.sampling.interval
            samples = collector.collect().samples
            answer = [time.process_time() - cpu, *_shown(samples, *name)]
        else:
            _read_names(procfs)
            answer = [time.process_time() - cpu]
        sys.stdout.write(f"{answer[0] * 1e6:.0f} {' '.join(map(str, answer[1:]))}\n")
        sys.stdout.flush()
    return 0


def _shown(samples: tuple[Sample, ...], name: str = "") -> tuple[int, int, int, int]:
    its = [sample for sample in samples if sample.name == name]
    others = [sample.age_ms for sample in samples if sample.name != name]
    return (
        sum(sample.processes - sample.unreadable for sample in samples),
        sum(sample.read_us for sample in its),
        max((sample.age_ms for sample in its), default=0),
        max(others, default=0),
    )


def _read_names(procfs: Procfs) -> int:
    """Do what a sampler without a memory does: list the processes and ask each for its name."""
    names = set()
    for pid, _ in procfs.pids():
        try:
            names.add(procfs.comm(pid))
        except ProcessGone:
            continue
    return len(names)


if __name__ == "__main__":
    sys.exit(main())
