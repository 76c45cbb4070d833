"""One host of a simulated fleet, as far as a server can tell it from a real one."""

import asyncio
import random
import zlib
from array import array
from collections import Counter, defaultdict

from psstopd.delivery.backoff import next_delay
from psstopd.delivery.lineprotocol import Encoder
from psstopd.delivery.shipper import flush_phase, seconds_to_flush
from psstopd.delivery.sink import Answer, accepted
from psstopd.delivery.unsettled import RESEND_WINDOW_SECONDS
from psstopd.journal.reader import StoredTick
from psstopd.journal.schema import HEALTH_FIELDS, SAMPLE_FIELDS
from tests.bench.configs import BATCH_SIZE
from tests.bench.fleet_clock import Clock
from tests.bench.fleet_http import Connection

NAMES = 10
POINTS_A_TICK = NAMES + 1  # and one of the daemon itself
INTERVAL = 10  # seconds, of ticks and of flushes
_TIMEOUT_SECONDS = 10  # real ones, however fast the clock: the server is no faster
_TICKS_A_BATCH = BATCH_SIZE // POINTS_A_TICK
_GZIP_LEVEL, _GZIP_FORMAT = 1, 31  # as in psstopd.delivery.influxdb


class Tally:
    """What the hosts of one process did in each second of the virtual clock; lives as long as they."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[int]] = {"sent": Counter(), "refused": Counter(), "unaccepted": Counter()}
        self.late: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))  # real seconds


class Host:
    """Flushes when psstopd.delivery.shipper would, ticks that are there when they are due; lives as long as its task.

    Two things differ. Nothing is encoded before there is a connection, since all hosts share this machine's CPU. And
    after an outage the newest tick goes alone, then all that is in doubt: as many requests and points as the shipper's.
    """

    def __init__(self, number: int, connection: Connection, clock: Clock, tally: Tally) -> None:
        self._phase = flush_phase(f"{number:032x}", INTERVAL)
        self._encoder = Encoder(f"host{number:05}", {})
        self._number = number
        self._random = random.Random(number)  # noqa: S311 - jitter is no secret, and the same in each run
        self._connection = connection
        self._clock = clock
        self._tally = tally
        self._delivered = int(clock.start) - INTERVAL  # the newest tick up to which nothing is missing
        self._failures = 0
        self._failing_since = 0
        self._answer: Answer | None = None

    async def run(self) -> None:
        """Flush at the host's phase, later after failures, until cancelled."""
        while True:
            now = self._clock.now()
            due = now + self._delay(now)
            await asyncio.sleep(self._clock.until(due))
            now = self._clock.now()
            self._tally.late[int(now)].append((now - due) / self._clock.speed)
            await self._flush(_grid(now))

    def is_behind(self) -> bool:
        """Tell whether anything but the newest tick is still to be delivered."""
        return self._failures > 0 or self._delivered < _grid(self._clock.now()) - INTERVAL

    def _delay(self, now: float) -> float:
        if self._failures == 0:
            return seconds_to_flush(now, INTERVAL, self._phase)
        retry_after = self._answer.retry_after if self._answer is not None else None
        return next_delay(self._failures, retry_after, now=now, random=self._random.random)

    async def _flush(self, newest: int) -> None:
        for times in self._requests(newest):
            self._answer = await self._send(times)
            if not accepted(self._answer):
                self._failing_since = self._failing_since if self._failures else int(self._clock.now())
                self._failures += 1
                return
        self._failures, self._delivered = 0, newest

    def _requests(self, newest: int) -> list[range]:
        """Give the times of the ticks of each request: after an outage the newest tick, then all that is in doubt."""
        pending = range(self._delivered + INTERVAL, newest + 1, INTERVAL)
        if self._failures == 0:
            return _batches(pending)
        resent = max(int(self._clock.start), _grid(self._failing_since - RESEND_WINDOW_SECONDS))
        return [range(newest, newest + 1), *_batches(range(min(resent, pending.start), newest, INTERVAL))]

    async def _send(self, times: range) -> Answer:
        """Make one request and count it, or the connection that was refused."""
        outcome = "refused"
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await self._connection.open()
                body = self._body(times)
                outcome = "unaccepted"
                self._count("sent")
                answer = await self._connection.post(body)
        except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            self._connection.close()
            answer = Answer(None, error=type(error).__name__)
        if not accepted(answer):
            self._count(outcome)
        return answer

    def _body(self, times: range) -> bytes:
        lines = (line for time in times for line in self._encoder.lines(_tick(self._number, time)))
        return zlib.compress("".join(f"{line}\n" for line in lines).encode(), _GZIP_LEVEL, _GZIP_FORMAT)

    def _count(self, outcome: str) -> None:
        self._tally.counts[outcome][int(self._clock.now())] += 1


def _batches(times: range) -> list[range]:
    return [times[at : at + _TICKS_A_BATCH] for at in range(0, len(times), _TICKS_A_BATCH)]


def _grid(moment: float) -> int:
    return int(moment // INTERVAL) * INTERVAL


def _samples(seed: int) -> list[tuple[str, tuple[int | None, ...]]]:
    """Make up what the programs of a server could weigh."""
    draw = random.Random(seed)  # noqa: S311 - a tick that is sent twice must be the same
    return [(f"program-{name}", tuple(draw.randrange(1 << 17) * 4096 for _ in SAMPLE_FIELDS)) for name in range(NAMES)]


_VARIANTS = [_samples(seed) for seed in range(61)]


def _tick(number: int, time: int) -> StoredTick:
    """Give the tick that this host took at that time: whenever it is asked for, the same."""
    moment = time // INTERVAL
    return StoredTick(moment, time, (moment,) * len(HEALTH_FIELDS), _VARIANTS[(number + moment) % len(_VARIANTS)], [])
