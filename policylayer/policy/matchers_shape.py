"""Pure: matchers on what a value is made of: type, keys, schema."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import jsonschema_rs

from policylayer.core.schema_cost import Cost
from policylayer.policy.ast import Matcher
from policylayer.policy.codes import Code
from policylayer.policy.matchers import BUILDERS, Check, Site, alternatives, texts
from policylayer.policy.schema_words import DRAFT
from policylayer.policy.truth import Truth
from policylayer.policy.values import MOST_STEPS, Context

PER_STEP: Final = 32
"""Checks that a validator makes in one step."""

_TELLING: Final = "let no definition name another twice; refer by `#/$defs/name`; no `$dynamicRef`, no `$id` inside"

_TYPES: Final[dict[type, str]] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    tuple: "array",
}


def type_(matcher: Matcher, site: Site) -> Check:
    """The value's JSON type."""
    wanted = frozenset(texts(matcher, site))
    unknown = wanted.difference(_TYPES.values())
    if unknown:
        known = ", ".join(dict.fromkeys(_TYPES.values()))
        raise site.refuse(Code.NOT_A_CHOICE, matcher.span, f"unknown type `{min(unknown)}`", f"known: {known}")
    return lambda value, ctx: _TYPES.get(type(value)) in wanted


def keys(matcher: Matcher, site: Site) -> Check:
    """The object has no other key; a key with a null value is one."""
    allowed = alternatives(matcher)
    if not all(isinstance(key, str) for key in allowed):
        raise site.refuse(Code.BAD_OPERAND, matcher.span, "`keys` takes a list of names")
    known, wrong = frozenset(allowed), site.wrong
    return lambda value, ctx: known.issuperset(value) if isinstance(value, dict) else wrong


def schema(matcher: Matcher, site: Site) -> Check:
    """JSON Schema 2020-12: nothing is fetched, `format` says nothing, expressions take linear time."""
    document = matcher.value
    if not isinstance(document, dict | bool):
        raise site.refuse(Code.BAD_SCHEMA, matcher.span, "a JSON Schema is a mapping, `true` or `false`")
    if isinstance(document, dict) and str(document.get("$schema", DRAFT)).rstrip("#") != DRAFT:
        raise site.refuse(Code.BAD_SCHEMA, matcher.span, "only JSON Schema 2020-12 is understood")
    try:
        validator = jsonschema_rs.Draft202012Validator(
            document,
            retriever=_refuse_to_fetch,
            validate_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (jsonschema_rs.ValidationError, ValueError, TypeError) as problem:
        first = (str(problem).strip().splitlines() or ["invalid"])[0]
        raise site.refuse(Code.BAD_SCHEMA, matcher.span, f"not a JSON Schema: {first[:200]}") from None
    here, inside = Cost(document, own=True).places()
    if max(here, inside) > MOST_STEPS * PER_STEP:
        message = f"one value may take more than {MOST_STEPS * PER_STEP:,} checks, or as many as nobody can tell"
        raise site.refuse(Code.BAD_SCHEMA, matcher.span, message, _TELLING)
    wrong = site.wrong

    def check(value: Any, ctx: Context) -> Truth:
        checks = here + (1 + inside) * _values_in(value) if inside else here
        if not ctx.spend(checks // PER_STEP):
            return wrong
        try:
            return validator.is_valid(value)
        except (ValueError, TypeError, RecursionError):
            return wrong

    return check


def _values_in(value: Any) -> int:
    """How many values lie inside one."""
    count, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        inside = each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple) else ()
        count += len(inside)
        waiting += [one for one in inside if isinstance(one, dict | list | tuple)]
    return count


def _refuse_to_fetch(uri: str) -> NoReturn:
    raise ValueError(f"schemas are not fetched: {uri[:100]}")


BUILDERS.update({"type": type_, "keys": keys, "schema": schema})
