"""Recorded calls explained where Rego decides: the engine is asked about what was, or it is said that it was not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("regorus", reason="`regorus` is not installed")

from policylayer.core.call import Question, ServerFacts
from policylayer.core.decision import Effect
from policylayer.core.finding import Finding
from policylayer.core.redact import Mode
from policylayer.policy.explain_lines import lines
from policylayer.policy.explain_shown import as_json
from policylayer.policy.load import load
from policylayer.policy.recorded import Kept
from policylayer.rego.document import Describe
from policylayer.revisions.active import Active
from policylayer.revisions.opened import opened
from tests.policy.made import question
from tests.support.kept import kept_of, row_of

pytestmark = pytest.mark.anyio
FACTS = {"s": ServerFacts("s")}.get
FILES = {
    "p.yaml": b"""
policy: p
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: notes, tools: [write], effect: allow}
  - {id: never, tools: [delete], effect: deny}
""",
    "a.rego": b"""package policylayer
decision contains {"effect": "deny", "rule": "big"} if {
	print("amount", input.args.amount)
	input.args.amount > 10
}
""",
}


class Opa:
    """An OPA server that allows everything, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def findings(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        self.asked += 1
        return ()

    async def listed_one(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        return ()

    @property
    def pushes(self) -> bool:
        return False

    async def push(self, files: Any, revision: str) -> str:
        return "it is nobody's"


@pytest.fixture
async def active() -> AsyncIterator[Active]:
    async with opened(load(FILES), FILES) as made:
        yield made


async def row(active: Active, said: Question, mode: Mode) -> Kept:
    reads = active.reads("s", "tools/call", said.call.target)
    return kept_of(row_of(said, await active.decide(said), mode=mode, reads=reads))


@pytest.mark.parametrize("mode", ["read", "redacted", "full"])
async def test_the_engine_is_asked_where_the_record_holds_what_it_reads(active: Active, mode: Mode) -> None:
    kept = await row(active, question("write", {"amount": 50, "card": {"password": "x"}}), mode)
    told = as_json(await active.explain_recorded(kept, FACTS))
    assert told["decision"]["effect"] == "deny"
    assert [each["rule"] for each in told["decision"]["rules"]] == ["big"]
    (unit,) = told["rego"]
    assert [each for each in unit["prints"] if "50" in each]
    assert unit["findings"][0]["rule"] == "rego/big"


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ({"amount": 50}, "digest"),
        ({"amount": 50}, "none"),
        ({"amount": {"password": "x"}}, "redacted"),
        ({"amount": {"password": "x"}}, "read"),
    ],
)
async def test_where_it_does_not_that_is_said_and_no_other_call_is_explained(
    active: Active, arguments: dict[str, Any], mode: Mode
) -> None:
    told = as_json(await active.explain_recorded(await row(active, question("write", arguments), mode), FACTS))
    assert told["possible"] == ["allow", "deny", "require_approval"]
    assert told["not_known"] == ["rego"]
    assert told["change"] is None
    assert told["rego"] == [{"engine": "embedded", "not_asked": ["args.amount"]}]
    text = "\n".join(lines(told))
    assert "Rego was not asked: it reads what the record does not hold as it was: args.amount." in text
    assert "the record does not hold what decides" in text
    assert "What would change it cannot be said" in text


async def test_what_a_yaml_file_denies_is_certain_whatever_rego_says(active: Active) -> None:
    told = as_json(await active.explain_recorded(await row(active, question("delete", {"amount": 5}), "none"), FACTS))
    assert told["possible"] == ["deny"]
    assert told["change"] is None


async def test_an_opa_server_is_asked_about_calls_but_not_about_recorded_ones() -> None:
    opa = Opa()
    async with opened(load({"p.yaml": FILES["p.yaml"]}), {}, opa) as active:  # type: ignore[arg-type]
        told = await active.explain(question("write", {"amount": 5}))
        assert told.explanation.decision.effect is Effect.ALLOW
        assert opa.asked
        kept, before = await row(active, question("write", {"amount": 5}), "full"), opa.asked
        shown = as_json(await active.explain_recorded(kept, FACTS))
    assert opa.asked == before
    assert shown["possible"] == ["allow", "deny", "require_approval"]
    assert "The OPA server was not asked" in "\n".join(lines(shown))
