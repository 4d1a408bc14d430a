"""`policylayer thaw`: ends a freeze, or lists those in force."""

from __future__ import annotations

from policylayer.cli.application import new
from policylayer.cli.freeze import AllOption, PrincipalOption, ServerOption, scope_of, thawing
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, say
from policylayer.cli.reach import every, reach

app = new("End a freeze; without a name, list what is frozen.")


@app.command()
def thaw(
    principal: PrincipalOption = None,
    server: ServerOption = None,
    all_: AllOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a freeze of exactly that name; without one, list what is frozen."""
    listing = principal is None and server is None and not all_
    with reach(config, url, token, "thaw") as proxy:
        if listing:
            found = [*every(proxy, "/freezes")]
        else:
            found = proxy.ask("POST", "/thaw", body=scope_of(principal, server, all_))["thawed"]
    for each in found:
        if json:
            emit(each)
        else:
            said = f"{each['name'] or 'everything'} ({each['reason']}, by {each['created_by']})"
            say(f"Frozen: {said}. `{thawing(each)}` ends it." if listing else f"Thawed: {said}")
    if not found and not json:
        say("Nothing is frozen.")
