"""A container that has the host's processes, as `docker run --pid=host` starts one; all else is its own."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.system.boot import own_cgroups, removed
from tests.system.container import PATH
from tests.waiting import wait_for

PREFIX = f"psstop-hostpids-{os.getpid()}-"  # of the directories and cgroups that are here while a container is
_LAUNCH = Path(__file__).with_name("launch_with_host_pids")
# What Docker leaves to the root of a container: DefaultCapabilities in moby's oci/caps/defaults.go.
_DEFAULT = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service", "net_raw",
    "sys_chroot", "mknod", "audit_write", "setfcap",
)  # fmt: skip


def run_with_host_pids(
    image: Path, command: Sequence[str], *, cap_add: Sequence[str] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a command as root in a container of its own: the files of `image` over this machine's, Docker's capabilities.

    Namespaces, mounts and cgroup end with the command.
    """
    capabilities = ",".join(["-all", *(f"+{name}" for name in (*_DEFAULT, *cap_add))])
    with TemporaryDirectory(prefix=PREFIX) as layers, _cgroups(Path(layers).name) as cgroups:
        unshare = ["unshare", "--mount", "--uts", "--ipc", "--net", "--propagation", "private"]
        launch = [str(_LAUNCH), str(image), layers, capabilities, *map(str, cgroups), "--"]
        return subprocess.run(
            [*unshare, *launch, *command],
            env={"PATH": PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


@contextmanager
def _cgroups(name: str) -> Iterator[list[Path]]:
    """Make a cgroup in each hierarchy that systemd uses, and remove them."""
    cgroups = own_cgroups(name)
    try:
        for cgroup in cgroups:
            cgroup.mkdir()
        yield cgroups
    finally:
        wait_for(lambda: all([removed(cgroup) for cgroup in cgroups]), 10, f"the removal of {cgroups}")  # noqa: C419
