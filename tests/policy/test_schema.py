"""The JSON Schemas of schemas/: up to date, and of one mind with the parsers about keys and shapes."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import pytest

from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.nodes import Node
from policylayer.policy.parse_policy import parse_policy, parse_scope
from policylayer.policy.parse_principals import parse_principals
from policylayer.policy.parse_tests import parse_tests
from policylayer.policy.schema import SCHEMAS, schema, text
from policylayer.policy.shapes import Reading, to_json
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


ROOT = FOLDER.parent
PARSERS = {"policy": parse_policy, "principals": parse_principals, "scope": parse_scope, "tests": parse_tests}


def schema_for(path: Path) -> str:
    """Which of the schemas a file is for, by its name."""
    by_name = {"principals.yaml": "principals", "scope.yaml": "scope"}
    return by_name.get(path.name, "tests" if path.name.endswith("_test.yaml") else "policy")


def is_well_formed(path: Path) -> bool:
    """Whether the parsers find nothing wrong with a file by itself."""
    sink: list[Diagnostic] = []
    node = read(path.name, path.read_bytes(), sink)
    if node is not None:
        PARSERS[schema_for(path)](node, Reading(path.name, sink, frozenset()))
    return node is not None and not any(each.is_error for each in sink)


FILES = [
    path
    for place in ("policies", "examples", "tests/cases/diagnostics")
    for path in sorted((ROOT / place).rglob("*.yaml"))
    if path.name != "policylayer.yaml" and is_well_formed(path)
]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_what_the_parsers_take_fits(path: Path) -> None:
    assert fits(schema_for(path), path.read_bytes())


def test_each_schema_is_tried() -> None:
    assert {schema_for(path) for path in FILES} == set(SCHEMAS)
    assert len(FILES) > 40


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
