"""`policylayer thaw`: ends a freeze, or lists those in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policylayer.cli.application import new
from policylayer.cli.freeze import AllOption, PrincipalOption, ServerOption, scope_of, thawing
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, say
from policylayer.cli.reach import Reach, reach

app = new("End a freeze; without a name, list what is frozen.")


@app.command()
def thaw(
    principal: PrincipalOption = None,
    server: ServerOption = None,
    every: AllOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a freeze of exactly that name; without one, list what is frozen."""
    listing = principal is None and server is None and not every
    with reach(config, url, token, "thaw") as proxy:
        if listing:
            found = [*_frozen(proxy)]
        else:
            found = proxy.ask("POST", "/thaw", body=scope_of(principal, server, every))["thawed"]
    for each in found:
        if json:
            emit(each)
        else:
            said = f"{each['name'] or 'everything'} ({each['reason']}, by {each['created_by']})"
            say(f"Frozen: {said}. `{thawing(each)}` ends it." if listing else f"Thawed: {said}")
    if not found and not json:
        say("Nothing is frozen.")


def _frozen(proxy: Reach) -> Iterator[dict[str, Any]]:
    """All freezes in force, the newest first, page by page."""
    page = proxy.ask("GET", "/freezes")
    yield from page["items"]
    while page["next"] is not None:
        page = proxy.ask("GET", "/freezes", {"cursor": page["next"]})
        yield from page["items"]
