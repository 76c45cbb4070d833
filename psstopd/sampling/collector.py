"""One pass from /proc to samples: who is there, whose name counts, what each uses, and the sum of each name."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from psstopd.config import Config
from psstopd.kernel.memory import AddressSpace, MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import NO_MEMORY, Identity, Memory, Reading, Sample, Unreadable
from psstopd.sampling.census import Census, Process
from psstopd.sampling.reader import MemoryReads, Outcome
from psstopd.sampling.roster import Roster
from psstopd.sampling.rules import Rules
from psstopd.sampling.sharing import SharedSpaces
from psstopd.sampling.slots import Slots

READ_DEADLINE_SECONDS = 1.0


class _Group:
    """What one name has on this tick, before it is summed."""

    __slots__ = ("processes", "readings", "unreadable")

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.readings: list[Reading] = []
        self.unreadable = 0


class Collection(NamedTuple):
    """What one pass brought: the samples, and how many processes were unreadable for which reason."""

    samples: tuple[Sample, ...]
    unreadable: dict[Unreadable, int]


class Collector:
    """Turns the processes of one /proc into samples; lives as long as the daemon and remembers names between passes."""

    def __init__(
        self,
        config: Config,
        *,
        procfs: Procfs,
        newest_starts: Mapping[str, int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`newest_starts` is what an earlier daemon of this boot has already counted, by name; see Sample."""
        self._monotonic = monotonic
        rules = Rules(config.watch)
        self._census = Census(procfs, rules)
        deadline = min(READ_DEADLINE_SECONDS, config.sampling.interval / 2)
        self._memory = MemoryReader(procfs)
        self._reads = MemoryReads(self._read, deadline_seconds=deadline)
        self._shared = SharedSpaces()
        self._newest_starts = newest_starts
        self._first_pass = True
        self._adopt(config, rules)

    def reload(self, config: Config) -> None:
        """Go on with other rules; names that the new config does not fix rest like any other found name."""
        rules = Rules(config.watch)
        self._census.replace_rules(rules)
        self._adopt(config, rules)

    def _adopt(self, config: Config, rules: Rules) -> None:
        self._roster = Roster(rules.fixed_names, max_names=config.sampling.max_names)
        self._slots = Slots(config.sampling.top_processes)

    @property
    def stuck(self) -> set[Identity]:
        """The processes whose read has not returned."""
        return self._reads.stuck

    def collect(self) -> Collection:
        """Take one pass over all watched processes."""
        began = time.perf_counter()
        processes = self._census.take()
        outcomes = self._reads.take([process.identity for process in processes])
        if renamed := self._census.judge_renamed():
            outcomes |= self._reads.take([process.identity for process in renamed])
        repeated = self._shared.repeated(outcome for outcome in outcomes.values() if isinstance(outcome, Reading))
        groups = self._group(processes, outcomes)
        groups = self._merge_beyond_roster(groups)
        samples = tuple(
            self._summarise(name, groups.get(name) or _Group(), repeated=repeated, began=began)
            for name in self._roster.names
        )
        self._slots.forget(self._roster.names)
        self._first_pass = False
        return Collection(samples, _reasons(outcomes.values()))

    def _read(self, pid: int) -> AddressSpace:
        """Measure a process if it still has the name that it was matched by."""
        self._census.confirm(pid)
        return self._memory.read(pid)

    def _group(self, processes: Iterable[Process], outcomes: Mapping[Identity, Outcome]) -> dict[str, _Group]:
        """Sort processes by name; those that are gone or have no memory have no outcome and are left out."""
        groups: dict[str, _Group] = {}
        for process in processes:
            outcome = outcomes.get(process.identity)
            if outcome is None or process.group is None:
                continue
            group = groups.setdefault(process.group, _Group())
            group.processes.append(process)
            if isinstance(outcome, Reading):
                group.readings.append(outcome)
            else:
                group.unreadable += 1
        return groups

    def _merge_beyond_roster(self, groups: dict[str, _Group]) -> dict[str, _Group]:
        """Admit names to the roster, the largest first, and sum those that find no place."""
        by_size = sorted(groups, key=lambda name: -sum(reading.memory.pss for reading in groups[name].readings))
        self._roster.admit(by_size, self._monotonic())
        merged: dict[str, _Group] = {}
        for name, group in groups.items():
            into = merged.setdefault(self._roster.series(name), _Group())
            into.processes += group.processes
            into.readings += group.readings
            into.unreadable += group.unreadable
        return merged

    def _count_start(self, process: Process, name: str) -> bool:
        """Tell once for each process and group that it is new; at first, unless an earlier daemon counted it."""
        if process.counted_in == process.group:
            return False
        process.counted_in = process.group
        counted_before = self._newest_starts.get(name, -1) if self._first_pass else -1
        return process.identity.start_time > counted_before

    def _summarise(self, name: str, group: _Group, *, repeated: set[Identity], began: float) -> Sample:
        counted = group.readings
        if repeated:
            counted = [reading for reading in counted if reading.identity not in repeated]
        readable = bool(group.readings) or not group.processes
        oldest = min((reading.taken_at for reading in group.readings), default=began)
        return Sample(
            name=name,
            memory=total(reading.memory for reading in counted) if readable else None,
            pss_max=max((reading.memory.pss for reading in counted), default=0) if readable else None,
            processes=len(group.processes),
            unreadable=group.unreadable,
            starts=sum(self._count_start(process, name) for process in group.processes),
            newest_start=max((process.identity.start_time for process in group.processes), default=0),
            age_ms=max(0, int((began - oldest) * 1000)),
            read_us=sum(reading.read_us for reading in group.readings),
            top=self._slots.assign(name, counted, (process.identity for process in group.processes)),
        )


def total(memories: Iterable[Memory]) -> Memory:
    """Add up column by column; a column that one of them lacks is None. Nothing sums to zero bytes."""
    columns = list(zip(*memories, strict=True))
    return Memory._make(None if None in column else sum(column) for column in columns) if columns else NO_MEMORY


def _reasons(outcomes: Iterable[Outcome]) -> dict[Unreadable, int]:
    reasons: dict[Unreadable, int] = {}
    for outcome in outcomes:
        if isinstance(outcome, Unreadable):
            reasons[outcome] = reasons.get(outcome, 0) + 1
    return reasons
