"""What tests do inside the container that `boot` has booted: run, write, ask systemd and its journal."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container:
    """A running container, known by the pid of its systemd; whoever booted it stops it."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def run(
        self, command: Sequence[str], *, check: bool = True, timeout_seconds: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside and give its output; raise AssertionError with that output when it fails."""
        enter = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
        done = subprocess.run(
            [*enter, "--", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def systemctl(
        self, *arguments: str, check: bool = True, timeout_seconds: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run systemctl inside."""
        return self.run(["systemctl", *arguments], check=check, timeout_seconds=timeout_seconds)

    def properties(self, unit: str) -> dict[str, str]:
        """Give what `systemctl show` says of a unit."""
        lines = self.systemctl("show", unit).stdout.splitlines()
        return {key: value for key, found, value in (line.partition("=") for line in lines) if found}

    def journal(self, unit: str, *, since: float = 0) -> str:
        """Give the messages that a unit has logged since a Unix time, and those of systemd about it."""
        return self.run(["journalctl", "--quiet", "--output=cat", f"--since=@{since:.6f}", f"--unit={unit}"]).stdout

    def path(self, inside: str) -> Path:
        """Name a file of the container from out here."""
        return Path(f"/proc/{self.leader}/root", inside.lstrip("/"))

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of root's inside, and the directories above it."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
