"""What to read when: the promises of the governor, over processes of every size and a clock that tests turn."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psstopd.model import Identity, Reading, Unreadable
from psstopd.sampling import governor
from psstopd.sampling.governor import NEW, Limits, Rate, Wish
from tests.fakes import memory

GIB_OF_PAGES = 262_144
LIMITS = Limits(target_share=0.005, cpu_share=0.02, max_age=60, interval=1)
seconds = st.floats(1e-5, 10)
shares = st.floats(0.001, 1)
moments = st.floats(0, 1e6)
pages = st.integers(0, 1 << 24)


class Target:
    """A process whose reads take as long as they say; `now` is when it was asked."""

    def __init__(self, *, rss_pages: int = 1000, faults: int = 0) -> None:
        self.rss_pages = self.asked_rss_pages = rss_pages
        self.faults = self.asked_faults = faults
        self.asked_at = 0.0
        self.outcome: Reading | Unreadable | None = None
        self.taken_at = self.held_seconds = 0.0

    def read(self, now: float, *, takes: float, waits: float = 0.0) -> None:
        """Take a reading."""
        took = takes + waits
        size = memory(max(self.rss_pages * 4, int(takes / 19e-9) * 4))
        self.outcome = Reading(Identity(7, 1), size, b"7-8")
        self.taken_at, self.held_seconds = now + took, governor.held_seconds(took, size)
        self.asked_at, self.asked_rss_pages, self.asked_faults = now, self.rss_pages, self.faults


def wishes(targets: list[tuple[float, float, float]]) -> list[Wish]:
    """Make wishes of (seconds, moved, asked_at)."""
    return [Wish(index, *target) for index, target in enumerate(targets)]


moved = st.one_of(st.just(NEW), st.floats(0, 1e9))
many_wishes = st.lists(st.tuples(seconds, moved, moments), max_size=30).map(wishes)


@given(many_wishes, st.floats(-10, 100))
def test_the_budget_is_exceeded_by_one_read_at_most(wanted: list[Wish], budget: float) -> None:
    """Reads begin while there is budget; without any none does, and none happens twice."""
    chosen = governor.plan(wanted, budget).chosen

    assert len({wish.subject for wish in chosen}) == len(chosen)
    assert set(chosen) <= set(wanted)
    if chosen and len(chosen) < len(wanted):
        assert sum(wish.seconds for wish in chosen[:-1]) < budget
    assert not chosen or budget > 0


@given(many_wishes, st.floats(0.001, 100))
def test_budget_is_not_left_over(wanted: list[Wish], budget: float) -> None:
    """Whoever is not read could only have been read over the budget."""
    chosen = governor.plan(wanted, budget).chosen

    if len(chosen) < len(wanted):
        assert sum(wish.seconds for wish in chosen) >= budget * 0.999


@given(st.lists(st.tuples(seconds, moments), min_size=1, max_size=20), st.floats(0.001, 20))
def test_new_processes_go_first(others: list[tuple[float, float]], budget: float) -> None:
    """One that has never been read is the first to be read; then it is the oldest reading's turn."""
    known = [(length, 10.0 + index, moment) for index, (length, moment) in enumerate(others)]
    wanted = wishes([*known, (0.1, NEW, 1e6)])

    total = sum(wish.seconds for wish in wanted)
    chosen = governor.plan(wanted, min(budget, total / 2)).chosen

    assert chosen[0].moved == NEW
    assert all(wish.asked_at == min(moment for _, moment in others) for wish in chosen[1:2])


@given(
    st.lists(st.floats(1e-3, 0.5), min_size=2, max_size=15),
    st.floats(0.01, 1),
    st.integers(0, 3),
)
def test_nobody_starves(costs: list[float], budget: float, newcomers: int) -> None:
    """However many newcomers there are on every tick, each reading is renewed within twice what all of them take."""
    ages = dict.fromkeys(range(len(costs)), 0)
    oldest, saved, lead = 0, 0.0, 0.0
    for now in range(1, 400):
        known = [Wish(index, cost, 0.0, float(now - ages[index])) for index, cost in enumerate(costs)]
        new = [Wish(len(costs) + index, 0.3, NEW, float(now)) for index in range(newcomers)]
        saved = min(saved + budget, budget)
        chosen, lead = governor.plan([*known, *new], saved, lead)
        saved -= sum(wish.seconds for wish in chosen)
        read = {wish.subject for wish in chosen}
        ages = {index: 0 if index in read else age + 1 for index, age in ages.items()}
        oldest = max(oldest, *ages.values())

    one_more_of_each = max(costs) + 0.3
    assert oldest <= (2 * sum(costs) + 2 * one_more_of_each) / budget + 2


@given(st.lists(seconds, min_size=1, max_size=50), shares)
def test_no_process_is_read_for_more_than_its_share(lengths: list[float], share: float) -> None:
    """Read whenever that is allowed, it is read for `target_share` of the time, beyond the read at the end."""
    target, now, spent = Target(), 0.0, 0.0
    for length in lengths:
        while not governor.due([target], now, share):
            now += 0.1 + length
        assert spent <= share * now * 1.001 + 1e-5
        target.read(now, takes=length)
        now += length
        spent += length


@given(seconds, shares)
def test_a_pause_ends(length: float, share: float) -> None:
    """A process is due again as soon as its read was `target_share` of the time, and not later."""
    target = Target()
    target.read(100.0, takes=length)

    assert governor.due([target], 100.0 + length / share + 1e-3, share) == [target]


def test_waiting_is_no_harm() -> None:
    """A read of a small process that took minutes waited for it: that is no reason to leave it alone for hours."""
    target = Target()
    target.read(0.0, takes=20e-6, waits=300.0)

    assert target.held_seconds < 0.02
    assert governor.due([target], 305.0, 0.005) == [target]


@given(pages, st.integers(0, 10**9), st.floats(0, 3600), moments)
def test_who_did_not_move_is_settled_for_max_age(rss: int, faults: int, max_age: float, begin: float) -> None:
    """Its answer holds until it is `max_age` old and no longer; with 0 not at all."""
    target = Target(rss_pages=rss, faults=faults)
    target.read(begin, takes=1e-4)

    def is_settled(now: float) -> bool:
        return not governor.unsettled([target], now, max_age)

    assert is_settled(begin) == (max_age > 0)
    assert is_settled(begin + max_age * 0.99) == (max_age > 0 and begin + max_age * 0.99 - begin < max_age)
    assert not is_settled(math.nextafter(begin + max_age, math.inf) + max_age * 1e-9)


def set_rss(target: Target) -> None:
    """Let it grow."""
    target.rss_pages += 1


def set_faults(target: Target) -> None:
    """Let it touch a page."""
    target.faults += 1


def set_stuck(target: Target) -> None:
    """Let its read hang."""
    target.outcome = Unreadable.STUCK


def set_nonsense(target: Target) -> None:
    """Let it answer nonsense, or psstop be out of descriptors."""
    target.outcome = Unreadable.UNPARSEABLE


def set_new(target: Target) -> None:
    """Let it be somebody whom nobody has read."""
    target.outcome = None


@pytest.mark.parametrize("change", [set_rss, set_faults, set_stuck, set_nonsense, set_new])
def test_who_moved_is_not_settled(change: Callable[[Target], None]) -> None:
    """Any change of size or faults, and anything but an answer, wants a read."""
    target = Target()
    target.read(0.0, takes=1e-4)
    change(target)

    assert governor.unsettled([target], 1.0, 60) == [target]


def test_a_refusal_is_an_answer() -> None:
    """Who may not be read, and has not moved, is not asked again before `max_age`."""
    target = Target()
    target.outcome = Unreadable.DENIED

    assert governor.unsettled([target], 1.0, 60) == []
    assert governor.unsettled([target], 60.0, 60) == [target]


def test_before_its_first_read_a_process_is_judged_by_its_size() -> None:
    """At 5 ms a GiB until this machine has shown what it takes."""
    small, large = Target(rss_pages=100), Target(rss_pages=8 * GIB_OF_PAGES)
    usual = Rate().seconds_a_page

    assert governor.estimate(small, usual) < 50e-6
    assert governor.estimate(large, usual) == pytest.approx(0.040, rel=0.01)


@given(st.floats(1e-10, 1e-6))
def test_a_machine_s_rate_is_learnt(truth: float) -> None:
    """After some large reads the next one is known within a tenth, whatever the pages are like."""
    rate = Rate()
    for _ in range(20):
        rate = governor.learn(rate, Rate(80e-6 + truth * GIB_OF_PAGES, GIB_OF_PAGES + 100), reads=2)

    assert rate.seconds_a_page == pytest.approx(truth, rel=0.1)
    assert rate.pages <= 16 * GIB_OF_PAGES


def test_a_process_that_grew_takes_longer() -> None:
    """What the last read took is scaled by what has become of the process."""
    target = Target(rss_pages=1000)
    target.read(0.0, takes=1e-3)
    target.rss_pages = 3000

    assert governor.estimate(target, 0.0) == pytest.approx(3e-3, rel=0.01)
    target.rss_pages = 10
    assert governor.estimate(target, 0.0) == pytest.approx(1e-3, rel=0.01)


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1), st.floats(0, 1)), max_size=100))
def test_psstop_uses_its_share_of_a_core(ticks: list[tuple[float, float, float]]) -> None:
    """Reads that begin only while there is budget, and other work within half of it, keep to `cpu_share`."""
    saved, now, used = governor.full(LIMITS), 0.0, 0.0
    largest = 0.0
    for elapsed, reading, beside_part in ticks:
        reads = reading if saved > 0 else 0.0
        beside = beside_part * LIMITS.cpu_share * elapsed / 2
        saved = governor.refill(saved, elapsed=elapsed, cpu=reads + beside, reading=reads, limits=LIMITS)
        now, used, largest = now + elapsed, used + reads + beside, max(largest, reads + beside)

        assert used <= LIMITS.cpu_share * (now + governor.SAVED_SECONDS) + largest + 1e-6
        assert saved <= governor.full(LIMITS)


@given(st.floats(0.1, 100), st.floats(0, 1000))
def test_half_of_the_budget_is_for_reads(elapsed: float, beside: float) -> None:
    """However much everything else takes, some reads go on."""
    saved = governor.refill(0.0, elapsed=elapsed, cpu=beside, reading=0.0, limits=LIMITS)

    assert saved >= LIMITS.cpu_share * elapsed / 2 * 0.999


def test_what_a_stuck_read_waited_is_not_charged() -> None:
    """The budget is CPU: a read that hung for an hour has used none."""
    saved = governor.refill(1.0, elapsed=1.0, cpu=0.001, reading=3600.0, limits=LIMITS)

    assert saved == pytest.approx(1.0 + 0.02 - 0.001)


def test_one_tick_does_not_take_all_that_was_saved() -> None:
    """Reads of one tick take a quarter of the interval at most, so that the next tick is not late."""
    assert governor.allowance(60.0, LIMITS) == 0.25
    assert governor.allowance(0.1, LIMITS) == 0.1


@given(pages, pages, st.integers(0, 10**6))
def test_movement_counts_pages_both_ways(before: int, now: int, faults: int) -> None:
    """What shrank has moved as much as what grew; who was never read has moved most."""
    target = Target(rss_pages=before)
    target.read(0.0, takes=1e-4)
    target.rss_pages, target.faults = now, faults

    assert governor.movement(target) == abs(now - before) + faults
    assert governor.movement(Target()) == NEW
