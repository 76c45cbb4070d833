"""Every command of the README, in its order, on a system without psstop: what it promises is what happens."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.system.boot import booted
from tests.system.container import Container

pytestmark = pytest.mark.systemd

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
INSIDE = "/srv/psstop"
# What needs a build backend and these packages from a registry gets them from a directory: the container is offline.
OFFLINE = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/wheels PIP_DISABLE_PIP_VERSION_CHECK=1"
BUILD_BACKEND = ("hatchling", "editables")


def blocks(language: str) -> list[str]:
    """Give the code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
# Seconds after which these get a Ctrl-C; the first also installs.
ENDLESS = {command: 20 if command == "make run" else 6 for command in COMMANDS if re.search(r"\brun\b", command)}
# These run the tests, this one among them.
THESE_TESTS = ["make test", "make lint"]


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Container]:
    """Boot a system with a clone of this repository, sudo, and the packages that pip would download."""
    with TemporaryDirectory(prefix="psstop-tests-") as name:
        upper = Path(name)
        clone(upper / INSIDE.lstrip("/"))
        download(upper / "srv/wheels")
        sudo = upper / "usr/local/bin/sudo"
        sudo.parent.mkdir(parents=True)
        sudo.write_text('#!/bin/sh\nexec "$@"\n')
        sudo.chmod(0o755)
        with booted(upper) as leader:
            yield Container(leader)


def clone(target: Path) -> None:
    """Copy what git knows, and what it would know after an add."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(lambda name: name and (ROOT / name).is_file(), names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def download(target: Path) -> None:
    """Fetch the wheels of psstop's dependencies and of its build backend."""
    wanted = [line for line in requires("psstopd") or () if "extra ==" not in line]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(target)]
    subprocess.run([*pip, *wanted, *BUILD_BACKEND], check=True)


def test_every_command_works_in_order(newcomer: Container) -> None:
    """Who types the README from top to bottom meets no error; what runs until stopped stops cleanly at Ctrl-C."""
    for command in COMMANDS:
        if command not in THESE_TESTS:
            run(newcomer, command)

    assert newcomer.properties("psstop.service")["ActiveState"] == "active"
    assert len(COMMANDS) > 15


def run(newcomer: Container, command: str) -> None:
    """Run one line in the clone; one that runs until stopped gets a Ctrl-C once it has had time for a tick."""
    line = f"cd {INSIDE} && export {OFFLINE} && {command}"
    if command not in ENDLESS:
        newcomer.run(["bash", "-ec", line], timeout_seconds=120)
        return
    # Without a terminal there is no process group for a Ctrl-C: timeout makes one.
    done = newcomer.run(
        ["timeout", "--signal=INT", str(ENDLESS[command]), "bash", "-c", line], check=False, timeout_seconds=60
    )
    assert "stopped: journal=" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("config", blocks("toml"), ids=lambda config: config.split("\n", 1)[0])
def test_every_config_is_valid(newcomer: Container, config: str) -> None:
    """What the README shows of a config is one."""
    newcomer.write("/tmp/readme.toml", config)

    checked = newcomer.run([f"{INSIDE}/.venv/bin/psstopd", "check-config", "--config", "/tmp/readme.toml"])

    assert checked.stdout.startswith("config ok")
    assert tomllib.loads(config)
