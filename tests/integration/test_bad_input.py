"""What operators get wrong: each time a message that names the cure, the documented exit code, and nothing is lost."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon, daemon, psstop, psstopd, toml
from tests.faultserver import Fault, Reply, fault_server
from tests.waiting import wait_for

# A root for whom the bits of files count: what a service without CAP_DAC_OVERRIDE is.
AS_UNPRIVILEGED = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    sys.executable,
    "-m",
    "psstopd.cli.daemon",
)
INFLUXDB = {"url": "http://127.0.0.1:1", "bucket": "b"}

BAD_CONFIGS = {
    "unknown key": ({"sampling": {"intervall": "1s"}}, "sampling.intervall: unknown key, did you mean interval?"),
    "wrong type": ({"sampling": {"max_names": "many"}}, "must be a whole number from 1 to 5000"),
    "interval 0": ({"sampling": {"interval": "0s"}}, 'must be a duration from 1s to 1h, such as "10s"'),
    "names twice": ({"names": ["a", "a"]}, "names[0] is the same name; remove one of them"),
    "overlap": (
        {"names": ["a"], "watch": [{"comm": "a*"}, {"comm": "a*", "name": "x"}]},
        "watch[1]: can never match after watch[0]: it has the same conditions; remove one of them",
    ),
    "bad regex": ({"names": [], "watch": [{"cmdline": "(("}]}, "must be a regular expression: missing )"),
    "nothing": ({"names": []}, "nothing to watch; write names ="),
    "no token file": (
        {"influxdb": {**INFLUXDB, "token_file": "/nonexistent"}},
        "no such file or directory; write the token there",
    ),
}


@contextmanager
def file_system(directory: Path, kib: int) -> Iterator[Path]:
    """Mount a small file system of its own."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "psstop-test", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def refusal(running: Daemon) -> tuple[int, str]:
    """Start a daemon that can't begin; give its exit code and what it said."""
    running.start()
    code = running.wait()
    return code, running.errors()


@pytest.mark.parametrize(("tables", "cure"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_bad_config_is_refused(tables: dict[str, Any], cure: str, tmp_path: Path) -> None:
    """`run` and `check-config` say the same, with file, key and cure, exit with 78 and make no journal."""
    with daemon(tmp_path) as running:
        running.configure(**tables)
        code, errors = refusal(running)
        checked = running.run("check-config")

    assert (code, checked.returncode, checked.stderr) == (78, 78, errors)
    assert errors.startswith(f"{running.config}: ")
    assert cure in errors
    assert [file.name for file in tmp_path.glob("journal*")] == []


@pytest.mark.parametrize(
    ("path", "cure"),
    [
        ("missing.toml", "no such file; copy config/psstop.toml there or pass --config FILE"),
        (".", "is a directory; make"),
    ],
)
def test_a_config_that_is_no_file_is_refused(path: str, cure: str, tmp_path: Path) -> None:
    """A path that leads nowhere is named, with what to do."""
    done = psstopd("run", "--config", str(tmp_path / path))

    assert done.returncode == 78
    assert done.stderr.startswith(f"{tmp_path / path}: {cure}")


@pytest.mark.root
def test_a_config_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """Without the right to read it, the config is named and so is who has to be able to read it."""
    with daemon(tmp_path) as running:
        running.command = AS_UNPRIVILEGED
        running.configure()
        os.chown(running.config, 65534, 65534)
        running.config.chmod(0o600)
        code, errors = refusal(running)

    assert code == 78
    assert errors == (
        f"{running.config}: permission denied; make it a file that the user who runs psstopd can read,"
        " or pass --config FILE\n"
    )


@pytest.mark.root
def test_a_journal_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    """In a directory of somebody else the daemon says who would have to run it, or where the journal could be."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    with daemon(tmp_path) as running:
        running.command = AS_UNPRIVILEGED
        running.configure(journal={"path": str(theirs / "journal.db")})
        code, errors = refusal(running)

    assert code == 73
    assert errors.startswith(f"journal: {theirs}")
    assert "Permission denied; " in errors
    assert "write there, or set [journal] path (PSSTOP_JOURNAL__PATH)" in errors


@pytest.mark.root
def test_a_full_disk_at_start_is_refused(tmp_path: Path) -> None:
    """Where not even an empty journal fits, the daemon says so at once."""
    with file_system(tmp_path / "small", 64) as small, daemon(tmp_path) as running:
        (small / "fill").write_bytes(bytes(64 << 10))
        running.configure(journal={"path": str(small / "journal.db")})
        code, errors = refusal(running)

    assert code == 73
    assert errors.endswith("database or disk is full; free some space there, or set [journal] path to another disk\n")


@pytest.mark.root
def test_a_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    """While the disk is full, ticks wait in memory, `status` says that one is overdue, and later all are journalled."""
    with file_system(tmp_path / "small", 1024) as small, daemon(tmp_path) as running:
        running.journal = small / "journal.db"
        running.configure(influxdb=INFLUXDB | {"flush_interval": "1s"})
        running.start()
        first = running.await_ticks(2)
        fill(small / "fill")
        running.await_log("journal takes no ticks, holding them in memory: ")
        wait_for(lambda: "which is overdue" in running.run("status").stdout, 10, "an overdue tick in `psstopd status`")
        (small / "fill").unlink()
        running.await_log("journal takes ticks again: dropped_total=0")
        code, _ = running.stop()
        times = [tick.time for tick in running.ticks()]

        assert code == 0
        assert times == list(range(first[0].time, times[-1] + 1))
        assert "Traceback" not in running.errors()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """One journal has one daemon; the second names the first and leaves it alone."""
    with daemon(tmp_path) as running:
        running.configure()
        running.start()
        running.await_ticks()
        second = running.run("run")
        running.await_ticks()

        assert second.returncode == 75
        assert second.stderr == (
            f"journal: {running.journal}: in use by another psstopd (pid {running.pid});"
            " stop it, or set another [journal] path here\n"
        )


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("http://127.0.0.1:1", "connection refused; check the port in url"),
        ("http://no-such-host.invalid", "DNS: name not known; check the host name in url"),
    ],
)
def test_a_server_that_is_not_there_is_found_out(url: str, cure: str, tmp_path: Path) -> None:
    """`check-config --connect` names what is wrong with the address."""
    done = connect(tmp_path, url=url)

    assert done.returncode == 69
    assert cure in done.stderr
    assert done.stderr.count(url) == 1


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        (Reply(200, b"<html>Please log in</html>"), "so this is not InfluxDB: a proxy or a login page"),
        (Reply(fault=Fault.SILENCE), "timed out after 1 s; check host and port in url; a firewall may"),
        (Reply(401), "the token is missing or wrong: check token_file"),
    ],
    ids=["login page", "black hole", "no token"],
)
def test_a_server_that_is_something_else_is_found_out(reply: Reply, cure: str, tmp_path: Path) -> None:
    """`check-config --connect` takes nothing but InfluxDB's answer for an answer."""
    with fault_server(default=reply) as server:
        done = connect(tmp_path, url=server.url)

    assert done.returncode == 69
    assert cure in done.stderr


def test_a_server_without_tls_is_found_out(tmp_path: Path) -> None:
    """`check-config --connect` with https to a port that doesn't speak it names the cure."""
    with fault_server() as server:
        done = connect(tmp_path, url=server.url.replace("http:", "https:"))

    assert done.returncode == 69
    assert "check that this port speaks TLS, or begin url with http://" in done.stderr


def connect(directory: Path, **sink: Any) -> "subprocess.CompletedProcess[str]":
    """Run `psstopd check-config --connect`."""
    config = directory / "psstop.toml"
    config.write_text(toml({"names": ["a"], "influxdb": {"bucket": "b", "timeout": "1s"} | sink}))
    return psstopd("check-config", "--connect", "--config", str(config))


def test_a_server_that_is_right_is_ok(tmp_path: Path) -> None:
    """`check-config --connect` says so, and without a server that there is nothing to ask."""
    with fault_server() as server:
        asked = connect(tmp_path, url=server.url)
    with daemon(tmp_path) as running:
        running.configure()
        alone = running.run("check-config", "--connect")

    assert (asked.returncode, asked.stdout.splitlines()[1:]) == (0, [f"server ok: {server.url} takes points for b"])
    assert (alone.returncode, alone.stdout.splitlines()[1:]) == (0, ["no [influxdb] section: nothing to connect to"])


def test_no_subcommand_is_answered_with_help() -> None:
    """Who types bare `psstopd` is told what there is, on standard error; bare `psstop` is the table."""
    done = psstopd()

    assert (done.returncode, done.stdout) == (2, "")
    assert "examples:" in done.stderr


@pytest.mark.parametrize("command", [psstopd, psstop])
def test_version_and_help(command: Any) -> None:
    """--version prints one line; --help has examples and the exit codes; a wrong word is answered with 2."""
    version, usage, wrong = command("--version"), command("--help"), command("frobnicate")

    assert (version.returncode, version.stdout.split()[0]) == (0, command.__name__)
    assert usage.returncode == 0
    assert "examples:" in usage.stdout
    assert "exit codes:" in usage.stdout
    assert (wrong.returncode, "invalid choice" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("subcommand", ["run", "check-config", "status"])
def test_every_subcommand_has_help(subcommand: str) -> None:
    """--help works behind each subcommand, and the main help has an example of it."""
    assert psstopd(subcommand, "--help").returncode == 0
    assert f"  psstopd {subcommand}" in psstopd("--help").stdout


def test_what_is_no_journal_is_named(tmp_path: Path) -> None:
    """A path that holds something else is named, with the two ways to another."""
    journal = tmp_path / "journal.db"
    journal.mkdir()

    done = psstop("history", "x", "--journal", str(journal))

    assert done.returncode == 73
    assert done.stderr.startswith(f"journal: {journal}: ")
    assert done.stderr.endswith("is the path right (--journal, --config), and may you read there (sudo)?\n")


def test_the_way_to_a_traceback_is_no_unknown_setting(tmp_path: Path) -> None:
    """The variable that a defect's message names is not taken for a misspelt setting."""
    with daemon(tmp_path, environ={"PSSTOPD_TRACEBACK": "1"}) as running:
        running.configure()
        done = running.run("check-config")

    assert (done.returncode, done.stderr) == (0, "")
