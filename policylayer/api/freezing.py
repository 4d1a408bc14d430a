"""`/freezes` and `/thaw`: an operator's immediate stop, outside policy. Must not know what a freeze does (`proxy/`)."""

from __future__ import annotations

from typing import Any

from policylayer import freezes
from policylayer.api.problem import Problem
from policylayer.api.route import Asked


async def listing(asked: Asked) -> Any:
    """`GET /freezes`: those in force."""
    found = await asked.services.store.read(freezes.in_force)
    return {"items": [each.as_json() for each in found], "next": None}


async def freeze(asked: Asked) -> Any:
    """`POST /freezes`."""
    body = asked.body
    name = body.get("name")
    if body["scope"] == "server" and name not in asked.services.facts.servers:
        raise Problem("refused", "that server is not configured", extra={"help": "look at `servers`"})
    actor = asked.person.principal
    made = await freezes.freeze(asked.services.freezing, body["scope"], name, body["reason"], actor)
    return made.as_json()


async def thaw(asked: Asked) -> Any:
    """`POST /thaw`."""
    body = asked.body
    ended = await freezes.thaw(asked.services.freezing, body["scope"], body.get("name"), asked.person.principal)
    if not ended:
        raise Problem("not_found", "nothing of that name is frozen", extra={"help": "`policylayer thaw` lists what is"})
    return {"thawed": [each.as_json() for each in ended]}
