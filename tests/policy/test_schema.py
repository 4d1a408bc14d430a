"""The JSON Schemas of schemas/: up to date, and of one mind with the parsers about keys and shapes."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest

from policylayer.policy.nodes import Node
from policylayer.policy.schema import SCHEMAS, schema, text
from policylayer.policy.shapes import to_json
from policylayer.policy.source import read
from tests.policy.parsed import HEAD, PEOPLE
from tests.policy.test_parse_policy import WHOLE

FOLDER = Path(__file__).resolve().parents[2] / "schemas"


def fits(name: str, data: str | bytes) -> bool:
    """Whether YAML text fits a schema."""
    node: Node | None = read("f.yaml", data.encode() if isinstance(data, str) else data, [])
    assert node is not None
    return jsonschema_rs.Draft7Validator(schema(name)).is_valid(to_json(node))


def test_the_files_are_what_the_tables_say() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.schema.json" for name in SCHEMAS)
    for name in SCHEMAS:
        written = (FOLDER / f"{name}.schema.json").read_text()
        assert written == text(name), f"run `python -m policylayer.policy.schema {name} > schemas/{name}.schema.json`"


def test_good_files_fit() -> None:
    assert fits("policy", WHOLE)
    assert fits("policy", HEAD + "rules: []\n")
    assert fits("principals", PEOPLE)
    assert fits("scope", 'applies_to: {principals: "*", servers: [a]}\n')


CONDITIONS = [
    "args.a: 1",
    'args."a b".c: {gt: 1, absent: match}',
    "args.a: {every: {item.x: {in: [a]}}}",
    "args.a: {some: {gt: 5}}",
    "args.a: {in: {ref: principal.groups}}",
    "any: [{not: {args.a: 1}}]",
    'time: {during: {days: [mon], between: ["09:00", "17:00"], zone: UTC}}',
    "principal.tenant: {length: {gt: 5}}",
]
WRONG = [
    "arg.a: 1",
    "args.a: null",
    "args.a: [1]",
    "args.a: {greater: 5}",
    "args.a: {in: []}",
    "args.a: {in: [1, a]}",
    "args.a: {}",
    "any: {args.a: 1}",
    "args.a: {every: {args.x: 1}}",
    "time: {during: {days: [mon]}}",
    "principal: {exists: true}",
]


@pytest.mark.parametrize(("condition", "good"), [(one, True) for one in CONDITIONS] + [(one, False) for one in WRONG])
def test_conditions(condition: str, good: bool) -> None:
    rule = f"rules: [{{id: a, tools: [a], effect: allow, when: {{{condition}}}}}]\n"
    assert fits("policy", HEAD + rule) is good


@pytest.mark.parametrize(
    "line", ["rulse: []", "rules: [{id: a, efect: deny}]", "rules: [{id: a, tools: a}]", "rules: {}"]
)
def test_bad_files_do_not_fit(line: str) -> None:
    assert not fits("policy", HEAD + line + "\n")
