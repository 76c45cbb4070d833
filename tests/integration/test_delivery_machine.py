"""Journal, shipper and server in any order of failures, crashes and mendings: every point is always somewhere."""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from psstopd.delivery.influxdb import InfluxDBSink
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.shipper import Pace, Shipper
from psstopd.journal.cursor import cursor_path, read_delivery
from psstopd.journal.position import Position
from psstopd.journal.quarantine import Quarantine, Row
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.database import database
from tests.faultserver import Fault, Reply
from tests.matrix import configured
from tests.mortal import Killed, Life, MortalCursor, MortalSink
from tests.samples import BOOT, HEALTH, INTERVAL, journal_config, rounds, sample, tick

SEEDS, RUNS, STEPS = 8, 9, 50  # more than 2,000 steps together
MOST_FLUSHES = 200  # of a mended server until nothing is pending
TOKEN = "sesame"
RAW_FOR = 300
MAX_SIZE = 2**17
PACE = Pace(batch_size=8, flush_interval=1.0, deadline=0.0)  # no alarm: it would end the tests

POISON = "poison"
NAMES = st.sampled_from(["nginx", "postgres", 'a, b="c"=1', "ünï\\", "\x1b[2J\n", "x" * 64, POISON, f"{POISON} 2"])
TICKS = st.lists(st.lists(NAMES, max_size=4, unique=True), min_size=1, max_size=4)
BAD_LINES = [Reply(400, b"bad line"), Reply(422), Reply(500, b"partial write: bad line"), Reply(500, b"boom")]
FAILURES = st.sampled_from(
    [
        *(Reply(status) for status in (200, 202, 301, 308, 400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504)),
        Reply(200, b"<html>log in"),
        Reply(400, b"request too large"),
        Reply(429, headers={"Retry-After": "1"}),
        Reply(500, b"partial write: dropped=1"),
        Reply(500, b"\xff"),
        Reply(500, b"cut", fault=Fault.TRUNCATE),
        *(Reply(body=b"?", fault=fault) for fault in (Fault.GARBAGE, Fault.CLOSE)),
        *(Reply(fault=f) for f in (Fault.RESET_BEFORE_BODY, Fault.RESET_DURING_BODY, Fault.RESET_AFTER_BODY)),
    ]
)


class DeliveryMachine(RuleBasedStateMachine):
    """A daemon, its shipper, its server and its operator; the model is every line that was ever journalled."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.home = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, self.home)
        self.path = str(self.home / "journal.db")
        self.server = self.stack.enter_context(database())
        self.token_file = self.home / "token"
        self.ticks: dict[int, tuple[int, set[str]]] = {}  # id: time, lines
        self.lines: set[str] = set()  # of all ticks
        self.dropped: set[str] = set()  # by the journal, for lack of room
        self.given_up: set[str] = set()  # by the operator
        self.grid = -30  # some ticks of the past and some of the future, for a server's outage now
        self.begin = int(time.time()) // INTERVAL * INTERVAL
        self.count = self.dropped_points = 0
        self.is_open = False

    @initialize()
    def start(self) -> None:
        """Start daemon and shipper."""
        self.mend()
        self.journal = self.open_journal()
        self.start_shipper()
        self.is_open = True

    def teardown(self) -> None:
        """Mend everything, deliver, and compare what the server has with what was journalled."""
        try:
            if self.is_open:
                self.deliver_all()
        finally:
            if self.is_open:
                self.sink.close()
                self.journal.close()
            self.stack.close()

    def deliver_all(self) -> None:
        """Flush until nothing is pending."""
        self.mend()
        self.add([["nginx"]])  # even where nothing is pending, something must say that all is well
        self.start_shipper()
        for _ in range(MOST_FLUSHES):
            if not self.pending():
                break
            self.flush()
        aside = {row.line for row in self.quarantine()}
        missing = self.lines - self.server.accepted - aside - self.dropped - self.given_up
        delivery = read_delivery(self.path)

        assert self.pending() == {}
        assert missing == set()
        assert delivery is None or delivery.error is None

    def open_journal(self) -> Journal:
        """Open the journal as a daemon does."""
        return Journal(journal_config(self.path, raw_for=RAW_FOR, max_size=MAX_SIZE), boot_id=BOOT)

    def start_shipper(self) -> None:
        """Begin a shipper's life."""
        self.life = Life()
        config = configured(self.server.url, token=None, token_file=str(self.token_file))
        self.sink = self.stack.enter_context(closing(InfluxDBSink(config, proxies={})))
        self.cursor = self.stack.enter_context(closing(MortalCursor(self.path, self.life)))
        mortal = MortalSink(self.sink, self.life)
        self.shipper = Shipper(self.path, self.cursor, Encoder("web1", {}), mortal, pace=PACE)

    def position(self) -> Position:
        """Give the place in the queue as the daemon sees it."""
        delivery = read_delivery(self.path)
        known = delivery is not None and delivery.journal_id == self.journal.id
        return delivery.position if delivery is not None and known else Position()

    def present(self) -> set[int]:
        """Give the ids in the journal, by plain SQL."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            return {tick_id for (tick_id,) in connection.execute("SELECT id FROM tick")}

    def pending(self) -> dict[int, tuple[int, set[str]]]:
        """Give the ticks that are in the journal and were not delivered."""
        cursor, after, until = self.position()
        present = sorted(tick_id for tick_id in self.present() if tick_id > cursor or after < tick_id <= until)
        return {tick_id: self.ticks[tick_id] for tick_id in present}

    def quarantine(self) -> list[Row]:
        """Give what is set aside."""
        if not Path(cursor_path(self.path)).exists():
            return []
        with closing(Quarantine(cursor_path(self.path))) as quarantine:
            return quarantine.rows()

    def note_removed(self, before: dict[int, tuple[int, set[str]]]) -> None:
        """Keep the model's account of the undelivered ticks that have gone."""
        for tick_id in set(before) - self.present():
            self.dropped |= before[tick_id][1]
            self.dropped_points += len(before[tick_id][1])

    def add(self, ticks: Sequence[Sequence[str]]) -> None:
        """Journal ticks with samples of these names, each line unlike all others."""
        for names in ticks:
            self.grid, self.count, before = self.grid + 1, self.count + 1, self.pending()
            samples = [sample(name, 4096 * self.count) for name in names]
            made = tick(0, *samples, time=self.begin + self.grid * INTERVAL)
            made = made._replace(health=HEALTH._replace(tick_us=self.count))
            self.journal.append(made, delivered=self.position())
            with closing(JournalReader(self.path)) as reader:
                (stored,) = reader.batch(self.journal.newest_tick - 1, 1)
            lines = set(Encoder("web1", {}).lines(stored))
            self.ticks[stored.id] = stored.time, lines
            self.lines |= lines
            self.note_removed(before)

    def flush(self) -> None:
        """Flush once; whoever is set aside was refused alone, while another line was accepted."""
        accepts, aside = self.server.accepts, {row.id for row in self.quarantine()}
        with suppress(Killed):
            answer = self.shipper.flush(lambda: False)
            delivery = read_delivery(self.path)
            assert answer is None or answer.status == 204 or (delivery is not None and delivery.error is not None)
        new = [row.line for row in self.quarantine() if row.id not in aside]

        assert set(new) <= self.server.refused_alone
        assert not new or self.server.accepts > accepts

    @rule(ticks=TICKS, flushes=st.integers(0, 3))
    def sample_and_deliver(self, ticks: list[list[str]], flushes: int) -> None:
        """Journal some ticks, and flush some times."""
        self.add(ticks)
        for _ in range(flushes):
            self.flush()

    @rule()
    def sample_many(self) -> None:
        """Journal a good part of what the file can hold."""
        self.add([[f"name-{number}" for number in range(40)]] * 6)

    @rule(by=st.integers(-50, 50))
    def step_the_clock(self, by: int) -> None:
        """Let the grid go on elsewhere."""
        self.grid += by

    @rule(failure=FAILURES, requests=st.integers(1, 12))
    def fail(self, failure: Reply, requests: int) -> None:
        """Let the server fail for some requests."""
        self.server.script(*[failure] * requests)

    @rule(answer=st.sampled_from(BAD_LINES), writes_the_rest=st.booleans())
    def refuse_poison(self, answer: Reply, *, writes_the_rest: bool) -> None:
        """Let the server refuse lines with a certain name, and there be some."""
        self.add([["nginx", POISON]])
        self.server.poison, self.server.writes_the_rest = f"name={POISON}", writes_the_rest
        self.server.bad_line = answer

    @rule(lines=st.integers(1, 15), answer=st.sampled_from([Reply(413), Reply(400, b"too large")]))
    def take_little(self, lines: int, answer: Reply) -> None:
        """Let the server refuse large requests."""
        self.server.most_lines, self.server.too_large = lines, answer

    @rule()
    def change_the_token(self) -> None:
        """Let the server want another token than the file has."""
        self.server.token = TOKEN[::-1]

    @rule()
    def mend(self) -> None:
        """Mend the server and the token."""
        self.server.mend()
        self.server.token = TOKEN
        self.token_file.write_text(TOKEN)

    @rule(ticks=TICKS, moments=st.integers(0, 12))
    def deliver_and_be_killed(self, ticks: list[list[str]], moments: int) -> None:
        """Be killed in the middle of a flush, if it has that many moments, or after it."""
        self.add(ticks)
        self.life.left = moments
        self.flush()
        self.start_shipper()

    @rule()
    def deliver_on_a_full_disk_and_be_killed(self) -> None:
        """Lose what the shipper has learned in a flush but for what is set aside."""
        before = read_delivery(self.path)
        self.flush()
        with closing(sqlite3.connect(cursor_path(self.path))) as connection, connection:
            connection.execute("DELETE FROM delivery")
            if before is not None:
                places = ", ".join("?" * len(before))
                connection.execute(f"INSERT INTO delivery VALUES (1, {places})", before)  # noqa: S608 - question marks
        self.start_shipper()

    @rule()
    def restart_the_daemon(self) -> None:
        """End and begin again, as after SIGTERM."""
        self.journal.close()
        self.journal = self.open_journal()

    @rule()
    def trim(self) -> None:
        """Keep the journal's bounds."""
        before = self.pending()
        self.journal.trim(self.begin + self.grid * INTERVAL, delivered=self.position(), seconds=1.0)
        self.note_removed(before)

    @precondition(lambda self: self.quarantine() != [])
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Let the operator have some lines sent again."""
        chosen = data.draw(st.lists(st.sampled_from(self.quarantine()), min_size=1, unique=True))
        with closing(Quarantine(cursor_path(self.path))) as quarantine:
            quarantine.retry([row.id for row in chosen])
        self.flush()

    @precondition(lambda self: self.quarantine() != [])
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """Let the operator give up on a line."""
        row = data.draw(st.sampled_from(self.quarantine()))
        with closing(Quarantine(cursor_path(self.path))) as quarantine:
            quarantine.drop([row.id])
        self.given_up.add(row.line)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Find each point at the server, in the queue, set aside, or counted as dropped, and none from nowhere."""
        type(self).steps += 1
        if not self.is_open:
            return
        pending = self.pending()
        somewhere = self.server.accepted | self.dropped | self.given_up | {row.line for row in self.quarantine()}
        oldest = next(iter(pending.values()))[0] if pending else None

        assert self.lines - somewhere - {line for _, lines in pending.values() for line in lines} == set()
        assert self.server.seen <= self.lines
        assert self.journal.pending(self.position()) == (sum(len(lines) for _, lines in pending.values()), oldest)
        assert self.journal.dropped_total == self.dropped_points


@pytest.mark.parametrize("number", range(SEEDS))
def test_every_point_is_always_somewhere(number: int) -> None:
    """Over thousands of steps, whatever order they come in, nothing is lost, made up, or set aside without need."""
    DeliveryMachine.steps = 0
    run_state_machine_as_test(
        seed(number)(DeliveryMachine),
        settings=settings(
            max_examples=rounds(RUNS),
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),  # shrinking takes minutes, and 50 steps are readable
        ),
    )

    assert DeliveryMachine.steps >= 2000 / SEEDS
