"""What the shipper may open: the list of it, and the kernel that enforces it in a process of its own."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from psstopd import config
from psstopd.cli.sandbox import Sandbox, needs, place_of
from psstopd.journal.cursor import read_delivery
from psstopd.journal.position import Position
from psstopd.journal.writer import Journal
from tests.damage import leaves, zero_pages
from tests.faultserver import fault_server
from tests.samples import BOOT, journal_config, sample, tick

ROOT = Path(__file__).parents[2]
LAST = 1000  # ticks, for some ten checkpoints
NAMES = [f"name-{number}" for number in range(100)]


def configured(journal: Path | str, url: str = "https://influx.example", **sink: Any) -> config.Config:
    """Build a config with a journal and a sink."""
    influxdb = {"api": "v2", "org": "-", "bucket": "b", "token": None, "token_file": None, "ca_file": None} | sink
    numbers = {"batch_size": 5000, "flush_interval": 10, "timeout": 2, "backfill_rate": 1000, "fields": None}
    return config.Config(
        watch=(),
        sampling=config.Sampling(interval=10, max_names=200, top_processes=0),
        overhead=config.Overhead(target_share=0.005, cpu_share=0.02),
        journal=journal_config(journal),
        influxdb=config.InfluxDBConfig(url=url, **influxdb | numbers),
        tags={},
    )


def test_a_shipper_to_a_server_needs_journal_cursor_and_its_own_files() -> None:
    """Only the cursor's directory is written to; the token, the CA and the client certificate are read."""
    files = {"token_file": "/a/token", "ca_file": "/b/ca", "cert_file": "/c/cert", "key_file": "/c/key"}
    needed = needs(configured("/j/journal.db", **files), delivers=True, interpreter=["/py"], trusted=["/d/trusted"])

    assert needed.writable == ("/j/journal-delivery",)
    assert needed.journal == ("/j",)
    assert {"/py", "/usr"} <= set(needed.readable)
    assert {*files.values(), "/d/trusted", "/etc/resolv.conf", "/etc/hosts"} <= set(needed.files)
    assert not {"/", "/etc", "/root", "/home", "/proc", "/run", "/var"} & set(needed.readable)
    assert needed.connect


def test_a_shipper_to_standard_output_needs_the_journal_alone() -> None:
    """What prints the journal writes no file, reads no token and connects nowhere."""
    needed = needs(configured("/j/journal.db", token_file="/a/token"), delivers=False, interpreter=["/py"], trusted=())

    assert needed.writable == ()
    assert needed.files == ("/etc/localtime",)
    assert needed.journal == ("/j",)
    assert not needed.connect


@pytest.mark.parametrize(
    ("file", "links", "place"),
    [
        ("/etc/psstop/token", {}, "/etc/psstop"),
        ("/etc/token", {}, "/etc/token"),
        ("/token", {}, "/token"),
        ("/home/alice/token", {}, "/home/alice/token"),
        ("/home/alice/psstop/token", {}, "/home/alice/psstop"),
        ("/etc/resolv.conf", {"/etc/resolv.conf": "/run/systemd/resolve/stub.conf"}, "/run/systemd/resolve"),
        ("/s/token", {"/s/token": "/s/..2026/token"}, "/s"),
        ("/etc/p/token", {"/etc/p/token": "/etc/token"}, "/etc/token"),
        ("/var/run/token", {"/var/run/token": "/run/token", "/var/run": "/run"}, "/run/token"),
    ],
)
def test_a_file_is_opened_by_its_directory_unless_that_is_shared(file: str, links: dict[str, str], place: str) -> None:
    """Who replaces a file by renaming is followed where only psstop's files are; others' files stay closed."""
    assert place_of(file, lambda path: links.get(path, path)) == place


def test_a_replaced_file_of_a_shared_directory_makes_the_sandbox_outdated(tmp_path: Path) -> None:
    """A file that had to be named to the kernel itself is missed once another has its name, or once it comes."""
    alone, coming, private = Path("/dev/shm/psstop-test-alone"), Path("/dev/shm/psstop-test-coming"), tmp_path / "token"
    with ExitStack() as cleanup:
        for file in (alone, coming):
            cleanup.callback(file.unlink, missing_ok=True)
        alone.touch()
        private.touch()
        replaced, created, followed = Sandbox([str(alone)]), Sandbox([str(coming)]), Sandbox([str(private)])
        before = [sandbox.is_outdated() for sandbox in (replaced, created, followed)]
        (tmp_path / "new").touch()
        shutil.copy(tmp_path / "new", "/dev/shm/psstop-test-coming")
        coming.rename(alone)
        coming.touch()
        (tmp_path / "new").rename(private)

        assert before == [False, False, False]
        assert [sandbox.is_outdated() for sandbox in (replaced, created, followed)] == [True, True, False]


def test_a_replaced_directory_makes_the_sandbox_outdated(tmp_path: Path) -> None:
    """What is removed and made again is another directory, which was never named to the kernel."""
    (tmp_path / "journal").mkdir()
    sandbox = Sandbox(directories=[str(tmp_path / "journal")])
    before = sandbox.is_outdated()
    (tmp_path / "journal").rename(tmp_path / "old")
    gone = sandbox.is_outdated()
    (tmp_path / "journal").mkdir()

    assert (before, gone, sandbox.is_outdated()) == (False, True, True)


def test_without_landlock_nothing_is_outdated() -> None:
    """A process that is not confined need not start anew."""
    assert not Sandbox().is_outdated()


def confined(home: Path, url: str) -> dict[str, dict[str, str | None]]:
    """Try everything in a process of its own and give how it ended before and after entering."""
    with inside(home, url, "try") as process:
        answer: dict[str, dict[str, str | None]] = json.loads(process.communicate(timeout=60)[0])
    return answer


@contextmanager
def inside(home: Path, url: str, *command: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a process that enters the sandbox of a shipper for the journal and the token in `home`."""
    text = config.to_json(configured(home / "journal.db", url, token_file=str(home / "secrets" / "token")))
    arguments = [sys.executable, "-m", "tests.confined", *command]
    with subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None  # communicate would flush it
        yield process


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a token, and a journal of some ticks that its writer has closed."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("sesame")
    with closing(Journal(journal_config(tmp_path / "journal.db"), boot_id=BOOT)) as journal:
        for number in range(3):
            journal.append(tick(number), delivered=None)
    return tmp_path


@pytest.mark.landlock
@pytest.mark.root
def test_the_sandbox_closes_what_was_open(home: Path) -> None:
    """Root without capabilities reads shadow, writes the journal, listens; in the sandbox it does nothing of that."""
    with fault_server() as server, closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)):
        tried = confined(home, server.url)
    forbidden = {name for name, error in tried["after"].items() if error is not None}

    assert {name for name, error in tried["before"].items() if error is not None} == {"read init's environment"}
    assert forbidden == {
        *("read shadow", "list root's files", "read init's environment", "run a program", "listen"),
        *("write the journal", "write its shared memory", "create a file beside it", "rename the journal"),
        "signal its parent",
    }
    delivery = read_delivery(str(home / "journal.db"))
    assert delivery is not None
    assert delivery.errors_total == 2


@pytest.mark.landlock
@pytest.mark.parametrize("writer", ["runs", "has closed", "was killed", "has not begun to write"])
def test_the_journal_is_read_from_inside(home: Path, writer: str) -> None:
    """With and without -wal and -shm, and whether or not anybody writes them, the shipper's reads go through."""
    with fault_server() as server, ExitStack() as running:
        if writer != "has closed":
            journal = running.enter_context(closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)))
        if writer in {"runs", "was killed"}:
            journal.append(tick(3), delivered=None)
        if writer == "was killed":
            home = shutil.copytree(home, home / "copy")
        files = {suffix for suffix in ("-wal", "-shm") if (home / f"journal.db{suffix}").exists()}
        tried = confined(home, server.url)

    assert files == (set() if writer == "has closed" else {"-wal", "-shm"})
    assert tried["after"]["read the journal"] is None


@pytest.mark.landlock
def test_the_journal_grows_while_it_is_read_from_inside(home: Path) -> None:
    """A reader that may not write the shared memory gets every tick, through the checkpoints of its writer too.

    Once in 20,000 reads that each meet a commit it finds half of a header and may not wait for the other half, as one
    does that may write; SQLite calls that an attempt to write. The shipper tries again after a second.
    """
    with (
        closing(Journal(journal_config(home / "journal.db"), boot_id=BOOT)) as journal,
        inside(home, "http://127.0.0.1:1", "follow", str(LAST)) as process,
    ):
        assert process.stdout is not None
        entered = process.stdout.readline()
        for number in range(3, LAST):
            journal.append(tick(number, *map(sample, NAMES)), delivered=Position())
        wrong = json.loads(process.communicate(timeout=60)[0])

    assert entered == "entered\n"
    assert set(wrong) <= {"attempt to write a readonly database"}


@pytest.mark.landlock
def test_a_repaired_journal_is_read_from_inside(home: Path) -> None:
    """A new file that takes the damaged one's name is read like the old one: the directory is open, not the file."""
    path = home / "journal.db"
    with inside(home, "http://127.0.0.1:1", "follow", "301") as process:
        assert process.stdout is not None
        process.stdout.readline()
        with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
            for number in range(3, 300):
                journal.append(tick(number), delivered=None)
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "PRAGMA wal_checkpoint(TRUNCATE)"
            ).fetchone()  # which a reader keeps from happening by itself
        zero_pages(path, leaves(path, "tick")[-1:])
        with closing(Journal(journal_config(path), boot_id=BOOT)) as journal:
            journal.append(tick(300), delivered=Position(300))
            process.communicate(timeout=60)

    assert process.returncode == 0
    assert list(home.glob("journal.db.corrupt-*"))
