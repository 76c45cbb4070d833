"""What 10,000 hosts do to one VictoriaMetrics: requests a second, its CPU, and both after it was away for ten minutes.

The hosts are simulated, each with its own connection and with the shipper's own decisions of when to send; the server
is real. It is killed, so that it loses some of what it had acknowledged and the resent window has to make up for that.
Requests are counted by those who send them, in the second in which the first byte leaves.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.bench.fleet_host import INTERVAL, NAMES
from tests.bench.fleet_watch import Fleet, Span, fleet, many_files
from tests.bench.table import Row, at_most
from tests.servers import VictoriaMetrics, victoriametrics

BOUND = 2
_MINUTE = 60
_OTHER_FILES = 1000  # of the server
_SERIES_A_HOST = {"psstop_pss_bytes": NAMES, "psstopd_up": 1}


class Plan(NamedTuple):
    """How many hosts in how many processes, how fast their clock, and how long it all takes by that clock."""

    hosts: int
    clients: int
    speed: float
    warm_up: int
    steady: int
    outage: int


FULL = Plan(hosts=10_000, clients=2, speed=1, warm_up=60, steady=60, outage=600)
SHORT = Plan(hosts=500, clients=1, speed=8, warm_up=20, steady=30, outage=60)


class Found(NamedTuple):
    """A fleet before, during and after the outage of its server."""

    steady: Span
    outage: Span
    minute: Span  # after the server's return
    later: Span  # from then on until all hosts were back
    made: int  # points
    missing: int  # of them, on the server in the end

    def ratio(self, requests: float) -> float:
        """Give requests a second as a multiple of the steady state's mean."""
        return requests / statistics.fmean(self.steady.sent)


def bench(*, short: bool) -> list[Row]:
    """Run the fleet; fewer hosts, a faster clock and a shorter outage if `short`."""
    plan = SHORT if short else FULL
    found = measure(plan)
    return [
        *_rates(found, plan),
        Row("  refused connections a second meanwhile", _refused(found.outage.refused)),
        *(_cost(what, span) for what, span in (("before", found.steady), ("in the minute after", found.minute))),
        at_most(f"points missing on the server of {found.made}", found.missing, 0),
    ]


def measure(plan: Plan) -> Found:
    """Let the fleet live through it; the processes of the hosts inherit how many files they may open."""
    with (
        tempfile.TemporaryDirectory() as directory,
        many_files(plan.hosts + _OTHER_FILES),
        victoriametrics(Path(directory)) as server,
        fleet(server, plan.hosts, clients=plan.clients, speed=plan.speed) as hosts,
    ):
        hosts.watch(plan.warm_up, server)
        steady = hosts.watch(plan.steady, server)
        server.kill()
        outage = hosts.watch(plan.outage, None)
        server.start()
        minute = hosts.watch(_MINUTE, server)
        later = hosts.watch_until_all_back(server)
        return Found(steady, outage, minute, later, *_points(server, hosts, plan))


def _points(server: VictoriaMetrics, hosts: Fleet, plan: Plan) -> tuple[int, int]:
    """Count the points that hosts have made, and those that the server lacks; one that it has twice counts once."""
    times = hosts.delivered_times()
    there = sum(_count(server, metric, times) for metric in _SERIES_A_HOST)
    made = plan.hosts * sum(_SERIES_A_HOST.values()) * len(times)
    return made, made - there


def _count(server: VictoriaMetrics, metric: str, times: range) -> int:
    """Count the series of a metric that have a value at each of these times, and add up."""
    server.request("/internal/force_flush")
    query = f"count(last_over_time({metric}[{INTERVAL}s]))"
    span = {"start": str(times[0]), "end": str(times[-1]), "step": str(INTERVAL), "nocache": "1"}
    answer = json.loads(server.request("/api/v1/query_range", {"query": query, **span}))
    return sum(int(count) for series in answer["data"]["result"] for _, count in series["values"])


def _rates(found: Found, plan: Plan) -> list[Row]:
    after = _MINUTE + len(found.later.sent)
    spans = (
        (f"requests of {plan.hosts} hosts, busiest second / mean", found.steady),
        (f"  in the minute after the server was {plan.outage} s away / mean of before", found.minute),
        (f"  and then until all hosts had delivered everything, {after} s after its return", found.later),
    )
    return [at_most(what, found.ratio(max(span.sent)), BOUND, note=_requests(span)) for what, span in spans]


def _requests(span: Span) -> str:
    failed = f", {sum(span.unaccepted):.0f} not accepted" if any(span.unaccepted) else ""
    return f"{max(span.sent):.0f}, mean {statistics.fmean(span.sent):.0f} a second{failed}"


def _refused(refused: list[float]) -> str:
    return (
        f"{max(refused):.0f} in the busiest, mean {statistics.fmean(refused):.0f},"
        f" {statistics.fmean(refused[-INTERVAL:]):.0f} at the end"
    )


def _cost(when: str, span: Span) -> Row:
    median, most, worst = span.late_ms
    late = f"{median:.1f} ms late, 99 % under {most:.0f}, all under {worst:.0f}"
    return Row(
        f"  CPU of the server {when}",
        f"{span.cores_of_server:.2f} cores (hosts: {span.cores_of_hosts:.2f}, they woke {late})",
    )
