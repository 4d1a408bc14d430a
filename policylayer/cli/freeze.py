"""`policylayer freeze`: an operator's immediate stop, outside policy. Ends with `thaw`."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Annotated, Any

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import UsageError
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, note, say
from policylayer.cli.reach import reach
from policylayer.core.principals import fault

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


def thawing(frozen: Mapping[str, Any]) -> str:
    """The command that ends a freeze."""
    return " ".join(["policylayer thaw", f"--{frozen['scope']}", *([quote(frozen["name"])] if frozen["name"] else [])])


@app.command()
def freeze(
    reason: Annotated[
        str,
        typer.Option(
            "--reason", help="Why: for the log, and for whoever looks at what is frozen; agents do not see it."
        ),
    ],
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
    if principal is not None and (found := fault(principal)) is not None:
        raise UsageError(*found)
    with reach(config, url, token, "freeze") as proxy:
        made = proxy.ask("POST", "/freezes", body=body)
    if json:
        emit(made)
    else:
        say(f"Frozen: {made['name'] or 'everything'} ({made['reason']}). `{thawing(made)}` ends it.")
        if made.get("warning"):
            note(f"But {made['warning']}")
