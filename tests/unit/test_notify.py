"""What systemd hears, over a real socket."""

import logging
import os
import re
from pathlib import Path

import pytest

from psstopd.service.notify import Notifier
from tests.systemd import notify_socket


@pytest.mark.parametrize("address", ["{}/notify", "@{}/abstract"])
def test_each_message_arrives(address: str, tmp_path: Path) -> None:
    """Ready, alive, reloading and stopping are one datagram each, at a path or at an abstract name."""
    with notify_socket(address.format(tmp_path)) as systemd:
        notifier = Notifier(os.environ)
        notifier.ready("good")
        notifier.alive("well", ready=True)
        notifier.reloading()
        notifier.stopping()
        notifier.close()
        messages = systemd.received()

    assert messages[:2] == [b"READY=1\nSTATUS=good", b"WATCHDOG=1\nSTATUS=well"]
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", messages[2])
    assert messages[3:] == [b"STOPPING=1\nSTATUS=stopping"]


@pytest.mark.parametrize(
    "hostile",
    [
        "a\nREADY=1",
        "a\r\nSTOPPING=1\n",
        "\x1b[2Jred",
        "a\x00b",
        "\u2028\u202e",
        "日本 ü €",
        "🙂" * 500,
        "x" * 70000,
        "\udcff",
    ],
)
def test_a_status_is_one_line_of_ascii_that_fits(hostile: str, tmp_path: Path) -> None:
    """Whatever a server or a path puts into the status, it stays a status, and WATCHDOG=1 gets through with it."""
    with notify_socket(f"{tmp_path}/notify") as systemd:
        notifier = Notifier(os.environ)
        notifier.alive(hostile, ready=True)
        notifier.close()
        (message,) = systemd.received()

    assert re.fullmatch(rb"WATCHDOG=1\nSTATUS=[ -~]+", message)
    assert len(message) < 4096  # NOTIFY_BUFFER_MAX, src/core/manager.c: systemd drops what is longer


def test_before_it_is_ready_the_daemon_asks_for_more_time(tmp_path: Path) -> None:
    """A first tick that finds no room on the disk is no reason for systemd to end who holds it in memory."""
    with notify_socket(f"{tmp_path}/notify") as systemd:
        notifier = Notifier(os.environ)
        notifier.alive("waiting", ready=False)
        notifier.close()

        assert systemd.received() == [b"EXTEND_TIMEOUT_USEC=120000000\nWATCHDOG=1\nSTATUS=waiting"]


def test_without_systemd_nothing_is_said() -> None:
    """Without NOTIFY_SOCKET there is nobody to tell, and no watchdog."""
    notifier = Notifier({})

    notifier.ready("good")
    notifier.close()

    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(("usec", "seconds"), [("60000000", 60.0), ("", None), ("often", None)])
def test_the_watchdog_is_what_systemd_says(usec: str, seconds: float | None) -> None:
    """WATCHDOG_USEC is microseconds; what is none is no watchdog."""
    assert Notifier({"WATCHDOG_USEC": usec}).watchdog_seconds == seconds


def test_a_cut_line_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When systemd's socket goes away the daemon goes on, and says so a single time."""
    with notify_socket(f"{tmp_path}/notify") as systemd, caplog.at_level(logging.WARNING):
        notifier = Notifier(os.environ)
        systemd.close()
        notifier.alive("well", ready=True)
        notifier.alive("well", ready=True)
        notifier.close()

    (message,) = caplog.messages
    assert message.startswith("systemd does not hear psstop: NOTIFY_SOCKET: ")


@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning")
def test_a_socket_that_is_not_there_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An inherited NOTIFY_SOCKET that leads nowhere is logged, and the daemon starts."""
    with notify_socket(f"{tmp_path}/notify"):
        (tmp_path / "notify").unlink()
        notifier = Notifier(os.environ)
        notifier.ready("good")

    assert caplog.messages == ["systemd does not hear psstop: NOTIFY_SOCKET: [Errno 2] No such file or directory"]
