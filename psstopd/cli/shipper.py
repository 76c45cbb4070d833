"""The shipper's process: gives up every right, then sends what the sampler journals. Started by its keeper alone."""

import logging
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from psstopd import exits
from psstopd.cli.entry import guarded
from psstopd.cli.logs import set_up_logging
from psstopd.cli.sandbox import enter
from psstopd.kernel.syscalls import die_with_parent, drop_all_capabilities
from psstopd.service.pulse import BEAT_SECONDS, beat

if TYPE_CHECKING:
    from psstopd.config import Config
    from psstopd.delivery.lineprotocol import Encoder
    from psstopd.delivery.sink import Answer, Sink

log = logging.getLogger("psstopd.shipper")

_ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NO_DEADLINE = 0.0  # a reader that takes its time must not find half a line with another behind it


class Beating:
    """A sink that shows the daemon before each request that this process is there; lives as long as it."""

    def __init__(self, sink: "Sink") -> None:
        self._sink = sink

    def send(self, lines: Iterable[str]) -> "Answer":
        """Send with a beat."""
        beat()
        return self._sink.send(lines)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


def main(arguments: list[str]) -> int:
    """Ship until SIGTERM; a terminal's Ctrl-C is for the keeper, which then ends its shipper.

    `arguments` are the keeper's pid and, for standard output instead of the server, `--stdout` with the tick behind
    which to begin; or `--late` when the last shipper was ended by the deadline of a request, and could not say so.
    """
    _drop_rights()
    die_with_parent()
    parent, *mode = arguments
    if os.getppid() != int(parent):  # it ended before the kernel was asked to tell
        return exits.OK
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    set_up_logging()
    return _to_stdout(int(mode[1])) if "--stdout" in mode else _to_server(late="--late" in mode)


def _drop_rights() -> None:
    """Give up every capability. psstop-shipper.service has none, and forbids the very call that would drop them."""
    try:
        drop_all_capabilities()
    except OSError:
        if any(map(_of_status, ("CapInh", "CapPrm", "CapEff", "CapAmb"))):
            raise


def _of_status(name: str) -> int:
    """Read one of this process' hexadecimal sets, proc_pid_status(5)."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition(f"\n{name}:")[2].split(maxsplit=1)[0], 16)


def _to_stdout(after: int) -> int:
    """Write line protocol until the reader goes."""
    from psstopd.delivery.progress import FromNow  # noqa: PLC0415 - only after the rights are gone
    from psstopd.delivery.shipper import Pace, Shipper  # noqa: PLC0415
    from psstopd.delivery.stdout import StdoutSink  # noqa: PLC0415

    config = _read_config()
    enter(config, delivers=False)
    sink = StdoutSink(sys.stdout.buffer)
    pace = Pace(batch_size=5000, flush_interval=1.0, deadline=_NO_DEADLINE)
    shipper = Shipper(config.journal.path, FromNow(after), _encoder(config), sink, pace=pace)
    shipper.run(lambda seconds: sink.closed or _stop_requested(seconds), phase=0.0)
    return exits.SINK_CLOSED if sink.closed else exits.OK


def _to_server(*, late: bool) -> int:
    """Send to InfluxDB."""
    from psstopd.delivery.influxdb import InfluxDBSink  # noqa: PLC0415 - only after the rights are gone
    from psstopd.delivery.shipper import Pace, Shipper, flush_phase  # noqa: PLC0415
    from psstopd.journal.cursor import Cursor, cursor_path  # noqa: PLC0415

    config = _read_config()
    influxdb = config.influxdb
    if influxdb is None:
        return exits.CONFIG
    sandbox = enter(config, delivers=True)
    pace = Pace(influxdb.batch_size, influxdb.flush_interval, influxdb.deadline, influxdb.backfill_rate)
    sink = Beating(InfluxDBSink(influxdb))
    try:
        cursor = Cursor(config.journal.path)
        if late:
            cursor.fail(f"no answer in {influxdb.deadline:.0f} s", now=int(time.time()))
        shipper = Shipper(config.journal.path, cursor, _encoder(config), sink, pace=pace)
        shipper.run(
            lambda seconds: _beat_until_stop(seconds) or sandbox.is_outdated(),
            phase=flush_phase(_machine_id(), pace.flush_interval),
        )
    except sqlite3.Error as error:  # the daemon starts another shipper, and again, until there is room
        log.error("not delivering, keeping everything: %s: %s", cursor_path(config.journal.path), error)  # noqa: TRY400
        return exits.CANNOT_CREATE
    return exits.OK


def _read_config() -> "Config":
    from psstopd.config import from_json  # noqa: PLC0415 - only after the rights are gone

    config = from_json(sys.stdin.buffer.read())
    os.truncate(sys.stdin.fileno(), 0)  # the token has no more business in a file, not even in one without a name
    return config


def _encoder(config: "Config") -> "Encoder":
    from psstopd.delivery.lineprotocol import Encoder  # noqa: PLC0415 - only after the rights are gone

    return Encoder(socket.gethostname(), config.tags, fields=config.influxdb.fields if config.influxdb else None)


def _stop_requested(seconds: float) -> bool:
    """Sleep up to `seconds`; True, once, when the keeper wants its shipper to end."""
    return signal.sigtimedwait((signal.SIGTERM,), max(0.0, seconds)) is not None


def _beat_until_stop(seconds: float) -> bool:
    """Sleep in pieces, showing the daemon in between that this process is there."""
    until = time.monotonic() + seconds
    while True:
        beat()
        left = until - time.monotonic()
        if _stop_requested(min(left, BEAT_SECONDS)):
            return True
        if left <= BEAT_SECONDS:
            return False


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return socket.gethostname()


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
