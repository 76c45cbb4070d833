"""The container that the other tests here rely on: a real systemd, and nothing left of it afterwards."""

from pathlib import Path
from tempfile import gettempdir

import pytest

from tests.system.boot import booted
from tests.system.container import Container

pytestmark = pytest.mark.systemd

NOTIFYING_UNIT = """[Service]
Type=notify
NotifyAccess=all
ExecStart=sh -c 'systemd-notify --ready "--status=as told"; exec sleep infinity'
"""


def test_pid_1_is_systemd_and_reaches_its_target(container: Container) -> None:
    """Inside, systemd is process 1 and has booted without a failed unit."""
    comm = container.run(["cat", "/proc/1/comm"]).stdout
    target = container.properties("psstop-tests.target")

    assert comm == "systemd\n"
    assert target["ActiveState"] == "active"
    assert container.systemctl("is-system-running").stdout == "running\n"


def test_a_unit_that_notifies_becomes_active(container: Container) -> None:
    """A unit written by a test starts, is active once it says so, and its words arrive."""
    container.write("/etc/systemd/system/notifying.service", NOTIFYING_UNIT)
    container.systemctl("start", "notifying.service")

    unit = container.properties("notifying.service")
    container.systemctl("stop", "notifying.service")

    assert (unit["ActiveState"], unit["StatusText"]) == ("active", "as told")
    assert "Started notifying.service" in container.journal("notifying.service")


def test_the_network_is_its_own(container: Container) -> None:
    """Servers inside neither reach nor take ports of this machine: there is a loopback of its own and nothing else."""
    interfaces = container.run(["ls", "/sys/class/net"]).stdout.split()

    assert interfaces == ["lo"]
    assert Path("/proc/self/ns/net").readlink() != Path(f"/proc/{container.leader}/ns/net").readlink()


def test_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    """A container whose test fails amid a unit that won't stop leaves no process, mount, cgroup or file."""
    before = _traces()
    leaders: list[int] = []

    with pytest.raises(ZeroDivisionError):
        _fail_inside(tmp_path, leaders)

    assert not Path(f"/proc/{leaders[0]}").exists()
    assert _traces() == before


def _fail_inside(upper: Path, leaders: list[int]) -> None:
    """Boot a container, note the pid of its systemd, leave traces and raise ZeroDivisionError."""
    before = _traces()
    with booted(upper) as leader:
        leaders.append(leader)
        container = Container(leader)
        container.write("/etc/systemd/system/stubborn.service", "[Service]\nExecStart=sh -c 'trap : TERM; sleep 999'\n")
        container.systemctl("start", "stubborn.service")
        assert _traces() != before
        raise ZeroDivisionError


def _traces() -> tuple[str, set[Path], set[Path]]:
    """Give the mounts, cgroups and temporary files that containers make; a cgroup with processes cannot be removed."""
    cgroups = set(Path("/sys/fs/cgroup").glob("**/psstop-tests-*"))
    return Path("/proc/self/mountinfo").read_text(), cgroups, set(Path(gettempdir()).glob("psstop-tests-*"))
