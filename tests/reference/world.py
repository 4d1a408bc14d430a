"""Who there is, and what a question holds: `principals.yaml`, and the values that paths lead to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from tests.reference.places import resource_forms

NOON = "2026-11-23T12:00:00Z"
RESOURCE_METHODS = ("resources/read", "resources/subscribe", "subscriptions/listen")
SCALARS = ("string", "number", "boolean")


class Gone:
    """What is not there."""


class Broken:
    """What a path leads to that cannot be followed, or read."""


class Unknown:
    """What is not there yet."""


GONE, BROKEN, UNKNOWN_VALUE = Gone(), Broken(), Unknown()


class Person(NamedTuple):
    """The actor, or the user acted for."""

    id: str
    groups: frozenset[str]
    attributes: Mapping[str, Any]
    owner: Any

    @property
    def kind(self) -> str:
        """The part before the first `:`."""
        return self.id.split(":")[0]


def kind_of(value: Any) -> str:
    """A JSON type; integers and other numbers are one."""
    if isinstance(value, bool):
        return "boolean"
    kinds = ((str, "string"), (int | float | Fraction, "number"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "nothing")


def exact(value: Any) -> Any:
    """A number as the fraction that was written; anything else as it is."""
    return Fraction(str(value)) if kind_of(value) == "number" else value


def segments(path: str) -> list[str]:
    """A path's segments; what is in double quotes is one, without escapes."""
    return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|([A-Za-z0-9_-]+)', path)]


class Item(NamedTuple):
    """An element of a list: its value, and how it is named in errors."""

    value: Any
    name: str


NO_ITEM = Item(GONE, "item")


class World:
    """One question to one set of principals. `form` picks one of several normal forms of a resource's URI."""

    def __init__(self, principals: Mapping[str, Any], question: Mapping[str, Any], listing: bool = False) -> None:
        self.known = principals
        self.question = question
        self.listing = listing
        self.now = datetime.fromisoformat(question.get("at", NOON))
        self.server: str = question.get("server", "s")
        self.cwd: str | None = question.get("cwd")
        self.labels = frozenset(question.get("labels", ()))
        self.approved = frozenset(question.get("approved", ()))
        self.actor = self._person(question.get("principal", "agent:a"))
        self.user = self._person(question["for"]) if question.get("for") is not None else None
        self.method, self.target, self.arguments = self._called()
        uri = self.target or "" if self.method in RESOURCE_METHODS else ""
        self.forms = resource_forms(uri)
        self.form = 0
        self.template = listing and "{" in uri

    @property
    def is_ambiguous(self) -> bool:
        """Whether the target can be read in several ways."""
        return len(set(self.forms or ())) > 1

    # --- who ----------------------------------------------------------------------------------------------------------

    def _person(self, written: Any) -> Person:
        said: Mapping[str, Any] = {"id": written} if isinstance(written, str) else written
        name = said["id"]
        filed = dict(self.known.get("principals", {}).get(name, {}))
        owner = filed.pop("owner", GONE)
        claimed = {group if group.startswith("group:") else f"group:{group}" for group in said.get("groups", ())}
        return Person(name, self._groups(name, claimed), {**said.get("attributes", {}), **filed}, owner)

    def _groups(self, name: str, claimed: set[str]) -> frozenset[str]:
        """Held now, through other groups too."""
        held = set(claimed)
        while True:
            more = {f"group:{group}" for group in self.known.get("groups", {}) if self._is_in(group, {name, *held})}
            if more <= held:
                return frozenset(held)
            held |= more

    def _is_in(self, group: str, names: set[str]) -> bool:
        for member in self.known["groups"][group]:
            if isinstance(member, str):
                if member in names:
                    return True
            elif member["member"] in names and ("until" not in member or self.now < _time(member["until"])):
                return True
        return False

    # --- what ---------------------------------------------------------------------------------------------------------

    def _called(self) -> tuple[str, str | None, Any]:
        said = self.question
        arguments = said.get("args", {})
        if "prompt" in said:
            return "prompts/get", said["prompt"], arguments
        if "resource" in said:
            return "resources/read", said["resource"], {"uri": said["resource"], **arguments}
        if "method" in said:
            return said["method"], said.get("target"), arguments
        return "tools/call", said.get("tool", "t"), arguments

    # --- values -------------------------------------------------------------------------------------------------------

    def value(self, path: str, item: Item = NO_ITEM) -> Any:
        """What a path leads to: a value, `GONE`, `BROKEN` or `UNKNOWN_VALUE`."""
        root, *rest = segments(path)
        if root in ("args", "input"):
            if self.listing:
                return UNKNOWN_VALUE
            return _walk(self.arguments if root == "args" else self.question.get("input", {}), rest)
        if root == "item":
            return _walk(item.value, rest)
        if root in ("principal", "for"):
            return self._of_person(self.actor if root == "principal" else self.user, rest)
        return self._of_call(root, rest)

    def _of_person(self, person: Person | None, rest: list[str]) -> Any:
        if person is None:
            return GONE
        name = rest[0]
        if name == "groups":
            return sorted(person.groups)
        if name in ("id", "kind", "owner"):
            return getattr(person, name)
        return _walk(person.attributes, rest)

    def _of_call(self, root: str, rest: list[str]) -> Any:
        if root == "target":
            if self.template:
                return UNKNOWN_VALUE
            if self.method in RESOURCE_METHODS:
                return BROKEN if self.forms is None else self.forms[self.form]
            return GONE if self.target is None else self.target
        if root == "session":
            return sorted(self.labels)
        if root == "request":
            default = "2025-11-25" if rest == ["protocol"] else GONE
            return self.question.get(rest[0], default)
        return {"server": self.server, "method": self.method}[root]


def _walk(value: Any, rest: list[str]) -> Any:
    for segment in rest:
        if value is None or value is GONE:
            return GONE
        if not isinstance(value, dict):
            return BROKEN
        value = value.get(segment)
    return GONE if value is None else value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
