"""What psstop costs stays in its bounds: the short benches, of which only ratios, sizes and counts are asserted."""

import subprocess
import sys

import pytest

from tests.bench import memory, punctual, tick
from tests.bench.crowd import SERVERS
from tests.bench.dialogue import ROOT, sampler_like
from tests.bench.memory import SAMPLER_BOUND_MIB, TOGETHER_BOUND_MIB
from tests.bench.table import MIB, spread

PUNCTUAL_SECONDS = 20


@pytest.mark.root
def test_a_tick_costs_little_more_than_its_reads() -> None:
    """Census, matching, parsing and summing together take at most a quarter of what the kernel takes for the reads."""
    costs = tick.measure(SERVERS)

    assert costs.ratio <= tick.BOUND, f"{costs.ratio:.3f}, pairs: {spread(costs.ratios)}"


@pytest.mark.root
def test_psstop_is_light() -> None:
    """A thousand ticks of fifty names leave the sampler and its shipper in their bounds, nobody sharing their pages."""
    weights = memory.measure(ships=True)

    assert weights.late[0].pss <= SAMPLER_BOUND_MIB * MIB, weights
    assert weights.pss_mib <= TOGETHER_BOUND_MIB, weights


@pytest.mark.root
def test_no_tick_is_late_while_the_server_swallows_packets() -> None:
    """Every second has its tick, whatever becomes of the shipper's requests."""
    found = punctual.measure(PUNCTUAL_SECONDS)

    assert (found.missing, found.late) == (0, 0), found
    assert found.due >= PUNCTUAL_SECONDS, found
    assert found.requests > 0, found


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
