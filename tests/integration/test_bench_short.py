"""What psstop costs stays in its bounds: the short benches, of which only ratios, sizes and counts are asserted."""

import subprocess
import sys

import pytest

from tests.bench import backlog, client, fleet, longrun, memory, punctual, scale, tick
from tests.bench.crowd import FEWER_SERVERS, TINY
from tests.bench.dialogue import ROOT, sampler_like
from tests.bench.memory import SAMPLER_BOUND_MIB, TOGETHER_BOUND_MIB
from tests.bench.table import MIB, spread

PUNCTUAL_SECONDS = 20
CLIENT_ROUNDS = 15
# The bench's are 0.15, 1.5 and 0.75; a CI machine may have one core to spare.
IDLE_CI_BOUND, CLIENT_FLOOR_BOUND, CLIENT_PS_MEM_BOUND = 0.2, 2.0, 0.9
KNOWN = 2000
# What a table of processes has no use for, each of them milliseconds of its start.
HEAVY = {
    "argparse", "csv", "ctypes", "dataclasses", "datetime", "inspect", "json", "logging", "pathlib", "shutil", "socket",
    "sqlite3", "subprocess", "tempfile", "tomllib", "urllib",
    "influxdb_client", "pydantic", "pydantic_core", "pydantic_settings", "sdnotify",
}  # fmt: skip


@pytest.mark.root
def test_a_tick_costs_little_more_than_its_reads() -> None:
    """Census, matching, parsing and summing together take at most a quarter of what the kernel takes for the reads."""
    costs = tick.measure(FEWER_SERVERS)

    assert costs.ratio <= tick.CI_BOUND, f"{costs.ratio:.3f}, pairs: {spread(costs.ratios)}"


@pytest.mark.root
def test_who_stands_still_costs_little() -> None:
    """Where one process of twenty did something, a tick is a small part of what reading all of them takes."""
    costs = tick.measure_idle(TINY)

    assert costs.ratio <= IDLE_CI_BOUND, f"{costs.ratio:.3f}, pairs: {spread(costs.ratios)}"


@pytest.mark.root
@pytest.mark.parametrize(("other", "bound"), [("rollups.c", CLIENT_FLOOR_BOUND), ("ps_mem", CLIENT_PS_MEM_BOUND)])
def test_the_table_is_soon_there(other: str, bound: float) -> None:
    """From start to end, Python's own start included, psstop is not far from a C program that only reads."""
    pairs = client.compare(FEWER_SERVERS, other, CLIENT_ROUNDS)

    assert client.ratio(pairs) <= bound, f"pairs: {spread(client.ratios(pairs))}"


def test_the_table_is_spared_heavy_modules() -> None:
    """`psstop` without arguments has imported none of them by its end."""
    program = "import sys; from psstopd.cli.client import main; main([]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "psstopd.cli.table" in done.stderr.split()
    assert not HEAVY & {module.split(".")[0] for module in done.stderr.split()}


@pytest.mark.root
@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process tree", "two services"])
def test_psstop_is_light(elsewhere: bool) -> None:  # noqa: FBT001 - pytest's
    """A thousand ticks of fifty names leave the sampler and its shipper in their bounds, nobody sharing their pages."""
    weights = memory.measure(ships=True, elsewhere=elsewhere)

    assert weights.late[0].pss <= SAMPLER_BOUND_MIB * MIB, weights
    assert weights.pss_mib <= TOGETHER_BOUND_MIB, weights


def test_a_known_process_is_light() -> None:
    """That somebody whom nobody watches is there takes less than a KiB to know."""
    assert scale.measure_weight(KNOWN, is_watched=False) <= scale.BOUND_BYTES


@pytest.mark.root
def test_psstop_grows_no_heavier() -> None:
    """Tick after tick over a thousand processes the sampler stays in its bound, and hardly grows."""
    course = longrun.measure(longrun.TICKS_SHORT)

    assert course.most_mib <= longrun.SAMPLER_BOUND_MIB, course
    assert course.growth_kib <= longrun.GROWTH_BOUND_KIB, course


@pytest.mark.root
def test_no_tick_is_late_while_the_server_swallows_packets() -> None:
    """Every second has its tick, whatever becomes of the shipper's requests."""
    found = punctual.measure(PUNCTUAL_SECONDS)

    assert (found.missing, found.late) == (0, 0), found
    assert found.due >= PUNCTUAL_SECONDS, found
    assert found.requests > 0, found


@pytest.mark.victoriametrics
def test_a_fleet_does_not_fall_upon_a_server_that_is_back() -> None:
    """Hosts come back one by one, at most at twice the rate of before, and every point of each of them arrives.

    Their clock runs eight times as fast, and a stall of this machine is the longer by it: how evenly they send before
    is for the bench.
    """
    found = fleet.measure(fleet.SHORT)

    assert sum(found.outage.refused) > fleet.SHORT.hosts, found
    assert found.ratio(max(found.minute.sent)) <= fleet.BOUND, found
    assert found.missing == 0, found


@pytest.mark.victoriametrics
def test_a_backlog_is_filled_in_whole_and_lightly() -> None:
    """However fast the shipper is, the server has every point, and the shipper stays in its bound."""
    found = backlog.measure(backlog.TICKS_SHORT)

    assert found.lossless, found
    assert found.shipper_pss <= backlog.SHIPPER_BOUND_MIB * MIB, found


def test_the_accelerated_sampler_is_the_sampler() -> None:
    """What is weighed has imported what the real sampler imports, and nothing more."""
    weighed, real = imported_by("tests.bench.accelerated"), imported_by("psstopd.cli.sampler")

    assert weighed - real == {"tests", "tests.bench", "tests.bench.accelerated"}
    assert real <= weighed


def imported_by(module: str) -> set[str]:
    """Give the names of all modules that are there after a fresh interpreter has imported `module`."""
    program = f"import sys, {module}; print(*sys.modules)"
    _, environment = sampler_like("accelerated")
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())
