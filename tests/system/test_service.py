"""psstop.service under a real systemd: ready, alive, reloading, stopping, and what it may do."""

import re
import signal
import time

import pytest

from tests.system.service import SHIPPER, TOKEN, UNIT, Service
from tests.waiting import wait_for

pytestmark = pytest.mark.systemd

CAPABILITIES = 1 << 38 | 1 << 19  # CAP_PERFMON, CAP_SYS_PTRACE
SYN_SENT = "02"  # in /proc/net/tcp, proc_net(5)
PORT = 8086
NEWEST = "SELECT name, processes FROM samples WHERE time = (SELECT max(time) FROM tick)"


def test_ready_means_that_the_first_tick_is_in_the_journal(service: Service) -> None:
    """With a tick an hour and InfluxDB down, the service is up at once, watched over, and its one tick can be read."""
    service.start_program("watched")
    service.configure("watched", interval="1h")
    service.start()

    assert (service.shown("ActiveState"), service.shown("WatchdogUSec")) == ("active", "1min")
    assert len(service.ticks()) == 1
    assert service.query("SELECT name, processes FROM samples") == [{"name": "watched", "processes": 1}]


def test_status_says_what_is_watched_pending_and_wrong(service: Service) -> None:
    """`systemctl status` tells in words that one name is watched, points wait, and why."""
    service.start_program("watched")
    service.configure("watched")
    service.start()

    words = wait_for(lambda: _matching(r".*not delivering.*", service.shown("StatusText")), 10, "a failed delivery")

    assert "watching 1 name, 1 process" in words
    assert re.search(r"[1-9]\d* points pending", words)
    assert "ConnectionRefused" in words


def test_the_sampler_measures_other_users_with_two_capabilities(service: Service) -> None:
    """A user made up for the service, without any right but two, reads the PSS of root's and of nobody's processes."""
    service.start_program("watched")
    service.start_program("watched", user="nobody")
    service.configure("watched")
    service.start()

    status = service.process_status(service.main_pid)
    (sample,) = service.query("SELECT * FROM samples WHERE time = (SELECT min(time) FROM tick)")

    assert 61184 <= int(status["Uid"].split()[0]) <= 65519  # systemd's range for dynamic users
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {CAPABILITIES}
    assert (sample["processes"], sample["unreadable"]) == (2, 0)
    assert sample["pss_bytes"] > sample["pss_max_bytes"] > 0


def test_the_token_reaches_the_server_and_no_one_else(service: Service) -> None:
    """A token file that only root may read is used, and is in no argument, environment or log."""
    server = service.start_server("accepting", PORT)
    service.configure("watched", port=PORT)
    service.start()

    wait_for(lambda: f"authorization=Token {TOKEN}" in service.log(server), 10, "a write with the token")

    for pid in (service.main_pid, service.keeper_pid, service.shipper_pid):
        public = [service.container.path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        assert TOKEN.encode() not in b"".join(public)
    assert TOKEN not in service.log() + service.log(SHIPPER)


def test_a_missing_token_file_does_not_prevent_the_start(service: Service) -> None:
    """A server that asks for no token needs no token file."""
    server = service.start_server("accepting", PORT)
    service.configure("watched", port=PORT, token=None)
    service.start()

    wait_for(lambda: "authorization=None" in service.log(server), 10, "a write without a token")


def test_the_watchdog_restarts_a_hung_sampler(service: Service) -> None:
    """A sampler that hangs is killed and restarted; the journal goes on, and no start is counted twice."""
    service.start_program("watched")
    service.configure("watched")
    service.drop_in("WatchdogSec=1", "TimeoutAbortSec=500ms", "RestartSec=100ms")
    service.start()
    before = service.await_ticks(2)
    hung = service.main_pid

    service.container.run(["kill", f"-{signal.SIGSTOP}", str(hung)])
    wait_for(lambda: service.main_pid not in {0, hung}, 10, "a new sampler")
    wait_for(lambda: service.shown("ActiveState") == "active", 10, "a sampler that is ready")
    after = service.await_ticks(2)

    assert "Watchdog timeout" in service.log()
    assert service.shown("NRestarts") == "1"
    assert [tick["id"] for tick in after] == list(range(1, len(after) + 1))
    assert after[: len(before)] == before
    assert service.query("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert service.query("SELECT DISTINCT starts_total FROM samples") == [{"starts_total": 1}]


@pytest.mark.parametrize("kind", ["silent", "full"])
def test_a_stop_is_quick_amid_a_request(service: Service, kind: str) -> None:
    """Both units stop by themselves in less than 2 s while their server swallows the request, or the connect."""
    server = service.start_server(kind, PORT)
    service.configure("watched", port=PORT)
    service.start()
    sent = {"silent": lambda: "received" in service.log(server), "full": lambda: _is_connecting(service)}
    wait_for(sent[kind], 10, "a request in flight")

    began = time.monotonic()
    service.container.systemctl("stop", UNIT)
    wait_for(lambda: service.shown("ActiveState", SHIPPER) == "inactive", 10, "the end of the shipper")
    seconds = time.monotonic() - began

    assert seconds < 2
    for unit in (UNIT, SHIPPER):
        assert (service.shown("Result", unit), service.shown("ExecMainStatus", unit)) == ("success", "0")
        assert "stopped:" in service.log(unit)


def test_a_bad_config_is_refused_by_a_reload(service: Service) -> None:
    """Reloading a config with mistakes logs them, and the service goes on with the old one."""
    service.start_program("watched")
    service.configure("watched")
    service.start()
    pid = service.main_pid

    service.container.write("/etc/psstop/psstop.toml", 'names = ["watched"]\n[sampling]\nintervall = "1s"\n')
    service.container.systemctl("reload", UNIT)
    wait_for(lambda: "sampling.intervall" in service.log(), 10, "the mistake in the log")
    wait_for(lambda: service.shown("ActiveState") == "active", 10, "the end of the reload")
    service.await_ticks(2)

    assert service.main_pid == pid
    assert service.query(NEWEST) == [{"name": "watched", "processes": 1}]


def test_a_good_config_is_taken_over_by_a_reload(service: Service) -> None:
    """After a reload the new names are sampled by the same process, and the old ones are not."""
    service.start_program("watched")
    service.start_program("another")
    service.configure("watched")
    service.start()
    pid = service.main_pid

    service.configure("another")
    service.container.systemctl("reload", UNIT)
    expected = [{"name": "another", "processes": 1}]
    wait_for(lambda: service.query(NEWEST) == expected, 10, "a tick with the new name alone")

    assert (service.main_pid, service.shown("ActiveState")) == (pid, "active")


def test_a_bad_config_is_not_tried_again(service: Service) -> None:
    """A start with a bad config fails with exit status 78 and is final."""
    service.container.write("/etc/psstop/psstop.toml", "names = 5\n")

    started = service.container.systemctl("start", UNIT, check=False)

    assert started.returncode != 0
    assert service.shown("ExecMainStatus") == "78"
    assert (service.shown("ActiveState"), service.shown("SubState")) == ("failed", "failed")
    assert service.shown("NRestarts") == "0"


def test_a_restart_keeps_journal_and_counts(service: Service) -> None:
    """Ticks from before a restart stay, ids go on, and only a program that was started meanwhile counts as started."""
    service.start_program("watched")
    service.configure("watched")
    service.start()
    before = service.await_ticks(1)

    service.container.systemctl("stop", UNIT)
    service.start_program("watched")
    service.start()
    after = service.await_ticks(1)
    counts = service.query("SELECT starts_total FROM samples ORDER BY time")

    assert after[: len(before)] == before
    assert [tick["id"] for tick in after] == list(range(1, len(after) + 1))
    assert [count["starts_total"] for count in counts] == [1] * len(before) + [2] * (len(after) - len(before))


def _matching(pattern: str, text: str) -> str | None:
    found = re.fullmatch(pattern, text)
    return found[0] if found else None


def _is_connecting(service: Service) -> bool:
    """Tell whether a connect to PORT waits for its answer, proc_net(5)."""
    lines = service.container.run(["cat", "/proc/net/tcp"]).stdout.splitlines()[1:]
    return any(line.split()[2].endswith(f":{PORT:04X}") and line.split()[3] == SYN_SENT for line in lines)
