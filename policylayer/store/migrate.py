"""Brings a database to another schema, with Alembic: `policylayer migrate`. Not imported by `serve`.

The migrations are `migrations/` of a checkout, or `policylayer/_migrations` of an installed package. Must not know what
a migration does.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError

from policylayer.clock import Clock
from policylayer.core.errors import ConfigError
from policylayer.store.lock import FileLock
from policylayer.store.schema import version
from policylayer.store.session import connect, create_file

PACKAGE: Final = Path(__file__).resolve().parents[1]
HEAD: Final = "head"
MONTHS: Final = 36
"""Partitions made ahead: the proxy's own role may not be allowed to make any."""


def migrate(url: str, revision: str = HEAD) -> tuple[str | None, str | None]:
    """Upgrade (or downgrade) the database at `url` to `revision`; the schema before and after."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return _sqlite(Path(rest[1:]).resolve(), revision)
    if scheme == "postgresql":
        return asyncio.run(_postgresql(url, revision))
    raise ConfigError(f"the database `{scheme}` is not known", "write `sqlite:///FILE` or `postgresql://…`")


def grant(url: str, role: str) -> list[str]:
    """PostgreSQL: let `role` do what the proxy needs; the statements, which the owner of the tables has run."""
    if not url.startswith("postgresql:"):
        raise ConfigError("only PostgreSQL has roles", "leave out --role")
    return asyncio.run(_grant(url, role))


async def _grant(url: str, role: str) -> list[str]:
    from policylayer.store.backend import bare, writing_engine
    from policylayer.store.roles import statements

    engine = writing_engine(url)
    done = list(statements(role))
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="READ COMMITTED")
            for statement in done:
                await connection.exec_driver_sql(statement)
            await connection.commit()
    except DBAPIError as error:
        raise ConfigError(
            f"the role cannot be given its rights: {bare(error)}", "run this as the tables' owner"
        ) from None
    finally:
        await engine.dispose()
    return done


def run(connection: Connection, revision: str = HEAD) -> tuple[str | None, str | None]:
    """The same over an open connection, in its transaction."""
    before = version(connection)
    settings = configuration()
    settings.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(settings)
    known = [script.revision for script in scripts.walk_revisions()]
    wanted = scripts.get_current_head() if revision == HEAD else revision
    if wanted != "base" and wanted not in known:
        raise ConfigError(f"there is no schema `{wanted}`", f"known are {', '.join(reversed(known))}")
    if before is not None and before not in known:
        raise ConfigError(
            f"the database has schema `{before}`, which this version does not know", "use the version that made it"
        )
    back = wanted == "base" or (before is not None and known.index(wanted) > known.index(before))
    (command.downgrade if back else command.upgrade)(settings, wanted)
    return before, version(connection)


def configuration() -> Config:
    """Alembic's settings: only where the scripts are."""
    packaged = PACKAGE / "_migrations"
    settings = Config()
    settings.set_main_option("script_location", str(packaged if packaged.exists() else PACKAGE.parent / "migrations"))
    settings.set_main_option("path_separator", "os")
    return settings


def _sqlite(path: Path, revision: str) -> tuple[str | None, str | None]:
    """Nobody may serve the file meanwhile; all of it in one transaction."""
    create_file(path)
    lock = FileLock(path)
    lock.take()
    try:
        engine = create_engine("sqlite://", creator=lambda: connect(path, 5.0))
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                done = run(connection, revision)
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
        engine.dispose()
        return done
    finally:
        lock.release()


async def _postgresql(url: str, revision: str) -> tuple[str | None, str | None]:
    """In one transaction, by one at a time. Replicas of the old version must be stopped first."""
    from policylayer.store.backend import SCHEMA_LOCK, writing_engine
    from policylayer.store.partitions import ensure

    engine = writing_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="READ COMMITTED")
            await connection.exec_driver_sql("SET statement_timeout = 0")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
            done = await connection.run_sync(partial(run, revision=revision))
            if done[1] is not None:
                await connection.run_sync(partial(ensure, now_us=Clock().time_us(), ahead=MONTHS))
            await connection.commit()
            return done
    finally:
        await engine.dispose()
