"""The shipper: in order, at least once, never past what was accepted, and never for longer than it may."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.progress import FromNow, Progress
from psstopd.delivery.shipper import (
    ERRORS_TO_ISOLATE,
    Pace,
    Shipper,
    describe,
    flush_phase,
    seconds_to_flush,
)
from psstopd.delivery.sink import ACCEPTED, Answer, Sink
from psstopd.delivery.unsettled import RESEND_WINDOW_SECONDS
from psstopd.journal.cursor import Cursor, read_delivery
from psstopd.journal.position import Position
from psstopd.journal.writer import Journal
from tests.damage import leaves, zero_pages
from tests.fakes_delivery import FakeProgress, FakeSink, FakeSleep, PickyServer
from tests.samples import BEGIN, BOOT, DAY, INTERVAL, journal_config, tick, wide_tick

PACE = Pace(batch_size=10, flush_interval=10.0, deadline=30.0)
DOWN = Answer(None, error="ConnectionRefusedError: connection refused")
BUSY = Answer(503, body="try later", retry_after="600")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give the place of the journal."""
    return str(tmp_path / "journal.db")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    """Give a journal of twenty ticks of two points each."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(20):
            journal.append(tick(number), delivered=Position(0))
        yield journal


def shipper(path: str, progress: Progress, sink: Sink, *, pace: Pace = PACE) -> Shipper:
    """Wire a shipper of host web1."""
    return Shipper(path, progress, Encoder("web1", {}), sink, pace=pace)


def never() -> bool:
    """Go on."""
    return False


def times(batch: list[str]) -> list[int]:
    """Give the places on the grid of a batch's lines."""
    return [(int(line.rpartition(" ")[2]) - BEGIN) // INTERVAL for line in batch]


def fives(*begins: int) -> list[list[int]]:
    """Give what `times` gives for batches of five ticks of two points each."""
    return [[number for number in range(begin, begin + 5) for _ in range(2)] for begin in begins]


@pytest.mark.usefixtures("journal")
def test_everything_is_sent_once_the_newest_first(path: str) -> None:
    """Batches hold whole ticks, at most batch_size points; the backlog follows from old to new; each moves a cursor."""
    progress, sink = FakeProgress(), FakeSink()

    answer = shipper(path, progress, sink).flush(never)

    assert answer == Answer(204)
    assert [times(batch) for batch in sink.sent] == fives(15, 0, 5, 10)
    assert progress.moves == [(Position(20, done, 15), 10) for done in (0, 5, 10, 15)]


@pytest.mark.usefixtures("journal")
def test_a_backlog_waits_for_its_rate(path: str) -> None:
    """One batch of it with the new ticks, the next when its points have had their time, and nothing else meanwhile."""
    progress, sink = FakeProgress(), FakeSink()
    slow = Pace(batch_size=10, flush_interval=10.0, deadline=30.0, backfill_rate=1.0)
    under_test, sleep = shipper(path, progress, sink, pace=slow), FakeSleep(sleeps=2)

    under_test.run(sleep, phase=seconds_to_flush_in(9.9))

    assert [times(batch) for batch in sink.sent] == fives(15, 0)
    assert 9.8 < sleep.slept[0] <= 9.9
    assert 9 < sleep.slept[1] <= 10


@pytest.mark.usefixtures("journal")
def test_new_ticks_go_before_a_backlog_that_is_there(journal: Journal, path: str) -> None:
    """What comes while the backlog waits is sent as if there were none."""
    progress, sink = FakeProgress(), FakeSink()
    slow = Pace(batch_size=10, flush_interval=10.0, deadline=30.0, backfill_rate=1.0)
    under_test = shipper(path, progress, sink, pace=slow)
    under_test.flush(never)
    journal.append(tick(20), delivered=progress.place)
    under_test.flush(never)

    assert [times(batch) for batch in sink.sent] == [*fives(15, 0), [20, 20]]
    assert progress.place == Position(21, 5, 15)


@pytest.mark.usefixtures("journal")
def test_a_backlog_goes_on_where_another_shipper_left_it(path: str) -> None:
    """Both cursors are in the file: killed at any moment, delivery neither begins anew nor leaves a hole."""
    sinks = [FakeSink(), FakeSink()]
    slow = Pace(batch_size=10, flush_interval=10.0, deadline=30.0, backfill_rate=1.0)
    for sink in sinks:
        with closing(Cursor(path)) as cursor:
            shipper(path, cursor, sink, pace=slow).flush(never)

    assert [[times(batch) for batch in sink.sent] for sink in sinks] == [fives(15, 0), fives(5)]


@pytest.mark.usefixtures("journal")
def test_a_backlog_that_fails_holds_no_new_tick_back(journal: Journal, path: str) -> None:
    """Each way through the queue waits for itself; the failure stays said until the backlog is through."""
    progress, sink = FakeProgress(), FakeSink(ACCEPTED, BUSY)
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    journal.append(tick(20), delivered=progress.place)
    under_test.flush(never)

    assert [times(batch) for batch in sink.sent] == [*fives(15, 0), [20, 20]]
    assert progress.is_failing


@pytest.mark.usefixtures("journal")
def test_a_line_that_makes_the_server_fail_is_found(path: str) -> None:
    """Ten errors 500 in a row on one batch, and others accepted: then it is a line of it, and it is set aside."""
    progress, server = FakeProgress(), PickyServer("name=nginx ", status=500)
    under_test = shipper(path, progress, server)

    for _ in range(ERRORS_TO_ISOLATE):
        under_test.flush(never)
    before = dict(progress.quarantine)
    under_test.flush(never)

    assert before == {}
    assert {line.partition(" ")[0] for line, _ in progress.quarantine.values()} == {"psstop,host=web1,name=nginx"}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(("seconds", "noted"), [(3 * DAY, [0, 3 * DAY, 0]), (-7200, [0, -7200, 0]), (30, [0, 0, 0])])
def test_a_clock_that_is_not_the_servers_is_said(
    path: str, seconds: int, noted: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """VictoriaMetrics drops what is two days ahead behind a 204: such a clock is said when it begins and ends."""
    caplog.set_level(logging.INFO)
    dates = [formatdate(time.time() - ahead, usegmt=True) for ahead in (0, seconds, 0)]
    progress = FakeProgress()
    under_test = shipper(path, progress, FakeSink(*[Answer(503, date=date) for date in dates]))
    found = []
    for _ in dates:
        under_test.flush(never)
        found.append(progress.clock_ahead)

    assert found == pytest.approx(noted, abs=2)
    said = [record.getMessage() for record in caplog.records if "clock" in record.getMessage()]
    assert len(said) == (2 if noted[1] else 0)


def seconds_to_flush_in(seconds: float) -> float:
    """Give the phase in ten seconds that comes so soon."""
    return (time.time() + seconds) % 10.0


def test_a_tick_larger_than_a_batch_is_sent_alone(path: str) -> None:
    """A bound on the batch must not hold a tick back for ever."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(2):
            journal.append(wide_tick(number, 30), delivered=Position(0))
        sink = FakeSink()
        shipper(path, FakeProgress(), sink).flush(never)

    assert [len(batch) for batch in sink.sent] == [31, 31]


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    "answer", [DOWN, BUSY, *(Answer(status) for status in (200, 202, 301, 400, 401, 403, 404, 413, 422, 429, 500))]
)
def test_only_a_204_moves_the_cursor(path: str, answer: Answer) -> None:
    """Whatever else comes back, nothing moves, the flush ends, and the next one sends the same lines again."""
    progress, sink = FakeProgress(), FakeSink(*[answer] * 100)
    under_test = shipper(path, progress, sink)

    first = under_test.flush(never)
    moved, tries = list(progress.moves), len(sink.sent)
    sink.answers.clear()
    under_test.flush(never)

    assert (first, moved, progress.errors) == (answer, [], [describe(answer)])
    assert sink.sent[0] == sink.sent[tries]
    assert progress.place.complete == 20


@pytest.mark.usefixtures("journal")
def test_a_refused_line_is_set_aside_and_sent_again_when_asked(path: str) -> None:
    """The cursor goes on behind a line that is refused alone; retried, it is forgotten once it is accepted."""
    progress, server = FakeProgress(), PickyServer("name=nginx ")
    under_test = shipper(path, progress, server)

    under_test.flush(never)
    aside = [line for line, _ in progress.quarantine.values()]
    server.poison = None
    progress.retries = set(progress.quarantine)
    under_test.flush(never)

    assert aside
    assert all("name=nginx " in line for line in aside)
    assert progress.place.complete == 20
    assert not progress.quarantine


@pytest.mark.usefixtures("journal")
def test_after_an_outage_what_came_before_it_is_sent_again(path: str, journal: Journal) -> None:
    """What a server accepted shortly before it failed may have died with it, however old; new ticks go first."""
    progress, sink = FakeProgress(), FakeSink(*[ACCEPTED] * 4, Answer(503))
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    journal.append(tick(20), delivered=None)
    under_test.flush(never)
    under_test.flush(never)

    assert [times(batch) for batch in sink.sent[5:]] == [[20, 20], *fives(0, 5, 10, 15)]
    assert progress.place.complete == 21


@pytest.mark.usefixtures("journal")
def test_a_connection_that_was_lost_unnoticed_is_an_outage(path: str, journal: Journal) -> None:
    """A server that crashed and came back between two requests shows by a new connection alone."""
    fresh = replace(ACCEPTED, is_fresh=True)
    progress, sink = FakeProgress(), FakeSink(fresh, *[ACCEPTED] * 3, fresh)
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    journal.append(tick(20), delivered=None)
    under_test.flush(never)

    assert [times(batch) for batch in sink.sent[4:]] == [[20, 20], *fives(0, 5, 10, 15)]
    assert progress.place.complete == 21


@pytest.mark.usefixtures("journal")
def test_a_server_that_always_hangs_up_gets_nothing_again_and_again(path: str, journal: Journal) -> None:
    """A connection that never outlives a request says nothing of the server: its every end would be an outage."""
    progress, sink = FakeProgress(), FakeSink(*[replace(ACCEPTED, is_fresh=True)] * 100)
    under_test = shipper(path, progress, sink)
    for number in range(20, 30):
        journal.append(tick(number), delivered=None)
        under_test.flush(never)

    assert [times(batch) for batch in sink.sent[-9:]] == [[number, number] for number in range(21, 30)]
    assert len(sink.sent) < 30


def test_another_shipper_doubts_what_the_one_before_sent(path: str, journal: Journal) -> None:
    """Nobody saw what became of the server between two shippers: the last minutes are sent again."""
    progress, sink = FakeProgress(), FakeSink()
    progress.journal_id, progress.place = journal.id, Position(20)
    progress.delivered_at = BEGIN + 15 * INTERVAL + RESEND_WINDOW_SECONDS

    shipper(path, progress, sink).flush(never)

    assert [times(batch) for batch in sink.sent] == fives(15)


@pytest.mark.usefixtures("journal")
def test_resets_shrink_the_batch_until_it_gets_through(path: str) -> None:
    """A server that closes on a large body gets smaller ones from then on."""
    reset = Answer(None, error="ConnectionResetError: connection reset by peer")
    progress, sink = FakeProgress(), FakeSink(*[reset] * 3)
    under_test = shipper(path, progress, sink)
    for _ in range(4):
        under_test.flush(never)

    assert [len(batch) for batch in sink.sent[:5]] == [10, 10, 10, 4, 4]
    assert progress.place.complete == 20


def test_nothing_new_is_nothing_sent(journal: Journal, path: str) -> None:
    """An empty queue costs the server no request; the next tick is sent with the next flush."""
    sink = FakeSink()
    under_test = shipper(path, FakeProgress(), sink)
    under_test.flush(never)
    nothing = under_test.flush(never)
    journal.append(tick(20), delivered=Position(20))
    under_test.flush(never)

    assert nothing is None
    assert times(sink.sent[-1]) == [20, 20]
    assert len(sink.sent) == 5


@pytest.mark.usefixtures("journal")
def test_waiting_grows_after_failures_and_ends_with_them(path: str) -> None:
    """Retry-After is honoured, without it the wait has a growing ceiling, and success brings the rhythm back."""
    sleep = FakeSleep(sleeps=5)

    shipper(path, FakeProgress(), FakeSink(BUSY, DOWN, DOWN)).run(sleep, phase=0.0)

    assert 0 < sleep.slept[0] <= 10
    assert 600 <= sleep.slept[1] <= 601
    assert sleep.slept[2] <= 2
    assert sleep.slept[3] <= 4
    assert 0 < sleep.slept[4] <= 10


@pytest.mark.usefixtures("journal")
def test_an_outage_is_logged_when_it_begins_changes_and_ends(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is counted, but only what is new is logged."""
    caplog.set_level(logging.INFO)
    progress = FakeProgress()
    under_test = shipper(path, progress, FakeSink(DOWN, DOWN, BUSY, BUSY))
    for _ in range(6):
        under_test.flush(never)

    assert progress.errors == [describe(DOWN)] * 2 + [describe(BUSY)] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "not delivering, keeping everything: ConnectionRefusedError: connection refused",
        "not delivering, keeping everything: status 503 try later",
        "delivering again: after_seconds=0",
    ]


@pytest.mark.usefixtures("journal")
def test_a_signal_in_the_middle_of_a_backlog_ends_it(path: str) -> None:
    """A signal is told once: the one that ends the flush ends the shipper too, after a last send."""
    sleep, sink = FakeSleep(sleeps=5, signal_during_flush=3), FakeSink()

    shipper(path, FakeProgress(), sink).run(sleep, phase=0.0)

    assert len(sleep.slept) == 1
    assert [times(batch)[0] for batch in sink.sent] == [15, 0, 5, 10]


@pytest.mark.usefixtures("journal")
def test_the_last_send_begins_nothing_after_its_time(path: str) -> None:
    """A stopping daemon does not wait for a backlog."""
    sink = FakeSink(before_answer=signal.pause)
    slow = Pace(batch_size=2, flush_interval=10.0, deadline=30.0)
    previous = signal.signal(signal.SIGALRM, lambda *_: None)
    began = time.monotonic()
    try:
        shipper(path, FakeProgress(), sink, pace=slow).flush(never, seconds=0.2)
    finally:
        signal.signal(signal.SIGALRM, previous)

    assert len(sink.sent) == 1
    assert time.monotonic() - began < 5


def test_a_deadline_ends_the_process(journal: Journal, path: str) -> None:
    """A server that keeps a request for ever ends this shipper, not delivery: nothing has moved."""
    before = journal.pending(Position())

    done = subprocess.run([sys.executable, "-c", _HANGING, path], capture_output=True, timeout=20, check=False)

    assert done.returncode == -signal.SIGALRM
    delivery = read_delivery(path)
    assert delivery is not None
    assert (delivery.position, journal.pending(delivery.position)) == (Position(), before)


def test_a_journal_that_took_the_place_of_another_is_sent(path: str) -> None:
    """The journal is looked up by name for each flush, and its cursor begins anew."""
    sink = FakeSink()
    with closing(Cursor(path)) as cursor:
        under_test = shipper(path, cursor, sink)
        for numbers in (range(20), range(77, 78)):
            with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
                for number in numbers:
                    journal.append(tick(number), delivered=Position(0))
                under_test.flush(never)
            Path(path).unlink()

    assert len(sink.sent) == 5
    assert times(sink.sent[-1]) == [77, 77]


def test_a_repaired_journal_is_sent_on_from_the_cursor(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """The repair keeps identity and ids: no tick is sent twice and none is left out."""
    sink = FakeSink()
    with closing(Cursor(path)) as cursor:
        under_test = shipper(path, cursor, sink)
        with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
            for number in range(300):
                journal.append(tick(number), delivered=Position(0))
            under_test.flush(never)
        sent = len(sink.sent)
        zero_pages(Path(path), leaves(Path(path), "tick")[-1:])
        with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
            journal.append(tick(300), delivered=Position(300))
            under_test.flush(never)

    assert "journal was damaged" in caplog.text
    assert [times(batch) for batch in sink.sent[sent:]] == [[300, 300]]


def test_a_writer_that_comes_is_read_from_its_first_tick(path: str) -> None:
    """What was opened while nobody wrote is opened anew once somebody does; SQLite would give pages of both times."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(20):
            journal.append(tick(number), delivered=None)
    writers: list[Journal] = []

    def come() -> None:
        if not writers:
            writers.append(Journal(journal_config(path), boot_id=BOOT))
            writers[0].append(tick(20), delivered=None)

    progress, sink = FakeProgress(), FakeSink(before_answer=come)
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    first = len(sink.sent)
    under_test.flush(never)
    writers[0].close()

    assert first == 1
    assert progress.place.complete == 21


def test_a_missing_journal_is_a_failure_like_others(path: str) -> None:
    """The shipper says what is wrong, waits longer, and goes on as soon as there is a journal."""
    progress, sink = FakeProgress(), FakeSink()
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(0), delivered=Position(0))
        under_test.flush(never)

    assert progress.errors == [f"journal: {path}: unable to open database file"]
    assert len(sink.sent) == 1


def test_standard_output_begins_now(journal: Journal, path: str) -> None:
    """What was journalled before is not written to a reader that has just come."""
    sink = FakeSink()
    under_test = shipper(path, FromNow(journal.newest_tick), sink)
    under_test.flush(never)
    before = list(sink.sent)
    for number in (20, 21):
        journal.append(tick(number), delivered=None)
    under_test.flush(never)

    assert before == []
    assert [times(batch) for batch in sink.sent] == [[20, 20, 21, 21]]


def test_a_fleet_is_spread_over_the_interval() -> None:
    """Of ten thousand machines, each tenth of the interval gets its tenth, and a machine keeps its place."""
    phases = [flush_phase(f"{number:032x}", 10.0) for number in range(10_000)]
    tenths = [sum(tenth <= phase < tenth + 1 for phase in phases) for tenth in range(10)]

    assert sum(tenths) == 10_000
    assert 850 < min(tenths) <= max(tenths) < 1150
    assert flush_phase("a", 10.0) == flush_phase("a", 10.0)


_MOMENTS = st.floats(0, 2**33)
_INTERVALS = st.floats(1, 3600)


@given(_MOMENTS, _INTERVALS, st.floats(0, 1))
@example(now=0.0, interval=10.0, share=1e-18)
def test_the_next_flush_is_within_an_interval(now: float, interval: float, share: float) -> None:
    """There is always some time to sleep, never more than an interval, and it ends at the phase."""
    phase = share * interval

    seconds = seconds_to_flush(now, interval, phase)

    assert 0 < seconds <= interval
    remainder = (now + seconds - phase) % interval
    assert min(remainder, interval - remainder) < 1e-5


_HANGING = """
import sys, time
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.progress import FromNow, Progress
from psstopd.delivery.shipper import Pace, Shipper
from psstopd.journal.cursor import Cursor

class Dripping:
    def send(self, lines):
        while True:
            time.sleep(0.01)

pace = Pace(batch_size=10, flush_interval=10.0, deadline=0.3)
Shipper(sys.argv[1], Cursor(sys.argv[1]), Encoder("web1", {}), Dripping(), pace=pace).flush(lambda: False)
"""
