"""Pure: policy files and scope.yaml: the tables of their keys, and what is made of them.

Selections are in `parse_selection`, conditions in `parse_conditions`, limits in `parse_limits`; what a rule must be as
a whole is in `check_rule`. Must not know other files: `load` and the `check_*` modules do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.check_rule import check_rule
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.dotted import WildPath
from policylayer.policy.nodes import Node
from policylayer.policy.parse_limits import RULE_LIMITS, LimitShape
from policylayer.policy.parse_obligations import CAP, LABELS, MASKS, is_name
from policylayer.policy.parse_selection import APPLIES_TO, EXCEPT, SELECTION, Glob, selection
from policylayer.policy.shapes import Defined, Field, ListOf, MapOf, Reading, Record, Values
from policylayer.policy.words import NAME, Choice, Duration, Flag, Name, Number, Text

EFFECTS: Final = tuple(str(effect) for effect in Effect)
APPROVER_WORDS: Final = ("on_behalf_of", "owner")


# --- rules ------------------------------------------------------------------------------------------------------------


class _Approver(Glob):
    """A group, a principal, `on_behalf_of` or `owner`; exact."""

    def read(self, node: Node, reading: Reading) -> ast.Pattern | None:
        """The name with its place."""
        pattern = Glob.read(self, node, reading)
        if pattern is not None and "*" in pattern.text:
            message = f"{quote(pattern.text)} is a glob: approvers are named exactly"
            reading.error(Code.BAD_NAME, node.span, message, "name a group: group:finance-leads")
            return None
        return pattern


def _approval(values: Values, reading: Reading) -> ast.Approval:
    return ast.Approval(
        approvers=values.get("approvers", ()),
        quorum=values.get("quorum", 1),
        expires=values.get("expires"),
        note_required="note" in values,
        each_round=values.get("each_round", False),
    )


APPROVAL: Final = Record(
    "`approval`",
    {
        "approvers": Field(
            ListOf(_Approver("an approver"), "a list of approvers"),
            "groups, principals, `on_behalf_of` (the user acted for), `owner` (the agent's owner)",
        ),
        "quorum": Field(Number("a whole number", whole=True, least=1), "how many of them; default: 1"),
        "expires": Field(Duration(), "how long they have; default: 1h"),
        "note": Field(Choice(("required",), "`required`"), "approving needs a note"),
        "each_round": Field(Flag(), "ask again when the server asks back"),
    },
    _approval,
)


def _rule(values: Values, reading: Reading) -> ast.Rule | None:
    if "id" not in values:
        return None
    rule = ast.Rule(
        id=values["id"],
        span=values.span,
        selection=selection(values),
        effect=Effect(values["effect"]) if "effect" in values else None,
        except_=values.get("except", ()),
        approval=values.get("approval"),
        limits=values.get("limits", ()),
        label=values.get("label", ()),
        earn={name: seconds for name, (_, seconds) in values.get("earn", {}).items()},
        redact=values.get("redact", ()),
        mask=values.get("mask", ()),
        cap=values.get("cap"),
        reason=values.get("reason"),
        instead=values.get("instead"),
        list=values.get("list", False),
    )
    check_rule(rule, values, reading)
    return rule


REDACT: Final = ListOf(WildPath(("args", "input")), "a list of paths")

RULE: Final = Record(
    "rule",
    {
        "id": Field(Name("a rule's id"), "the rule's name: `policy/id` everywhere", required=True),
        **SELECTION,
        "except": Field(EXCEPT, "blocks of targets, selectors and `when` that the rule does not concern"),
        "effect": Field(
            Choice(EFFECTS, "an effect"), "allow, deny, require_approval; none: only limits and obligations"
        ),
        "approval": Field(APPROVAL, "who approves, how many, how long"),
        "limits": Field(RULE_LIMITS, "limits that matching calls are charged to", feature="limits"),
        "label": Field(LABELS, "labels that the grant carries after a matching call", feature="label"),
        "earn": Field(
            MapOf(is_name, Duration(), "a mapping from labels to durations", f"^{NAME}$"),
            "labels that a successful outcome gives for a time",
            feature="earn",
        ),
        "redact": Field(REDACT, "arguments that are masked in the record"),
        "mask": Field(MASKS, "what is masked in results", feature="mask"),
        "cap": Field(CAP, "how large a result may be", feature="cap"),
        "reason": Field(Text(), "why, for whoever reads the denial"),
        "instead": Field(Text(), "what to do instead, for whoever reads the denial"),
        "list": Field(Flag(), "keep a denied tool in lists"),
    },
    _rule,
    name_key="id",
)


# --- files ------------------------------------------------------------------------------------------------------------


def _policy(values: Values, reading: Reading) -> ast.Policy | None:
    rules: tuple[ast.Rule, ...] = values.get("rules", ())
    limits = {name: replace(limit, name=name) for name, (_, limit) in values.get("limits", {}).items()}
    _check_ids(rules, reading)
    if not values.written("limits") or "limits" in values:
        _check_limit_names(limits, reading)
    if "policy" not in values or "applies_to" not in values:
        return None
    return ast.Policy(
        name=values["policy"],
        span=values.spans["policy"],
        applies_to=values["applies_to"],
        rules=rules,
        description=values.get("description"),
        observe=values.get("mode") == "observe",
        limits=limits,
        redact=values.get("redact", ()),
    )


def _check_ids(rules: Sequence[ast.Rule], reading: Reading) -> None:
    first: dict[str, ast.Span] = {}
    for rule in rules:
        if rule.id in first:
            help_ = f"the first is on line {first[rule.id].line}; `policy/id` must name one rule"
            reading.error(Code.DUPLICATE_RULE, rule.span, f"a second rule {quote(rule.id)}", help_)
        first.setdefault(rule.id, rule.span)


def _check_limit_names(limits: dict[str, ast.Limit], reading: Reading) -> None:
    for name, span in reading.limit_names:
        if name not in limits:
            help_ = did_you_mean(name, limits) or "declare it under the file's `limits`, or write 20/hour"
            reading.error(Code.UNKNOWN_LIMIT, span, f"this file has no limit {quote(name)}", help_)


POLICY: Final = Record(
    "a policy file",
    {
        "policy": Field(Name("a policy's name"), "the file's name for itself: `policy: payments`", required=True),
        "description": Field(Text(), "what the file is for"),
        "applies_to": Field(Defined("appliesTo", lambda: APPLIES_TO), "whom and what the file concerns", required=True),
        "mode": Field(Choice(("enforce", "observe"), "a mode"), "observe: evaluated and recorded, never counted"),
        "limits": Field(
            MapOf(is_name, LimitShape(named=False), "a mapping from names to limits", f"^{NAME}$"),
            "limits that the file's rules share",
            feature="limits",
        ),
        "rules": Field(
            ListOf(Defined("rule", lambda: RULE), "a list of rules", empty=True),
            "the rules: `rules: […]`",
            required=True,
        ),
        "redact": Field(REDACT, "arguments that are masked in the record of every call the file concerns"),
    },
    _policy,
)

SCOPE: Final = Record(
    "scope.yaml",
    {
        "applies_to": Field(
            Defined("appliesTo", lambda: APPLIES_TO), "whom and what all files below this folder concern", required=True
        )
    },
    lambda values, reading: values.get("applies_to"),
)


def parse_policy(node: Node, reading: Reading) -> ast.Policy | None:
    """A policy file's tree as a policy; rules that could not be read whole have been reported and may be lacking."""
    policy: ast.Policy | None = POLICY.read(node, reading)
    return policy


def parse_scope(node: Node, reading: Reading) -> ast.AppliesTo | None:
    """A scope.yaml's tree."""
    scope: ast.AppliesTo | None = SCOPE.read(node, reading)
    return scope
