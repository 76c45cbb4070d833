"""Skip the tests whose marker names something that this machine lacks; fail them in CI, where nothing is skipped."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from psstopd.kernel import landlock


def _missing_root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


def _missing_program(name: str) -> str | None:
    return None if shutil.which(name) else f"needs {name}: no such program"


def _missing_swap() -> str | None:
    if reason := _missing_root():
        return reason
    return (
        None if Path("/sys/class/zram-control").exists() else "needs zram: this kernel has no /sys/class/zram-control"
    )


def _missing_systemd() -> str | None:
    reasons = (_missing_container(), _missing_program("systemd-nspawn"), _missing_program("sqlite3"))
    return next(filter(None, reasons), None)


def _missing_container() -> str | None:
    if reason := _missing_root():
        return reason
    # A container runs the test environment's packages with the system's Python: compiled ones fit one version only.
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    return None if Path(python).exists() else f"needs {python}, the version that runs these tests"


def _missing_landlock() -> str | None:
    return None if landlock.version() else "needs Landlock: this kernel has none, or it is off (lsm= at boot)"


_MISSING: dict[str, Callable[[], str | None]] = {
    "root": _missing_root,
    "swap": _missing_swap,
    "influxdb": lambda: _missing_program("influxd"),
    "victoriametrics": lambda: _missing_program("victoria-metrics"),
    "systemd": _missing_systemd,
    "container": _missing_container,
    "landlock": _missing_landlock,
    "ssh": lambda: _missing_program("/usr/sbin/sshd") or _missing_program("ssh"),
    "smem": lambda: _missing_program("smem"),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check what each marker of the test asks for, before its fixtures start anything."""
    for marker in item.iter_markers():
        reason = _MISSING[marker.name]() if marker.name in _MISSING else None
        if reason and os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; nothing is skipped in CI", pytrace=False)
        if reason:
            pytest.skip(reason)
