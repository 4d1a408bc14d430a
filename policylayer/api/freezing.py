"""`/freezes` and `/thaw`: an operator's immediate stop, outside policy. Must not know what a freeze does (`proxy/`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from policylayer import freezes
from policylayer.api.problem import Problem
from policylayer.api.reading import row_id
from policylayer.api.route import Asked


async def listing(asked: Asked) -> Any:
    """`GET /freezes`: those in force, newest first."""
    query = asked.query
    work = partial(freezes.page, limit=query.get("limit", freezes.MOST), cursor=row_id(query.get("cursor")))
    found, following = await asked.services.store.read(work)
    return {"items": [each.as_json() for each in found], "next": following}


async def freeze(asked: Asked) -> Any:
    """`POST /freezes`; of what is frozen already, the freeze that stands."""
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
