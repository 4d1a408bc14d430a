"""Strong Kleene logic, and the same folds over sets of outcomes."""

from __future__ import annotations

import itertools
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import outcomes
from policylayer.policy.truth import Problem, Truth, conjunction, disjunction, missing, negation, together, wrong

TRUTHS: tuple[Truth, ...] = (False, True, missing("m"), wrong("w"))
ONE = st.sampled_from(TRUTHS)


def test_a_problem_names_its_fields_in_order() -> None:
    problem = missing("b") + wrong("a") + missing("b")
    assert problem.fields == ("a", "b")
    assert together([]) == Problem()


@given(st.lists(ONE, max_size=5))
def test_order_never_matters(truths: list[Truth]) -> None:
    for fold in (conjunction, disjunction):
        assert len({fold(order) for order in itertools.islice(itertools.permutations(truths), 24)}) == 1


@given(st.lists(ONE, max_size=5))
def test_any_is_all_turned_around(truths: list[Truth]) -> None:
    assert disjunction(truths) == negation(conjunction(map(negation, truths)))


@given(st.lists(st.lists(ONE, min_size=1, max_size=4), max_size=3))
def test_sets_of_outcomes_hold_every_outcome_that_may_occur(parts: list[list[Truth]]) -> None:
    may_be = [reduce(int.__or__, map(outcomes.of, part)) for part in parts]
    for chosen in itertools.product(*parts):
        assert outcomes.of(conjunction(chosen)) & outcomes.conjunction(may_be)
        assert outcomes.of(disjunction(chosen)) & outcomes.disjunction(may_be)
        assert outcomes.negation(outcomes.of(conjunction(chosen))) == outcomes.of(negation(conjunction(chosen)))


@given(st.lists(st.lists(ONE, min_size=1, max_size=4), max_size=3))
def test_sets_of_outcomes_hold_no_others(parts: list[list[Truth]]) -> None:
    may_be = [reduce(int.__or__, map(outcomes.of, part)) for part in parts]
    found = [outcomes.of(conjunction(chosen)) for chosen in itertools.product(*parts)]
    assert reduce(int.__or__, found) == outcomes.conjunction(may_be)
