"""The daemon's loop by a clock that tests turn: when it ticks, what it tells systemd, and what it survives."""

import signal
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from psstopd.journal.writer import Journal
from psstopd.model import Health, Tick
from psstopd.service.reload import ConfigLoad, ConfigRefused
from tests.waiting import wait_for
from tests.world import config, run, ticks, world

HEALTH = Health(0, 0, 0, None, None, 0, None, None, None, 0)


def record(directory: Path, *times: int) -> None:
    """Let an earlier daemon have recorded ticks."""
    with closing(Journal(config(directory).journal, boot_id="a boot")) as journal:
        for time in times:
            journal.append(Tick(time, (), HEALTH), delivered=None)


def test_the_first_tick_is_taken_at_once(tmp_path: Path) -> None:
    """It stands for the grid point that has just passed; the others come at theirs, and none is late."""
    with world(tmp_path, now=1003.4, until=1025) as around:
        run(around, config(tmp_path))

    assert ticks(tmp_path) == [1000, 1010, 1020]
    assert around.reports[-1].health.late_ticks_total == 0


def test_ready_follows_the_first_tick(tmp_path: Path) -> None:
    """READY=1 is said once, after the first tick is in the journal, and STOPPING=1 last."""
    with world(tmp_path, now=1003, until=1025) as around:
        run(around, config(tmp_path))

    states = [message.split(b"\n")[0] for _, message in around.heard]
    assert states[:2] == [b"EXTEND_TIMEOUT_USEC=120000000", b"READY=1"]
    assert states[-1] == b"STOPPING=1"
    assert around.told(b"READY=1") == [1003]


def test_a_full_journal_is_not_ready(tmp_path: Path) -> None:
    """READY=1 waits for a journalled tick, also over a reload, and STATUS says what is wrong meanwhile."""
    with world(tmp_path, now=1000, until=1035) as around:
        around.refuse_ticks = 2
        around.events = [(1005, lambda: signal.SIGHUP)]
        run(around, config(tmp_path), refuse_to_load)

    assert around.told(b"READY=1") == [1020]
    assert around.told(b"RELOADING=1") == []
    assert any(b"journal not writable: disk full" in message for when, message in around.heard if when < 1020)


def refuse_to_load() -> ConfigLoad:
    """Have no room to read a config."""
    raise ConfigRefused("no memory")


@pytest.mark.parametrize(
    ("recorded", "interval", "expected"),
    [
        pytest.param([1000], 10, [1000, 1010], id="the same tick"),
        pytest.param([1000], 60, [1000, 1020], id="a finer grid since then"),
        pytest.param([990], 10, [990, 1000, 1010], id="the tick before"),
        pytest.param([9000], 10, [9000, 1000, 1010], id="a clock that was wrong"),
    ],
)
def test_a_restart_records_nothing_twice(
    recorded: list[int], interval: int, expected: list[int], tmp_path: Path
) -> None:
    """A grid point that has its sample gets no other, and the daemon is ready at once all the same."""
    record(tmp_path, *recorded)
    with world(tmp_path, now=1003, until=1021 if interval == 60 else 1015) as around:
        run(around, config(tmp_path, interval=interval))

    assert ticks(tmp_path) == expected
    assert around.told(b"READY=1") == [1003]


def test_late_ticks_are_counted(tmp_path: Path) -> None:
    """Grid points that pass during a tick are counted, never made up for."""
    with world(tmp_path, now=1000, until=1055) as around:
        around.events = [(1010, lambda: around.pass_time(25))]
        run(around, config(tmp_path))

    assert ticks(tmp_path) == [1000, 1030, 1040, 1050]
    assert [report.health.late_ticks_total for report in around.reports] == [0, 2, 2, 2]


@pytest.mark.parametrize("step", [86400, -3600], ids=["forward", "back"])
def test_a_clock_that_steps_begins_a_new_grid(step: int, tmp_path: Path) -> None:
    """Ticks go on from the new time within an interval, and none is called late."""
    with world(tmp_path, now=1_000_000, until=1_000_030) as around:
        around.events = [(1_000_005, lambda: around.step(step))]
        run(around, config(tmp_path))

    _, second, *_ = ticks(tmp_path)
    assert abs(second - (1_000_005 + step)) < 10
    assert len(ticks(tmp_path)) >= 3
    assert around.reports[-1].health.late_ticks_total == 0


def test_the_watchdog_is_fed_in_time(tmp_path: Path) -> None:
    """With an hour between ticks WATCHDOG=1 comes every half of what systemd allows, or sooner."""
    with world(tmp_path, now=3600, until=3700) as around:
        run(around, config(tmp_path, interval=3600), watchdog="8000000")

    fed = around.told(b"WATCHDOG=1")
    assert ticks(tmp_path) == [3600]
    assert fed[-1] > 3690
    assert max(after - before for before, after in pairwise(fed)) <= 4


def test_signals_without_end_delay_no_tick(tmp_path: Path) -> None:
    """A tick is due when it is due, however many signals are waiting."""
    with world(tmp_path, now=1000, until=1015) as around:
        around.events = [(1010, lambda: signal.SIGCHLD)] * 1000
        run(around, config(tmp_path))

    assert ticks(tmp_path) == [1000, 1010]


def test_sigterm_stops_without_another_tick(tmp_path: Path) -> None:
    """SIGTERM that comes together with a tick wins."""
    with world(tmp_path, now=1000, until=1100) as around:
        around.events = [(1010, lambda: signal.SIGTERM)]
        run(around, config(tmp_path))

    assert ticks(tmp_path) == [1000]


class Loads:
    """Reads a config file for each reload, in real children; lives for one test."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._all: list[ConfigLoad] = []

    def __call__(self) -> ConfigLoad:
        """Begin to read."""
        self._all.append(ConfigLoad(str(self._file)))
        return self._all[-1]

    def end(self) -> int:
        """Let the reading end, which SIGCHLD tells."""
        wait_for(self._all[-1].done, 20, "the end of the child")
        return signal.SIGCHLD

    @property
    def count(self) -> int:
        """How often the file was read."""
        return len(self._all)


def write(directory: Path, *, interval: str) -> Loads:
    """Write a config for the journal of `config`; give what reads it."""
    file = directory / "psstop.toml"
    file.write_text(f'names = ["x"]\n[sampling]\ninterval = "{interval}"\n[journal]\npath = "{directory}/journal.db"\n')
    return Loads(file)


def test_a_reload_is_told_in_order(tmp_path: Path) -> None:
    """RELOADING=1 at SIGHUP, READY=1 when the new config holds, and the new grid from then on."""
    loads = write(tmp_path, interval="30s")
    with world(tmp_path, now=990, until=1060) as around:
        around.events = [(1002, lambda: signal.SIGHUP), (1003, loads.end)]
        run(around, config(tmp_path), loads)

    assert (around.told(b"RELOADING=1"), around.told(b"READY=1")) == ([1002], [990, 1003])
    assert ticks(tmp_path) == [990, 1000, 1020, 1050]


def test_a_refused_reload_is_over_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """READY=1 is said after a bad config as well, and nothing has changed."""
    loads = write(tmp_path, interval="often")
    with world(tmp_path, now=1000, until=1015) as around:
        around.events = [(1002, lambda: signal.SIGHUP), (1003, loads.end)]
        run(around, config(tmp_path), loads)

    assert around.told(b"READY=1") == [1000, 1003]
    assert ticks(tmp_path) == [1000, 1010]
    assert 'sampling.interval = "often": must be a duration' in caplog.text


def test_a_reload_during_a_reload_is_not_lost(tmp_path: Path) -> None:
    """However often SIGHUP comes while the file is being read, it is read once more afterwards."""
    loads = write(tmp_path, interval="10s")
    with world(tmp_path, now=1000, until=1015) as around:
        around.events = [(1002, lambda: signal.SIGHUP)] * 3 + [(1003, loads.end), (1004, loads.end)]
        run(around, config(tmp_path), loads)

    assert loads.count == 2
    assert around.told(b"READY=1") == [1000, 1003, 1004]


def test_no_room_for_a_reload_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the child that reads the config can't be started, the old config stays and systemd hears of the end."""
    with world(tmp_path, now=1000, until=1015) as around:
        around.events = [(1002, lambda: signal.SIGHUP)]
        run(around, config(tmp_path), refuse_to_load)

    assert around.told(b"READY=1") == [1000, 1002]
    assert ticks(tmp_path) == [1000, 1010]
    assert "reload refused, going on with the old config:\nno memory" in caplog.messages
