"""The unit file as systemd itself judges it."""

import subprocess
from pathlib import Path

import pytest

from tests.system.container import Container

pytestmark = pytest.mark.systemd

# Measured with systemd 252. What remains: the network (PrivateNetwork, AF_INET, IPAddressDeny), CAP_SYS_PTRACE, ambient
# and counting for other users (so no PrivateUsers), capset, and /dev/rtc, which ProtectClock= itself lists.
EXPOSURE_TENTHS = 17
WITHOUT_NETWORK_TENTHS = 8
DROP_IN = "/etc/systemd/system/psstop.service.d/journal-only.conf"


def test_verify_accepts_the_unit(container: Container) -> None:
    """`systemd-analyze verify` has nothing to say."""
    verified = container.run(["systemd-analyze", "verify", "psstop.service"])

    assert verified.stdout + verified.stderr == ""


def test_exposure_does_not_grow(container: Container) -> None:
    """`systemd-analyze security` finds nothing beyond what psstop.service says it needs."""
    judged = exposure(container, EXPOSURE_TENTHS)

    assert judged.returncode == 0, judged.stdout


def test_without_the_network_little_is_left(container: Container) -> None:
    """A psstop that only keeps its journal has the capabilities to read with, and nowhere to take what it reads."""
    container.write(DROP_IN, Path("systemd/journal-only.conf").read_text())
    container.systemctl("daemon-reload")
    judged = exposure(container, WITHOUT_NETWORK_TENTHS)
    verified = container.run(["systemd-analyze", "verify", "psstop.service"])
    container.path(DROP_IN).unlink()
    container.systemctl("daemon-reload")

    assert judged.returncode == 0, judged.stdout
    assert verified.stdout + verified.stderr == ""


def exposure(container: Container, tenths: int) -> "subprocess.CompletedProcess[str]":
    """Let systemd judge the unit; exit code 1 above so many tenths."""
    command = ["systemd-analyze", "security", "--no-pager", f"--threshold={tenths}", "psstop.service"]
    return container.run(command, check=False)
