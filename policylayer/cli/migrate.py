"""`policylayer migrate`: brings a database to this version's schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.output import emit, say

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

    loaded = load(config)
    from policylayer.store.migrate import migrate as run

    before, after = run(loaded.database)
    granted = {}
    if role is not None:
        from policylayer.store.migrate import grant

        granted = {"role": role, "statements": grant(loaded.database, role)}
    if json:
        emit({"before": before, "after": after, **granted})
        return
    if granted:
        say(f"The role `{role}` may read everything, add records, and change everything but records.")
    if before == after:
        say(f"The database is at schema `{after}` already.")
    else:
        say(f"The database went from {f'schema `{before}`' if before else 'nothing'} to schema `{after}`.")
