"""What conditions may come to on calls that fit a schema: nothing that does come about is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jsonschema_rs
from hypothesis import given, settings

from policylayer.policy import ast, outcomes
from policylayer.policy.conditions import compile_condition
from policylayer.policy.directory import People
from policylayer.policy.tool_places import root_of
from policylayer.policy.tool_truth import Scene, World, fold, of_test
from policylayer.policy.values import Context
from tests.policy.generated import SEEDS
from tests.policy.made import question, when
from tests.policy.made_schemas import Schemas


def context(arguments: Mapping[str, Any]) -> Context:
    asked = question("t", arguments)
    asked = replace(asked, server=replace(asked.server, cwd="/srv"))
    return Context(asked, People(ast.Directory()), frozenset(), frozenset())


def scene(schema: Any) -> Scene:
    return World(ast.Directory()).scene("s", "t", root_of(schema))


def may(schema: Any, conditions: Mapping[str, Any]) -> int:
    """What the conditions may come to."""
    here = scene(schema)
    return fold(when(conditions), lambda test: of_test(test, here))


@settings(max_examples=500)
@given(SEEDS)
def test_nothing_that_comes_about_is_left_out(seed: int) -> None:
    made = Schemas(seed)
    schema = made.root()
    fits = jsonschema_rs.Draft202012Validator(schema).is_valid
    calls = [call for call in (made.arguments(schema) for _ in range(12)) if fits(call)]
    here = scene(schema)
    for _ in range(6):
        condition = when(made.when())
        node = compile_condition(condition, [])
        possible = fold(condition, lambda test: of_test(test, here))
        for call in calls:
            truth = node.truth(context(call))
            assert outcomes.of(truth) & possible, (schema, condition, call, truth, possible)
