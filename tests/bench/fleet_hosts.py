"""A process full of hosts for the fleet bench.

The first line of standard input is a Part as JSON. Each further line is a question, answered with a line of numbers:
"sent FIRST SECONDS", "refused ..." and "unaccepted ..." with a number for each of these seconds, "late FIRST SECONDS"
with the median, the 99th percentile and the maximum of the milliseconds by which hosts woke too late, "behind" with the
number of hosts that have not delivered all but the newest tick.
"""

import asyncio
import gc
import json
import statistics
import sys
from typing import NamedTuple

from tests.bench.fleet_clock import Clock
from tests.bench.fleet_host import Host, Tally
from tests.bench.fleet_http import Connection


class Part(NamedTuple):
    """The hosts of one process: so many from number `first` on, and where they send."""

    first: int
    hosts: int
    host: str
    port: int
    path: str
    clock: Clock


def main() -> int:
    """Be hosts until the input ends."""
    part = Part(*json.loads(sys.stdin.readline()))
    asyncio.run(_run(part._replace(clock=Clock(*part.clock))))
    return 0


async def _run(part: Part) -> None:
    tally = Tally()
    numbers = range(part.first, part.first + part.hosts)
    hosts = [Host(number, Connection(part.host, part.port, part.path), part.clock, tally) for number in numbers]
    gc.freeze()  # walking all of these again and again would make every one of them late
    questions = asyncio.create_task(_answer_questions(hosts, tally))
    tasks = [questions, *(asyncio.create_task(host.run()) for host in hosts)]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()


async def _answer_questions(hosts: list[Host], tally: Tally) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, *span = line.split()
        numbers = [sum(host.is_behind() for host in hosts)] if what == "behind" else _told(tally, what, *map(int, span))
        sys.stdout.write(f"{' '.join(map(str, numbers))}\n")
        sys.stdout.flush()


def _told(tally: Tally, what: str, first: int, count: int) -> list[float]:
    seconds = range(first, first + count)
    if what != "late":
        return [tally.counts[what][second] for second in seconds]
    late = [value * 1e3 for second in seconds for value in tally.late[second]]
    return [statistics.median(late), statistics.quantiles(late, n=100)[-1], max(late)]


if __name__ == "__main__":
    sys.exit(main())
