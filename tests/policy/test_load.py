"""Folders: which files are read, what is held against other files, and that one error leaves no set."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylayer.policy.known import Known
from policylayer.policy.load import kind_of, load, revision_of
from tests.policy.parsed import HEAD, PEOPLE, codes, loaded

GOOD = HEAD + "rules:\n  - {id: read, tools: [a], effect: allow}\n  - {id: ask, tools: [b], effect: require_approval}\n"
CASES = Path(__file__).resolve().parents[1] / "cases" / "diagnostics"
SPEC = """# a test file
tests:
  - name: reading passes
    principal: agent:bot
    call: {server: shop, tool: a}
    expect: {effect: allow, rules: [shop/read]}
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.yaml", "policy"),
        ("team/a.yaml", "policy"),
        ("a_test.yaml", "tests"),
        ("scope_test.yaml", "tests"),
        ("principals.yaml", "principals"),
        ("team/principals.yaml", "misplaced"),
        ("scope.yaml", "scope"),
        ("team/deep/scope.yaml", "scope"),
        ("a.rego", "rego"),
        ("a_test.rego", "rego"),
        ("a.yml", "misnamed"),
        ("a.YAML", "misnamed"),
        ("a.Rego", "misnamed"),
        ("a.yaml.bak", "unknown"),
        ("a.json", "unknown"),
        ("README.md", "ignored"),
        (".a.yaml", "ignored"),
        (".git/a.yaml", "ignored"),
        ("team/.hidden/a.yaml", "ignored"),
    ],
)
def test_kinds_of_files(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_a_good_folder() -> None:
    result = load({"shop.yaml": GOOD.encode(), "principals.yaml": PEOPLE, "shop_test.yaml": SPEC.encode()})
    assert result.diagnostics == ()
    assert result.policy_set is not None
    assert result.policy_set.revision == result.revision
    assert [test.name for test in result.tests] == ["reading passes"]


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize("files", [{}, {"principals.yaml": PEOPLE}, {"README.md": b"x"}, {".a.yaml": b"x"}])
def test_load_07_an_empty_folder_is_never_a_policy(files: dict[str, bytes]) -> None:
    result = load(files)
    assert result.policy_set is None
    assert [finding.code for finding in result.errors] == ["PL132"]


@pytest.mark.shows("policy.5")
def test_load_17_a_pattern_that_does_not_compile_names_its_place() -> None:
    text = HEAD + "rules:\n  - id: r\n    tools: [a]\n    effect: allow\n    when: {args.x: {matches: '('}}\n"
    (finding,) = loaded(text).diagnostics
    assert (finding.file, finding.line, finding.code) == ("f.yaml", 7, "PL172")


def test_one_error_anywhere_leaves_no_set() -> None:
    for broken in ({"b.yaml": b"x"}, {"b_test.yaml": b"x: 1"}, {"team/scope.yaml": b"x: 1"}, {"b.yml": b"x"}):
        result = load({"shop.yaml": GOOD.encode(), "principals.yaml": PEOPLE, **broken})
        assert result.policy_set is None
        assert {finding.file for finding in result.errors} == set(broken)


def test_warnings_leave_the_set() -> None:
    result = load({"shop.yaml": GOOD.encode(), "notes.txt": b"x"})
    assert [finding.severity for finding in result.diagnostics] == ["warning"]
    assert result.policy_set is not None


def test_all_problems_of_all_files_are_told_at_once() -> None:
    result = load({"a.yaml": b"policy: 5\n", "b.yaml": b"\xff", "c_test.yaml": b"tests: []\n"})
    assert sorted({finding.file for finding in result.errors}) == ["a.yaml", "b.yaml", "c_test.yaml"]


def test_names_and_ids_are_unique() -> None:
    assert codes(GOOD, other=GOOD) == ["PL133"]
    twice = HEAD + "rules: [{id: a, tools: [a], effect: allow}, {id: a, tools: [b], effect: allow}]\n"
    assert codes(twice) == ["PL136"]


def test_scopes_lie_on_all_files_below() -> None:
    scope = 'applies_to: {principals: [agent:bot], servers: ["*"]}\n'
    files = {"scope.yaml": scope, "a/scope.yaml": scope, "a/b/scope.yaml": scope, "c/scope.yaml": scope}
    files |= {"a/b/shop.yaml": GOOD, "root.yaml": GOOD.replace("shop", "root", 1)}
    result = load({**{path: text.encode() for path, text in files.items()}, "principals.yaml": PEOPLE})
    found = {policy.name: [scope.span.file for scope in policy.scopes] for policy in result.policies}
    assert found == {"shop": ["scope.yaml", "a/scope.yaml", "a/b/scope.yaml"], "root": ["scope.yaml"]}


@pytest.mark.parametrize(
    "name", ["agent:bot", "user:alice", "group:ops", "group:okta/x", "user:okta/x", '"*"', '"agent:*"']
)
def test_names_that_somebody_has(name: str) -> None:
    assert codes(HEAD + f"rules: [{{id: a, tools: [a], principals: [{name}], effect: allow}}]\n") == []


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("agent:bto", "PL140"),
        ("ops", "PL140"),
        ("group:entra/x", "PL140"),
        ('"bot:*"', "PL141"),
        ('"group:o?"', "PL170"),
    ],
)
def test_names_that_nobody_has(name: str, code: str) -> None:
    assert codes(HEAD + f"rules: [{{id: a, tools: [a], principals: [{name}], effect: allow}}]\n") == [code]
    assert codes(HEAD + f"rules: [{{id: a, tools: [a], except: [{{principals: [{name}]}}], effect: allow}}]\n") == [
        code
    ]
    assert codes(f'policy: p\napplies_to: {{principals: [{name}], servers: ["*"]}}\nrules: []\n') == [code]


def test_the_configuration_is_asked_where_it_is_known() -> None:
    text = HEAD + "rules: [{id: a, methods: [pign], servers: [shpo], effect: allow}]\n"
    assert codes(text) == []
    known = Known(servers=frozenset({"shop"}), methods=frozenset({"ping"}))
    assert [finding.code for finding in load({"f.yaml": text.encode()}, known).diagnostics] == ["PL149", "PL148"]


FEATURES = [
    ("limits", "limits: [5/day]"),
    ("label", "label: [a]"),
    ("earn", "earn: {a: 1h}"),
    ("mask", "mask: [result.a]"),
    ("cap", "cap: 5"),
    ("risk", "effect: allow, risk: [read]"),
    ("traits", "effect: allow, traits: [egress]"),
    ("annotations", "effect: allow, annotations: {readOnlyHint: true}"),
    ("session", "effect: allow, when: {session.labels: {some: a}}"),
    ("for", "effect: allow, for: [agent:bot]"),
    ("for", "effect: allow, when: {for.id: a}"),
    ("for", "effect: allow, when: {args.a: {eq: {ref: for.id}}}"),
    ("limits", "effect: allow, except: [{tools: [b]}], limits: [5/day]"),
]


@pytest.mark.parametrize(("feature", "body"), FEATURES)
def test_what_is_not_enforced_is_refused_and_enabling_it_is_one_word(feature: str, body: str) -> None:
    files = {"f.yaml": f"{HEAD}rules: [{{id: r, tools: [t], {body}}}]\n".encode(), "principals.yaml": PEOPLE}
    refused = load(files, not_enforced=frozenset({feature}))
    assert [finding.code for finding in refused.errors] == ["PL134"]
    assert load(files, not_enforced=frozenset()).policy_set is not None


def test_the_revision_is_a_digest_of_paths_and_contents() -> None:
    files = {"a.yaml": b"ab", "b.yaml": b"c"}
    assert re.fullmatch("sha256:[0-9a-f]{64}", revision_of(files))
    assert revision_of(files) == revision_of(dict(reversed(files.items())))
    assert len({revision_of(f) for f in (files, {"a.yaml": b"a", "b.yaml": b"bc"}, {"a.yaml": b"ab"}, {})}) == 4
    assert revision_of(files) == revision_of({**files, ".swp": b"x", "README.md": b"x"})


def test_nothing_heavy_is_imported_to_check_a_policy() -> None:
    code = "import sys, policylayer.policy.load; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "mcp", "mcp_types", "sqlalchemy", "asyncio", "typer", "rich", "aiohttp", "structlog", "jiter"}
    assert heavy & set(done.stdout.split()) == set()


SEEDS = [path.read_bytes() for path in sorted(CASES.rglob("*.yaml"))]


@settings(max_examples=150)
@given(st.sampled_from(SEEDS), st.sampled_from(SEEDS), st.integers(0, 2000), st.integers(0, 2000))
def test_no_folder_raises(left: bytes, right: bytes, cut_left: int, cut_right: int) -> None:
    spliced = left[:cut_left] + right[cut_right:]
    for name in ("a.yaml", "a_test.yaml", "principals.yaml", "scope.yaml"):
        result = load({name: spliced, "shop.yaml": GOOD.encode()}, not_enforced=frozenset())
        assert (result.policy_set is None) is bool(result.errors)
