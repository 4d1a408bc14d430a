"""`policylayer reload`: has the proxy read its policies again, and waits until they are active or refused."""

from __future__ import annotations

from typing import Any

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import NOT_LOADED
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, note, say
from policylayer.cli.reach import reach
from policylayer.cli.stale import tell

app = new("Have the proxy read its policies again, and wait for it.")


@app.command()
def reload(
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Have the proxy read its policies again, and wait for it."""
    with reach(config, url, token, "reload") as proxy:
        status = proxy.ask("POST", "/reload")
    if json:
        emit(status)
    else:
        _tell(status)
    tell("policylayer.yaml" if config is None else config.name, status.get("restart", ()))
    if status["refused"]:
        raise typer.Exit(NOT_LOADED)


def _tell(status: dict[str, Any]) -> None:
    say(f"Active: {status['revision']} since {status['activated_at']}")
    for refused in status["refused"][:1]:
        note(f"Refused: {refused['revision']}; the active one stays")
        for each in refused["diagnostics"]:
            place = f"{each['file']}:{each['line']}:{each['column']}"
            note(f"  {place}: {each['severity']}[{each['code']}]: {each['message']}")
