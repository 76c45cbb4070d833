"""The failure matrix: what is done to a server, what the shipper makes of it, and the table of that for the reader."""

import re
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, NamedTuple

from line_protocol_parser import parse_line

from psstopd.config import InfluxDBConfig, Secret
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.verdict import Verdict, judge
from psstopd.journal.cursor import cursor_path, read_delivery
from psstopd.journal.quarantine import Quarantine, Row
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from psstopd.model import Tick
from tests.samples import BOOT, INTERVAL, journal_config, process, sample, tick
from tests.shipping import HOST, Heard, Job, ship

POISON = f"poison-{'x' * 200}"  # some servers refuse a line with this name, or one as long as this name makes it
TICKS, POISONED_TICK = 8, 2
JUST_NOW, LONG_AGO = TICKS * INTERVAL, 7200  # seconds
DEADLINE = 1.3  # seconds; a socket's patience is 1
MOST_SHIPPERS = 10  # until everything is delivered
LONGEST_TEXT = 100
ASKED_TO_WAIT = 60  # seconds; psstop itself waits one after its first failure

Key = tuple[str, str, int]  # measurement, name if any, time: what tells one point from all others


class Scene(NamedTuple):
    """A server for one case: `arrived` gives what it has, `mend` sets right what is wrong with it.

    `fall` is for one that is good at first: something is delivered, it falls, and then there are new ticks. `mended` is
    what the operator corrects the configuration to, if that is what is wrong.
    """

    config: InfluxDBConfig
    arrived: Callable[[], set[Key]]
    mend: Callable[[], object] = lambda: None
    fall: Callable[[], object] | None = None
    mended: InfluxDBConfig | None = None


Stage = Callable[[Path], AbstractContextManager[Scene]]


class Case(NamedTuple):
    """A row of the table: what is injected, and what must come of it. `sees` are texts of which one is shown."""

    injected: str
    stage: Stage
    verdict: Verdict | None
    did: str
    sees: Sequence[str]
    flushes: int = 1


class Seen(NamedTuple):
    """What came of a case."""

    verdict: Verdict | None  # on the first answer that was no 204; None when there was no answer at all
    did: str
    sees: str
    lost: int
    wrongly_aside: int  # points in quarantine that were no poison
    error_at_last: str | None


def configured(url: str, **changes: Any) -> InfluxDBConfig:
    """Build a configuration with little patience."""
    config = InfluxDBConfig(
        url=url,
        api="v2",
        org="ops",
        bucket="psstop",
        token=Secret("sesame"),
        token_file=None,
        batch_size=30,
        flush_interval=1,
        timeout=1,
        backfill_rate=10**6,
        fields=None,
        ca_file=None,
    )
    return config._replace(**changes)


def key(line: str) -> Key:
    """Say which point a line is."""
    point = parse_line(line)
    return point["measurement"], point["tags"].get("name", ""), point["time"]


def play(case: Case, scene: Scene, directory: Path) -> Seen:
    """Journal ticks, let the server fail, look, mend, and see whether everything arrives."""
    path = str(directory / "journal.db")
    job = Job(path, scene.config, case.flushes, DEADLINE)
    # What was accepted in the last minutes before an outage is sent again after it; where there is none, let none be.
    ticks = made_up_ticks(age=JUST_NOW if scene.fall else LONG_AGO)
    early = TICKS // 2 if scene.fall else 0
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        append(journal, ticks[:early])
        if scene.fall:
            deliver(job, scene)
            scene.fall()
        append(journal, ticks[early:])
        heard, aside, error = ship(job), in_quarantine(path), error_of(path)
        scene.mend()
        deliver(job._replace(config=scene.mended or scene.config), scene)
    settled = {key(row.line) for row in in_quarantine(path)}
    return Seen(
        verdict=first_verdict(heard),
        did=deed(heard, aside, error),
        sees=without_places(shown(heard, aside, error), directory, scene.config.url),
        lost=len(journalled(path) - scene.arrived() - settled),
        wrongly_aside=sum(name != POISON for _, name, _ in settled),
        error_at_last=error_of(path),
    )


def made_up_ticks(age: int) -> list[Tick]:
    """Make ticks of some seconds ago: VictoriaMetrics takes none of a far future."""
    begin = (int(time.time()) - age) // INTERVAL * INTERVAL
    samples = [(sample("nginx"), sample("postgres"))] * TICKS
    samples[POISONED_TICK] = (sample("nginx"), sample(POISON, top=(process(0),)))
    return [tick(number, *samples[number], time=begin + number * INTERVAL) for number in range(TICKS)]


def append(journal: Journal, ticks: Iterable[Tick]) -> None:
    """Journal ticks."""
    for value in ticks:
        journal.append(value, delivered=None)


def deliver(job: Job, scene: Scene) -> None:
    """Start shippers until the server has everything that is not set aside, or too many of them were needed."""
    wanted = journalled(job.journal)
    for _ in range(MOST_SHIPPERS):
        ship(job)
        settled = {key(row.line) for row in in_quarantine(job.journal)}
        if wanted <= scene.arrived() | settled and error_of(job.journal) is None:
            return


def journalled(path: str) -> set[Key]:
    """Give every point of the journal."""
    with closing(JournalReader(path)) as journal:
        return {key(line) for stored in journal.batch(0, 10**6) for line in Encoder(HOST, {}).lines(stored)}


def in_quarantine(path: str) -> list[Row]:
    """Give what is set aside."""
    if not Path(cursor_path(path)).exists():
        return []
    with closing(Quarantine(cursor_path(path))) as quarantine:
        return quarantine.rows()


def error_of(path: str) -> str | None:
    """Give what `psstopd status` says is in the way."""
    delivery = read_delivery(path)
    return None if delivery is None else delivery.error


def first_verdict(heard: Heard) -> Verdict | None:
    """Give the verdict on the first answer that was no 204."""
    verdicts = (judge(answer) for _, answer in heard.answers)
    return next((verdict for verdict in verdicts if verdict is not Verdict.ACCEPTED), None)


def deed(heard: Heard, aside: Sequence[Row], error: str | None) -> str:
    """Say what the shipper did, from what was heard of it and what it left behind."""
    if heard.exit_code == -signal.SIGALRM:
        return "kept; the deadline ended the shipper, the daemon starts another"
    if error is not None:
        waited = max(heard.slept[1:])
        return f"kept; tries again after the {round(waited, -1):.0f} s asked for" if waited >= ASKED_TO_WAIT else "kept"
    if aside:
        return f"set {len(aside)} of {TICKS * 3 + 1} lines aside, delivered the others"
    smallest = min(lines for lines, _ in heard.answers)
    return "delivered in smaller parts" if smallest < max(lines for lines, _ in heard.answers) else "delivered"


def shown(heard: Heard, aside: Sequence[Row], error: str | None) -> str:
    """Give what an operator is shown: by `psstopd status`, by `psstopd quarantine list`, or in the log."""
    if heard.exit_code == -signal.SIGALRM:
        return "log: shipper ended: a request was over its deadline"
    if error is not None:
        return error
    return f"quarantine: {aside[0].answer}" if aside else "nothing"


def without_places(text: str, directory: Path, url: str) -> str:
    """Take out of a text what differs from run to run: paths, the port, and times in Unix seconds."""
    text = text.replace(str(directory), "…").replace(url, "…")
    text = re.sub(r"\d{10,}|127\.0\.0\.1:\d+", "…", text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def row(case: Case, seen: Seen) -> str:
    """Write a case and what came of it as a row of the table."""
    sees = " or ".join(f"`{text}`" if text != "nothing" else text for text in case.sees)
    cells = (case.injected, seen.verdict or "none", seen.did, sees, str(seen.lost))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def document(rows: Iterable[str]) -> str:
    """Write the page around the rows."""
    return "\n".join((_PAGE, *rows, ""))


_PAGE = """\
# What happens when delivery fails

Each row below is a test that ran (`tests/integration/test_failure_matrix.py`): a journal, the shipper, and a server
with one fault, be it InfluxDB, VictoriaMetrics, or one that was made to fail. `make matrix` runs them all and writes
this page.

The verdict is what `psstopd/delivery/verdict.py` makes of the first answer: *keep* tries again by itself, *ask* too,
but somebody has to mend something first, *halve* sends less at once, *isolate* looks for the line that is refused.
The operator sees it in `psstopd status`, unless the text says where else. *Lost* are the points that were neither on
the server nor set aside once the fault was mended.

| what was injected | verdict | what psstop did | what the operator sees | lost |
|---|---|---|---|---|"""
