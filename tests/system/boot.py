"""Boot a real systemd over this machine's root file system and leave nothing behind: no process, mount, cgroup, file.

All mounts are made in a mount namespace of the container's own, so that they end with its last process; and that one
ends with the tests, even with killed ones (`setpriv --pdeathsig`).
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from tests.waiting import wait_for

_BOOT_SECONDS = 30
_LAUNCH = Path(__file__).with_name("launch")
_FILES = {
    "etc/fstab": "",
    "etc/systemd/journald.conf.d/psstop-tests.conf": "[Journal]\nStorage=volatile\nRateLimitBurst=0\n",
    # sysinit.target and not basic.target: that one would start the timers of this machine, apt's among them.
    "etc/systemd/system/psstop-tests.target": (
        "[Unit]\nRequires=sysinit.target dbus.service\nAfter=sysinit.target dbus.service\n"
    ),
}


@contextmanager
def booted(upper: Path) -> Iterator[int]:
    """Boot with the files of `upper` laid over the root file system; give the pid of the container's systemd."""
    directory = Path(mkdtemp(prefix="psstop-tests-"))
    cgroups = own_cgroups(directory.name)
    try:
        _lay_out(directory, upper)
        for cgroup in cgroups:
            cgroup.mkdir()
        with _listening(directory / "notify") as notifications, _launched(directory, cgroups) as launcher:
            yield _await_ready(launcher, notifications, directory / "console")
    finally:
        shutil.rmtree(directory)


def _lay_out(directory: Path, upper: Path) -> None:
    """Write what the container's systemd needs to boot quickly beside the files of `upper`."""
    (directory / "layers").mkdir()
    shutil.copytree(upper, directory / "upper", symlinks=True)
    (directory / "upper").chmod(0o755)  # it becomes the container's root directory
    for name, text in {**_FILES, "etc/machine-id": f"{uuid.uuid4().hex}\n"}.items():
        path = directory / "upper" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def own_cgroups(name: str) -> list[Path]:
    """Name a cgroup below ours in each hierarchy that systemd uses, cgroups(7), for nspawn to make its own in."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path.lstrip("/")
    root = Path("/sys/fs/cgroup")
    mounts = {"": root / "unified" if (root / "unified").is_dir() else root, "name=systemd": root / "systemd"}
    return [mounts[key] / paths[key] / name for key in mounts if key in paths and mounts[key].is_dir()]


@contextmanager
def _launched(directory: Path, cgroups: list[Path]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run systemd-nspawn; at the end kill all that is in its cgroups and remove them."""
    command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private"]
    command += [str(_LAUNCH), str(directory), *map(str, cgroups)]
    environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(directory / "notify")}
    with (directory / "console").open("wb") as console:
        launcher = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
        )
    try:
        yield launcher
    finally:
        wait_for(lambda: _ended(launcher, cgroups), 10, "the end of the container")
        wait_for(lambda: all(removed(cgroup) for cgroup in cgroups), 10, f"the removal of {cgroups}")


def _ended(launcher: "subprocess.Popen[bytes]", cgroups: list[Path]) -> bool:
    """Kill all processes in the cgroups but the launcher, which reaps them and ends by itself; tell whether it has."""
    for processes in (path for cgroup in cgroups for path in cgroup.glob("**/cgroup.procs")):
        for pid in set(processes.read_text().split()) - {str(launcher.pid)}:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    return launcher.poll() is not None


def removed(cgroup: Path) -> bool:
    """Remove a tree of cgroups; false while the kernel still sees a process in it."""
    for path, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not cgroup.exists()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Receive what nspawn and, through it, the container's systemd notify, sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(path))
        notifications.settimeout(0.1)
        yield notifications


def _await_ready(launcher: "subprocess.Popen[bytes]", notifications: socket.socket, console: Path) -> int:
    """Wait until the container has reached its target; give the pid that its systemd has out here."""
    deadline = time.monotonic() + _BOOT_SECONDS
    received = ""
    while "READY=1" not in received:
        if launcher.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the container does not boot: {received} {console.read_text(errors='replace')}")
        with suppress(TimeoutError):
            received += notifications.recv(4096).decode()
    leader = re.search(r"X_NSPAWN_LEADER_PID=(\d+)", received)
    assert leader is not None, received
    return int(leader[1])
