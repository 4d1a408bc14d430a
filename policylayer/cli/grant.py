"""`policylayer grant`: agents' credentials. Must not know how they are kept: everything goes through `reach`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from policylayer.cli import wanted
from policylayer.cli.application import new
from policylayer.cli.exits import CommandError
from policylayer.cli.options import ConfigOption, ExpiresOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, listing, note, say
from policylayer.cli.program import own_command
from policylayer.cli.reach import Reach, every, reach
from policylayer.cli.times import instant

app = new("Agents' credentials.")

OBSERVED: Final = "its calls pass while the server is in observe mode, and will be denied when it is not."


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it, unique among those that stand.")],
    principal: Annotated[str, typer.Option("--principal", help="Whose calls these are: `agent:x`.")],
    servers: Annotated[str, typer.Option("--servers", metavar="A,B", help="The only servers that it opens.")],
    expires: ExpiresOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Make a grant. Its token is shown now, and never again."""
    body: dict[str, Any] = {
        "name": wanted.grant_name(name),
        "principal": wanted.principal(principal),
        "servers": wanted.servers(servers),
    }
    if expires is not None:
        body["expires_at"] = instant(expires)
    with reach(config, url, token, "grant create") as proxy:
        made = proxy.ask("POST", "/grants", body=body)
        _show(made, json, proxy.url)  # before anything is closed: it is the only time


@app.command("list")
def list_(
    revoked: Annotated[bool, typer.Option("--revoked", help="Revoked ones too.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """The grants that stand."""
    with reach(config, url, token, "grant list") as proxy:
        found = [*every(proxy, "/grants", {"revoked": "true"} if revoked else None)]
    columns = ("id", "name", "principal", "servers", "expires_at", "last_used_at", "revoked_at")
    listing(json, found, columns, lambda each: [_cell(each[column]) for column in columns])


@app.command()
def rotate(
    named: Annotated[str, typer.Argument(metavar="ID|NAME", help="Which grant.")],
    overlap: Annotated[str, typer.Option("--overlap", metavar="5m", help="The old token stays good so long.")] = "0s",
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Give a grant a new token."""
    seconds = wanted.overlap(overlap)
    with reach(config, url, token, "grant rotate") as proxy:
        found = _find(proxy, named)
        made = proxy.ask("POST", f"/grants/{found}/rotate", body={"overlap_seconds": seconds})
        _show(made, json, proxy.url)  # before anything is closed: it is the only time


@app.command()
def revoke(
    named: Annotated[str, typer.Argument(metavar="ID|NAME", help="Which grant.")],
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a grant: within a second nothing accepts it any more, and what it holds open ends."""
    with reach(config, url, token, "grant revoke") as proxy:
        ended = proxy.ask("DELETE", f"/grants/{_find(proxy, named)}")
    if json:
        emit(ended)
    else:
        say(f"Revoked: {ended['name']} ({ended['principal']}).")


def _find(proxy: Reach, named: str) -> str:
    """The id of a grant by id or name."""
    for each in every(proxy, "/grants"):
        if named in (each["id"], each["name"]):
            return str(each["id"])
    raise CommandError(f"no grant `{named}` stands", "`policylayer grant list` shows them")


def _show(made: dict[str, Any], json: bool, base: str) -> None:
    if json:
        emit({key: made[key] for key in ("id", "name", "principal", "servers", "token", "expires_at")})
        return
    from policylayer.identity.snippets import snippets

    say(f"{made['name']}: {made['principal']} on {', '.join(made['servers'])}")
    say(f"  token    {made['token']}")
    say(f"  expires  {made['expires_at'] or 'never'}")
    note("This is the only time the token is shown.")
    for server in made.get("unopened", ()):
        observed = server in made.get("observed", ())
        what = OBSERVED if observed else "its calls will be denied."
        note(f"No rule lets `{made['principal']}` do anything on `{server}`: {what}")
        note("  help: is the principal spelt as the policies have it? `policylayer access` shows who may what")
    for server in made["servers"][:1]:
        say("")
        say("Clients:")
        for snippet in snippets(base, server, made["token"], own_command()):
            say(f"  {snippet.client}, {snippet.place}:")
            say("\n".join(f"    {line}" for line in snippet.text.splitlines()))


def _cell(value: Any) -> str | None:
    return ", ".join(value) if isinstance(value, list) else value
