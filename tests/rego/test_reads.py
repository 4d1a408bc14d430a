"""What modules read of the input document, by their syntax: never too little."""

from __future__ import annotations

import json

import pytest

from policylayer.rego.modules import read
from policylayer.rego.reads import input_paths, paths_read

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
        ('object.get(input, ["args", "x"], 0) == 1', {("args", "x")}),
        ('object.get(input.args, "x", 0) == 1', {("args", "x")}),
        ('object.get(input.args, "x", {}).y == 1', {("args", "x")}),
        ('object.get(object.get(input.args, "x", {}), "y", 0) == 1', {("args", "x")}),
        ('object.get(input.args, "x", input.args.z) == 1', {("args", "x"), ("args", "z")}),
        ("object.get(input.args, input.target, 0) == 1", {("args",), ("target",)}),
        ('object.get(input.args, ["list", 0], 0) == 1', {("args",)}),
        ('object.get(input.args[input.target], "x", 0) == 1', {("args",), ("target",)}),
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


def of_files(**files: str) -> set[tuple[str, ...]]:
    engine = regorus.Engine()
    for name, text in files.items():
        engine.add_policy(f"{name}.rego", f"package policylayer\n{text}\n")
    parsed = json.loads(engine.get_ast_as_json())
    return paths_read([read(each["source"]["file"], each["source"]["contents"], each["ast"]) for each in parsed])


POLICY = 'decision contains {"effect": "deny"} if input.args.amount > 5'


@pytest.mark.parametrize(
    ("files", "found"),
    [
        # What a test hands to the policy is no reading of the policy's.
        ({"a": POLICY, "a_test": 'test_a if decision == set() with input as {"args": {}}'}, {("args", "amount")}),
        # What stands beside tests, and may be used by the policy, is.
        ({"a": POLICY, "a_test": "own if input.args.b"}, {("args", "amount"), ("args", "b")}),
        ({"a": POLICY, "b": "test_a if input.args.b"}, {("args", "amount"), ("args", "b")}),
        # A policy that asks a test reads what the test reads.
        ({"a": POLICY, "b": "x if test_a", "a_test": "test_a if input.args.b"}, {("args", "amount"), ("args", "b")}),
        ({"b": "x := data.policylayer", "a_test": "test_a if input.args.b"}, {("args", "b")}),
        (
            {"b": "x := data.policylayer[input.target]", "a_test": "test_a if input.args.b"},
            {("args", "b"), ("target",)},
        ),
        # `object.get` may be another function than the builtin.
        (
            {"a": 'import data.policylayer.lib as object\nx if object.get(input.args, "b", 1)'},
            {("args",)},
        ),
        ({"a": 'object.get(a, b, c) := a.z if true\nx if object.get(input.args, "b", 1)'}, {("args",)}),
    ],
)
def test_tests_and_other_functions_of_that_name(files: dict[str, str], found: set[tuple[str, ...]]) -> None:
    assert of_files(**files) == found
