"""Decide what to read when, so that psstop harms neither the processes that it watches nor the machine.

Pure functions over numbers; times are seconds on one clock that never steps. The promises, each held by a test:

* No process is being read for more than `target_share` of wall time, beyond one read: a read of c seconds is followed
  by c / target_share seconds without one.
* All of psstop uses `cpu_share` of a core. What it saves it may spend later, a minute's worth at most; what its other
  work takes comes off the budget for reads, down to half of it.
* A process that did not move (its resident size and its page faults are the same, and so are the processes of its name)
  keeps its reading for `max_age`, or until what others do says that it may be off: see drift.
* Over budget, half goes to what tells most: new processes, then the ones that moved most. The other half goes to the
  oldest readings, so that nobody starves: with reads of C seconds in all, the longest c, and a budget for reads of b
  seconds each second (at worst half of `cpu_share`, and a quarter of the time), no reading gets older than

      max(max_age, c / target_share) + 2 (C + 2 c) / b + two intervals.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from psstopd.kernel.procfs import PAGE_SIZE
from psstopd.model import Memory, Reading, Unreadable

NEW = float("inf")  # how much a process moved that has never been read
SAVED_SECONDS = 60.0  # so long may budget be saved up
_LONGEST_PART_OF_INTERVAL = 0.25  # that the reads of one tick may take: a tick that is late helps nobody
_SECONDS_A_READ = 40e-6  # of a process without any memory to speak of
_SECONDS_A_PAGE = 5e-3 / 262_144  # 5 ms a GiB of 4 KiB pages, until this machine's own rate is known
_REMEMBERED_PAGES = 4_194_304  # 16 GiB: what was learned from older reads fades
_LONGEST_WALK_SECONDS = 0.01  # whatever the number of mappings
_LONGEST_SECONDS_A_PAGE = 10 * _SECONDS_A_PAGE
_DENIED = Unreadable.DENIED


class Limits(NamedTuple):
    """What reads may cost, from the config: shares 0 to 1, seconds."""

    target_share: float
    cpu_share: float
    max_age: float
    interval: float


class Subject(Protocol):
    """A process as the census last saw it, and what it was when it was last asked for its memory.

    `outcome` None: it never was, and `asked_at` is when it was met. `taken_at` and `held_seconds` are of its last read.
    """

    rss_pages: int
    faults: int
    asked_rss_pages: int
    asked_faults: int
    asked_at: float
    outcome: Reading | Unreadable | None
    taken_at: float
    held_seconds: float


SomeSubject = TypeVar("SomeSubject", bound=Subject)


class Wish(NamedTuple):
    """A read that would be worth its while."""

    subject: int  # where the process is in the caller's list
    seconds: float  # that the read will take, as far as one can know
    moved: float  # pages since the last read, or NEW
    asked_at: float


class Plan(NamedTuple):
    """What to read now, and how many seconds of reads news are ahead of age."""

    chosen: Sequence[Wish]
    lead: float


class Rate(NamedTuple):
    """What this machine takes to read a resident page: transparent huge pages make it 20 times cheaper."""

    seconds: float = _SECONDS_A_PAGE
    pages: float = 1.0

    @property
    def seconds_a_page(self) -> float:
        """Give the mean of what was learned."""
        return self.seconds / self.pages


def unsettled(subjects: Iterable[SomeSubject], now: float, max_age: float) -> list[SomeSubject]:
    """Give those whose last answer may not hold any more. A read that hangs, or brought nonsense, is no answer."""
    return [
        subject
        for subject in subjects
        if now - subject.asked_at >= max_age
        or subject.rss_pages != subject.asked_rss_pages
        or subject.faults != subject.asked_faults
        or not (type(subject.outcome) is Reading or subject.outcome is _DENIED)
    ]


def due(subjects: Iterable[SomeSubject], now: float, target_share: float) -> list[SomeSubject]:
    """Give those who have been left alone for long enough after their last read."""
    rest = 1 / target_share - 1
    return [subject for subject in subjects if now >= subject.taken_at + subject.held_seconds * rest]


def held_seconds(seconds: float, memory: Memory) -> float:
    """Give how long a read held up its target: the time it took, unless nearly all of that was waiting for the target.

    What a walk takes at most follows from the pages, swapped ones too. A read that waited minutes for a stuck process
    has not been in its way for minutes.
    """
    if seconds <= _LONGEST_WALK_SECONDS:
        return seconds
    pages = (memory.rss + (memory.swap_pss or 0)) / PAGE_SIZE
    return min(seconds, _LONGEST_WALK_SECONDS + pages * _LONGEST_SECONDS_A_PAGE)


def estimate(subject: Subject, seconds_a_page: float) -> float:
    """Give the seconds that a read will take: as long as the last one, or longer as the process has grown."""
    if type(subject.outcome) is not Reading:
        return _SECONDS_A_READ + subject.rss_pages * seconds_a_page
    seconds = subject.held_seconds
    grown = subject.rss_pages > subject.asked_rss_pages > 0
    return seconds * subject.rss_pages / subject.asked_rss_pages if grown else seconds


def movement(subject: Subject) -> float:
    """Give how far a process may be from its last reading, in pages."""
    if subject.outcome is None:
        return NEW
    return abs(subject.rss_pages - subject.asked_rss_pages) + (subject.faults - subject.asked_faults)


def plan(wishes: Sequence[Wish], seconds: float, lead: float = 0.0) -> Plan:
    """Choose what to read for `seconds`, most telling first; over them by one read at most, since a wish is no part.

    `lead` is that of the last plan: where there is budget for one read a tick, news and age take turns by ticks.
    """
    if seconds <= 0:
        return Plan((), lead)
    if sum(wish.seconds for wish in wishes) <= seconds:
        return Plan(wishes, 0.0)
    by_news = iter(sorted(wishes, key=lambda wish: (-wish.moved, wish.asked_at)))
    by_age = iter(sorted(wishes, key=lambda wish: wish.asked_at))
    chosen: dict[int, Wish] = {}
    spent = 0.0
    while spent < seconds and len(chosen) < len(wishes):
        wish = next(wish for wish in (by_news if lead <= 0 else by_age) if wish.subject not in chosen)
        chosen[wish.subject] = wish
        spent += wish.seconds
        lead += wish.seconds if lead <= 0 else -wish.seconds
    return Plan(tuple(chosen.values()), lead)


def refill(saved: float, *, elapsed: float, cpu: float, reading: float, limits: Limits) -> float:
    """Give the budget after `elapsed` seconds, in which psstop used `cpu`; for reads that took `reading`, or waited."""
    earned = limits.cpu_share * elapsed
    for_reads = min(reading, cpu)
    return min(saved + earned - for_reads - min(cpu - for_reads, earned / 2), full(limits))


def full(limits: Limits) -> float:
    """Give the most that is saved up, which is also what a daemon begins with: everybody is new to it."""
    return SAVED_SECONDS * limits.cpu_share


def allowance(saved: float, limits: Limits) -> float:
    """Give the seconds that the reads of one tick may take."""
    return min(saved, limits.interval * _LONGEST_PART_OF_INTERVAL)


def learn(rate: Rate, added: Rate, *, reads: int) -> Rate:
    """Add what some reads took in all to what is known; the newest 16 GiB or so count."""
    seconds = rate.seconds + max(0.0, added.seconds - reads * _SECONDS_A_READ)
    pages = rate.pages + added.pages
    faded = min(1.0, _REMEMBERED_PAGES / pages)
    return Rate(seconds * faded, pages * faded)
