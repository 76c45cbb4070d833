"""The unit file as systemd itself judges it."""

import pytest

from tests.system.container import Container

pytestmark = pytest.mark.systemd

# Measured with systemd 252. What remains: the network (PrivateNetwork, AF_INET, IPAddressDeny), CAP_SYS_PTRACE, ambient
# and counting for other users (so no PrivateUsers), capset, and /dev/rtc, which ProtectClock= itself lists.
EXPOSURE_TENTHS = 17


def test_verify_accepts_the_unit(container: Container) -> None:
    """`systemd-analyze verify` has nothing to say."""
    verified = container.run(["systemd-analyze", "verify", "psstop.service"])

    assert verified.stdout + verified.stderr == ""


def test_exposure_does_not_grow(container: Container) -> None:
    """`systemd-analyze security` finds nothing beyond what psstop.service says it needs."""
    command = ["systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE_TENTHS}", "psstop.service"]
    judged = container.run(command, check=False)

    assert judged.returncode == 0, judged.stdout
