"""The policies of files, opened for one question, with the engines that belong to them; closed after it.

What `policylayer explain` asks on its own; a running proxy has an `Active` at work. Must not know what is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from policylayer.core.errors import PolicyError
from policylayer.policy.load import Loaded
from policylayer.revisions.active import Active

if TYPE_CHECKING:
    from policylayer.rego.server import OpaServer


@asynccontextmanager
async def opened(loaded: Loaded, files: Mapping[str, bytes], server: OpaServer | None = None) -> AsyncIterator[Active]:
    """A set that loaded, with its Rego engine and the OPA server beside it. `PolicyError` where Rego is refused.

    A server that is given these very files is not asked: what it holds is of the proxy's revision, perhaps not of this.
    """
    server = None if server is not None and server.pushes else server
    policy_set = loaded.policy_set
    assert policy_set is not None
    rego = None
    if loaded.rego:
        from policylayer.rego.examine import PATIENT, open_rego

        rego, problems = await open_rego(policy_set, loaded.rego, files, PATIENT)
        if rego is None:
            raise PolicyError(problems[0].message, problems[0].help)
    active = Active(policy_set, rego, server)
    try:
        if server is not None:
            await server.start()
        yield active
    finally:
        if server is not None:
            await server.close()
        await active.close()
