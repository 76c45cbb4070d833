"""`psstopd status --cost`: what reading each name has cost, told from the journal."""

import json
from contextlib import closing
from pathlib import Path

from psstopd.cli.cost import WINDOW_SECONDS, Cost, costs, recent
from psstopd.journal.writer import Journal
from psstopd.model import Sample
from tests.daemon import daemon
from tests.samples import BOOT, journal_config, sample, tick


def read(name: str, read_us: int, age_ms: int = 0) -> Sample:
    """Make up a name whose reads took so long on a tick."""
    return sample(name)._replace(read_us=read_us, age_ms=age_ms)


def journalled(path: Path, *ticks: tuple[Sample, ...]) -> list[Cost]:
    """Write ticks to a journal, ten seconds apart; give what their names have cost."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number, samples in enumerate(ticks):
            journal.append(tick(number, *samples), delivered=None)
    return costs(recent(str(path)))


def test_the_most_expensive_name_comes_first(tmp_path: Path) -> None:
    """With its share of wall time, how often it was read, and how old its readings are now."""
    found = journalled(
        tmp_path / "journal.db",
        (read("db", 45_000), read("web", 100)),
        (read("db", 0, 10_000), read("web", 100)),
        (read("db", 45_000, 0), read("web", 100)),
        (read("db", 0, 10_000), read("web", 100)),
        (read("db", 0, 20_000), read("web", 100)),
    )

    assert found == [Cost("db", 90_000, 0.001125, 40.0, 20_000, 1), Cost("web", 500, 0.00001, 10.0, 0, 1)]


def test_only_the_last_minutes_count(tmp_path: Path) -> None:
    """What was expensive yesterday is not what is expensive."""
    old = [(read("db", 10**6),)] * 10
    found = journalled(tmp_path / "journal.db", *old, *[(read("db", 1),)] * (WINDOW_SECONDS // 10))

    assert found[0].read_us == WINDOW_SECONDS // 10


def test_a_single_tick_has_no_share(tmp_path: Path) -> None:
    """There is no time that it could be a share of."""
    assert journalled(tmp_path / "journal.db", (read("db", 5),)) == [Cost("db", 5, None, None, 0, 1)]


def test_status_tells_the_cost(tmp_path: Path) -> None:
    """As a table with the bounds above it, and as JSON."""
    with daemon(tmp_path) as running:
        running.configure(names=["psstopd"])
        running.start()
        running.await_ticks(3)
        text, document = running.run("status", "--cost"), running.run("status", "--cost", "--json")

    assert (text.returncode, document.returncode) == (0, 0)
    assert text.stdout.startswith("reads in the last 2 s; at most 0.5% of the time in any one process, 2% of a core")
    assert text.stdout.endswith(" psstopd\n")
    told = json.loads(document.stdout)
    assert (told["target_share"], told["cpu_share"], told["max_age"]) == (0.005, 0.02, 60)
    assert [cost["name"] for cost in told["names"]] == ["psstopd"]


def test_without_a_tick_there_is_no_cost(tmp_path: Path) -> None:
    """It says so, and a journal that isn't there is told like by status."""
    with daemon(tmp_path) as running:
        running.configure()
        missing = running.run("status", "--cost")
        Journal(journal_config(running.journal), boot_id=BOOT).close()
        empty = running.run("status", "--cost")

    assert (missing.returncode, empty.returncode) == (73, 3)
    assert empty.stdout == "no tick is recorded yet\n"
