"""The shipper: in order, at least once, never past what was accepted, and never for longer than it may."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.shipper import (
    RESEND_WINDOW_SECONDS,
    FromNow,
    Pace,
    Progress,
    Shipper,
    describe,
    flush_phase,
    seconds_to_flush,
)
from psstopd.delivery.sink import Answer, Sink
from psstopd.journal.cursor import Cursor, read_delivery
from psstopd.journal.writer import Journal
from tests.damage import leaves, zero_pages
from tests.fakes_delivery import FakeProgress, FakeSink, FakeSleep, PickyServer
from tests.samples import BEGIN, BOOT, INTERVAL, journal_config, tick, wide_tick

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
            journal.append(tick(number), delivered=0)
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


@pytest.mark.usefixtures("journal")
def test_everything_is_sent_once_and_in_order(path: str) -> None:
    """Batches hold whole ticks, at most batch_size points, and the cursor follows each of them."""
    progress, sink = FakeProgress(), FakeSink()

    answer = shipper(path, progress, sink).flush(never)

    assert answer == Answer(204)
    assert [times(batch) for batch in sink.sent] == [sorted([*range(n, n + 5)] * 2) for n in (0, 5, 10, 15)]
    assert progress.advances == [(5, 10), (10, 10), (15, 10), (20, 10)]


def test_a_tick_larger_than_a_batch_is_sent_alone(path: str) -> None:
    """A bound on the batch must not hold a tick back for ever."""
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        for number in range(2):
            journal.append(wide_tick(number, 30), delivered=0)
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
    moved, tries = list(progress.advances), len(sink.sent)
    sink.answers.clear()
    under_test.flush(never)

    assert (first, moved, progress.errors) == (answer, [], [describe(answer)])
    assert sink.sent[0] == sink.sent[tries]
    assert progress.advances[-1] == (20, 10)


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
    assert progress.advances[-1][0] == 20
    assert not progress.quarantine


@pytest.mark.usefixtures("journal")
def test_after_an_outage_the_last_minutes_are_sent_again(path: str) -> None:
    """What was accepted shortly before the server failed may have died with it."""
    progress, sink = FakeProgress(), FakeSink()
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    progress.cursor, progress.failing_since = 15, BEGIN + 10 * INTERVAL + RESEND_WINDOW_SECONDS

    under_test.flush(never)

    assert [times(batch) for batch in sink.sent[4:]] == [sorted([*range(n, n + 5)] * 2) for n in (15, 10, 15)]
    assert progress.cursor == 20


@pytest.mark.usefixtures("journal")
def test_resets_shrink_the_batch_until_it_gets_through(path: str) -> None:
    """A server that closes on a large body gets smaller ones, and larger ones again once it takes them."""
    reset = Answer(None, error="ConnectionResetError: connection reset by peer")
    progress, sink = FakeProgress(), FakeSink(*[reset] * 3)
    under_test = shipper(path, progress, sink)
    for _ in range(4):
        under_test.flush(never)

    assert [len(batch) for batch in sink.sent[:5]] == [10, 10, 10, 4, 10]
    assert progress.cursor == 20


def test_nothing_new_is_nothing_sent(journal: Journal, path: str) -> None:
    """An empty queue costs the server no request; the next tick is sent with the next flush."""
    sink = FakeSink()
    under_test = shipper(path, FakeProgress(), sink)
    under_test.flush(never)
    nothing = under_test.flush(never)
    journal.append(tick(20), delivered=20)
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
    assert [times(batch)[0] for batch in sink.sent] == [0, 5, 10, 15]


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
    before = journal.pending(0)

    done = subprocess.run([sys.executable, "-c", _HANGING, path], capture_output=True, timeout=20, check=False)

    assert done.returncode == -signal.SIGALRM
    delivery = read_delivery(path)
    assert delivery is not None
    assert (delivery.cursor, journal.pending(delivery.cursor)) == (0, before)


def test_a_journal_that_took_the_place_of_another_is_sent(path: str) -> None:
    """The journal is looked up by name for each flush, and its cursor begins anew."""
    sink = FakeSink()
    with closing(Cursor(path)) as cursor:
        under_test = shipper(path, cursor, sink)
        for numbers in (range(20), range(77, 78)):
            with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
                for number in numbers:
                    journal.append(tick(number), delivered=0)
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
                journal.append(tick(number), delivered=0)
            under_test.flush(never)
        sent = len(sink.sent)
        zero_pages(Path(path), leaves(Path(path), "tick")[-1:])
        with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
            journal.append(tick(300), delivered=300)
            under_test.flush(never)

    assert "journal was damaged" in caplog.text
    assert [times(batch) for batch in sink.sent[sent:]] == [[300, 300]]


def test_a_missing_journal_is_a_failure_like_others(path: str) -> None:
    """The shipper says what is wrong, waits longer, and goes on as soon as there is a journal."""
    progress, sink = FakeProgress(), FakeSink()
    under_test = shipper(path, progress, sink)
    under_test.flush(never)
    with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
        journal.append(tick(0), delivered=0)
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
from psstopd.delivery.shipper import RESEND_WINDOW_SECONDS, Pace, Shipper
from psstopd.journal.cursor import Cursor

class Dripping:
    def send(self, lines):
        while True:
            time.sleep(0.01)

pace = Pace(batch_size=10, flush_interval=10.0, deadline=0.3)
Shipper(sys.argv[1], Cursor(sys.argv[1]), Encoder("web1", {}), Dripping(), pace=pace).flush(lambda: False)
"""
