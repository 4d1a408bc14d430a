"""`/policy`, `/reload` and the API's own description. Must not know how policies are loaded (`revisions/`)."""

from __future__ import annotations

from typing import Any

from policylayer.api.route import Asked


async def status(asked: Asked) -> Any:
    """`GET /policy`."""
    return asked.services.policies.status()


async def reload(asked: Asked) -> Any:
    """`POST /reload`: who asked for it is an event, as what comes of it is another."""
    services = asked.services
    event = services.freezing.make_event("reload", asked.person.principal, {})
    await services.store.append((event,))
    return await services.policies.reload()
