"""What the decision cases cover: counted, printed, held; and that the files mean the same to every reader of YAML."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from policylayer.core.decision import Effect, ReasonCode
from policylayer.policy.parse_limits import _LIMIT
from policylayer.policy.parse_matchers import NAMES, NUMERIC, TYPES
from policylayer.policy.parse_obligations import PATTERNS
from policylayer.policy.parse_policy import APPROVAL, POLICY, RULE
from policylayer.policy.parse_principals import PRINCIPALS
from policylayer.policy.parse_selection import HINTS, RISKS, TRAITS
from policylayer.policy.parse_time import DAYS
from tests.policy.cases import FOLDER, KINDS, MEANING, cases, files_of, kinds_of

pytestmark = pytest.mark.shows("proxy.9", "policy.1")

CONDITIONS: Final = [case.values[0] for case in cases("conditions")]
DECISIONS: Final = [case.values[0] for case in cases("decisions")]
README: Final = (FOLDER / "README.md").read_text()
TRUTHS: Final = tuple(MEANING)
NESTED: Final = ("decimal", "length")


# --- what a condition holds -------------------------------------------------------------------------------------------


def matchers_in(condition: Mapping[str, Any]) -> Iterator[str]:
    """Every matcher, combiner and word about a path in a condition mapping; nested ones as `decimal.gt`."""
    for key, value in condition.items():
        if key in ("all", "any"):
            yield key
            for part in value:
                yield from matchers_in(part)
        elif key == "not":
            yield key
            yield from matchers_in(value)
        elif key == "time":
            yield from (f"time.{name}" for name in value)
        else:
            yield from _of_value(value)


def _of_value(value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield "scalar"
        return
    for name, operand in value.items():
        yield name
        if isinstance(operand, Mapping) and "ref" in operand:
            yield "ref"
        if name in NESTED:
            yield from (f"{name}.{inner}" for inner in operand)
        elif name in ("every", "some"):
            about_item = isinstance(operand, Mapping) and any(key.split(".")[0] == "item" for key in operand)
            yield from matchers_in(operand) if about_item else _of_value(operand)


def covered() -> Counter[tuple[str, str, str]]:
    """How many cases show each matcher with each truth in each kind of rule."""
    found: Counter[tuple[str, str, str]] = Counter()
    for case in CONDITIONS:
        for name in set(matchers_in(case["when"])):
            found.update((name, case["truth"], kind) for kind in kinds_of(case))
    return found


NEVER: Final = ("missing", "wrong")
"""Of time: it is always there, and always time."""

ONLY_ALLOW: Final = {"time.before"}
"""What other rules may not have."""


def is_possible(name: str, truth: str, kind: str) -> bool:
    """Whether there can be such a case."""
    if not name.startswith("time."):
        return True
    return truth not in NEVER and kind != "except-deny" and (name not in ONLY_ALLOW or kind == "allow")


def test_every_matcher_has_every_outcome_in_every_kind_of_rule() -> None:
    wanted = {*NAMES, *(f"{outer}.{inner}" for outer in NESTED for inner in NUMERIC), "ref", "scalar", "all", "any"}
    wanted |= {"absent", "ignore_case", "not", "time.during", "time.after", "time.before"}
    found = covered()
    every = [(name, truth, kind) for name in sorted(wanted) for truth in TRUTHS for kind in KINDS]
    assert [each for each in every if is_possible(*each) and not found[each]] == []


def test_every_error_names_its_fields_somewhere() -> None:
    """For each matcher a missing value and a wrong one, with the field that is said to be at fault."""
    named = {
        (name, case["truth"]) for case in CONDITIONS if case.get("fields") for name in set(matchers_in(case["when"]))
    }
    assert {(name, truth) for name in NAMES for truth in ("missing", "wrong")} - named == set()


# --- what decisions hold ----------------------------------------------------------------------------------------------


def _texts() -> str:
    files = [files_of(case) for case in (*CONDITIONS, *DECISIONS)]
    return json.dumps(files) + json.dumps([case["when"] for case in CONDITIONS])


def test_every_effect_code_and_word_of_the_answer_is_asked_for() -> None:
    expected = [case["expect"] for case in DECISIONS]
    assert {one["effect"] for one in expected if "effect" in one} == {str(effect) for effect in Effect}
    codes = {ReasonCode.RULE, ReasonCode.NOT_APPLICABLE, ReasonCode.INDETERMINATE}
    assert {one["reason_code"] for one in expected if "reason_code" in one} == {str(code) for code in codes}
    assert {one["retry"] for one in expected if "retry" in one} == {"never", "changed"}
    asked = {key for one in expected for key in one}
    assert asked == set(words_of("decisions", "## `decisions`"))
    combined = {(one["effect"], one["reason_code"]) for one in expected if {"effect", "reason_code"} <= set(one)}
    assert combined == {
        ("allow", "rule"),
        ("deny", "rule"),
        ("deny", "indeterminate"),
        ("deny", "not_applicable"),
        ("require_approval", "rule"),
    }


def test_every_word_of_the_question_is_used() -> None:
    used = {key for case in (*CONDITIONS, *DECISIONS) for key in case}
    about = {"name", "policy", "files", "principals", "expect", "when", "truth", "fields", "only"}
    assert used - about == set(words_of("question", "## The question"))


def test_every_key_of_a_rule_and_word_of_a_closed_list_is_in_some_case() -> None:
    text = _texts()
    keys = {
        *RULE.fields,
        *APPROVAL.fields,
        *_LIMIT.fields,
        *POLICY.fields,
        *PRINCIPALS.fields,
        "member",
        "until",
        "owner",
    }
    keys -= {"description"}
    missing = [word for word in keys if not re.search(rf'\\?"?\b{word}\b\\?"?:', text)]
    assert missing == []
    words = (*TYPES, *DAYS, "match", "no_match", "observe", "required", "on_behalf_of")
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []
    told = json.dumps([*CONDITIONS, *DECISIONS])
    assert [word for word in (*RISKS, *TRAITS, *HINTS) if word not in told] == []
    assert any(pattern in text for pattern in PATTERNS)


def words_of(what: str, heading: str) -> list[str]:
    """The keys in the first column of a section's table in the README."""
    section = re.split(r"^## ", README.partition(f"{heading}\n")[2], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    found = [word for row in rows for word in re.findall(r"`(\w+)`", row)]
    assert found, what
    return found


# --- the files --------------------------------------------------------------------------------------------------------


class Yaml12(yaml.SafeLoader):
    """YAML 1.2 with JSON's schema: every plain scalar that JSON does not know is text."""


Yaml12.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null", "n"),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_means_the_same_to_readers_of_both_yamls(path: Any) -> None:
    text = path.read_text("utf-8")
    old, new = yaml.load(text, Loader=yaml.CSafeLoader), yaml.load(text, Loader=Yaml12)
    assert json.dumps(old) == json.dumps(new)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_names_of_cases_are_unique_in_their_file(path: Any) -> None:
    document = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    assert set(document) <= {"defaults", "conditions", "decisions"}
    for kind in ("conditions", "decisions"):
        names = Counter(case["name"] for case in document.get(kind, ()))
        assert [name for name, times in names.items() if times > 1] == []


def test_how_many_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    seen = sum(len(kinds_of(case)) for case in CONDITIONS)
    assert len(CONDITIONS) + len(DECISIONS) >= 600
    assert len(CONDITIONS) >= 2000
    assert len(DECISIONS) >= 350
    with capsys.disabled():
        said = f"{len(CONDITIONS)} conditions (seen {seen} times) and {len(DECISIONS)} decisions"
        print(f"\ndecision cases: {said}; {len(NAMES)} matchers x {len(TRUTHS)} outcomes x {len(KINDS)} kinds of rules")
