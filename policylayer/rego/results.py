"""Reads what the rule `decision` of package `policylayer` evaluated to, and makes findings of it.

An object or a set of objects `{effect, reason, rule, obligations}`. Undefined and the empty set are no findings (not
applicable); everything else that is not exactly this is one finding that says `indeterminate`. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from policylayer.core.decision import Effect, HoldRule, Mask, Obligations, RuleRef
from policylayer.core.finding import Finding
from policylayer.policy.dotted import cut
from policylayer.policy.parse_obligations import PATTERNS
from policylayer.rego.durations import seconds

KEYS: Final = frozenset({"effect", "reason", "rule", "obligations"})
OBLIGATIONS: Final = frozenset({"redact", "mask", "cap", "label", "earn", "approval"})
APPROVAL: Final = frozenset({"approvers", "quorum", "expires", "note", "each_round"})
ARGUMENTS: Final = frozenset({"args", "input"})
RESULT: Final = frozenset({"result"})
"""What paths of `redact` and of `mask` begin with, as in YAML: another would protect nothing."""

Locate = Callable[[str | None], RuleRef]
"""Where a named rule stands; None asks for the `decision` rule itself."""


class Unreadable(Exception):
    """A result that is not one of ours; the message names what is wrong, never a value."""


def findings(value: Any, locate: Locate) -> tuple[Finding, ...]:
    """The findings of a defined value. `value` is decoded JSON; sets arrive as lists."""
    results = value if isinstance(value, list) else [value]
    try:
        return tuple(_finding(result, locate) for result in results)
    except Unreadable as problem:
        return (unreadable(str(problem), locate),)


def unreadable(problem: str, locate: Locate) -> Finding:
    """The finding of a policy whose result cannot be read."""
    return Finding(locate(None), None, f"the Rego decision {problem}", failure="indeterminate")


def engine_failed(problem: str, locate: Locate) -> Finding:
    """The finding of an engine that gave no result."""
    return Finding(locate(None), None, f"the Rego engine {problem}", failure="engine_error")


def _finding(result: Any, locate: Locate) -> Finding:
    if not isinstance(result, dict):
        raise Unreadable("is not an object or a set of objects")
    if unknown := set(result) - KEYS:
        raise Unreadable(f"has a member that is not known (`{_shown(min(unknown))}`)")
    try:
        effect = Effect(str(result.get("effect")))
    except ValueError:
        raise Unreadable("has no `effect` of allow, deny or require_approval") from None
    ref = locate(_text(result, "rule"))
    obligations = result.get("obligations", {})
    hold = _hold(ref, obligations) if effect is Effect.REQUIRE_APPROVAL else None
    if effect is not Effect.REQUIRE_APPROVAL and isinstance(obligations, dict) and "approval" in obligations:
        raise Unreadable("has an `approval` but does not require one")
    return Finding(ref, effect, _text(result, "reason") or "", hold, _obligations(obligations))


def _obligations(written: Any) -> Obligations:
    if not isinstance(written, dict):
        raise Unreadable("has `obligations` that are no object")
    if unknown := set(written) - OBLIGATIONS:
        raise Unreadable(f"has an obligation that is not known (`{_shown(min(unknown))}`)")
    earn = written.get("earn", {})
    if not isinstance(earn, dict):
        raise Unreadable("has an `earn` that is no object")
    return Obligations(
        redact=tuple(_path(each, "redact", ARGUMENTS) for each in _texts(written, "redact")),
        mask=tuple(_mask(each) for each in _list(written, "mask")),
        cap=_positive(written, "cap"),
        label=frozenset(_texts(written, "label")),
        earn={label: _seconds(value, "earn") for label, value in earn.items()},
    )


def _hold(ref: RuleRef, obligations: Any) -> HoldRule:
    written = obligations.get("approval", {}) if isinstance(obligations, dict) else {}
    if not isinstance(written, dict) or set(written) - APPROVAL:
        raise Unreadable("has an `approval` that cannot be read")
    note, each = written.get("note"), written.get("each_round", False)
    if note not in (None, "required") or not isinstance(each, bool):
        raise Unreadable("has an `approval` that cannot be read")
    return HoldRule(
        ref=ref,
        approvers=_texts(written, "approvers"),
        quorum=_positive(written, "quorum") or 1,
        expires=_seconds(written["expires"], "expires") if "expires" in written else None,
        note_required=note == "required",
        each_round=each,
    )


def _mask(written: Any) -> Mask:
    if isinstance(written, str):
        return Mask(path=_path(written, "mask", RESULT))
    if isinstance(written, dict) and set(written) == {"pattern"} and written["pattern"] in PATTERNS:
        return Mask(pattern=written["pattern"])
    known = ", ".join(f"`{pattern}`" for pattern in PATTERNS)
    raise Unreadable(f"has a `mask` that is neither a path nor `{{pattern: …}}` of {known}")


def _path(text: str, key: str, roots: frozenset[str]) -> str:
    """A path that can protect something."""
    path = cut(text, wild=True)
    if path is None or path[0] not in roots:
        begins = " or ".join(f"`{root}`" for root in sorted(roots))
        raise Unreadable(f"has a `{key}` with what is no path that begins with {begins}")
    return text


def _text(written: Mapping[str, Any], key: str) -> str | None:
    value = written.get(key)
    if value is not None and not isinstance(value, str):
        raise Unreadable(f"has a `{key}` that is no string")
    return value


def _list(written: Mapping[str, Any], key: str) -> list[Any]:
    value = written.get(key, [])
    if not isinstance(value, list):
        raise Unreadable(f"has a `{key}` that is no list")
    return value


def _texts(written: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = _list(written, key)
    if not all(isinstance(value, str) for value in values):
        raise Unreadable(f"has a `{key}` with something that is no string")
    return tuple(sorted(values))


def _positive(written: Mapping[str, Any], key: str) -> int | None:
    value = written.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise Unreadable(f"has a `{key}` that is no positive integer")
    return value


def _seconds(value: Any, key: str) -> int:
    found = seconds(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable(f"has an `{key}` that is no duration such as 30m")
    return found


def _shown(name: Any) -> str:
    return "".join(c for c in str(name)[:40] if c.isprintable())
