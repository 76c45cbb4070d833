"""psstop-shipper.service beside psstop.service: what divides the two, and that each survives the other."""

import signal

import pytest

from tests.system.service import SHIPPER, TOKEN, UNIT, Service
from tests.waiting import wait_for

pytestmark = pytest.mark.systemd

PORT = 8086
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@pytest.fixture
def server(service: Service) -> str:
    """Start both units with a server that takes everything; give the name of its unit."""
    server = service.start_server("accepting", PORT)
    service.configure("watched", port=PORT)
    service.start()
    return server


def await_all_sent(service: Service, server: str) -> None:
    """Wait until the server has every tick that is in the journal now, and see that the ticks lie a second apart."""
    times = [tick["time"] for tick in service.await_ticks(1)]
    wait_for(lambda: service.sent(server) >= set(times), 15, f"every tick in {service.sent(server)}")
    assert times == list(range(times[0], times[0] + len(times)))


def test_the_sampler_has_no_network(service: Service, server: str) -> None:
    """What reads all processes has a loopback of its own and nothing else, while points arrive."""
    namespaces = [service.container.path(f"/proc/{pid}/ns/net").readlink() for pid in (1, service.main_pid)]
    interfaces = service.container.path(f"/proc/{service.main_pid}/net/dev").read_text().splitlines()[2:]
    await_all_sent(service, server)

    assert namespaces[0] != namespaces[1]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_what_ships_has_no_capability(service: Service, server: str) -> None:
    """Keeper and shipper have none in any set, the sampler's user, no way to more, and see neither it nor process 1."""
    await_all_sent(service, server)
    keeper, shipper = (service.process_status(pid) for pid in (service.keeper_pid, service.shipper_pid))
    uid = service.process_status(service.main_pid)["Uid"]
    become = [f"--reuid={uid.split()[0]}", f"--regid={uid.split()[0]}", "--keep-groups", "--bounding-set=-all"]
    enter = ["nsenter", f"--target={service.shipper_pid}", "--user", "--preserve-credentials", "--mount"]
    seen = service.container.run([*enter, "setpriv", *become, "ls", "/proc"]).stdout.split()

    for status in (keeper, shipper):
        assert {int(status[name], 16) for name in SETS} == {0}
        assert (status["Uid"], status["NoNewPrivs"]) == (uid, "1")
    assert {"self", str(service.keeper_pid)} <= set(seen)
    assert not {"1", str(service.main_pid)} & set(seen)


def test_the_token_is_out_of_the_samplers_sight(service: Service, server: str) -> None:
    """The shipper's unit alone is handed it, and what is handed over is not even a file where the sampler looks."""
    await_all_sent(service, server)
    environ = service.container.path(f"/proc/{service.main_pid}/environ").read_bytes()
    look = ["cat", f"/run/credentials/{SHIPPER}/influxdb-token"]
    looks = [
        service.container.run(["nsenter", f"--target={pid}", "--mount", *look], check=False)
        for pid in (service.keeper_pid, service.main_pid)
    ]

    assert b"CREDENTIALS_DIRECTORY" not in environ
    assert [done.stdout for done in looks] == [f"{TOKEN}\n", ""]


def test_a_token_file_in_the_config_is_not_the_samplers_business(service: Service) -> None:
    """A config that names a file for root alone starts both: the shipper has it as its credential."""
    server = service.start_server("accepting", PORT)
    service.configure("watched", port=PORT)
    config = service.container.path("/etc/psstop/psstop.toml")
    config.write_text(config.read_text() + 'token_file = "/etc/psstop/influxdb-token"\n')
    service.start()

    wait_for(lambda: f"authorization=Token {TOKEN}" in service.log(server), 10, "a write with the token")


def test_the_first_start_is_quiet(service: Service, server: str) -> None:
    """The shipper is up before there is a journal, waits for it without a word, and sends from the first tick on."""
    await_all_sent(service, server)

    log = service.log(SHIPPER)
    assert "started: version=" in log
    assert "not delivering" not in log
    words = "to http://127.0.0.1:8086; last delivery"
    wait_for(lambda: words in service.shown("StatusText", SHIPPER), 12, "the last delivery in the status")


@pytest.mark.parametrize("victim", ["shipper_pid", "keeper_pid"])
def test_whoever_is_killed_comes_back(victim: str, service: Service, server: str) -> None:
    """Neither the shipper's death nor its keeper's costs a tick, or a point."""
    service.drop_in("RestartSec=100ms", unit=SHIPPER)
    sampler, shipper = service.main_pid, service.shipper_pid

    service.container.run(["kill", f"-{signal.SIGKILL}", str(getattr(service, victim))])
    wait_for(lambda: service.shipper_pid != shipper, 10, "another shipper")
    await_all_sent(service, server)

    assert service.main_pid == sampler
    assert service.ticks()[-1]["late_ticks_total"] == 0


def test_the_watchdog_restarts_a_hung_keeper(service: Service) -> None:
    """A keeper that stands still is killed with its shipper, and the sampler does not notice."""
    service.configure("watched")
    service.drop_in("WatchdogSec=1", "TimeoutAbortSec=500ms", "RestartSec=100ms", unit=SHIPPER)
    service.start()
    sampler, keeper, shipper = service.main_pid, service.keeper_pid, service.shipper_pid

    service.container.run(["kill", f"-{signal.SIGSTOP}", str(keeper)])
    wait_for(lambda: service.keeper_pid not in {0, keeper}, 10, "another keeper")
    wait_for(lambda: service.shipper_pid != shipper, 10, "another shipper")

    assert "Watchdog timeout" in service.log(SHIPPER)
    assert service.main_pid == sampler


def test_a_stop_sends_the_last_tick(service: Service, server: str) -> None:
    """The sampler, here one that takes its time, ends first, then the shipper, which sends what that wrote last."""
    service.drop_in("ExecStop=sleep 2.5")
    began = service.await_ticks(1)[-1]["id"]

    service.container.systemctl("stop", UNIT)
    wait_for(lambda: service.shown("ActiveState", SHIPPER) == "inactive", 5, "the end of the shipper")
    last = service.ticks()[-1]

    assert service.shown("ActiveState") == "inactive"
    assert last["id"] >= began + 2
    assert last["time"] in service.sent(server)


def test_a_restart_of_the_shipper_is_its_own_affair(service: Service, server: str) -> None:
    """The sampler neither stops nor misses a tick."""
    sampler, keeper = service.main_pid, service.keeper_pid

    service.container.systemctl("restart", SHIPPER)
    await_all_sent(service, server)

    assert service.main_pid == sampler
    assert service.keeper_pid not in {0, keeper}


def test_a_reload_reaches_the_shipper(service: Service) -> None:
    """`systemctl reload psstop` makes the keeper read the config as well: points go to the new server."""
    service.configure("watched")
    service.start()
    keeper = service.keeper_pid
    server = service.start_server("accepting", PORT)

    service.configure("watched", port=PORT)
    service.container.systemctl("reload", UNIT)
    await_all_sent(service, server)

    assert service.keeper_pid == keeper


def test_without_a_server_the_shipper_is_not_needed(service: Service) -> None:
    """Its unit ends well, before and after a reload; when a server comes, the log says how to start it."""
    service.configure("watched", port=None)
    service.start()
    ended = [service.shown(name, SHIPPER) for name in ("ActiveState", "SubState", "Result")]
    system = service.container.systemctl("is-system-running").stdout
    server = service.start_server("accepting", PORT)

    service.configure("watched", port=PORT)
    service.container.systemctl("reload", UNIT)
    wait_for(lambda: "no shipper runs, keeping everything: systemctl start psstop-shipper" in service.log(), 10, "it")
    service.container.systemctl("start", SHIPPER)
    await_all_sent(service, server)
    service.configure("watched", port=None)
    service.container.systemctl("reload", UNIT)
    wait_for(lambda: service.shown("ActiveState", SHIPPER) == "inactive", 10, "the end of the shipper")

    assert ended == ["inactive", "dead", "success"]
    assert system == "running\n"
    assert service.log(SHIPPER).count("nothing to ship: the config has no [influxdb] section") == 2
    assert service.shown("Result", SHIPPER) == "success"


def test_what_psstop_costs_includes_the_shipper(service: Service, server: str) -> None:
    """The tick's account has the memory and the CPU time of all three processes, and never counts down."""
    await_all_sent(service, server)
    pids = (service.main_pid, service.keeper_pid, service.shipper_pid)
    together = sum(service.pss_bytes(pid) for pid in pids)
    counted = service.await_ticks(1)[-1]["self_pss_bytes"]
    service.container.systemctl("stop", SHIPPER)
    cpu = [tick["self_cpu_us_total"] for tick in service.await_ticks(2)]

    assert 0.8 * together < counted < 1.2 * together < 50 * 2**20
    assert service.pss_bytes(service.main_pid) < 12 * 2**20
    assert cpu == sorted(cpu)
