"""`/policy`, `/reload` and the API's own description. Must not know how policies are loaded (`revisions/`)."""

from __future__ import annotations

from typing import Any

from policylayer.api.route import Asked


async def status(asked: Asked) -> Any:
    """`GET /policy`."""
    return asked.services.policies.status()


async def reload(asked: Asked) -> Any:
    """`POST /reload`."""
    return await asked.services.policies.reload()
