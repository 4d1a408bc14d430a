"""Pure: conditions and selectors as their author would write them, on one line: for explaining, never for reading back.

Must not know what anything comes to (`explain`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from policylayer.policy import ast
from policylayer.policy.times import EPOCH
from policylayer.policy.values import text_of

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TARGETS: Final = ("tools", "prompts", "resources", "methods")
LONGEST: Final = 240

_BARE: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:@-]*")
_TAKEN: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


def condition(written: ast.Condition) -> str:
    """A condition."""
    match written:
        case ast.All(parts):
            return f"{{{', '.join(map(_entry, parts))}}}"
        case _:
            return f"{{{_entry(written)}}}"


def _entry(part: ast.Condition) -> str:
    match part:
        case ast.All(parts):
            return f"all: [{', '.join(map(condition, parts))}]"
        case ast.Any_(parts):
            return f"any: [{', '.join(map(condition, parts))}]"
        case ast.Not(inner):
            return f"not: {condition(inner)}"
        case ast.Test():
            return test(part)
        case ast.During() | ast.Bound():
            return f"time: {{{time(part)}}}"


def test(written: ast.Test) -> str:
    """A path with its matchers."""
    return f"{text_of(written.path)}: {_matchers(written)}"


def _matchers(written: ast.Test) -> str:
    if len(written.matchers) == 1 and written.absent is None and not written.ignore_case:
        only = written.matchers[0]
        if only.name == "eq" and not isinstance(only.value, ast.Ref):
            return _value(only.value)
    parts = [f"{matcher.name}: {_value(matcher.value)}" for matcher in written.matchers]
    parts += ["ignore_case: true"] if written.ignore_case else []
    parts += [f"absent: {written.absent}"] if written.absent is not None else []
    return f"{{{', '.join(parts)}}}"


def _value(value: Any) -> str:
    match value:
        case ast.Ref(path):
            return f"{{ref: {text_of(path)}}}"
        case ast.Each(element, inner):
            if element is not None:
                return _matchers(element)
            return condition(inner) if inner is not None else "{}"
        case tuple() if value and all(isinstance(each, ast.Matcher) for each in value):
            return f"{{{', '.join(f'{each.name}: {_value(each.value)}' for each in value)}}}"
        case tuple() | list():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{_value(key)}: {_value(each)}' for key, each in value.items())}}}"
        case str() if _BARE.fullmatch(value) and value.lower() not in _TAKEN:
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def time(written: ast.During | ast.Bound) -> str:
    """A window, or a bound."""
    if isinstance(written, ast.Bound):
        return f"{written.kind}: {instant(EPOCH + timedelta(microseconds=written.at_us))}"
    days = "" if len(written.days) == len(DAYS) else f"days: [{', '.join(DAYS[day] for day in sorted(written.days))}], "
    between = "" if written.between is None else f"between: [{', '.join(map(_clock, written.between))}], "
    return f"during: {{{days}{between}zone: {written.zone}}}"


def _clock(minutes: int) -> str:
    return f'"{minutes // 60:02d}:{minutes % 60:02d}"'


def instant(at: datetime) -> str:
    """A moment, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def names(patterns: Iterable[ast.Pattern]) -> str:
    """A list of names and globs."""
    return f"[{', '.join(_value(pattern.text) for pattern in patterns)}]"


def target(selection: ast.Selection) -> str:
    """The targets of a rule or a block; `any tool` where something else that only tools have is named."""
    said = [(name, getattr(selection, name)) for name in TARGETS]
    return ", ".join(f"{name}: {names(patterns)}" for name, patterns in said if patterns is not None) or "any tool"


def short(text: str) -> str:
    """Cut where it is too long for a line."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def limit(said: ast.Limit) -> str:
    """A limit, but for what is so by default."""
    parts = [f"calls: {said.max}"] if said.sum is None else [f"sum: {text_of(said.sum)}", f"max: {said.max}"]
    parts += [f"per: {_duration(said.per)}"]
    parts += [f"by: [{', '.join(map(text_of, said.by))}]"] if said.by != ast.BY else []
    parts += ["decimal: true"] if said.decimal else []
    parts += [f"over: {said.over}"] if said.over != "deny" else []
    return f"{{{', '.join(parts)}}}"


def approval(said: ast.Approval) -> str:
    """What a hold asks for, but for what is so by default; empty where that is all."""
    parts = [f"approvers: {names(said.approvers)}"] if said.approvers else []
    parts += [f"quorum: {said.quorum}"] if said.quorum != 1 else []
    parts += [f"expires: {_duration(said.expires)}"] if said.expires is not None else []
    parts += ["note: required"] if said.note_required else []
    parts += ["each_round: true"] if said.each_round else []
    return f"{{{', '.join(parts)}}}" if parts else ""


def _duration(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
