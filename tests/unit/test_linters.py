"""The code is read by machines too: types, style and the import rule of the house are tests like others."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each package may import of ours; `config` and `model` are plain values that everybody may name.
MAY_IMPORT = {
    "kernel": {"kernel"},
    "sampling": {"sampling", "kernel"},
    "journal": {"journal"},
    "delivery": {"delivery", "journal"},
    "service": {"service", "sampling", "kernel", "journal"},
    "client": {"client", "sampling", "kernel", "journal"},
}
# Each third-party package is imported in one module.
ONLY_IN = {
    "numpy": "psstopd/kernel/pages.py",
    "pydantic": "psstopd/settings.py",
    "pydantic_settings": "psstopd/settings.py",
    "influxdb_client": "psstopd/delivery/influxdb.py",
    "urllib3": "psstopd/delivery/influxdb.py",
    "sdnotify": "psstopd/service/notify.py",
}
MODULES = sorted((ROOT / "psstopd").rglob("*.py"))


@pytest.mark.parametrize(
    "command",
    [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]],
    ids=" ".join,
)
def test_linter(command: list[str]) -> None:
    """The linters find nothing."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_flow_of_data(module: Path) -> None:
    """A package imports what is upstream of it and nothing else."""
    package = module.relative_to(ROOT / "psstopd").parts[0]
    ours = {name.split(".")[1] for name in imported(module) if name.startswith("psstopd.")}

    assert ours & {*MAY_IMPORT, "cli"} <= MAY_IMPORT.get(package, {*MAY_IMPORT, "cli"})


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_third_party_packages_have_one_door_each(module: Path) -> None:
    """A dependency is imported in the one module that wraps it."""
    place = str(module.relative_to(ROOT))
    strays = {name.split(".")[0] for name in imported(module) if ONLY_IN.get(name.split(".")[0], place) != place}

    assert not strays


def test_the_sampler_is_spared_heavy_modules() -> None:
    """The process that lives next to production has none of the packages that only others need."""
    heavy = ["pydantic", "influxdb_client", "urllib3", "inspect", "argparse", "pathlib", "ctypes", "ssl", "http"]
    program = f"import sys, psstopd.cli.sampler; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def imported(module: Path) -> set[str]:
    """Give the full names of the modules that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
