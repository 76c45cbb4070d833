"""The shipper's process: gives up every right, then sends what the daemon journals. Started by `psstopd run` alone."""

import signal
import socket
import sys
from pathlib import Path

from psstopd.cli import exits
from psstopd.cli.logs import set_up_logging
from psstopd.kernel.syscalls import die_with_parent, drop_all_capabilities

_ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Ship until SIGTERM; a terminal's Ctrl-C is for the daemon, which then ends its shipper."""
    drop_all_capabilities()
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    set_up_logging()
    return _ship(stdout="--stdout" in sys.argv[1:])


def _ship(*, stdout: bool) -> int:
    from psstopd.config import from_json  # noqa: PLC0415 - nothing is read before the rights are gone
    from psstopd.delivery.lineprotocol import Encoder  # noqa: PLC0415
    from psstopd.delivery.shipper import FromNow, Pace, Shipper, flush_phase  # noqa: PLC0415

    config = from_json(sys.stdin.buffer.read())
    encoder = Encoder(socket.gethostname(), config.tags, fields=config.influxdb.fields if config.influxdb else None)
    if stdout:
        from psstopd.delivery.stdout import StdoutSink  # noqa: PLC0415

        sink = StdoutSink(sys.stdout.buffer)
        pace = Pace(batch_size=5000, flush_interval=1.0, deadline=60.0)
        shipper = Shipper(config.journal.path, FromNow(), encoder, sink, pace=pace)
        shipper.run(lambda seconds: sink.closed or _stop_requested(seconds), phase=0.0)
        return exits.SINK_CLOSED if sink.closed else exits.OK
    if config.influxdb is None:
        return exits.CONFIG
    from psstopd.delivery.influxdb import InfluxDBSink  # noqa: PLC0415
    from psstopd.journal.cursor import Cursor  # noqa: PLC0415

    influxdb = config.influxdb
    pace = Pace(influxdb.batch_size, influxdb.flush_interval, deadline=3.0 * influxdb.timeout)
    shipper = Shipper(config.journal.path, Cursor(config.journal.path), encoder, InfluxDBSink(influxdb), pace=pace)
    shipper.run(_stop_requested, phase=flush_phase(_machine_id(), pace.flush_interval))
    return exits.OK


def _stop_requested(seconds: float) -> bool:
    """Sleep up to `seconds`; True when the daemon wants its shipper to end."""
    arrived = signal.sigtimedwait((signal.SIGTERM,), max(0.0, seconds))
    return arrived is not None


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return socket.gethostname()


if __name__ == "__main__":
    sys.exit(main())
