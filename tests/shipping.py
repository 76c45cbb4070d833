"""The real shipper in a process of its own, as the daemon has it: what its sink heard, how long it slept, how it ended.

Processes come from multiprocessing's fork server, which has imported everything: a start takes 10 ms, not 400.
"""

import multiprocessing
from collections.abc import Iterable
from contextlib import closing
from multiprocessing.connection import Connection
from typing import NamedTuple

from psstopd.config import InfluxDBConfig
from psstopd.delivery.influxdb import InfluxDBSink
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.shipper import Pace, Shipper
from psstopd.delivery.sink import Answer, Sink
from psstopd.journal.cursor import Cursor

HOST = "web1"
FLUSH_INTERVAL = 1.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["__main__", __name__])


class Heard(NamedTuple):
    """What one shipper went through; `exit_code` is negative for the signal that ended it."""

    answers: list[tuple[int, Answer]]  # with the number of lines that each is about
    slept: list[float]  # seconds
    exit_code: int


class Job(NamedTuple):
    """Which journal to send where: `flushes` and the last one of a shipper that ends."""

    journal: str
    config: InfluxDBConfig
    flushes: int
    deadline: float


def ship(job: Job) -> Heard:
    """Run a shipper to its end."""
    receiving, sending = _context.Pipe(duplex=False)
    process = _context.Process(target=_ship, args=(job, sending))
    process.start()
    sending.close()
    heard = Heard([], [], 0)
    with receiving:
        try:
            while True:
                said = receiving.recv()
                (heard.slept if isinstance(said, float) else heard.answers).append(said)
        except EOFError:
            process.join()
    assert process.exitcode is not None
    return heard._replace(exit_code=process.exitcode)


def _ship(job: Job, report: Connection) -> None:
    """Be the shipper; what it hears is reported at once, because a deadline leaves no time to."""
    slept = 0

    def stop(seconds: float) -> bool:
        nonlocal slept
        if seconds == 0:
            return False
        report.send(seconds)
        slept += 1
        return slept > job.flushes

    config = job.config
    pace = Pace(batch_size=config.batch_size, flush_interval=FLUSH_INTERVAL, deadline=job.deadline)
    with closing(InfluxDBSink(config, proxies={})) as sink, closing(Cursor(job.journal)) as cursor:
        Shipper(job.journal, cursor, Encoder(HOST, {}), _Reporting(sink, report), pace=pace).run(stop, phase=0.0)


class _Reporting:
    """Passes everything on, and reports what comes back."""

    def __init__(self, sink: Sink, report: Connection) -> None:
        self._sink = sink
        self._report = report

    def send(self, lines: Iterable[str]) -> Answer:
        """Send, and report the answer."""
        batch = list(lines)
        answer = self._sink.send(batch)
        self._report.send((len(batch), answer))
        return answer

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
