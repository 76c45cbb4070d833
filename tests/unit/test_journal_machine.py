"""The journal, its reader and the cursor against a model of them, through restarts, crashes and a full file."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from psstopd.journal.cursor import Cursor
from psstopd.journal.position import Position
from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from tests.samples import BEGIN, BOOT, INTERVAL, journal_config, process, rounds, sample, tick, wide_tick

RAW_FOR = 1000
MAX_SIZE = 512 * 1024
FILL_NAMES, FILL_TICKS = 80, 40


class JournalMachine(RuleBasedStateMachine):
    """A daemon and its shipper that do anything in any order; the model is every tick ever written, and its points."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.lives = 0
        self.written: dict[int, tuple[int, int]] = {}  # id: time, points
        self.lost = 0  # undelivered points that were removed
        self.grid = 0
        self.delivers = True

    @initialize(delivers=st.booleans())
    def begin(self, *, delivers: bool) -> None:
        """Start with an empty journal, with a server or without."""
        self.delivers = delivers
        self.open()

    def teardown(self) -> None:
        """Close what is open."""
        if self.lives:
            self.shut()
        shutil.rmtree(self.home)

    @property
    def path(self) -> str:
        """Give the place of this life's journal."""
        return str(self.home / str(self.lives) / "journal.db")

    @property
    def delivered(self) -> Position | None:
        """Give the cursors as the daemon sees them."""
        return self.position() if self.delivers else None

    def open(self) -> None:
        """Open journal, reader and cursor."""
        self.lives = self.lives or 1
        self.journal = Journal(journal_config(self.path, raw_for=RAW_FOR, max_size=MAX_SIZE), boot_id=BOOT)
        self.reader = JournalReader(self.path)
        self.cursor = Cursor(self.path)

    def shut(self) -> None:
        """Close reader, cursor and journal."""
        self.reader.close()
        self.cursor.close()
        self.journal.close()

    def position(self) -> Position:
        """Give both cursors."""
        return self.cursor.position(self.reader)

    def is_waiting(self, tick_id: int) -> bool:
        """Tell whether a tick is still to be sent: newer than the first cursor, or in the backlog."""
        cursor, backlog_after, backlog_until = self.position()
        return tick_id > cursor or backlog_after < tick_id <= backlog_until

    def present(self) -> list[int]:
        """Give the ids in the file, by plain SQL."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            return [tick_id for (tick_id,) in database.execute("SELECT id FROM tick ORDER BY id")]

    def note_removed(self, before: list[int]) -> list[int]:
        """Keep the model's account of what has gone since `before`; give the undelivered ids among it."""
        gone = set(before) - set(self.present())
        undelivered = [tick_id for tick_id in gone if self.delivers and self.is_waiting(tick_id)]
        self.lost += sum(self.written[tick_id][1] for tick_id in undelivered)
        return undelivered

    def append_one(self, names: int, top: int) -> None:
        """Write a tick and take it into the model."""
        before = self.present()
        self.grid += 1
        value = wide_tick(self.grid, names)
        if top:
            value = tick(self.grid, sample("nginx", top=tuple(process(slot) for slot in range(top))))
        self.journal.append(value, delivered=self.delivered)
        newest = self.present()[-1]
        assert newest > max(self.written, default=0)
        self.written[newest] = (value.time, 1 + len(value.samples) + top)
        self.note_removed(before)

    @rule(names=st.integers(1, 5), top=st.integers(0, 3))
    def append(self, names: int, top: int) -> None:
        """Write a tick."""
        self.append_one(names, top)

    @rule()
    def fill(self) -> None:
        """Write a third of what the file can hold, as a daemon does that has no time to trim."""
        for _ in range(FILL_TICKS):
            self.append_one(FILL_NAMES, 0)

    @rule(by=st.integers(-200, 300))
    def step_the_clock(self, by: int) -> None:
        """Let the grid go on elsewhere."""
        self.grid += by

    @rule(seconds=st.sampled_from([0.0, 1.0]))
    def trim(self, seconds: float) -> None:
        """Keep the bounds; what is undelivered may go by size alone, what is old and delivered must not stay."""
        before = self.present()
        was_near_bound = self.used() > 0.9 * MAX_SIZE
        now = BEGIN + self.grid * INTERVAL

        self.journal.trim(now, delivered=self.delivered, seconds=seconds)

        assert not self.note_removed(before) or was_near_bound
        may_stay = [tick_id for tick_id in self.present()[:-1] if self.is_kept(tick_id, now)]
        assert seconds == 0.0 or may_stay == self.present()[:-1]
        assert seconds == 0.0 or self.used() <= 0.95 * MAX_SIZE

    def is_kept(self, tick_id: int, now: int) -> bool:
        """Tell whether a tick is inside `raw_for`, undelivered, or newer than one that is."""
        oldest_waiting = min((other for other in self.present() if self.is_waiting(other)), default=tick_id + 1)
        return self.written[tick_id][0] >= now - RAW_FOR or (self.delivers and tick_id >= oldest_waiting)

    @rule(share=st.floats(0, 1), again=st.integers(0, 50))
    def leave(self, share: float, again: int) -> None:
        """Go on with newer ticks and leave others behind, some that were accepted before among them."""
        position, newest = self.position(), max(self.written, default=0)
        until = position.cursor + int(share * (newest - position.cursor))
        self.cursor.move(position.leaving(max(0, position.cursor - again), until), points=0, now=BEGIN)

    @rule(most_points=st.integers(1, 400), accepted=st.booleans(), backlog=st.booleans())
    def deliver(self, most_points: int, *, accepted: bool, backlog: bool) -> None:
        """Take a batch: the next whole ticks in order, as many as fit, one if not even that fits."""
        position = self.position()
        after = position.backlog_after if backlog else position.cursor
        until = position.backlog_until if backlog else max(self.written, default=0)
        waiting = [tick_id for tick_id in self.present() if after < tick_id <= until]
        fitting, points = 0, 0
        while fitting < len(waiting) and points + self.written[waiting[fitting]][1] <= most_points:
            points += self.written[waiting[fitting]][1]
            fitting += 1

        batch = self.reader.batch(after, most_points, until=until)

        assert [stored.id for stored in batch] == waiting[: max(1, fitting)]
        assert [(stored.time, stored.points) for stored in batch] == [self.written[stored.id] for stored in batch]
        if accepted and batch:
            moved = position.backfilled(batch[-1].id) if backlog else position.sent(batch[-1].id)
            self.cursor.move(moved, points=points, now=BEGIN)

    @rule()
    def restart(self) -> None:
        """End and begin again, as after SIGTERM."""
        self.shut()
        self.open()

    @rule()
    def crash(self) -> None:
        """Begin again with the files as they are now, nothing closed, as after SIGKILL."""
        before = Path(self.path).parent
        after = self.home / str(self.lives + 1)
        # By another process: one that holds SQLite's locks would lose them with the first descriptor that it closes.
        shutil.copytree(before, after, copy_function=link_free_copy)
        self.shut()
        self.lives += 1
        self.open()

    def used(self) -> int:
        """Give the bytes that hold rows."""
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            pages, free = (
                database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count")
            )
        return int(pages - free) * 4096

    @invariant()
    def counts_are_right(self) -> None:
        """Compare the queue's arithmetic with the model's."""
        if not self.lives:
            return
        waiting = [self.written[tick_id] for tick_id in self.present() if self.is_waiting(tick_id)]
        expected = (sum(points for _, points in waiting), waiting[0][0] if waiting else None)
        assert self.journal.pending(self.position()) == expected
        assert self.journal.dropped_total == self.lost
        assert self.reader.newest_tick() == max(self.present(), default=0)
        assert Path(self.path).stat().st_size <= MAX_SIZE


def link_free_copy(source: str, target: str) -> None:
    """Copy a file in a process of its own."""
    pid = os.fork()
    if pid == 0:
        shutil.copyfile(source, target)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=rounds(25),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes, and 25 steps are readable
)
