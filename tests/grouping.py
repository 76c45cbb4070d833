"""What tests of `psstop --by` have in common: its groups, the older tool's, and programs under names of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.daemon import psstop


def renamed(program: Path, name: str) -> Path:
    """Give the program another name."""
    path = program.with_name(name)
    if not path.exists():
        path.hardlink_to(program)
    return path


def groups(*arguments: str, by: str = "program") -> list[dict[str, Any]]:
    """Give the groups as JSON has them."""
    done = psstop("--by", by, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["groups"]
    return found


def ps_mem(*arguments: str) -> str:
    """Run the older tool."""
    return subprocess.run(
        [sys.executable, "-m", "ps_mem", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout
