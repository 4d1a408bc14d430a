"""`policylayer token`: people's credentials. Must not know how they are kept: everything goes through `reach`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from policylayer.cli import ids, wanted
from policylayer.cli.application import new
from policylayer.cli.options import ConfigOption, ExpiresOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, listing, note, say
from policylayer.cli.reach import every, reach
from policylayer.cli.times import instant

app = new("People's credentials.")


class Role(StrEnum):
    """What a token may do; each may all that those before it may."""

    VIEWER = "viewer"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


@app.command()
def create(
    role: Annotated[Role, typer.Option("--role", help="What it may do; each role may all that those before it may.")],
    principal: Annotated[str, typer.Option("--principal", help="Whose it is: `user:x`.")],
    expires: ExpiresOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Make a token. It is shown now, and never again."""
    body: dict[str, Any] = {"principal": wanted.principal(principal), "role": role.value}
    if expires is not None:
        body["expires_at"] = instant(expires)
    with reach(config, url, token, "token create") as proxy:
        made = proxy.ask("POST", "/tokens", body=body)
    if json:
        emit({key: made[key] for key in ("id", "principal", "role", "token", "expires_at")})
        return
    say(f"{made['principal']}: {made['role']}")
    say(f"  token    {made['token']}")
    say(f"  expires  {made['expires_at'] or 'never'}")
    note("This is the only time the token is shown. `export POLICYLAYER_TOKEN=…` lets commands use it.")


@app.command("list")
def list_(
    revoked: Annotated[bool, typer.Option("--revoked", help="Revoked ones too.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """The tokens that stand."""
    with reach(config, url, token, "token list") as proxy:
        found = [*every(proxy, "/tokens", {"revoked": "true"} if revoked else None)]
    columns = ("id", "principal", "role", "prefix", "expires_at", "last_used_at", "revoked_at")
    listing(json, found, columns, lambda each: [each[column] for column in columns])


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(help="Which token.")],
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a token: within a second nothing accepts it any more."""
    with reach(config, url, token, "token revoke") as proxy:
        ended = proxy.ask("DELETE", f"/tokens/{ids.token(id)}")
    if json:
        emit(ended)
    else:
        say(f"Revoked: {ended['role']} of {ended['principal']}.")
