"""`policylayer connect`: a stdio front of the proxy, for clients that can only launch a command (`upstream/front.py`).

Standard output carries the protocol and nothing else; whatever there is to say goes to standard error.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import UsageError
from policylayer.cli.output import note
from policylayer.config import values

app = new("A stdio front of the proxy, for clients that launch a command.")


@app.command()
def connect(
    url: Annotated[str, typer.Option("--url", envvar="POLICYLAYER_URL", metavar="URL", help="The proxy.")],
    server: Annotated[str, typer.Option("--server", metavar="NAME", help="Which server behind it.")],
    grant: Annotated[
        str | None, typer.Option("--grant", envvar="POLICYLAYER_GRANT", help="The agent's token (better by variable).")
    ] = None,
) -> None:
    """Relay between standard input and output and the proxy; bytes pass through, in both eras."""
    if values.base_url(url.rstrip("/")) is None:
        raise UsageError("--url is not the proxy's URL", "write it like `http://127.0.0.1:8080`")
    if not values.is_server_name(server):
        raise UsageError("--server is not a server's name", "it stands under `servers` in the proxy's configuration")
    if not grant:
        note("policylayer: no grant is set: the proxy will take nobody's calls, unless it has a `local_principal`")
        note("  help: put the token that `policylayer grant create` showed into POLICYLAYER_GRANT")
    from policylayer.upstream.front import run

    raise typer.Exit(run(url.rstrip("/"), server, grant or None, sys.stdin.buffer, sys.stdout.buffer))
