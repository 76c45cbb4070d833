"""psstop's two units inside the container: configure them, ask the journal, find their processes."""

import json
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.system.container import Container
from tests.waiting import wait_for

UNIT = "psstop.service"
SHIPPER = "psstop-shipper.service"
JOURNAL = "/var/lib/psstop/journal.db"
TOKEN = "s3cret"
_SERVER = Path(__file__).with_name("fake_server.py")
_DROP_IN = "/run/systemd/system/{unit}.d/test.conf"
_CONFIG = """
names = [{names}]
[sampling]
interval = "{interval}"
"""
_SINK = """
[influxdb]
url = "http://127.0.0.1:{port}"
org = "ops"
bucket = "psstop"
flush_interval = "1s"
"""


class Service:
    """Both units with an empty journal; lives for one test, and `clear` removes all that the test made."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._since = time.time()

    def configure(self, *names: str, interval: str = "1s", port: int | None = 1, token: str | None = TOKEN) -> None:
        """Write a config that watches `names` and delivers to a port inside, where nothing needs to listen, or nowhere.

        The token's file is root's alone, and missing without a token.
        """
        quoted = ", ".join(json.dumps(name) for name in names)
        sink = "" if port is None else _SINK.format(port=port)
        self.container.write("/etc/psstop/psstop.toml", _CONFIG.format(names=quoted, interval=interval) + sink)
        if token is not None:
            self.container.write("/etc/psstop/influxdb-token", f"{token}\n", mode=0o600)

    def drop_in(self, *settings: str, unit: str = UNIT) -> None:
        """Change settings of a unit's [Service] section."""
        self.container.write(_DROP_IN.format(unit=unit), "\n".join(["[Service]", *settings, ""]))
        self.container.systemctl("daemon-reload")

    def start(self) -> None:
        """Start both units and wait until the sampler is ready."""
        self.container.systemctl("start", UNIT)

    def start_program(self, name: str, *, user: str = "root") -> None:
        """Start a program that does nothing under a name to watch; the kernel cuts `comm`, so 15 characters at most."""
        program = self.container.path(f"/usr/local/bin/{name}")
        if not program.exists():
            shutil.copy(self.container.path("/usr/bin/sleep"), program)
        self._run_unit("--service-type=exec", f"--uid={user}", f"/usr/local/bin/{name}", "infinity")

    def start_server(self, kind: str, port: int) -> str:
        """Start one of the servers in fake_server.py and give the name of its unit."""
        self.container.write("/opt/fake_server.py", _SERVER.read_text())
        return self._run_unit("--service-type=notify", "/usr/bin/python3", "/opt/fake_server.py", kind, str(port))

    def sent(self, server: str) -> set[int]:
        """Give the times of all points that a server of the kind `accepting` has got."""
        return {int(time) for times in re.findall(r"times=(\S+)", self.log(server)) for time in times.split(",")}

    def _run_unit(self, *arguments: str) -> str:
        unit = f"psstop-test-{time.monotonic_ns()}.service"
        self.container.run(["systemd-run", "--quiet", f"--unit={unit}", *arguments])
        return unit

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask psstop's journal as an operator would, while the daemon writes it."""
        answer = self.container.run(["sqlite3", "-readonly", "-json", JOURNAL, sql]).stdout
        rows: list[dict[str, Any]] = json.loads(answer) if answer else []
        return rows

    def ticks(self) -> list[dict[str, Any]]:
        """Give all ticks in the journal, the oldest first."""
        return self.query("SELECT * FROM tick ORDER BY id")

    def await_ticks(self, count: int) -> list[dict[str, Any]]:
        """Wait for `count` more ticks than there are and give all."""
        wanted = len(self.ticks()) + count
        wait_for(lambda: len(self.ticks()) >= wanted, 10 + count, f"{wanted} ticks in the journal")
        return self.ticks()

    def shown(self, name: str, unit: str = UNIT) -> str:
        """Give one property of a unit, as `systemctl show` has it."""
        return self.container.properties(unit)[name]

    @property
    def main_pid(self) -> int:
        """Ask systemd for the sampler's pid inside the container."""
        return int(self.shown("MainPID"))

    @property
    def keeper_pid(self) -> int:
        """Ask systemd for the pid of the shipper's keeper inside the container."""
        return int(self.shown("MainPID", SHIPPER))

    @property
    def shipper_pid(self) -> int:
        """Find the shipper's pid inside the container, once there is one."""
        return wait_for(lambda: self._find_process(b"psstopd.cli.shipper"), 5, "a shipper")

    def _find_process(self, argument: bytes) -> int | None:
        """Give the pid of a process with that argument, proc_pid_cmdline(5)."""
        for cmdline in self.container.path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended meanwhile
                if argument in cmdline.read_bytes().split(b"\0"):
                    return int(cmdline.parent.name)
        return None

    def process_status(self, pid: int) -> dict[str, str]:
        """Give the fields of /proc/PID/status inside, proc_pid_status(5)."""
        lines = self.container.path(f"/proc/{pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def pss_bytes(self, pid: int) -> int:
        """Give what a process inside uses, proc_pid_smaps_rollup(5)."""
        rollup = self.container.path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024

    def log(self, unit: str = UNIT) -> str:
        """Give what psstop, or another unit, and systemd about it have logged during this test."""
        return self.container.journal(unit, since=self._since)

    def clear(self) -> None:
        """Stop all that the test started; remove the journal, the config and the drop-ins."""
        self.container.systemctl("stop", UNIT, SHIPPER, "psstop-test-*.service", check=False)
        self.container.systemctl("reset-failed", check=False)
        self.container.systemctl("clean", "--what=state", UNIT)
        drop_ins = [str(Path(_DROP_IN.format(unit=unit)).parent) for unit in (UNIT, SHIPPER)]
        self.container.run(["rm", "-rf", "/etc/psstop", *drop_ins])
        self.container.systemctl("daemon-reload")
