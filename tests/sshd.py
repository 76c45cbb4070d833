"""A real sshd on loopback, with keys of the test's own; it lets in whoever runs the tests. The system's stays out."""

import getpass
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.daemon import children, lives
from tests.servers import free_port
from tests.waiting import wait_for

PROGRAM = "/usr/sbin/sshd"  # which it wants to be started by, as it starts itself again for each connection
_SECONDS = 10
# Root's sshd gives up its rights in this directory, which is not there where the system's was never started.
_PRIVILEGE_SEPARATION = Path("/run/sshd")


class Sshd:
    """A running sshd, known by its pid; whoever started it stops it."""

    def __init__(self, pid: int, port: int, directory: Path) -> None:
        self.pid = pid
        self._port = port
        self._directory = directory

    def ssh(self, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """Give the command that runs another one over there, as a person without a config of ssh's types it."""
        known, key = f"UserKnownHostsFile={self._directory / 'known_hosts'}", str(self._directory / "user")
        only = ("IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", "LogLevel=ERROR", known)
        settings = [word for setting in only for word in ("-o", setting)]
        ssh = ["ssh", "-F", "none", *settings, "-i", key, "-p", str(self._port), *options]
        return [*ssh, f"{getpass.getuser()}@127.0.0.1", shlex.join(command)]

    def descendants(self) -> list[int]:
        """Give the pids of all that runs behind it, its own processes too, which a connection has two of."""
        found, pending = [], [self.pid]
        while pending:
            below = children(pending.pop())
            found += below
            pending += below
        return found


@contextmanager
def sshd(directory: Path) -> Iterator[Sshd]:
    """Run sshd on a free port of 127.0.0.1 until the block ends; raise TimeoutError if anything of it outlives that."""
    port = free_port()
    config = directory / "sshd_config"
    config.write_text(_config(directory, port))
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    with _privilege_separation(), (directory / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
        running = Sshd(process.pid, port, directory)
        try:
            wait_for(lambda: _listens(port), _SECONDS, f"sshd to listen, see {log.name}")
            yield running
        finally:
            behind = running.descendants()
            process.terminate()
            process.wait(_SECONDS)
            wait_for(lambda: not any(map(lives, behind)), _SECONDS, f"the end of {behind}")


def _config(directory: Path, port: int) -> str:
    return f"""
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
# Anybody may write to /tmp, which the keys are below.
StrictModes no
PermitUserRC no
PrintMotd no
PrintLastLog no
PidFile none
"""


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextmanager
def _privilege_separation() -> Iterator[None]:
    """Make root's sshd the directory that it asks for, where it is missing."""
    if os.geteuid() != 0 or _PRIVILEGE_SEPARATION.exists():
        yield
        return
    _PRIVILEGE_SEPARATION.mkdir(0o755)
    try:
        yield
    finally:
        _PRIVILEGE_SEPARATION.rmdir()
