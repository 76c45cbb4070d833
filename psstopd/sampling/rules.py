"""Decide which watched name a process belongs to: the first rule whose every condition holds."""

import fnmatch
import pwd
import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

from psstopd.config import Watch
from psstopd.kernel.cgroup import Units, parse_cgroup, units_of
from psstopd.kernel.errors import AccessDenied, Unparseable
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.names import printable


class Facts:
    """What rules may ask of one process; everything but its program name is read when first asked for.

    Lives for one decision. Reading raises ProcessGone when the process has ended; what is denied matches nothing.
    """

    def __init__(self, procfs: Procfs, pid: int, program: str) -> None:
        self.program = program
        self._procfs = procfs
        self._pid = pid

    @cached_property
    def cmdline(self) -> str:
        """The command line, arguments separated by spaces."""
        return b" ".join(self._procfs.cmdline(self._pid)).decode(errors="replace")

    @cached_property
    def exe(self) -> str | None:
        """The path of the executable, None where the kernel doesn't tell."""
        try:
            return self._procfs.exe(self._pid).decode(errors="replace")
        except (AccessDenied, Unparseable):
            return None

    @cached_property
    def uid(self) -> int:
        """The effective uid."""
        return self._procfs.uid(self._pid)

    @cached_property
    def units(self) -> Units:
        """The systemd units."""
        return units_of(parse_cgroup(self._procfs.cgroup(self._pid)))


Condition = Callable[[Facts], bool]
Grouping = Callable[[Facts], str]


class Rule:
    """One compiled `[[watch]]`: its conditions, cheapest first, and how it names what it matches."""

    def __init__(self, watch: Watch) -> None:
        self._conditions = _conditions(watch)
        self._grouping = _grouping(watch)
        asks = (watch.exe, watch.cmdline, watch.user, watch.unit)
        self.asks_more_than_program = any(asks) or watch.group_by in ("unit", "user")

    def group(self, facts: Facts) -> str | None:
        """Give the name under which this rule counts the process, None when a condition fails."""
        return self._grouping(facts) if all(condition(facts) for condition in self._conditions) else None


class Rules:
    """All rules in the order of the config; immutable, replaced as a whole on reload."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self._rules = [Rule(watch) for watch in watches]
        self.fixed_names = tuple(
            dict.fromkeys(watch.name for watch in watches if watch.name and watch.group_by == "rule")
        )
        self.asks_more_than_program = any(rule.asks_more_than_program for rule in self._rules)

    def group(self, facts: Facts) -> str | None:
        """Give the name that the first matching rule decides on, None when the process is not watched."""
        return next((name for rule in self._rules if (name := rule.group(facts)) is not None), None)


def _conditions(watch: Watch) -> list[Condition]:
    conditions: list[Condition] = []
    if (program := watch.program) is not None:
        conditions.append(lambda facts: facts.program == program)
    if watch.comm is not None:
        comm = _glob(watch.comm)
        conditions.append(lambda facts: comm(facts.program))
    if (user := watch.user) is not None:
        conditions.append(lambda facts: user in (str(facts.uid), user_name(facts.uid)))
    if watch.unit is not None:
        unit = _glob(watch.unit)
        conditions.append(lambda facts: any(unit(name) for name in facts.units.all))
    if watch.exe is not None:
        exe = _glob(watch.exe)
        conditions.append(lambda facts: facts.exe is not None and exe(facts.exe))
    if watch.cmdline is not None:
        cmdline = re.compile(watch.cmdline)
        conditions.append(lambda facts: cmdline.search(facts.cmdline) is not None)
    return conditions


def _grouping(watch: Watch) -> Grouping:
    if watch.group_by == "rule":
        name = watch.name or ""
        return lambda _facts: name
    return {
        "program": lambda facts: facts.program,
        "unit": lambda facts: printable((facts.units.unit or "(no unit)").encode()),
        "user": lambda facts: printable(user_name(facts.uid).encode()),
    }[watch.group_by]


def _glob(pattern: str) -> Callable[[str], bool]:
    matches = re.compile(fnmatch.translate(pattern)).match
    return lambda text: matches(text) is not None


@lru_cache(maxsize=4096)
def user_name(uid: int) -> str:
    """Give a user's name, or its number when it has none; asked once, for the answer may come over a network."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
