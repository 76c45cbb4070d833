"""Take ticks of a collector when asked: its own process, so that nothing but them is in the CPU time it tells.

The first line is the config as JSON. For each further line, a number of ticks, it answers "CPU WALL PROCESSES AGE
READ": microseconds for one tick, how many processes it knows the memory of, the age of its oldest reading in
milliseconds, and the microseconds that the reads of the last tick took.
"""

import sys
import time

from psstopd.config import from_json
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.collector import Collection, Collector


def main() -> int:
    """Answer until the input ends."""
    collector = Collector(from_json(sys.stdin.readline()), procfs=Procfs(), newest_starts={})
    for line in iter(sys.stdin.readline, ""):
        cpu, wall, collection = _tick(collector, int(line))
        processes = sum(sample.processes - sample.unreadable for sample in collection.samples)
        oldest = max((sample.age_ms for sample in collection.samples), default=0)
        read_us = sum(sample.read_us for sample in collection.samples)
        sys.stdout.write(f"{cpu:.1f} {wall:.1f} {processes} {oldest} {read_us}\n")
        sys.stdout.flush()
    return 0


def _tick(collector: Collector, count: int) -> tuple[float, float, Collection]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        collection = collector.collect()
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - wall) / count * 1e6, collection


if __name__ == "__main__":
    sys.exit(main())
