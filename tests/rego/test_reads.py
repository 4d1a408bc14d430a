"""What modules read of the input document, by their syntax: never too little."""

from __future__ import annotations

import json

import pytest

from policylayer.rego.reads import input_paths

regorus = pytest.importorskip("regorus", reason="`regorus` is not installed")


def reads(body: str, head: str = "") -> set[tuple[str, ...]]:
    engine = regorus.Engine()
    engine.add_policy("a.rego", f"package policylayer\n{head}\ndecision contains {{}} if {{ {body} }}\n")
    return {path for each in json.loads(engine.get_ast_as_json()) for path in input_paths(each["ast"])}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("input.args.amount <= 3", {("args", "amount")}),
        ('input.args["a b"].c == 1', {("args", "a b", "c")}),
        ("x := input.args[input.target]; x == 1", {("args",), ("target",)}),
        ("some x in input.args.list; x == 1", {("args", "list")}),
        ('startswith(input.args.path, "/a")', {("args", "path")}),
        ("not input.session.labels", {("session", "labels")}),
        ("x := input; x.args.y == 1", {()}),
        ('object.get(input, ["args", "x"], 0) == 1', {()}),
        ('input[x] == 1; x := "args"', {()}),
        ("y := [input.time | true]; count(y) > 0", {("time",)}),
        ('data.policylayer.x with input as {"a": input.args.z}', {(), ("args", "z")}),
        ("true", set()),
    ],
)
def test_paths_are_told_as_far_as_they_are_written_out(body: str, found: set[tuple[str, ...]]) -> None:
    assert reads(body) == found


def test_imports_of_parts_of_the_input_count() -> None:
    assert reads("a.k == 1", "import input.args as a") == {("args",)}
    assert reads("input.target == 1", "import input") == {(), ("target",)}


def test_functions_and_comprehensions_are_looked_into() -> None:
    head = "f(x) if x == input.args.limit\ng := {k: v | some k, v in input.principal.attributes}"
    assert reads("f(1)", head) == {("args", "limit"), ("principal", "attributes")}
