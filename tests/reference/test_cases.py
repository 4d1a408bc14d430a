"""The decision cases, run by the reference: another implementation can run these files, since this one does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
import yaml

from tests.policy.cases import MEANING, cases, condition_policy, kinds_of
from tests.reference.decide import Set

FIELDS_COMPARED = ("effect", "enforced", "reason_code", "would", "rules", "redact", "mask", "cap", "label", "earn")


def value(content: Any) -> Any:
    """What a file's text holds."""
    return yaml.load(content, Loader=yaml.CSafeLoader) if isinstance(content, str) else content


def files_of(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case's folder as values."""
    files = {name: value(content) for name, content in case.get("files", {}).items()}
    files |= {"p.yaml": value(case["policy"])} if "policy" in case else {}
    return files | ({"principals.yaml": value(case["principals"])} if "principals" in case else {})


def charge(said: Mapping[str, Any]) -> tuple[Any, ...]:
    """A charge of `expect` as the reference writes it."""
    key = json.loads(said["key"], parse_float=Fraction, parse_int=Fraction)
    kinds = {str: "string", bool: "boolean", Fraction: "number"}
    typed = tuple((kinds[type(part)], part) for part in key)
    amounts = Fraction(said["amount"]), Fraction(said["max"])
    return (said["counter"], typed, *amounts, said["window"], said["rule"], said["over"])


def test_there_are_enough() -> None:
    assert len(cases("conditions")) + len(cases("decisions")) >= 600


@pytest.mark.parametrize("case", cases("conditions"))
def test_condition(case: Mapping[str, Any]) -> None:
    policy_set = Set(files_of(case) | {"c.yaml": value(condition_policy(case))})
    for server in kinds_of(case):
        expected = MEANING[case["truth"]][server]
        found = policy_set.decide({**case, "server": server})
        assert (found["effect"], found["reason_code"]) == expected, server
        if "fields" in case and expected[1] == "indeterminate":
            assert found["fields"] == sorted(case["fields"])
        if found["effect"] != "deny":
            assert policy_set.listed({**case, "server": server})
    if "plain" in kinds_of(case):
        applies = policy_set.decide({**case, "server": "plain"})["label"] == ["applied"]
        assert applies is (case["truth"] != "false")


@pytest.mark.parametrize("case", cases("decisions"))
def test_decision(case: Mapping[str, Any]) -> None:
    policy_set = Set(files_of(case))
    found = policy_set.decide(case)
    expect = case["expect"]
    for key in FIELDS_COMPARED:
        if key in expect:
            wanted = expect[key]
            assert (sorted(found[key]), sorted(wanted)) if isinstance(wanted, list) else found[key] == wanted, key
            if isinstance(wanted, list):
                assert sorted(found[key]) == sorted(wanted), key
    if "fields" in expect and found["reason_code"] == "indeterminate":
        assert found["fields"] == sorted(expect["fields"])
    if "charges" in expect:
        assert sorted(found["charges"], key=repr) == sorted(map(charge, expect["charges"]), key=repr)
    if "holds" in expect:
        assert found["holds"] == [hold | {"approvers": sorted(hold["approvers"])} for hold in expect["holds"]]
    if "inner" in expect:
        assert found["inner"] == expect["inner"]
    if "listed" in expect:
        assert policy_set.listed(case) is expect["listed"]
