"""One pass from /proc to samples: who is there, whose name counts, what each uses, and the sum of each name."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from psstopd.config import Config
from psstopd.kernel.memory import MemoryReader
from psstopd.kernel.procfs import Procfs
from psstopd.model import Identity, Reading, Sample, Unreadable
from psstopd.sampling.census import Census, Process
from psstopd.sampling.cmdlines import PatientProcfs
from psstopd.sampling.drift import Drift
from psstopd.sampling.reader import MemoryReads
from psstopd.sampling.roster import Roster
from psstopd.sampling.rules import Rules
from psstopd.sampling.schedule import Schedule
from psstopd.sampling.sharing import Compare, SharedSpaces, compare_by_kcmp
from psstopd.sampling.slots import Slots
from psstopd.sampling.statfiles import MOST_KEPT
from psstopd.sampling.tally import Part, Tally, merge

READ_DEADLINE_SECONDS = 1.0


class Collection(NamedTuple):
    """What one pass brought: the samples, and how many processes were unreadable for which reason."""

    samples: tuple[Sample, ...]
    unreadable: dict[Unreadable, int]


class Collector:
    """Turns the processes of one /proc into samples; lives as long as the daemon.

    It remembers names and readings between passes, and each pass does anew only what has changed since the last.
    """

    def __init__(  # noqa: PLR0913 - of these the daemon passes three, the others are for tests
        self,
        config: Config,
        *,
        procfs: Procfs,
        newest_starts: Mapping[str, int],
        monotonic: Callable[[], float] = time.monotonic,
        compare: Compare = compare_by_kcmp,
        most_kept_files: int = MOST_KEPT,
    ) -> None:
        """`newest_starts` is what an earlier daemon of this boot has already counted, by name; see Sample."""
        self._monotonic = monotonic
        rules = Rules(config.watch)
        patient = PatientProcfs(procfs.root)
        self._census = Census(patient, rules, monotonic=monotonic, most_kept_files=most_kept_files)
        deadline = min(READ_DEADLINE_SECONDS, config.sampling.interval / 2)
        self._reads = MemoryReads(MemoryReader(procfs), deadline_seconds=deadline, clock=monotonic)
        self._schedule = Schedule(config, now=monotonic())
        self._drift = Drift()
        self._shared = SharedSpaces(compare)
        self._repeated: set[Identity] = set()
        self._tallies: dict[str, Tally] = {}
        self._newest_starts = newest_starts
        self._first_pass = True
        self._adopt(config, rules)

    def reload(self, config: Config) -> None:
        """Go on with other rules; names that the new config does not fix rest like any other found name."""
        rules = Rules(config.watch)
        self._census.replace_rules(rules)
        self._schedule.reload(config)
        self._adopt(config, rules)

    def _adopt(self, config: Config, rules: Rules) -> None:
        self._roster = Roster(rules.fixed_names, max_names=config.sampling.max_names)
        self._slots = Slots(config.sampling.top_processes)
        self._samples: dict[str, tuple[Part, Sample]] = {}  # of the last pass
        self._spares = config.overhead.max_age > 0

    @property
    def stuck(self) -> set[Identity]:
        """The processes whose read has not returned."""
        return self._reads.stuck

    def collect(self) -> Collection:
        """Take one pass over all watched processes."""
        now = self._monotonic()
        unsettled, came_or_went = self._see(self._census.take(), now)
        self._read(unsettled, now, came_or_went=came_or_went)
        parts = self._sums()
        if self._spares and (suspects := self._drift.suspects(parts, now)):
            for process, off in suspects.items():
                process.doubt(off)
            self._read(list(suspects), now, came_or_went=False)
            parts = self._sums()
            self._drift.settle(parts)
        self._roster.admit(sorted(parts, key=lambda name: -_pss(parts[name])), now)
        by_series: dict[str, list[Part]] = {}
        for name, part in parts.items():
            by_series.setdefault(self._roster.series(name), []).append(part)
        self._samples = {name: self._sample(name, merge(by_series.get(name, ())), now) for name in self._roster.names}
        self._slots.forget(self._roster.names)
        self._first_pass = False
        return Collection(tuple(sample for _, sample in self._samples.values()), _reasons(parts.values()))

    def _sums(self) -> dict[str, Part]:
        return {name: tally.sum(self._repeated) for name, tally in self._tallies.items()}

    def _see(self, processes: Sequence[Process], now: float) -> tuple[list[Process], bool]:
        """Sort processes by name; give those whose last answer may not hold any more, and whether anybody is new.

        These keep their order, in which they lie in memory: name by name, a pass would cost more.
        """
        groups: dict[str, list[Process]] = {}
        for process in processes:
            groups.setdefault(process.group or "", []).append(process)
        before, self._tallies = self._tallies, {}
        came_or_went = before.keys() != groups.keys()
        for name, members in groups.items():
            tally = self._tallies[name] = before.get(name) or Tally()
            came_or_went |= tally.see(members)
        return self._schedule.unsettled(processes, now=now), came_or_went

    def _read(self, unsettled: list[Process], now: float, *, came_or_went: bool) -> None:
        """Read those whom the governor chooses, and see who shares an address space, if that can have changed."""
        asked = self._schedule.choose(unsettled, now=now)
        changed = self._schedule.note(self._reads.take(asked), now=now)
        for group in {process.group or "" for process in changed.processes}:
            self._tallies[group].expect()
        for group in {process.group or "" for process in unsettled if process.asked_at != now}:
            self._tallies[group].expect(again=True)
        if changed.has_moved or came_or_went or self._repeated:
            readings = (process.outcome for tally in self._tallies.values() for process in tally.processes)
            repeated = self._shared.repeated(reading for reading in readings if isinstance(reading, Reading))
            if repeated != self._repeated:
                self._repeated = repeated
                for tally in self._tallies.values():
                    tally.expect()

    def _sample(self, name: str, part: Part, now: float) -> tuple[Part, Sample]:
        """Give the sample of one name, and what it was made of: as long as that is the same, only its age is not."""
        oldest = min([process.taken_at for process in part.processes if type(process.outcome) is Reading], default=now)
        age_ms = max(0, int((now - oldest) * 1000))
        read_us = int(sum([process.read_seconds for process in part.processes if process.asked_at == now]) * 1e6)
        known = self._samples.get(name)
        if known is not None and known[0] is part:
            return part, known[1]._replace(starts=0, age_ms=age_ms, read_us=read_us)
        return part, Sample(
            name=name,
            memory=part.memory,
            pss_max=part.pss_max,
            processes=len(part.processes),
            unreadable=len(part.unreadable) + part.pending,
            starts=sum(self._count_start(process, name) for process in part.processes),
            newest_start=part.newest_start,
            age_ms=age_ms,
            read_us=read_us,
            top=self._slots.assign(name, part.readings, (process.identity for process in part.processes)),
        )

    def _count_start(self, process: Process, name: str) -> bool:
        """Tell once for each process and group that it is new; at first, unless an earlier daemon counted it."""
        if process.counted_in == process.group:
            return False
        process.counted_in = process.group
        counted_before = self._newest_starts.get(name, -1) if self._first_pass else -1
        return process.identity.start_time > counted_before


def _pss(part: Part) -> int:
    return 0 if part.memory is None else part.memory.pss


def _reasons(parts: Iterable[Part]) -> dict[Unreadable, int]:
    reasons: dict[Unreadable, int] = {}
    for part in parts:
        for reason in part.unreadable:
            reasons[reason] = reasons.get(reason, 0) + 1
        if part.pending:
            reasons[Unreadable.PENDING] = reasons.get(Unreadable.PENDING, 0) + part.pending
    return reasons
