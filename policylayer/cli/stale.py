"""Which running proxies began with another configuration than the file now holds: it is read at a start, and only then.

Each proxy leaves its file's digest in the log with the policies that it activates. Must not know what is in the file.
Where the log cannot be looked at there is nothing to say: whoever needs it says so itself.
"""

from __future__ import annotations

import asyncio
import platform
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson

from policylayer.cli.output import note
from policylayer.config import Config
from policylayer.core.errors import PolicyLayerError
from policylayer.processes import ended

SERVING: Final = "SELECT life, host, pid FROM chains WHERE program = 'serve' AND closed_us IS NULL"
ACTIVATED: Final = (
    "SELECT detail FROM records WHERE kind = 'event' AND reason_code <> 'rule' "
    "AND reason_code IN ('policy_activated', 'policy_still_active') ORDER BY id DESC LIMIT 1000"
)
SQLITE: Final = "sqlite:///"
PATIENCE: Final = 2.0


def warn(config: Config | None) -> None:
    """Say it on standard error, for whoever asks the file and may take its answer for the running proxy's."""
    if config is not None:
        tell(config.file.name, stale(config))


def tell(file: str, processes: Iterable[str]) -> None:
    """One warning a process."""
    for process in processes:
        note(f"policylayer: {words(file, process)}")


def words(file: str, process: str) -> str:
    """What is to be said of one."""
    host, _, pid = process.rpartition(":")
    where = "" if host == platform.node() else f" on `{host}`"
    return f"`{file}` has changed since the proxy (process {pid}{where}) started: restart it"


def stale(config: Config) -> list[str]:
    """`HOST:PID` of each proxy that serves from the configured database, and began with another file."""
    try:
        serving, details = _sqlite(config) if config.database.startswith(SQLITE) else asyncio.run(_postgres(config))
    except (PolicyLayerError, sqlite3.Error, OSError, TimeoutError):
        return []
    return others(config.digest, serving, details)


def others(digest: str, serving: Iterable[tuple[str, str, int]], details: Iterable[str]) -> list[str]:
    """Of those that serve, whose newest activation names another digest; one that does not say is not accused."""
    began: dict[str, str | None] = {}
    for text in details:
        detail = orjson.loads(text)
        began.setdefault(f"{detail.get('host')}:{detail.get('pid')}", detail.get("configuration"))
    names = [f"{host}:{pid}" for life, host, pid in serving if not ended(life, host, pid)]
    return [name for name in names if began.get(name) not in (None, digest)]


def _sqlite(config: Config) -> tuple[list[Any], list[str]]:
    """Without SQLAlchemy: `explain` starts at once."""
    path = Path(config.database.removeprefix(SQLITE)).absolute()
    if not path.is_file():
        return [], []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as raw:
        return raw.execute(SERVING).fetchall(), [row[0] for row in raw.execute(ACTIVATED)]


async def _postgres(config: Config) -> tuple[list[Any], list[str]]:
    from sqlalchemy import Connection, text

    from policylayer.store.viewing import open_view

    def look(connection: Connection) -> tuple[list[Any], list[str]]:
        serving = [(life, host, pid) for life, host, pid in connection.execute(text(SERVING))]
        return serving, [*connection.scalars(text(ACTIVATED))]

    async with asyncio.timeout(PATIENCE):
        view = await open_view(config.database)
        try:
            return await view.read(look)
        finally:
            await view.close()
