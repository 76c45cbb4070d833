"""Install psstop below a directory as an operator would: a venv of the system's Python in /opt/psstop, the units."""

import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_REPOSITORY = Path(__file__).parents[2]
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_SCRIPT = """#!/opt/psstop/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""


def install(root: Path) -> None:
    """Put psstop, the packages that it needs and its units below `root`; nothing is downloaded or built.

    The packages are the ones that run these tests, so the system must have a Python of the same version.
    """
    venv = root / "opt/psstop"
    subprocess.run([f"/usr/bin/{_PYTHON}", "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = venv / "lib" / _PYTHON / "site-packages"
    for name in _needed_by("psstopd") - {"psstopd"}:
        _copy_distribution(name, packages)
    shutil.copytree(_REPOSITORY / "psstopd", packages / "psstopd", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([f"/usr/bin/{_PYTHON}", "-m", "compileall", "-qq", str(packages)], check=False)
    for script in distribution("psstopd").entry_points.select(group="console_scripts"):
        _write_script(venv / "bin" / script.name, _SCRIPT.format(module=script.module, function=script.attr))
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in (_REPOSITORY / "systemd").iterdir():
        shutil.copy(unit, units)


def _needed_by(name: str) -> set[str]:
    """Name a distribution and all that it requires, directly or not, without extras."""
    needed: set[str] = set()
    pending = [name]
    while pending:
        if (current := canonicalize_name(pending.pop())) in needed:
            continue
        needed.add(current)
        requirements = map(Requirement, distribution(current).requires or ())
        pending += [each.name for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return needed


def _copy_distribution(name: str, packages: Path) -> None:
    """Copy the files of an installed distribution, but not its scripts, which lie outside of site-packages."""
    for file in distribution(name).files or ():
        if ".." not in file.parts:
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), packages / file)


def _write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
