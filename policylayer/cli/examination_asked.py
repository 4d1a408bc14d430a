"""What `doctor` asks over the network besides MCP servers: PostgreSQL and OPA, each for a few seconds and no longer.

Reads only. Must not know how findings are shown (`doctor.py`), nor what else is looked at (`examination.py`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from policylayer.cli.finding import Finding
from policylayer.clock import Clock
from policylayer.config import Config
from policylayer.core.errors import REACH, PolicyLayerError, rights
from policylayer.store.schema import HEAD

PATIENCE: Final = 5.0


def postgres(config: Config) -> Finding:
    """Whether it answers, whom it takes us for, which schema it has, and whether we may write there."""
    try:
        role, found, may = asyncio.run(_look(config.database))
    except TimeoutError:
        return Finding("database", "bad", f"did not answer in {PATIENCE:g}s", REACH)
    except PolicyLayerError as error:
        return Finding("database", "bad", error.message, error.help or REACH)
    who = f"answers the role `{role}`"
    if found is None and not may:
        return Finding("database", "bad", f"{who}, which may not make the schema that is not there yet", rights(role))
    if found is None:
        return Finding("database", "ok", f"{who}; no schema yet, it is made at the first start")
    if found != HEAD:
        fix = "policylayer migrate" if found < HEAD else "run the version of policylayer that made it"
        return Finding("database", "bad", f"{who}; schema `{found}`, this version needs `{HEAD}`", fix)
    if not may:
        return Finding("database", "bad", f"{who}, which may not add to the log", rights(role))
    return Finding("database", "ok", f"{who}, which may add to the log; schema `{found}`")


async def _look(url: str) -> tuple[str, str | None, bool]:
    """The role, the schema, and whether it may do there what comes next: make one, or add to the log."""
    from sqlalchemy import Connection, text

    from policylayer.store.schema import version
    from policylayer.store.viewing import PostgresView

    def look(connection: Connection) -> tuple[str, str | None, bool]:
        role = str(connection.scalar(text("SELECT current_user")))
        found = version(connection)
        if found is None:
            making = text("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")
            return role, None, bool(connection.scalar(making))
        asked = text("SELECT to_regclass('records') IS NOT NULL AND has_table_privilege('records', 'INSERT')")
        return role, found, bool(connection.scalar(asked))

    view = PostgresView(url)
    try:
        async with asyncio.timeout(PATIENCE):
            return await view.read(look)
    finally:
        await view.close()


def opa(config: Config) -> Finding:
    """Whether it answers us, with the token that is configured."""
    assert config.opa is not None
    try:
        asyncio.run(_ask_opa(config))
    except PolicyLayerError as error:  # the client is not installed
        return Finding("opa", "bad", error.message, error.help)
    except Exception as failure:
        why = "did not answer in time" if isinstance(failure, TimeoutError) else str(failure) or "cannot be asked"
        message = f"`{config.opa.url}` {why}"
        return Finding("opa", "bad", message, "is it running, and are `url`, `path`, `token` and `ca` right?")
    return Finding("opa", "ok", f"`{config.opa.url}` answers")


async def _ask_opa(config: Config) -> None:
    from policylayer.rego.opening import opa_server

    server = opa_server(config.opa, Clock())
    assert server is not None
    try:
        async with asyncio.timeout(PATIENCE):
            await server.start()
            await server.look()
    finally:
        await server.close()
