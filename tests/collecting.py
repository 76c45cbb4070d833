"""How tests take passes: a config, a collector for it, and samples in a form that is easy to compare."""

from typing import Any

from psstopd.config import Config, JournalConfig, Overhead, Sampling, Watch
from psstopd.kernel.procfs import Procfs
from psstopd.model import Sample
from psstopd.sampling.collector import Collector
from tests.fakes import KIB

EVERY = Watch(None, None, None, None, None, None, None, group_by="program")
OVERHEAD = Overhead(target_share=1.0, cpu_share=1.0, max_age=0)  # everybody is read on every pass
JOURNAL = JournalConfig("/nowhere", raw_for=3600, rollup_for=3600, max_size=1 << 23)


def named(*names: str) -> tuple[Watch, ...]:
    """Watch programs by their exact names."""
    return tuple(EVERY._replace(name=name, program=name, group_by="rule") for name in names)


def config(*watches: Watch, max_names: int = 200, top_processes: int = 0) -> Config:
    """Make a config that watches every program, or what the rules say."""
    sampling = Sampling(interval=1, max_names=max_names, top_processes=top_processes)
    return Config(watches or (EVERY,), sampling, OVERHEAD, JOURNAL, influxdb=None, tags={})


def collector(procfs: Procfs, config: Config, **options: Any) -> Collector:
    """Make a collector that nobody has gone before."""
    kept = {} if procfs.root == "/proc" else {"most_kept_files": 0}  # in a FakeProc nobody's files last
    return Collector(config, procfs=procfs, **{"newest_starts": {}, **kept, **options})


def samples(collector: Collector) -> dict[str, Sample]:
    """Take a pass; give its samples by name."""
    collected = collector.collect().samples
    by_name = {sample.name: sample for sample in collected}
    assert len(by_name) == len(collected), "two samples of one name"
    return by_name


def kib(samples: dict[str, Sample]) -> dict[str, float | None]:
    """Give the PSS of each name in KiB."""
    return {name: sample.memory and sample.memory.pss / KIB for name, sample in samples.items()}
