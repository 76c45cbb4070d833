"""The unit files as systemd itself judges them."""

import pytest

from tests.system.container import Container
from tests.system.service import SHIPPER, UNIT

pytestmark = pytest.mark.systemd

# Measured with systemd 252. What remains of the sampler's: CAP_SYS_PTRACE, ambient and counting for other users (so no
# PrivateUsers), and ProcSubset; of the shipper's: the network (PrivateNetwork, AF_INET, IPAddressDeny), and ProcSubset;
# of both: AF_UNIX, and /dev/rtc, which ProtectClock= itself lists.
EXPOSURE_TENTHS = {UNIT: 7, SHIPPER: 11}


@pytest.mark.parametrize("unit", EXPOSURE_TENTHS)
def test_verify_accepts_the_unit(unit: str, container: Container) -> None:
    """`systemd-analyze verify` has nothing to say."""
    verified = container.run(["systemd-analyze", "verify", unit])

    assert verified.stdout + verified.stderr == ""


@pytest.mark.parametrize(("unit", "tenths"), EXPOSURE_TENTHS.items())
def test_exposure_does_not_grow(unit: str, tenths: int, container: Container) -> None:
    """`systemd-analyze security` finds nothing beyond what the unit file says it needs."""
    command = ["systemd-analyze", "security", "--no-pager", f"--threshold={tenths}", unit]
    judged = container.run(command, check=False)

    assert judged.returncode == 0, judged.stdout
