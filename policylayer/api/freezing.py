"""`/freezes` and `/thaw`: an operator's immediate stop, outside policy. Must not know what a freeze does (`proxy/`)."""

from __future__ import annotations

from functools import partial
from typing import Any

from policylayer import freezes
from policylayer.api.problem import Problem
from policylayer.api.reading import row_id
from policylayer.api.route import Asked
from policylayer.api.services import Services
from policylayer.core.errors import PolicyLayerError
from policylayer.core.principals import fault
from policylayer.identity import grants
from policylayer.policy.diagnostics import nearest, quote


async def listing(asked: Asked) -> Any:
    """`GET /freezes`: those in force, newest first."""
    query = asked.query
    work = partial(freezes.page, limit=query.get("limit", freezes.MOST), cursor=row_id(query.get("cursor")))
    found, following = await asked.services.store.read(work)
    return {"items": [each.as_json() for each in found], "next": following}


async def freeze(asked: Asked) -> Any:
    """`POST /freezes`; of what is frozen already, the freeze that stands."""
    body = asked.body
    scope = body["scope"]
    name: Any = body.get("name")
    if scope == "server":
        _check_server(asked.services, name)
    elif scope == "principal" and (found := fault(name)) is not None:
        raise Problem("bad_body", found[0], extra={"help": found[1]})
    made = await freezes.freeze(asked.services.freezing, scope, name, body["reason"], asked.person.principal)
    warning = await _unknown(asked.services, name) if scope == "principal" else None
    return {**made.as_json(), **({"warning": warning} if warning else {})}


async def thaw(asked: Asked) -> Any:
    """`POST /thaw`."""
    body = asked.body
    ended = await freezes.thaw(asked.services.freezing, body["scope"], body.get("name"), asked.person.principal)
    if not ended:
        raise Problem("not_found", "nothing of that name is frozen", extra={"help": "`policylayer thaw` lists what is"})
    return {"thawed": [each.as_json() for each in ended]}


def _check_server(services: Services, name: str) -> None:
    servers = services.facts.servers
    if name in servers:
        return
    known = ", ".join(map(quote, sorted(servers))) or "none"
    raise Problem("refused", "that server is not configured", extra={"help": f"those that are: {known}"})


async def _unknown(services: Services, name: str) -> str | None:
    """What to tell whoever froze a principal that nobody is: the stop stands, but may not be the one that was meant."""
    known = {services.facts.local_principal or ""}
    # The freeze stands already; that something cannot be read takes nothing from it.
    try:
        known |= await services.store.read(grants.principals)
        known |= services.policies.principals()
    except (PolicyLayerError, OSError) as failure:
        why = failure.message if isinstance(failure, PolicyLayerError) else (failure.strerror or "failed").lower()
        return None if name in known else f"whether anybody has this name is not known: {why}"
    if name in known:
        return None
    near = nearest(name, known)
    ask = f"did you mean {quote(near)}?" if near else "`policylayer grant list` shows whose grants there are"
    return f"nobody has this name, neither in a grant nor in principals.yaml: {ask}"
