"""Which watched name a process belongs to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psstopd.config import Watch
from psstopd.kernel.errors import AccessDenied, ProcessGone, Unparseable
from psstopd.kernel.procfs import Procfs
from psstopd.sampling.rules import Facts, Rules, user_name
from tests.fakes import FakeProc, FakeProcess

NOTHING = Watch(name=None, program=None, comm=None, cmdline=None, exe=None, user=None, unit=None, group_by="program")
SHOP = FakeProcess(
    7,
    comm=b"python3",
    cmdline=(b"python3", b"-m", b"shop.wsgi", b"--port=80\n80"),
    exe="/opt/shop/bin/python3",
    uid=65534,
    cgroup=b"0::/shop.slice/shop@1.service/worker\n",
)


class Refusing(Procfs):
    """A /proc that does not tell executables."""

    def __init__(self, root: str, refusal: type[Exception]) -> None:
        super().__init__(root)
        self._refusal = refusal

    def exe(self, pid: int) -> bytes:
        """Refuse."""
        raise self._refusal(f"{pid}/exe")


def watch(**fields: Any) -> Watch:
    """Make a rule; one that is named is grouped by its name, like in the config."""
    return NOTHING._replace(**{"group_by": "rule" if "name" in fields else "program", **fields})


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[FakeProc]:
    """Give a /proc with one process."""
    with FakeProc(tmp_path / "proc") as fake:
        fake.add(SHOP)
        yield fake


def group(proc: FakeProc, *watches: Watch, program: str = "python3") -> str | None:
    """Ask rules about the one process."""
    return Rules(watches).group(Facts(proc.procfs, SHOP.pid, program))


@pytest.mark.parametrize(
    ("condition", "matching", "failing"),
    [
        ("program", ["python3"], ["python", "python3*", "Python3"]),
        ("comm", ["python3", "py*", "*[23]", "*"], ["py", "ython3", "PYTHON3"]),
        ("cmdline", [r"shop\.wsgi", r"^python3 -m", r"port=80\n80$", ""], [r"^shop", "shopXwsgi"]),
        ("exe", ["/opt/shop/*", "*/python3", "/opt/shop/bin/python3"], ["/opt/shop", "python3"]),
        ("user", [user_name(65534), "65534"], ["root", "0", "*"]),
        ("unit", ["shop@*.service", "shop.slice", "shop@1.service"], ["worker", "shop", "1.service"]),
    ],
)
def test_each_condition(proc: FakeProc, condition: str, matching: list[str], failing: list[str]) -> None:
    """Names are exact, globs cover the whole text, regular expressions are searched in the command line."""
    for value in matching:
        assert group(proc, watch(name="web", **{condition: value})) == "web", value
    for value in failing:
        assert group(proc, watch(name="web", **{condition: value})) is None, value


def test_all_conditions_must_hold(proc: FakeProc) -> None:
    """A rule with one failing condition among many does not match."""
    conditions = {"comm": "py*", "cmdline": "shop", "exe": "/opt/*", "user": "65534", "unit": "shop@*"}

    assert group(proc, watch(name="web", **conditions)) == "web"
    for key in conditions:
        assert group(proc, watch(name="web", **{**conditions, key: "something else"})) is None


def test_the_first_matching_rule_wins(proc: FakeProc) -> None:
    """Later rules get what earlier ones leave."""
    rules = [watch(name="java", comm="java"), watch(name="shop", unit="shop@*"), watch(name="python", comm="py*")]

    assert group(proc, *rules) == "shop"
    assert group(proc, *reversed(rules)) == "python"


@pytest.mark.parametrize(
    ("group_by", "expected"), [("program", "python3"), ("unit", "shop@1.service"), ("user", user_name(65534))]
)
def test_found_names(proc: FakeProc, group_by: str, expected: str) -> None:
    """A rule without a name calls its processes by what it groups them by."""
    assert group(proc, watch(group_by=group_by)) == expected


def test_outside_of_units_there_is_still_a_name(proc: FakeProc) -> None:
    """A host without systemd has its processes in one group."""
    proc.change(SHOP.pid, cgroup=b"0::/\n")

    assert group(proc, watch(group_by="unit")) == "(no unit)"


def test_a_user_without_a_name_is_a_number(proc: FakeProc) -> None:
    """Containers have users that the host does not know."""
    proc.change(SHOP.pid, uid=4_000_000_001)

    assert group(proc, watch(group_by="user")) == "4000000001"


def test_hostile_units_make_printable_names(proc: FakeProc) -> None:
    """A unit's name is somebody's word like a program's."""
    proc.change(SHOP.pid, cgroup=b"0::/a\x1b[2Jb.service\n")

    assert group(proc, watch(group_by="unit")) == r"a\x1b[2Jb.service"


@pytest.mark.parametrize("refusal", [AccessDenied, Unparseable])
def test_an_executable_that_is_not_told_matches_nothing(proc: FakeProc, refusal: type[Exception]) -> None:
    """Without the right to see executables a rule on them is silent, the others go on."""
    rules = Rules([watch(name="all", exe="*"), watch(name="rest", comm="*")])

    assert rules.group(Facts(Refusing(proc.procfs.root, refusal), SHOP.pid, "python3")) == "rest"


def test_a_process_that_ends_meanwhile_is_gone(proc: FakeProc) -> None:
    """Questions about a process that has ended are not answered from thin air."""
    proc.remove(SHOP.pid)

    with pytest.raises(ProcessGone):
        group(proc, watch(name="web", cmdline=""))


def test_fixed_names_are_those_of_rules_that_group_by_name() -> None:
    """What always has a point: each once, in the order of the config."""
    rules = Rules(
        [
            watch(name="b", comm="b"),
            watch(comm="c"),
            watch(name="a", comm="a"),
            watch(name="b", comm="x"),
            watch(name="ignored", comm="d", group_by="program"),
        ]
    )

    assert rules.fixed_names == ("b", "a")


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        (watch(name="web", comm="py*"), False),
        (watch(), False),
        (watch(name="web", unit="*"), True),
        (watch(name="web", cmdline="x"), True),
        (watch(name="web", exe="x"), True),
        (watch(name="web", user="x"), True),
        (watch(group_by="unit"), True),
        (watch(group_by="user"), True),
    ],
)
def test_rules_tell_whether_a_name_is_enough(rule: Watch, *, asks: bool) -> None:
    """What can change without the name has to be asked on every pass."""
    assert Rules([watch(name="first", program="x"), rule]).asks_more_than_program == asks
