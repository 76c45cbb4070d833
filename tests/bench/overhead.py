"""What psstop costs a day: CPU of its two processes, bytes on the wire and on the disk, and the wait for a commit."""

import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from psstopd.journal.reader import JournalReader
from psstopd.journal.writer import Journal
from psstopd.kernel.procfs import Procfs
from psstopd.model import Health, Tick
from psstopd.sampling.collector import Collector
from tests.bench.accelerate import Accelerated, accelerated
from tests.bench.configs import INTERVAL_SECONDS, NAMES, watching_crowd
from tests.bench.crowd import HOUSEHOLD, crowd
from tests.bench.table import Row, spread
from tests.faultserver import Request

_WARM_UP = 50
_POINTS_A_TICK = NAMES + 1  # and one of the daemon itself


def bench(*, short: bool) -> list[Row]:
    """Measure with one tick a request, as a daemon does that samples and flushes every ten seconds."""
    ticks = 300 if short else 1000
    with tempfile.TemporaryDirectory() as name, crowd(HOUSEHOLD, Path(name)) as pids:
        with accelerated(ships=True, batch_size=_POINTS_A_TICK) as sampler:
            rows = [*_cpu(sampler, ticks, processes=len(pids)), _sent("one tick a request", sampler)]
        with accelerated(ships=True) as sampler:
            sampler.run_until(ticks)
            rows += [_sent("full batches", sampler), _journalled(sampler, ticks)]
        return [*rows, _commits(Path(name), 200 if short else 1000)]


def _cpu(sampler: Accelerated, ticks: int, *, processes: int) -> list[Row]:
    sampler.run_until(_WARM_UP)
    before, shipper_before = sampler.cpu_us, sampler.shipper_cpu_us()
    sampler.run_until(ticks)
    of_sampler = (sampler.cpu_us - before) / (ticks - _WARM_UP)
    of_shipper = (sampler.shipper_cpu_us() - shipper_before) / (ticks - _WARM_UP)
    what = f"CPU with {NAMES} names, {processes} processes, a tick and a request every {INTERVAL_SECONDS} s"
    return [Row(f"{what}, sampler", _share(of_sampler)), Row(f"{what}, shipper", _share(of_shipper))]


def _share(tick_us: float) -> str:
    return f"{tick_us / INTERVAL_SECONDS / 1e4:.3f} % of one core ({tick_us / 1e3:.2f} ms a tick)"


def _sent(what: str, sampler: Accelerated) -> Row:
    assert sampler.server is not None
    requests = sampler.server.requests
    points = sum(map(_points, requests))
    size = sum(int(request.headers["content-length"]) for request in requests)
    daily = size / points * _POINTS_A_TICK * 86400 / INTERVAL_SECONDS / 1e6
    return Row(
        f"bytes a point on the wire, gzipped, {what}",
        f"{size / points:.1f} (of {sum(len(request.body) for request in requests) / points:.0f}; {daily:.1f} MB a day)",
    )


def _points(request: Request) -> int:
    return request.body.count(b"\n") + 1


def _journalled(sampler: Accelerated, ticks: int) -> Row:
    """Tell the journal's size for each row; what is still in the write-ahead log is the same pages once more."""
    with closing(JournalReader(sampler.config.journal.path)) as journal:
        rows = sum(len(tick.samples) for tick in journal.batch(0, ticks * _POINTS_A_TICK))
    size = Path(sampler.config.journal.path).stat().st_size
    daily = size / rows * NAMES * 86400 / INTERVAL_SECONDS / 1e6
    return Row("journal bytes a sample row, rollups included", f"{size / rows:.0f} ({daily:.1f} MB a day)")


def _commits(directory: Path, ticks: int) -> Row:
    """Journal what a collector finds, as often as it takes to tell the slowest in a hundred."""
    config = watching_crowd(directory / "commits.db")
    samples = Collector(config, procfs=Procfs(), newest_starts={}).collect().samples
    health = Health(*[0] * len(Health._fields))
    with closing(Journal(config.journal, boot_id="a boot of its own")) as journal:
        milliseconds = []
        for number in range(ticks):
            before = time.perf_counter()
            journal.append(Tick(number * INTERVAL_SECONDS, samples, health), delivered=None)
            milliseconds.append((time.perf_counter() - before) * 1e3)
    slowest = statistics.quantiles(milliseconds, n=100)[-1]
    return Row(f"commit of a tick of {len(samples)} names", f"99 % under {slowest:.2f} ms ({spread(milliseconds)})")
