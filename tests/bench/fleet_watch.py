"""Run a simulated fleet against a server and look at both."""

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from psstopd.kernel.procfs import Procfs
from tests.bench.dialogue import Dialogue, dialogue, sampler_like
from tests.bench.fleet_clock import Clock
from tests.bench.fleet_host import INTERVAL
from tests.bench.fleet_hosts import Part
from tests.servers import VictoriaMetrics
from tests.waiting import wait_for

_PATH = "/api/v2/write?org=-&bucket=psstop&precision=s"
_LONGEST_RETURN = 400  # virtual seconds: the longest delay, and some
_PAST_SECONDS = 600  # VictoriaMetrics makes up what it says of the last 30 s, and a sped-up fleet runs ahead


class Span(NamedTuple):
    """Some seconds by the fleet's clock: what happened in each, and what that took."""

    sent: list[float]  # requests
    refused: list[float]  # connections
    unaccepted: list[float]  # of the requests
    late_ms: list[float]  # median, 99th percentile and maximum, of the worst process
    cores_of_server: float
    cores_of_hosts: float


class Fleet:
    """The processes that the hosts live in, and the clock that these go by; lives as long as the block of `fleet`."""

    def __init__(self, clients: list[Dialogue], clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    def watch(self, seconds: int, server: VictoriaMetrics | None) -> Span:
        """Let so many seconds pass; there is no server while it is away."""
        first = int(self._clock.now())
        return self._watch(first, lambda: time.sleep(self._clock.until(first + seconds)), server)

    def watch_until_all_back(self, server: VictoriaMetrics) -> Span:
        """Return once no host has anything to deliver but what it has just measured."""
        what, longest = "all hosts to have delivered what they kept", _LONGEST_RETURN / self._clock.speed
        return self._watch(int(self._clock.now()), lambda: wait_for(self._none_is_behind, longest, what), server)

    def delivered_times(self) -> range:
        """Give the times of the ticks that every host has delivered since none was behind."""
        return range(int(self._clock.start), int(self._clock.now()) - 2 * INTERVAL, INTERVAL)

    def _watch(self, first: int, wait: Callable[[], object], server: VictoriaMetrics | None) -> Span:
        before, began = self._cpu_seconds(server), time.monotonic()
        wait()
        after, real = self._cpu_seconds(server), time.monotonic() - began
        span = (first, int(self._clock.now()) - first)
        return Span(
            sent=self._added("sent", *span),
            refused=self._added("refused", *span),
            unaccepted=self._added("unaccepted", *span),
            late_ms=[max(values) for values in zip(*self._ask("late", *span), strict=True)],
            cores_of_server=(after[0] - before[0]) / real,
            cores_of_hosts=(after[1] - before[1]) / real,
        )

    def _none_is_behind(self) -> bool:
        """Let an interval pass first: counting is work for the processes that are watched."""
        time.sleep(INTERVAL / self._clock.speed)
        return sum(self._added("behind")) == 0

    def _cpu_seconds(self, server: VictoriaMetrics | None) -> tuple[float, float]:
        of_hosts = sum(_cpu_seconds(client.pid) for client in self._clients)
        return 0.0 if server is None else _cpu_seconds(server.pid), of_hosts

    def _added(self, *words: object) -> list[float]:
        return [sum(numbers) for numbers in zip(*self._ask(*words), strict=True)]

    def _ask(self, *words: object) -> list[list[float]]:
        return [client.ask(*words) for client in self._clients]


@contextmanager
def fleet(server: VictoriaMetrics, hosts: int, *, clients: int, speed: float) -> Iterator[Fleet]:
    """Run so many hosts, divided among so many processes, until the block ends."""
    clock = Clock(time.time() // INTERVAL * INTERVAL - _PAST_SECONDS, time.monotonic(), speed)
    address = urlsplit(server.url)
    each = hosts // clients
    with ExitStack() as stack:
        started = [stack.enter_context(dialogue(*sampler_like("fleet_hosts"))) for _ in range(clients)]
        for number, client in enumerate(started):
            part = Part(number * each, each, str(address.hostname), address.port or 80, _PATH, clock)
            client.send(json.dumps(part))
        yield Fleet(started, clock)


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """Let the processes that are started in the block open so many files, or fail at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _cpu_seconds(pid: int) -> float:
    return Procfs().stat(pid).cpu_ticks / os.sysconf("SC_CLK_TCK")
