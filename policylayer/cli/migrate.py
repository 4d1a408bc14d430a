"""`policylayer migrate`: brings a database to this version's schema."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import CommandError
from policylayer.cli.output import emit, say
from policylayer.core.errors import ConfigError

app = new("Bring a database to this version's schema.")


@app.command()
def migrate(
    config: Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The proxy's configuration.")] = Path(
        "policylayer.yaml"
    ),
    role: Annotated[
        str | None,
        typer.Option("--role", metavar="ROLE", help="PostgreSQL: grant the proxy's role what it needs, and no more."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Bring the configured database to this version's schema. The proxy must not be running."""
    from policylayer.config import load

    loaded = load(config, policies=False)
    from policylayer.store.migrate import migrate as run

    with _told(loaded.database):
        before, after = run(loaded.database)
    granted = {}
    if role is not None:
        granted = {"role": role, "statements": _grant(loaded.database, role)}
    if json:
        emit({"before": before, "after": after, **granted})
        return
    if granted:
        say(f"The role `{role}` may read everything, add records, and change everything but records.")
    if before == after:
        say(f"The database is at schema `{after}` already.")
    else:
        say(f"The database went from {f'schema `{before}`' if before else 'nothing'} to schema `{after}`.")


def _grant(database: str, role: str) -> list[str]:
    from policylayer.store.migrate import grant

    try:
        return grant(database, role)
    except ConfigError as error:
        if "does not exist" not in error.message:
            raise
        help = f"make it first, as a superuser: CREATE ROLE \"{role}\" LOGIN PASSWORD '…'"
        raise CommandError(error.message, help) from None


@contextlib.contextmanager
def _told(database: str) -> Iterator[None]:
    """What PostgreSQL, or the way to it, says is no fault of ours."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        why, help = _why(error, database)
        raise CommandError(f"the database cannot be migrated: {why}", help) from None


def _why(error: Exception, database: str) -> tuple[str, str]:
    if database.startswith("sqlite:"):
        return str(getattr(error, "orig", None) or error), "the file and its folder must be there, and be writable"
    from policylayer.store.backend import address
    from policylayer.store.unanswered import told

    return told(error, address(database), "use the configuration of the tables' owner, who may make and change them")
