"""Keywords that a JSON Schema does not have would be ignored, so they are refused wherever a schema stands."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Effect
from policylayer.policy.schema_words import KEYWORDS, NAMED, ONE, SEVERAL
from tests.policy.made import question
from tests.policy.parsed import HEAD, codes_of_rule, loaded

pytestmark = pytest.mark.shows("policy.5")


def codes(schema: object) -> list[str]:
    return codes_of_rule(f"effect: allow, when: {{args.x: {{schema: {json.dumps(schema)}}}}}")


@pytest.mark.parametrize(
    "word",
    ["maxmum", "requried", "additionalPropertis", "tpye", "additionalItems", "dependencies", "nullable", "x-y", "Type"],
)
def test_an_unknown_keyword_is_refused(word: str) -> None:
    assert codes({word: {}}) == ["PL175"]


def inside(path: list[str], schema: object) -> object:
    """A schema that holds another below these keywords."""
    for keyword in path:
        schema = {keyword: [schema] if keyword in SEVERAL else {"maxmum": schema} if keyword in NAMED else schema}
    return schema


@given(st.lists(st.sampled_from(sorted(ONE | SEVERAL | NAMED)), max_size=4))
def test_so_it_is_at_any_depth(path: list[str]) -> None:
    assert codes(inside(path, {"maxmum": 1})) == ["PL175"]
    assert codes(inside(path, {"maximum": 1})) == []


@pytest.mark.parametrize("word", ["default", "const", "enum", "examples"])
def test_data_is_none(word: str) -> None:
    data = {"maxmum": 1}
    assert codes({word: [data] if word in ("enum", "examples") else data}) == []


def doubling(levels: int) -> object:
    """Each definition names the next twice."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize("schema", [doubling(26), doubling(60), {"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}])
def test_a_schema_that_takes_too_much_for_one_value_is_refused(schema: object) -> None:
    assert codes(schema) == ["PL175"]
    assert codes(doubling(15)) == []


def test_such_a_schema_is_shown_at_its_place() -> None:
    text = f"{HEAD}rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      args.x:\n        schema: "
    (found,) = loaded(f"{text}{json.dumps(doubling(26))}\n").diagnostics
    assert (found.line, found.column, found.message.split(",")[0]) == (9, 17, "one value may take more than 8")


@given(st.integers(1, 60))
def test_a_schema_that_leads_back_to_itself_is_used_at_any_depth(levels: int) -> None:
    """What the validator remembers is not looked at again: else this would not end."""
    node = {"properties": {"x": {"$ref": "#"}}}
    value: object = "end"
    for _ in range(levels):
        value = {"x": value}
    allows = f"effect: allow, when: {{args.x: {{schema: {json.dumps({'allOf': [node, node]})}}}}}"
    policy_set = loaded(f"{HEAD}rules:\n  - {{id: a, tools: [t], {allows}}}\n").policy_set
    assert policy_set is not None
    assert policy_set.decide(question(tool="t", arguments={"x": value})).effect is Effect.ALLOW


def test_the_keywords_are_those_that_the_validator_checks() -> None:
    """Each known keyword that means something is refused with a wrong operand, so none is misspelt in the table."""
    free = {"const", "default", "examples", "$comment", "enum", "then", "else"}
    for word in sorted(KEYWORDS - free):
        with pytest.raises((jsonschema_rs.ValidationError, ValueError)):
            jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", word: [3.5, 3.5]})


def test_a_keyword_is_shown_at_its_place() -> None:
    text = f"{HEAD}rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      args.x:\n        schema:\n"
    found = loaded(f"{text}          items:\n            not: {{maxmum: 5}}\n").diagnostics
    assert [(each.line, each.column, each.help) for each in found] == [(11, 19, "did you mean `maximum`?")]
