"""Pure: rules that never count, because a deny or a hold without conditions of its own covers all that they concern.

A deny beats everything, a hold every allow. Only what can be told from the texts is told: that whoever, whatever and
wherever the one concerns, the other does too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property, lru_cache
from typing import Final

from policylayer.core.canonical import canonical
from policylayer.core.decision import Effect
from policylayer.policy import ast, names, resources
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote, warning
from policylayer.policy.directory import GROUP
from policylayer.policy.selectors import PROMPTS, TOOLS, has_no_facts

Texts = tuple[str, ...]

EVERYTHING: Final = "**"


class Stated:
    """A rule with the file that it is in. `servers` are lists all of which must match; `files` and `own` those of
    principals that the files and the rule give.
    """

    def __init__(self, policy: ast.Policy, rule: ast.Rule) -> None:
        selection = rule.selection
        scopes = (policy.applies_to, *policy.scopes)
        self.rule = rule
        self.name = f"{policy.name}/{rule.id}"
        self.servers = [_texts(scope.servers) for scope in scopes]
        self.files = [_texts(scope.principals) for scope in scopes]
        if selection.servers is not None:
            self.servers.append(_texts(selection.servers))
        self.principals = None if selection.principals is None else _texts(selection.principals)
        self.users = None if selection.on_behalf_of is None else _texts(selection.on_behalf_of)
        self.lists = [*self.files, *(each for each in (self.principals, self.users) if each is not None)]

    @cached_property
    def conditions(self) -> frozenset[object]:
        """The parts of `when`, all of which must hold, without their places."""
        when = self.rule.selection.when
        parts = when.parts if isinstance(when, ast.All) else () if when is None else (when,)
        return frozenset(map(_without_places, parts))


def _texts(patterns: Iterable[ast.Pattern]) -> Texts:
    return tuple(pattern.text for pattern in patterns)


def check_beaten(policies: Sequence[ast.Policy], sink: list[Diagnostic]) -> None:
    """Report rules, and names in rules, that never count."""
    stated = [Stated(policy, rule) for policy in policies if not policy.observe for rule in policy.rules]
    beaters = _Beaters([each for each in stated if may_beat(each.rule)])
    for each in stated:
        if each.rule.effect is not Effect.DENY and not _works_anyway(each.rule):
            _check(each, beaters, sink)


def may_beat(rule: ast.Rule) -> bool:
    """Whether a rule's own conditions are such that it may cover another."""
    if rule.effect not in (Effect.DENY, Effect.REQUIRE_APPROVAL) or not has_no_facts(rule.selection):
        return False
    return all(block.tools is not None and _only_tools(block) for block in rule.except_)


def _only_tools(selection: ast.Selection) -> bool:
    return selection.prompts is None and selection.resources is None and selection.methods is None


def _works_anyway(rule: ast.Rule) -> bool:
    """Whether a rule does something even where it is beaten: redaction works on denied calls too."""
    return rule.effect is None and bool(rule.redact)


class _Beaters:
    """Denies and holds, found by the tools that they name."""

    def __init__(self, rules: Sequence[Stated]) -> None:
        self._exact: dict[str, list[Stated]] = {}
        self._globs: dict[str, list[Stated]] = {}
        self._others: list[Stated] = []
        for each in rules:
            for pattern in each.rule.selection.tools or ():
                table = self._globs if names.is_glob(pattern.text) else self._exact
                table.setdefault(pattern.text, []).append(each)
            if each.rule.selection.methods or each.rule.selection.resources or each.rule.selection.prompts:
                self._others.append(each)

    def of(self, kind: str, pattern: ast.Pattern | None) -> Iterable[Stated]:
        """Those that may cover a target."""
        if kind != "tools":
            return self._others
        text = "*" if pattern is None else pattern.text
        wide = [each for glob, rules in self._globs.items() if names.covers(glob, text) for each in rules]
        return (*self._exact.get(text, ()), *wide, *self._others)


def _check(each: Stated, beaters: _Beaters, sink: list[Diagnostic]) -> None:
    beaten: list[tuple[ast.Pattern | None, Stated]] = []
    kept = 0
    for kind, pattern in _targets(each.rule.selection):
        beater = next((other for other in beaters.of(kind, pattern) if _beats(other, each, kind, pattern)), None)
        if beater is None:
            kept += 1
        else:
            beaten.append((pattern, beater))
    if not beaten:
        return
    if not kept:
        _say(each, each.rule.span, f"rule {quote(each.rule.id)} never counts", [other for _, other in beaten], sink)
        return
    for pattern, other in beaten:
        if pattern is not None:
            _say(each, pattern.span, f"{quote(pattern.text)} in {quote(each.rule.id)} never counts", [other], sink)


def _say(each: Stated, span: ast.Span, what: str, by: Sequence[Stated], sink: list[Diagnostic]) -> None:
    named = list(dict.fromkeys(quote(other.name) for other in by))
    others = f" and {len(named) - 1} more" if len(named) > 1 else ""
    denies = by[0].rule.effect is Effect.DENY
    verb = ("deny" if denies else "hold") if others else ("denies" if denies else "holds")
    help_ = "give the other an `except`, or remove this"
    message = f"{what}: {named[0]}{others} {verb} every call that it concerns"
    sink.append(warning(Code.ALWAYS_BEATEN, span, message, help_))


def _targets(selection: ast.Selection) -> Iterable[tuple[str, ast.Pattern | None]]:
    """Each alternative of what a rule concerns; every tool, where it names none of them."""
    found = [
        (kind, pattern)
        for kind in ("tools", "prompts", "resources", "methods")
        for pattern in getattr(selection, kind) or ()
    ]
    return found or [("tools", None)]


# --- does the one cover the other -------------------------------------------------------------------------------------


def _beats(one: Stated, other: Stated, kind: str, pattern: ast.Pattern | None) -> bool:
    """Whether `one` fires on every call that `other` concerns by this target."""
    if one.rule is other.rule or not _outranks(one.rule, other.rule):
        return False
    if one.rule.selection.when is not None and not one.conditions <= other.conditions:
        return False
    return (
        _covers_target(one.rule.selection, kind, pattern)
        and not any(_may_excuse(block, kind, pattern) for block in one.rule.except_)
        and all(any(_covers(wide, narrow) for narrow in other.servers) for wide in one.servers)
        and _covers_askers(one, other)
    )


def _outranks(one: ast.Rule, other: ast.Rule) -> bool:
    """A deny beats all but denies; a hold beats an allow, whose limits and obligations apply all the same."""
    if one.effect is Effect.DENY:
        return True
    duties = (other.limits, other.label, other.earn, other.redact, other.mask, other.cap)
    return other.effect is Effect.ALLOW and not any(duties)


@lru_cache(maxsize=4096)
def _covers(wide: Texts, narrow: Texts) -> bool:
    """Whether whatever the narrow list names, the wide one does."""
    return all(any(names.covers(one, each) for one in wide) for each in narrow)


@lru_cache(maxsize=4096)
def _covers_who(wide: Texts, narrow: Texts) -> bool:
    """The same of principals: what begins with `group:` is about groups, and all else about names."""
    return all(
        any(
            not one.strip("*") or (names.covers(one, each) and one.startswith(GROUP) is each.startswith(GROUP))
            for one in wide
        )
        for each in narrow
    )


def _covers_target(selection: ast.Selection, kind: str, pattern: ast.Pattern | None) -> bool:
    own = _texts(getattr(selection, kind) or ())
    if kind == "resources":
        covered = any(text in (EVERYTHING, pattern.text if pattern else None) for text in own)
    else:
        covered = _covers(own, (pattern.text,)) if pattern else "*" in own
    return covered or (kind != "methods" and selection.methods is not None and _covers_methods(selection.methods, kind))


def _covers_methods(methods: Iterable[ast.Pattern], kind: str) -> bool:
    """Whether every method by which such a target is called is named."""
    reached = {"tools": (TOOLS,), "prompts": (PROMPTS,)}.get(kind, tuple(resources.METHODS))
    return _covers(_texts(methods), reached)


def _may_excuse(block: ast.Selection, kind: str, pattern: ast.Pattern | None) -> bool:
    """Whether an `except` block, which names tools only, may excuse a call of this target."""
    if kind not in ("tools", "methods"):
        return False
    return (
        pattern is None or kind == "methods" or any(names.meet(each.text, pattern.text) for each in block.tools or ())
    )


def _covers_askers(one: Stated, other: Stated) -> bool:
    """Whether whoever the other concerns, the one does: each list of the one is as wide as some list of the other."""
    if not all(any(_covers_who(wide, narrow) for narrow in other.lists) for wide in one.files):
        return False
    if one.users is None:
        return one.principals is None or any(_covers_who(one.principals, narrow) for narrow in other.lists)
    # Only delegated calls: the user and the actor each by their own list.
    if other.users is None or not _covers_who(one.users, other.users):
        return False
    return one.principals is None or (other.principals is not None and _covers_who(one.principals, other.principals))


def _without_places(part: object) -> object:
    """What can be compared: two parts are one if they say the same, wherever they stand."""
    if is_dataclass(part) and not isinstance(part, type):
        said = [getattr(part, each.name) for each in fields(part)]
        return (type(part), *(_without_places(one) for one in said if not isinstance(one, ast.Span)))
    if isinstance(part, tuple):
        return tuple(map(_without_places, part))
    return (type(part), canonical(part) if isinstance(part, dict | list) else part)
