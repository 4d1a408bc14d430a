"""`policylayer audit events`: what happened besides calls: votes, credentials, freezes, revisions, refused input.

Must not know what types there are: docs/events.md lists them. Pages are `audit_pages.py`'s.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from policylayer.cli.audit_pages import newest
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import compact, listing
from policylayer.cli.reach import reach
from policylayer.cli.times import since as ago

TypeOption = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="Of this type; `approval.`: all that begin so.")
]


def events_command(
    type: TypeOption = None,
    since: Annotated[str | None, typer.Option("--since", metavar="2h", help="From then on.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="1h", help="Before then.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """What happened besides calls, the newest first: votes, credentials, freezes, revisions, refused input."""
    with reach(config, url, token, "audit events") as proxy:
        found = list(newest(proxy, asked_of(type, since, until), limit, "/events"))
    listing(json, found, ("time", "type", "actor", "detail"), _row)


def asked_of(type: str | None, since: str | None, until: str | None) -> dict[str, str]:
    """The filters, as the API takes them."""
    times = {"since": since and ago(since), "until": until and ago(until)}
    return {name: value for name, value in {"type": type, **times}.items() if value}


def _row(found: dict[str, Any]) -> list[object]:
    return [found["time"][:23], found["type"], found["actor"], compact(found["detail"])]
