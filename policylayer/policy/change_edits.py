"""Pure: edits of a question: which of its fields could be otherwise, and the question with other values in them.

Must not know why one would (`change`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeAlias

from policylayer.core.call import Json, Question, Subject
from policylayer.policy.ast import Path
from policylayer.policy.change_values import REMOVED

Edits: TypeAlias = Mapping[Path, Any]
"""Fields by their paths, each with its new value, or `REMOVED`."""

COSTS: Final = {
    "args": 10,
    "input": 10,
    "approved": 15,
    "session": 16,
    "time": 16,
    "request": 18,
    "for": 25,
    "principal": 25,
    "risk": 30,
    "traits": 30,
    "annotations": 30,
}
"""What a caller can change by itself costs least: fewer fields first, then these."""

OWN: Final = ("args", "input")
"""What the agent itself could send otherwise."""

NOT_SETTABLE: Final = frozenset((("principal", "kind"), ("principal", "owner"), ("for", "kind"), ("for", "owner")))


def cost(edits: Edits) -> int:
    """How much is changed."""
    return sum(COSTS[path[0]] for path in edits)


def settable(path: Path) -> bool:
    """Whether a field could have another value for the same server, method and target."""
    return path[0] in COSTS and path not in NOT_SETTABLE and path != ("input",)


def edited(question: Question, edits: Edits) -> Question:
    """The question with other values in these fields, whatever the order in which they are named."""
    for path in sorted(edits, key=_wholes_first):
        question = _EDITORS[path[0]](question, path[1:], edits[path])
    return question


def _wholes_first(path: Path) -> tuple[bool, Path]:
    """What replaces something whole, as another name does a principal, comes before what is changed of it."""
    return path[1:] not in ((), ("id",)), path


def _args(question: Question, path: Path, value: Any) -> Question:
    return replace(question, call=replace(question.call, arguments=_placed(question.call.arguments, path, value)))


def _input(question: Question, path: Path, value: Any) -> Question:
    return replace(question, call=replace(question.call, input=_placed(question.call.input, path, value)))


def _placed(whole: Mapping[str, Json], path: Path, value: Any) -> Mapping[str, Json]:
    """A copy in which the path has the value; what stands in the way becomes an object."""
    if not path:
        return value if isinstance(value, Mapping) else {}
    made = dict(whole)
    first, rest = path[0], path[1:]
    if rest:
        below = made.get(first)
        made[first] = dict(_placed(below if isinstance(below, dict) else {}, rest, value))
    elif value is REMOVED:
        made.pop(first, None)
    else:
        made[first] = value
    return made


def _session(question: Question, path: Path, value: Any) -> Question:
    labels = value if isinstance(value, list | tuple) else ()
    return replace(question, labels=frozenset(each for each in labels if isinstance(each, str)))


def _request(question: Question, path: Path, value: Any) -> Question:
    text = value if isinstance(value, str) else None
    if path == ("protocol",):
        return replace(question, call=replace(question.call, protocol=text or question.call.protocol))
    return replace(question, ip=text) if path == ("ip",) else replace(question, client=text)


def _time(question: Question, path: Path, value: Any) -> Question:
    return replace(question, now=value) if isinstance(value, datetime) else question


def _principal(question: Question, path: Path, value: Any) -> Question:
    return replace(question, subject=_subject(question.subject, path, value))


def _for(question: Question, path: Path, value: Any) -> Question:
    if not path:
        return replace(question, on_behalf_of=None)
    user = question.on_behalf_of or Subject("user:someone")
    return replace(question, on_behalf_of=_subject(user, path, value))


def _subject(subject: Subject, path: Path, value: Any) -> Subject:
    """Another name, more groups, or another attribute."""
    if path == ("id",):
        return Subject(value) if isinstance(value, str) and ":" in value else subject
    if path == ("groups",):
        more = [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else []
        return replace(subject, groups=subject.groups | frozenset(more))
    attributes = {name: each for name, each in subject.attributes.items() if name != path[0]}
    return replace(subject, attributes=attributes if value is REMOVED else {**attributes, path[0]: value})


def _approved(question: Question, path: Path, value: Any) -> Question:
    return replace(question, approved=question.approved | frozenset(value))


def _risk(question: Question, path: Path, value: Any) -> Question:
    return replace(question, risk=None if value is REMOVED else value)


def _traits(question: Question, path: Path, value: Any) -> Question:
    return replace(question, traits=None if value is REMOVED else frozenset(value))


def _annotations(question: Question, path: Path, value: Any) -> Question:
    return replace(question, annotations={**(question.annotations or {}), path[0]: value})


_EDITORS: Final = {
    "args": _args,
    "input": _input,
    "session": _session,
    "request": _request,
    "time": _time,
    "principal": _principal,
    "for": _for,
    "approved": _approved,
    "risk": _risk,
    "traits": _traits,
    "annotations": _annotations,
}
