"""Pure: the other paths that a matcher compares with, and what they must lead to.

Must not know how any is read (`matchers`).
"""

from __future__ import annotations

from policylayer.policy.ast import Matcher, Ref


def refs_in(matcher: Matcher) -> list[Ref]:
    """The paths that a matcher compares with; those inside `every` and `some` are not looked for."""
    return [ref for ref, _ in typed_refs(matcher)]


def typed_refs(matcher: Matcher, numeric: bool = False) -> list[tuple[Ref, tuple[type, ...]]]:
    """The same, each with the types that it must lead to."""
    if isinstance(matcher.value, Ref):
        return [(matcher.value, _taken(matcher.name, numeric))]
    nested = matcher.value if isinstance(matcher.value, tuple) else ()
    return [found for part in nested if isinstance(part, Matcher) for found in typed_refs(part, True)]


def _taken(name: str, numeric: bool) -> tuple[type, ...]:
    if name in ("in", "not_in"):
        return (list, tuple)
    return (int, float) if numeric or name not in ("eq", "neq") else (int, float, str, bool)
