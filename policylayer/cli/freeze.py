"""`policylayer freeze`: an operator's immediate stop, outside policy. Ends with `thaw`."""

from __future__ import annotations

from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import UsageError
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, say
from policylayer.cli.reach import reach

app = new("Stop a principal, a server, or everything, at once.")

PrincipalOption = Annotated[str | None, typer.Option("--principal", help="This principal's calls.")]
ServerOption = Annotated[str | None, typer.Option("--server", help="All calls to this server.")]
AllOption = Annotated[bool, typer.Option("--all", help="Everything.")]


def scope_of(principal: str | None, server: str | None, every: bool) -> dict[str, str]:
    """What the options name, as the API takes it."""
    named = [("principal", principal)] * (principal is not None) + [("server", server)] * (server is not None)
    if len(named) + every != 1:
        raise UsageError("what exactly?", "give one of --principal P, --server S and --all")
    return {"scope": "all"} if every else {"scope": named[0][0], "name": named[0][1] or ""}


@app.command()
def freeze(
    reason: Annotated[str, typer.Option("--reason", help="Why; agents read it.")],
    principal: PrincipalOption = None,
    server: ServerOption = None,
    every: AllOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Deny everything it names within a second, close open streams, and stay so until thawed."""
    body = {**scope_of(principal, server, every), "reason": reason}
    with reach(config, url, token, "freeze") as proxy:
        made = proxy.ask("POST", "/freezes", body=body)
    if json:
        emit(made)
    else:
        say(f"Frozen: {made['name'] or 'everything'} ({made['reason']}). `policylayer thaw` ends it.")
