"""The shipper's keeper: when it starts one, how long it waits after a death, and that none is waited for."""

import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from psstopd.config import Config, InfluxDBConfig, JournalConfig, Overhead, Sampling
from psstopd.service.child import ShipperChild
from psstopd.service.pulse import SLACK_SECONDS, Pulse
from tests.daemon import lives, stand_still
from tests.systemd import notify_socket
from tests.waiting import wait_for

INFLUXDB = InfluxDBConfig("http://127.0.0.1:1", "v2", "-", "b", None, None, 5000, 10, 10, 10_000, None, None)


class Monotonic:
    """A clock that tests turn by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Give the seconds."""
        return self.seconds


def config(directory: Path, influxdb: InfluxDBConfig | None = INFLUXDB) -> Config:
    """Configure nothing but a server and a journal."""
    journal = JournalConfig(str(directory / "journal.db"), 3600, 3600, 8 << 20)
    return Config((), Sampling(10, 200, 0), Overhead(0.005, 0.02), journal, influxdb, {})


@pytest.fixture
def clock() -> Monotonic:
    """Give the clock that the keeper goes by."""
    return Monotonic()


@pytest.fixture
def child(tmp_path: Path, clock: Monotonic) -> Iterator[ShipperChild]:
    """Give a keeper for a server that nobody listens on; its shipper ends with the test."""
    keeper = ShipperChild(config(tmp_path), monotonic=clock)
    yield keeper
    keeper.stop()


def pid_of(child: ShipperChild) -> int:
    """Give the pid of the shipper that there has to be."""
    assert child.pid is not None
    return child.pid


def end(child: ShipperChild, how: signal.Signals = signal.SIGKILL) -> None:
    """Let the shipper die, and its keeper notice."""
    os.kill(pid_of(child), how)
    poll_until(child, lambda: child.pid is None)


def poll_until(child: ShipperChild, condition: Callable[[], bool]) -> None:
    """Poll as the daemon does until `condition` holds."""

    def polled() -> bool:
        child.poll()
        return condition()

    wait_for(polled, 10, "what the keeper should do")


def test_without_a_server_nothing_is_started(tmp_path: Path) -> None:
    """A config without [influxdb] has no second process and no delivery."""
    child = ShipperChild(config(tmp_path, None))

    child.poll()

    assert (child.pid, child.delivers, child.closed) == (None, False, False)


def test_each_death_makes_the_next_start_wait_longer(
    child: ShipperChild, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    """1 s, doubled with every death up to a minute; not a moment earlier."""
    waits = (1, 2, 4, 8, 16, 32, 60, 60)
    child.poll()
    for seconds in waits:
        end(child)
        clock.seconds += seconds - 0.1
        child.poll()
        assert child.pid is None
        clock.seconds += 0.2
        child.poll()
        assert child.pid is not None

    assert caplog.messages == [f"shipper ended: exit_code=-9, next_start_in_seconds={seconds}" for seconds in waits]


def test_a_steady_shipper_begins_anew(
    child: ShipperChild, clock: Monotonic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a minute of life, a death is the first one again."""
    child.reconfigure(config(tmp_path, INFLUXDB._replace(timeout=300)))
    child.poll()
    end(child)
    clock.seconds += 1
    child.poll()
    clock.seconds += 61
    end(child)

    assert caplog.messages == ["shipper ended: exit_code=-9, next_start_in_seconds=1"] * 2


def test_a_request_over_its_deadline_is_named(child: ShipperChild, caplog: pytest.LogCaptureFixture) -> None:
    """The alarm that ends a request which drips is told from other deaths."""
    child.poll()
    end(child, signal.SIGALRM)

    assert caplog.messages == ["shipper ended: a request was over its deadline, next_start_in_seconds=1"]


def test_an_unchanged_sink_keeps_its_shipper(child: ShipperChild, tmp_path: Path) -> None:
    """A reload that changes other things leaves the shipper alone."""
    child.poll()
    before = child.pid

    child.reconfigure(config(tmp_path)._replace(sampling=Sampling(5, 100, 3)))

    assert child.pid == before


def test_another_sink_gets_another_shipper(
    child: ShipperChild, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old one is told to end, the new one starts when it has, at once, and no failure is logged."""
    child.poll()
    before = pid_of(child)
    child.reconfigure(config(tmp_path, INFLUXDB._replace(bucket="other")))
    poll_until(child, lambda: child.pid not in {None, before})

    assert not lives(before)
    assert caplog.messages == []


def test_a_shipper_that_hangs_is_not_waited_for(child: ShipperChild, clock: Monotonic, tmp_path: Path) -> None:
    """One that doesn't end when told to is killed 1.5 s later, by the clock, and only then there is another."""
    child.poll()
    before = pid_of(child)
    stand_still(before)
    child.reconfigure(config(tmp_path, None))
    child.reconfigure(config(tmp_path, INFLUXDB._replace(bucket="other")))
    clock.seconds += 1.4
    child.poll()
    still = child.pid
    clock.seconds += 0.2
    poll_until(child, lambda: child.pid not in {None, before})

    assert still == before
    assert not lives(before)


def test_a_shipper_without_progress_is_killed(
    child: ShipperChild, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    """One that stands still for longer than a request may take makes room for another, as after a death."""
    child.poll()
    before = pid_of(child)
    stand_still(before)
    clock.seconds += INFLUXDB.deadline + SLACK_SECONDS
    child.poll()
    patient = lives(before)
    clock.seconds += 1
    poll_until(child, lambda: child.pid is None)
    clock.seconds += 1
    child.poll()

    assert patient
    assert child.pid not in {None, before}
    assert caplog.messages == ["shipper killed: no progress for 41 s, next_start_in_seconds=1"]


def test_each_beat_counts() -> None:
    """Silence is counted from the last beat, whenever the daemon listens."""
    pulse = Pulse(0.0)
    os.write(pulse.mouth, b"..")
    heard = [pulse.silent_seconds(50.0), pulse.silent_seconds(60.0)]
    pulse.close_mouth()
    heard.append(pulse.silent_seconds(70.0))
    pulse.close()

    assert heard == [0.0, 10.0, 20.0]


def test_no_sink_any_more_ends_the_shipper(child: ShipperChild, tmp_path: Path) -> None:
    """A reload without [influxdb] leaves none."""
    child.poll()
    before = pid_of(child)
    child.reconfigure(config(tmp_path, None))
    poll_until(child, lambda: child.pid is None)

    assert not lives(before)


def test_a_stop_leaves_none(child: ShipperChild) -> None:
    """Not even one that stands still."""
    child.poll()
    before = pid_of(child)
    stand_still(before)
    child.stop()

    assert (child.pid, lives(before)) == (None, False)


def test_a_machine_without_room_is_tried_again(
    child: ShipperChild, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no descriptor is to be had, the start is put off like any other, and the daemon goes on."""
    with no_descriptors():
        child.poll()
    nothing = child.pid
    clock.seconds += 1
    child.poll()

    assert nothing is None
    assert child.pid is not None
    assert caplog.messages == ["shipper not started: [Errno 24] Too many open files, next_start_in_seconds=1"]


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_shipper_does_not_speak_to_systemd(child: ShipperChild, tmp_path: Path) -> None:
    """READY and the watchdog are the daemon's: the shipper doesn't know where systemd listens."""
    with notify_socket(f"{tmp_path}/notify"):
        child.poll()
        wait_for(lambda: lives(pid_of(child)), 5, "the shipper")
        environ = Path(f"/proc/{child.pid}/environ").read_bytes()

    assert b"NOTIFY_SOCKET" not in environ


def test_deaths_are_logged_as_warnings(child: ShipperChild, caplog: pytest.LogCaptureFixture) -> None:
    """What costs nothing but a delay is no error."""
    child.poll()
    end(child)

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
