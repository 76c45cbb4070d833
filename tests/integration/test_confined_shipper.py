"""A shipper that may open only what it needs still delivers, whatever is replaced around it."""

import shutil
from pathlib import Path

import pytest

from tests.daemon import Daemon, daemon
from tests.faultserver import FaultServer, Reply, fault_server
from tests.waiting import wait_for

OLD, NEW = "sesame-old", "sesame-new"


def start(running: Daemon, server: FaultServer, token_file: Path) -> None:
    """Start a daemon that finds its server by name and its token in a file."""
    url = server.url.replace("127.0.0.1", "localhost")
    sink = {"url": url, "bucket": "b", "flush_interval": "1s", "timeout": "2s", "token_file": str(token_file)}
    running.configure(influxdb=sink)
    running.start()


def rotate(token_file: Path) -> None:
    """Replace a token the way those do who never leave half a file."""
    new = token_file.with_suffix(".new")
    new.write_text(NEW)
    new.rename(token_file)


def tokens(server: FaultServer, since: int) -> set[str]:
    """Give what the requests after the first `since` were authorized with."""
    return {request.headers["authorization"] for request in server.requests[since:]}


def test_a_token_that_is_replaced_is_used_at_once(tmp_path: Path) -> None:
    """A token renamed into place is read by the same shipper: the directory of the old one is open."""
    token_file = tmp_path / "token"
    token_file.write_text(OLD)
    with fault_server(default=Reply(401)) as server, daemon(tmp_path) as running:
        start(running, server, token_file)
        running.await_log("status 401")
        shipper = running.shipper_pid
        rotate(token_file)
        refused = wait_for(lambda: len(server.requests) * (tokens(server, -1) == {f"Token {NEW}"}), 20, "the new token")
        server.default = Reply()
        running.await_delivery()

        assert running.shipper_pid == shipper
        assert tokens(server, refused) == {f"Token {NEW}"}


@pytest.mark.landlock
def test_a_token_beside_others_secrets_is_read_by_a_new_shipper(tmp_path: Path) -> None:
    """Where the directory stays closed, a replaced token ends the shipper, and the next one reads it."""
    token_file = Path("/dev/shm/psstop-test.token")
    token_file.write_text(OLD)
    try:
        with fault_server() as server, daemon(tmp_path) as running:
            start(running, server, token_file)
            running.await_ticks()
            running.await_delivery()
            shipper, before = running.shipper_pid, len(server.requests)
            rotate(token_file)
            running.await_log(f"starting anew to read what was replaced: files={token_file}")
            wait_for(lambda: running.find_shipper() not in {None, shipper}, 20, "another shipper")
            wait_for(lambda: f"Token {NEW}" in tokens(server, before), 20, "the new token")
            running.await_ticks()
            running.await_delivery()
    finally:
        token_file.unlink()

    # One, at most: for a request that met the new file before the shipper had seen that there is one.
    assert running.errors().lower().count("permission denied") <= 1


@pytest.mark.landlock
def test_a_lost_cursor_directory_is_made_again(tmp_path: Path) -> None:
    """Whoever removes the shipper's directory while it runs gets a new shipper with a new one, and stops nothing."""
    secrets, delivery = tmp_path / "secrets", tmp_path / "journal-delivery"
    secrets.mkdir()
    (secrets / "token").write_text(OLD)
    with fault_server() as server, daemon(tmp_path) as running:
        start(running, server, secrets / "token")
        running.await_ticks()
        running.await_delivery()
        shutil.rmtree(delivery)
        running.await_log(f"starting anew to read what was replaced: files={delivery}")
        wait_for(delivery.exists, 20, "another directory")
        running.await_ticks()
        running.await_delivery()
