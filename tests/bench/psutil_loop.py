"""Sum the memory of the processes whose name begins in one way, as a script over psutil does that runs for long.

The first line is that beginning. For each further line, a number of passes, it answers "CPU WALL PROCESSES":
microseconds for one pass, and how many processes that read.
"""

import sys
import time

import psutil


def main() -> int:
    """Answer until the input ends."""
    prefix = sys.stdin.readline().rstrip("\n")
    for line in iter(sys.stdin.readline, ""):
        passes = int(line)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(passes):
            sizes = _pss_of(prefix)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        sys.stdout.write(f"{cpu / passes * 1e6:.1f} {wall / passes * 1e6:.1f} {len(sizes)}\n")
        sys.stdout.flush()
    return 0


def _pss_of(prefix: str) -> list[int]:
    sizes = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith(prefix):
                sizes.append(process.memory_full_info().pss)
        except psutil.NoSuchProcess:
            pass
    return sizes


if __name__ == "__main__":
    sys.exit(main())
