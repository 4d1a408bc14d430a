"""docs/policy-reference.md: its examples load, and it leaves out no key, matcher, path, default or code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from policylayer.config import read as read_config
from policylayer.config.model import Approvals
from policylayer.policy import ast, testing
from policylayer.policy.codes_about import CODES
from policylayer.policy.diagnostics import render
from policylayer.policy.dotted import REQUEST, ROOTS, SUBJECT
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.load import Loaded, load
from policylayer.policy.nodes import Mapping, Node, Scalar, Sequence
from policylayer.policy.parse_limits import _LIMIT
from policylayer.policy.parse_matchers import NAMES, SAID_OF_PATH, TYPES
from policylayer.policy.parse_obligations import _MASK, PATTERNS
from policylayer.policy.parse_policy import APPROVAL, APPROVER_WORDS, POLICY, RULE, SCOPE
from policylayer.policy.parse_principals import PRINCIPALS
from policylayer.policy.parse_selection import HINTS, RISKS, TRAITS
from policylayer.policy.parse_tests import _CALL, _EXPECT, _PERSON, _REQUEST, _TEST, REASON_CODES, TESTS, _Fixture
from policylayer.policy.parse_time import _DURING, DAYS, TIME
from policylayer.policy.parse_unwrap import META
from policylayer.policy.source import read
from policylayer.policy.words import NAMED_UNITS

pytestmark = pytest.mark.shows("policy.7")

DOC = Path(__file__).resolve().parents[2] / "docs" / "policy-reference.md"
TEXT = DOC.read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
NAMED = {
    word
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
    for word in re.findall(r"[A-Za-z_]+", span)
}
"""Every word that the page sets as code, outside its examples."""

HEAD = 'policy: example\napplies_to: {principals: ["*"], servers: ["*"]}\n'


NAMES_OF_FILES = ("principals.yaml", "payments.yaml", "hub.yaml")


def indented(text: str, by: int) -> str:
    """Every line further in."""
    return "".join(f"{' ' * by}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def as_file(example: str) -> tuple[str, str]:
    """An example as a whole file: its name and content. Rules and conditions get the rest of a policy around them."""
    first = next(line for line in example.splitlines() if not line.startswith("#"))
    if first.startswith("policy:"):
        return f"{first.split()[1]}.yaml", example
    if first.startswith(("servers:", "tests:")) and "tests:" in example:
        return "payments_test.yaml", example
    if first.startswith("servers:"):
        return "policylayer.yaml", example
    if first.startswith("attributes:"):
        return "principals.yaml", example
    if first.startswith("applies_to:"):
        return "scope.yaml", example
    if first.startswith("- "):
        return "example.yaml", f"{HEAD}rules:\n{indented(example, 2)}"
    rule = "rules:\n  - id: example\n    tools: [t]\n    effect: allow\n    when:\n"
    return "example.yaml", f"{HEAD}{rule}{indented(example, 6)}"


FILES = [as_file(example) for example in EXAMPLES]
SHARED = {name: text.encode() for name, text in FILES if name in NAMES_OF_FILES}


def loaded(name: str, text: str) -> Loaded:
    """An example beside the page's principals and its first policy, as this build loads it."""
    return load({**SHARED, name: text.encode()}, not_enforced=NOT_ENFORCED - named_in(text))


def named_in(text: str) -> set[str]:
    """The words of an example. What this build does not enforce is loaded only where the example is about it."""
    return set(re.findall(r"[a-z]+", text))


CONFIGURATIONS = [text for name, text in FILES if name == "policylayer.yaml"]


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_loads(text: str, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policylayer.yaml").write_text(text)
    found = read_config(tmp_path / "policylayer.yaml", {})
    assert found.diagnostics == (), render(found.diagnostics, found.sources)


@pytest.mark.parametrize("number", [number for number, (name, _) in enumerate(FILES) if name != "policylayer.yaml"])
def test_every_example_loads(number: int) -> None:
    name, text = FILES[number]
    result = loaded(name, text)
    errors = [finding for finding in result.diagnostics if finding.is_error or finding.file == name]
    quiet = [finding for finding in errors if finding.code not in ("PL141", "PL155")]
    assert quiet == [], render(quiet, {name: text.encode()})
    assert result.policy_set is not None


def test_the_tests_of_the_page_pass() -> None:
    name, text = next(file for file in FILES if file[0].endswith("_test.yaml"))
    result = loaded(name, text)
    assert result.policy_set is not None
    failed = [str(one) for one in testing.run(result.policy_set, result.tests) if not one.passed]
    assert failed == []


def words_in(node: Node) -> Iterator[str]:
    """Every key and every text of a tree."""
    if isinstance(node, Mapping):
        for key, value in node.pairs:
            yield key.text
            yield from words_in(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from words_in(item)
    elif isinstance(node, Scalar):
        yield node.text


def used() -> set[str]:
    """Every key, and every word, of all examples."""
    found: set[str] = set()
    for _, text in FILES:
        node = read("f.yaml", text.encode(), [])
        assert node is not None
        found.update(words_in(node))
    return found


FILES_OF = (POLICY, SCOPE, PRINCIPALS, TESTS)
PARTS = (RULE, APPROVAL, _TEST, _CALL, _REQUEST, _EXPECT, _Fixture().record, TIME, _DURING, _LIMIT, _MASK, META)
RECORDS = (*FILES_OF, *PARTS)


def test_every_key_and_matcher_is_explained_and_used_in_an_example() -> None:
    keys = {key for record in RECORDS for key in record.fields}
    keys |= {*NAMES, *SAID_OF_PATH, *_PERSON, "all", "any", "not", "ref", "item", "member", "until"}
    assert keys - NAMED == set()
    assert keys - used() - {"item"} == set()
    assert any(word.startswith("item.") for word in used())


def test_every_word_of_a_closed_list_is_named() -> None:
    words = {*TYPES, *RISKS, *TRAITS, *HINTS, *DAYS, *NAMED_UNITS, *PATTERNS, *APPROVER_WORDS, *REASON_CODES}
    words |= {"match", "no_match", "enforce", "observe", "required"}
    assert words - NAMED == set()


def in_table(key: str, heading: str) -> str:
    """The last cell of a key's row in the tables of a section."""
    section = re.split(r"^##+ ", TEXT.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    (row,) = re.findall(rf"^\| `{key}` \|.*\| ([^|]*) \|$", section, re.MULTILINE)
    return str(row)


def test_defaults_are_what_the_page_says() -> None:
    name, text = as_file(
        "- {id: a, tools: [t], limits: [{calls: 1, per: day}]}\n- {id: b, tools: [t], effect: allow}\n"
    )
    (made,) = [policy for policy in loaded(name, text).policies if policy.name == "example"]
    (limit,) = made.rules[0].limits
    assert isinstance(limit, ast.Limit)
    approval, fixture = ast.Approval(), ast.Fixture()
    said = {
        ("list", "A rule"): "`false`" if not made.rules[1].list else "",
        ("effect", "A rule"): "none" if made.rules[0].effect is None else "",
        ("quorum", "Approval"): str(approval.quorum),
        ("each_round", "Approval"): f"`{str(approval.each_round).lower()}`",
        ("approvers", "Approval"): "anyone with the approver role" if not approval.approvers else "",
        ("note", "Approval"): "none needed" if not approval.note_required else "",
        ("expires", "Approval"): f"`{Approvals().expires // 3600}h`, or as configured",
        ("by", "Limits"): f"`[{'.'.join(limit.by[0])}]`",
        ("decimal", "Limits"): f"`{str(limit.decimal).lower()}`",
        ("over", "Limits"): f"`{limit.over}`",
        ("servers", "Tests"): f"no `cwd`; `{fixture.mode}`; no meta-tools" if not fixture.unwrap else "",
        ("request", "Tests"): f'missing; `protocol`: `"{testing.PROTOCOL}"`',
        ("limits", "Tests"): str(testing.NOTHING_USED),
    }
    assert {key: in_table(*key) for key in said} == said
    assert not made.observe
    assert re.search(r"^\| `mode` \| `enforce` \|", TEXT, re.MULTILINE)


def test_every_path_is_named() -> None:
    paths = {*ROOTS, *(f"principal.{name}" for name in SUBJECT), *(f"request.{name}" for name in REQUEST)}
    assert {path for path in paths if f"`{path}" not in TEXT} == set()


def test_what_is_not_enforced_is_said() -> None:
    listed = TEXT.split("<!-- not enforced -->")[1].split("<!-- end -->")[0]
    assert set(re.findall(r"`([a-z]+)`", listed)) == NOT_ENFORCED


def codes_section() -> str:
    """The page's list of codes."""
    parts = []
    for code, about in CODES.items():
        examples = [("For example", about.example), ("instead", about.fix)]
        shown = "; ".join(f"{label}: {_code(text)}" for label, text in examples if text)
        parts.append(f"* **{code}** {about.title}. {about.explanation} {shown}.\n")
    return "".join(parts)


def _code(text: str) -> str:
    """A text of one or more lines as code in a line."""
    fence = "``" if "`" in text else "`"
    pad = " " if fence == "``" else ""
    return " ⏎ ".join(f"{fence}{pad}{line}{pad}{fence}" for line in text.split("\n"))


def test_every_code_is_listed_with_its_example() -> None:
    listed = TEXT.split("<!-- codes -->\n")[1].split("<!-- end -->")[0]
    assert listed == codes_section()
