"""Tell the systemd units of a process from its /proc/PID/cgroup, on v1, v2 and hybrid hierarchies."""

from typing import NamedTuple

_SUFFIXES = (".service", ".scope", ".socket", ".mount", ".swap")


class Units(NamedTuple):
    """The units whose cgroups hold a process: `unit` is systemd's own answer, `all` has slices and user units too."""

    unit: str | None
    all: tuple[str, ...]


def parse_cgroup(text: bytes) -> str:
    """Give the path that systemd manages: the v2 line where it names a unit, else the v1 line `name=systemd`.

    On hybrid hierarchies both lines are there and the v2 one may be bare (`0::/`). Lines are as in cgroups(7).
    """
    paths = {}
    # Not splitlines(): whoever makes a cgroup may put any line end but \n into its name.
    for line in text.decode(errors="backslashreplace").split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths["v2" if number == "0" else controllers] = path
    unified, named = paths.get("v2", "/"), paths.get("name=systemd", "/")
    return unified if units_of(unified).all else named


def units_of(path: str) -> Units:
    """Split a cgroup path as systemd does (cg_path_get_unit): slices, then the unit, then what the unit keeps inside.

    Only a user manager's units count inside a unit; those of a container's systemd are the container's own. Seen from
    a cgroup namespace, cgroup_namespaces(7), paths outside of it begin with `..` for each level above its root.
    """
    parts = [part.removeprefix("_") for part in path.split("/") if part not in ("", "..")]
    outer, rest = _leading(parts)
    unit = next((name for name in outer if not name.endswith(".slice")), None)
    if unit is not None and unit.startswith("user@"):
        outer += _leading(rest)[0]
    return Units(unit, tuple(outer))


def _leading(parts: list[str]) -> tuple[list[str], list[str]]:
    """Take slices and the first unit behind them off the front; give them and the rest."""
    taken = 0
    while taken < len(parts) and parts[taken].endswith(".slice"):
        taken += 1
    if taken < len(parts) and parts[taken].endswith(_SUFFIXES):
        taken += 1
    return parts[:taken], parts[taken:]
