"""The live view's lines, to the letter."""

import io
import os
import shlex
import time
from collections.abc import Iterator

import pytest

from psstopd.cli.live import LiveView
from psstopd.client.screen import cut
from psstopd.model import Health, Memory, Sample, Tick, Unreadable
from psstopd.service.report import Report

MIB = 1 << 20
HEALTH = Health(12, 800, 0, None, None, 0, None, None, 11 * MIB, 1000)


def sample(name: str, pss: int | None) -> Sample:
    """Make up what one name has: `pss` bytes, None when nothing was readable."""
    memory = None if pss is None else Memory(pss, 0, pss, pss, pss, 0, 0)
    return Sample(name, memory, pss, 1, 0, 0, 0, 0, 0)


def report(*samples: Sample, pending: int | None = None, trouble: str | None = None, denied: int = 0) -> Report:
    """Make up a tick."""
    unreadable = {Unreadable.DENIED: denied} if denied else {}
    return Report(Tick(86400, samples, HEALTH._replace(pending_points=pending)), unreadable, trouble, None, ships=True)


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """Let local time be UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def shown(*reports: Report) -> list[str]:
    """Give the lines of a view that writes to no terminal, so that nothing is cut."""
    stream = io.StringIO()
    view = LiveView(stream, "/var/lib/psstop/journal.db", euid=1000)
    for tick in reports:
        view.show(tick)
    return stream.getvalue().splitlines()


def test_a_tick_is_a_line() -> None:
    """Time, names, processes, the total, and the four largest, the largest first; what is unreadable has no size."""
    samples = [sample(name, size * MIB) for name, size in (("a", 1), ("b", 5), ("c", 3), ("d", 2), ("e", 4))]

    assert shown(report(*samples, sample("f", None))) == [
        "00:00:00  6 names  12 processes  PSS 15.0 MiB  b 5.0 MiB, e 4.0 MiB, c 3.0 MiB, d 2.0 MiB",
    ]


def test_changes_are_behind_the_sizes() -> None:
    """From the second tick on growth and shrinkage are shown, and a new name has none."""
    lines = shown(report(sample("a", MIB), sample("b", MIB)), report(sample("a", 3 * MIB), sample("b", 512 << 10)))
    newcomer = shown(report(sample("a", MIB)), report(sample("a", MIB), sample("b", MIB)))

    assert lines[1].endswith("  a 3.0 MiB (+2.0 MiB), b 512 KiB (-512 KiB)")
    assert newcomer[1].endswith("  a 1.0 MiB, b 1.0 MiB")


def test_what_is_wrong_is_in_the_line() -> None:
    """Unreadable processes, pending points and a journal that takes nothing are said before the names."""
    (line, reason) = shown(report(sample("a", None), pending=7, trouble="full", denied=2))

    assert line == "00:00:00  1 name  12 processes  PSS 0 B  2 unreadable  7 pending  journal not writable"
    assert (
        reason
        == "  unreadable (denied): not permitted: run as root, or with CAP_PERFMON (Linux 6.15) or CAP_SYS_PTRACE"
    )


def test_a_reason_is_explained_once() -> None:
    """The second line of a reason is left out, and comes again when it comes back."""
    broken, fine = report(denied=1), report()

    assert len(shown(broken, broken, broken)) == 4
    assert len(shown(broken, fine, broken)) == 5


@pytest.mark.parametrize(
    ("line", "width", "left"),
    [
        ("abcdef", 4, "abcd"),
        ("abcd", 4, "abcd"),
        ("abcd", None, "abcd"),
        ("日本語", 4, "日本"),
        ("日本語", 5, "日本"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("", 4, ""),
    ],
)
def test_cut(line: str, width: int | None, left: str) -> None:
    """A line takes no more cells than there are, however wide its characters."""
    assert cut(line, width) == left


@pytest.mark.parametrize("name", ["nginx", "a b", "';reboot;'", "$(id)", "`id`", "-rf", "&|>x", "o'brien"])
def test_the_commands_at_the_end_are_safe_to_paste(name: str) -> None:
    """A name or a path that a shell would carry out comes as one quoted argument."""
    stream = io.StringIO()
    view = LiveView(stream, "/tmp/a b/$(id).db", euid=0)
    view.show(report(sample(name, MIB)))
    view.say_goodbye()
    *_, history, sqlite = stream.getvalue().splitlines()

    arguments = shlex.split(history)[1:]
    assert [argument for argument in arguments if argument != "--"] == [
        "history",
        "--journal",
        "/tmp/a b/$(id).db",
        name,
    ]
    assert ("--" in arguments) == name.startswith("-")
    assert shlex.split(sqlite)[:3] == ["sqlite3", "-readonly", "/tmp/a b/$(id).db"]
