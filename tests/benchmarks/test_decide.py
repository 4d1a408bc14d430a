"""What a decision costs against the number of rules: counted in function calls and rules looked at, not in time."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks import decide
from policylayer.core.call import Subject
from policylayer.core.decision import Effect

pytestmark = pytest.mark.shows("policy.6")


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, of Python and of C. Not while a collection of garbage calls others back."""
    counted = 0

    def one(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    collecting = gc.isenabled()
    gc.disable()
    sys.setprofile(one)
    try:
        work()
    finally:
        sys.setprofile(None)
        if collecting:
            gc.enable()
    return counted


@pytest.mark.parametrize("kind", ["tools", "principals"])
def test_rules_about_others_cost_a_known_caller_nothing(kind: str) -> None:
    counted = {}
    for rules in decide.RULES:
        policies, asked = decide.policy_set(kind, rules), decide.question()
        assert policies.decide(asked).effect is Effect.ALLOW
        counted[rules] = calls(lambda policies=policies, asked=asked: policies.decide(asked))  # type: ignore[misc]
    assert counted[1] == counted[100] == counted[1_000] > 0


@pytest.mark.parametrize("kind", ["tools", "principals"])
def test_the_first_call_of_a_caller_grows_less_than_the_rules(kind: str) -> None:
    counted = {}
    for rules in decide.RULES:
        policies = decide.policy_set(kind, rules)
        policies.decide(decide.question())
        asked = replace(decide.question(), subject=Subject("agent:never-seen"))
        counted[rules] = calls(lambda policies=policies, asked=asked: policies.decide(asked))  # type: ignore[misc]
    # A glob of another tool is tried, once for each caller; nothing else of its rule is looked at.
    assert counted[1_000] < 10 * counted[100]
    assert counted[1_000] - counted[1] <= 2 * 1_000 * (kind == "tools") + 50


@pytest.mark.parametrize("kind", ["tools", "principals"])
def test_only_rules_about_the_call_are_looked_at(kind: str) -> None:
    entry, _ = decide.policy_set(kind, 1_000).asked(decide.question())
    groups = entry.counted
    assert len(groups.allows) == 1
    assert groups.denies == groups.holds == groups.plain == ()


def test_rules_about_the_call_are_all_looked_at() -> None:
    """Otherwise the others would show nothing."""
    entry, _ = decide.policy_set("all", 100).asked(decide.question())
    assert len(entry.counted.allows) == 100


def test_it_prints_1_and_100_and_1000() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.decide", "--times", "50"], capture_output=True, text=True, check=True
    )
    rows = [line.split("|") for line in done.stdout.splitlines()[2:]]
    assert [row[1].strip() for row in rows] == ["1", "100", "1,000"]
    assert all(float(cell) > 0 for row in rows for cell in row[2:-1])
