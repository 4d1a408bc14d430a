"""What the rule `decision` may be, and that everything else is one indeterminate finding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Effect, Mask, RuleRef
from policylayer.rego.results import findings


def locate(rule: str | None) -> RuleRef:
    return RuleRef("rego", rule or "decision", "a.rego", 3)


def test_an_object_is_one_finding() -> None:
    (found,) = findings({"effect": "deny", "reason": "no", "rule": "r"}, locate)
    assert (found.effect, found.reason, found.rule.name, found.failure) == (Effect.DENY, "no", "rego/r", None)


def test_a_set_is_as_many_findings_and_an_empty_one_none() -> None:
    assert findings([], locate) == ()
    assert [each.effect for each in findings([{"effect": "allow"}, {"effect": "deny"}], locate)] == ["allow", "deny"]


def test_obligations_and_approval_are_read() -> None:
    approval = {"approvers": ["group:leads"], "quorum": 2, "expires": "30m", "note": "required"}
    asked = {
        "redact": ["args.card.**"],
        "mask": ["result.content.*.text", {"pattern": "card"}],
        "cap": 10,
        "label": ["u"],
    }
    written = {
        "effect": "require_approval",
        "obligations": {**asked, "label": ["u"], "earn": {"t": "5m"}, "approval": approval},
    }
    (found,) = findings(written, locate)
    assert found.hold is not None
    assert (found.hold.quorum, found.hold.expires, found.hold.note_required) == (2, 1800, True)
    assert found.obligations.mask == (Mask(path="result.content.*.text"), Mask(pattern="card"))
    assert (found.obligations.cap, found.obligations.earn) == (10, {"t": 300})


UNREADABLE: list[Any] = [
    None,
    True,
    7,
    "allow",
    [[]],
    ["allow"],
    {},
    {"effect": None},
    {"effect": "ALLOW"},
    {"effect": ["allow"]},
    {"effect": "permit"},
    {"effect": "allow", "extra": 1},
    {"effect": "allow", "reason": 4},
    {"effect": "allow", "rule": {}},
    {"effect": "allow", "obligations": None},
    {"effect": "allow", "obligations": []},
    {"effect": "allow", "obligations": {"delete": 1}},
    {"effect": "allow", "obligations": {"redact": "args"}},
    {"effect": "allow", "obligations": {"redact": [1]}},
    {"effect": "allow", "obligations": {"cap": 0}},
    {"effect": "allow", "obligations": {"cap": True}},
    {"effect": "allow", "obligations": {"cap": 1.5}},
    {"effect": "allow", "obligations": {"earn": {"t": 5}}},
    {"effect": "allow", "obligations": {"earn": []}},
    {"effect": "allow", "obligations": {"approval": {}}},
    {"effect": "require_approval", "obligations": {"approval": []}},
    {"effect": "require_approval", "obligations": {"approval": {"quorum": 0}}},
    {"effect": "require_approval", "obligations": {"approval": {"quorums": 1}}},
    {"effect": "require_approval", "obligations": {"approval": {"note": "yes"}}},
    {"effect": "require_approval", "obligations": {"approval": {"expires": "soon"}}},
    {"effect": "allow", "obligations": {"mask": [{"pattern": "nothing"}]}},
    {"effect": "allow", "obligations": {"mask": [{"pattern": "cards"}]}},
    {"effect": "allow", "obligations": {"mask": ["content.*.text"]}},
    {"effect": "allow", "obligations": {"mask": ["args.card"]}},
    {"effect": "allow", "obligations": {"mask": [""]}},
    {"effect": "allow", "obligations": {"redact": ["patient"]}},
    {"effect": "allow", "obligations": {"redact": ["result.patient"]}},
    {"effect": "allow", "obligations": {"redact": ["args..patient"]}},
]


@pytest.mark.parametrize("value", UNREADABLE, ids=repr)
@pytest.mark.shows("rego.3")
def test_anything_else_is_indeterminate(value: Any) -> None:
    (found,) = findings(value, locate)
    assert found.effect is None
    assert found.failure == "indeterminate"


def test_one_unreadable_member_spoils_the_set() -> None:
    (found,) = findings([{"effect": "allow"}, {"effect": "maybe"}], locate)
    assert found.failure == "indeterminate"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["effect", "rule", "x"]), inner),
    max_leaves=8,
)


@given(JSON)
def test_reading_never_raises_and_never_allows_by_accident(value: Any) -> None:
    written = value if isinstance(value, list) else [value]
    for found in findings(value, locate):
        assert found.effect is None or any(isinstance(each, dict) and each.get("effect") for each in written)
