"""The catalogue's section on policy (POL), where it concerns what a set says: names, texts, missing values, caches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from policylayer.core.call import Call
from policylayer.core.decision import Effect, ReasonCode
from policylayer.policy.load import load
from policylayer.policy.policy_set import PolicySet
from tests.policy.made import question

pytestmark = pytest.mark.shows("policy.5")
EXAMPLES = Path(__file__).resolve().parents[2] / "policies"


def of_text(rules: str, default: bool = False) -> PolicySet:
    """A set of one file; `default`: with an allow of everything beside it, under which only a deny denies."""
    everything = "  - {id: all, methods: ['*'], effect: allow}\n" if default else ""
    head = "policy: p\napplies_to: {principals: ['*'], servers: ['*']}\nrules:\n"
    people = b"principals: {agent:a: {}, agent:b: {}}\n"
    made = load({"p.yaml": f"{head}{everything}{rules}".encode(), "principals.yaml": people})
    assert made.policy_set is not None, made.diagnostics
    return made.policy_set


@pytest.mark.parametrize(
    "name",
    ["Danger", "DANGER", "dangeR", "d\u0430nger", "danger\u200b", "danger\u00ad", "danger ", "danger\n", "dange"],
)
def test_pol_04_06_a_name_is_exactly_that_name(name: str) -> None:
    made = of_text("  - {id: a, tools: [danger], effect: allow}\n")
    assert made.decide(question("danger")).effect is Effect.ALLOW
    assert made.decide(question(name)).reason_code is ReasonCode.NOT_APPLICABLE


def test_pol_07_a_name_however_long_is_judged() -> None:
    made = of_text('  - {id: d, tools: ["delete_*"], effect: deny}\n', default=True)
    assert made.decide(question("delete_" + "x" * 10_000)).effect is Effect.DENY


@pytest.mark.parametrize(
    "sql", [line for line in (Path(__file__).with_name("sql.txt")).read_text().splitlines() if line]
)
@pytest.mark.parametrize("before", ["", "\ufeff", "/**/", "-- x\n", "\n\t"])
def test_pol_19_no_sql_passes_by_its_looks(sql: str, before: str) -> None:
    folder = EXAMPLES / "database"
    made = load({path.name: path.read_bytes() for path in folder.iterdir()}).policy_set
    assert made is not None
    call = Call("warehouse", "tools/call", "execute_sql", {"sql": before + sql}, b"", b"", "2025-11-25")
    asked = replace(question(), call=call, subject=replace(question().subject, id="agent:analyst"))
    assert made.decide(asked).effect is not Effect.ALLOW


@pytest.mark.parametrize("condition", ["args.n: {gt: 5}", "not: {args.n: {gt: 5}}", "not: {args.n: {eq: x}}"])
@pytest.mark.parametrize("given", [{}, {"n": None}, {"n": []}, {"n": {"gt": 9}}, {"N": 9}])
def test_pol_22_what_cannot_be_read_never_lets_a_call_through(condition: str, given: dict[str, object]) -> None:
    made = of_text(f"  - {{id: a, tools: [t], when: {{{condition}}}, effect: allow}}\n")
    assert made.decide(question("t", given)).effect is Effect.DENY
    denied = of_text(f"  - {{id: d, tools: [t], when: {{{condition}}}, effect: deny}}\n", default=True)
    assert denied.decide(question("t", given)).effect is Effect.DENY


@pytest.mark.parametrize("given", [[], {}, "a", [["a"]], [None], ["b"] * 100_000])
def test_pol_24_lists(given: object) -> None:
    made = of_text("  - {id: a, tools: [t], when: {args.l: {every: {eq: a}}}, effect: allow}\n")
    assert made.decide(question("t", {"l": given})).effect is Effect.DENY
    assert made.decide(question("t", {"l": ["a", "a"]})).effect is Effect.ALLOW


def test_pol_29_names_of_the_program_are_names_of_arguments() -> None:
    made = of_text("  - {id: a, tools: [t], when: {args.__class__.__name__: {eq: dict}}, effect: allow}\n")
    assert made.decide(question("t", {})).effect is Effect.DENY
    assert made.decide(question("t", {"__class__": {"__name__": "dict"}})).effect is Effect.ALLOW


def test_pol_37_what_is_remembered_is_never_an_answer() -> None:
    """The same names, other arguments, another caller, and another set: each is decided anew."""
    rules = "  - {id: a, tools: [t], principals: ['agent:a'], when: {args.n: {lte: 5}}, effect: allow}\n"
    made = of_text(rules)
    for _ in range(3):
        assert made.decide(question("t", {"n": 5, "m": 1})).effect is Effect.ALLOW
        assert made.decide(question("t", {"m": 1, "n": 5})).effect is Effect.ALLOW
        assert made.decide(question("t", {"n": 6})).effect is Effect.DENY
        other = question("t", {"n": 5})
        assert made.decide(replace(other, subject=replace(other.subject, id="agent:b"))).effect is Effect.DENY
    assert of_text(rules.replace("lte", "gt")).decide(question("t", {"n": 5})).effect is Effect.DENY
