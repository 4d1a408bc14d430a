"""Random questions over the names and values that random policy sets speak of."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.reference import pools

NOTHING = object()


class Calls:
    """Makes questions in the words of the README of the decision cases."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.one = random.choice

    def often(self, chance: float) -> bool:
        """Yes, that often."""
        return self.random.random() < chance

    def question(self, holds: list[str]) -> dict[str, Any]:
        """One question; some of the holds are satisfied."""
        found: dict[str, Any] = {"principal": self.person(), "server": self.one(pools.SERVERS)} | self.called()
        found |= {"for": self.person()} if self.often(0.25) else {}
        found |= {"mode": "observe"} if self.often(0.05) else {}
        found |= {"cwd": "/srv"} if self.often(0.6) else {}
        found |= {"at": self.one(pools.INSTANTS)} if self.often(0.5) else {}
        found |= {"approved": [hold for hold in holds if self.often(0.5)]} if holds and self.often(0.4) else {}
        found |= {"labels": [label for label in pools.LABELS if self.often(0.5)]} if self.often(0.3) else {}
        found |= (
            {"input": {"q": self.one(({"action": "accept"}, {"action": "decline"}, {}, None))}}
            if self.often(0.2)
            else {}
        )
        found |= {"ip": self.one(pools.IPS)} if self.often(0.5) else {}
        found |= {"client": "c"} if self.often(0.3) else {}
        return found | self.tool_facts()

    def tool_facts(self) -> dict[str, Any]:
        """What is known of the tool."""
        found: dict[str, Any] = {"risk": self.one(("read", "write", "destructive"))} if self.often(0.5) else {}
        found |= {"traits": [one for one in ("open_world", "egress") if self.often(0.5)]} if self.often(0.5) else {}
        if self.often(0.5):
            found["annotations"] = {
                "readOnlyHint": self.one((True, False)),
                "idempotentHint": self.one((True, "yes", None)),
            }
            found["trust_annotations"] = self.often(0.7)
        return found

    def person(self) -> Any:
        """Someone, sometimes with what a token adds."""
        name = self.one(pools.WHO)
        if self.often(0.8):
            return name
        return {"id": name, "groups": [self.one(pools.GROUPS)], "attributes": {"tenant": "token", "level": 7}}

    def called(self) -> dict[str, Any]:
        """What is called, mostly tools."""
        what = self.random.random()
        if what < 0.8:
            return {"tool": self.one(pools.TOOLS), "args": self.arguments()}
        if what < 0.85:
            return {"prompt": self.one(("p", "q")), "args": self.arguments()}
        if what < 0.95:
            return {"resource": self.one(pools.RESOURCES)}
        return {"method": self.one(pools.METHODS), "args": self.arguments()}

    def arguments(self) -> dict[str, Any]:
        """Most fields are there, and of their type."""
        values = {field: self.value(field) for field in pools.FIELDS}
        return {field: value for field, value in values.items() if value is not NOTHING}

    def value(self, field: str) -> Any:
        """One field's value: of its pool, of another's, null, or none."""
        chance = self.random.random()
        if chance < 0.8:
            return self.one(pools.FIELDS[field])
        if chance < 0.85:
            return self.one(pools.FIELDS[self.one(tuple(pools.FIELDS))])
        return None if chance < 0.88 else NOTHING
