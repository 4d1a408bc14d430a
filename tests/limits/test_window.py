"""The window against a plain model that forgets nothing: what may be charged, when to come back, how much is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from policylayer.limits.window import APART, Entry, living, retry_after, shared, used
from policylayer.policy.numbers import add, subtract

WINDOW = 64_000_000
amounts = st.decimals("0", "12", places=2)
gaps = st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(0, 2 * WINDOW))


@dataclass
class Kept:
    """A counter as the tables hold it."""

    most: Decimal
    entries: list[Entry] = field(default_factory=list)

    def charge(self, now: int, amount: Decimal) -> bool:
        found = living(self.entries, now, WINDOW)
        if add(used(found), amount) > self.most:
            return False
        into = shared(found, now, WINDOW)
        entry = Entry(now, amount, now + WINDOW)
        if into is not None:
            found.remove(into)
            entry = Entry(into.at_us, add(into.amount, amount), max(into.until_us, now + WINDOW))
        self.entries = [*found, entry]
        return True


@given(st.lists(st.tuples(gaps, amounts), max_size=APART), st.decimals("0", "40", places=1))
def test_few_charges_are_counted_exactly(steps: list[tuple[int, Decimal]], most: Decimal) -> None:
    kept, model, now = Kept(most), list[tuple[int, Decimal]](), 1
    for gap, amount in steps:
        now += gap
        fits = sum((each for at, each in model if at + WINDOW > now), amount) <= most
        assert kept.charge(now, amount) is fits
        if fits:
            model.append((now, amount))


@given(st.lists(st.tuples(st.integers(0, 1_500_000), amounts), max_size=400), st.decimals("1", "900", places=1))
def test_no_window_holds_more_than_the_limit_however_many_charges(
    steps: list[tuple[int, Decimal]], most: Decimal
) -> None:
    """And nothing is refused that a window a little longer would let through."""
    kept, model, now = Kept(most), list[tuple[int, Decimal]](), 1
    for gap, amount in steps:
        now += gap
        within = sum((each for at, each in model if at + WINDOW > now), amount)
        longer = sum((each for at, each in model if at + WINDOW + WINDOW // APART > now), amount)
        fits = kept.charge(now, amount)
        assert not fits or within <= most
        assert fits or longer > most
        if fits:
            model.append((now, amount))
        assert len(living(kept.entries, now, WINDOW)) <= 2 * APART


@given(st.lists(st.tuples(st.integers(0, 4_000_000), amounts), min_size=1, max_size=40), amounts)
def test_whoever_comes_back_when_told_is_let_in_and_not_much_sooner(
    steps: list[tuple[int, Decimal]], amount: Decimal
) -> None:
    kept, now = Kept(Decimal(30)), 1
    for gap, each in steps:
        now += gap
        kept.charge(now, each)
    found = living(kept.entries, now, WINDOW)
    if add(used(found), amount) <= 30:
        return
    wait = retry_after(found, now, amount, Decimal(30))
    assert wait is not None
    later = now + wait * 1_000_000
    assert add(used(living(kept.entries, later, WINDOW)), amount) <= 30
    sooner = later - 1_000_001
    assert sooner < now or add(used(living(kept.entries, sooner, WINDOW)), amount) > 30


def test_what_never_fits_has_no_time() -> None:
    assert retry_after([], 0, Decimal(11), Decimal(10)) is None


@given(st.decimals("0", "1e30", places=20), st.decimals("0", "1e-30", places=40))
def test_sums_are_exact(a: Decimal, b: Decimal) -> None:
    assert subtract(add(a, b), b).compare(a) == 0
