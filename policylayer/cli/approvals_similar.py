"""Waivers in the words of `policylayer approvals`: what its options ask for, and what a waiver allows, for people.

Must not know how the proxy is reached, nor what may be waived (`policylayer/approvals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from policylayer.cli.exits import UsageError
from policylayer.cli.output import say
from policylayer.config.values import duration
from policylayer.policy.diagnostics import quote

SimilarOption = Annotated[
    str | None, typer.Option("--similar", metavar="1h", help="Also allow similar calls, for up to 24h.")
]
UsesOption = Annotated[
    int | None, typer.Option("--uses", min=1, max=1000, help="How many similar calls; 20 unless given.")
]
SameOption = Annotated[
    list[str] | None,
    typer.Option("--same", metavar="ARGUMENT", help="Must be equal; may be repeated. Without it, all must be."),
]
AnyOption = Annotated[bool, typer.Option("--any", help="Similar whatever the arguments.")]

COLUMNS: Final = ("id", "rule", "principal", "server", "target", "uses_left", "expires_at", "created_by", "with")


def wish(similar: str | None, uses: int | None, same: Sequence[str], any: bool) -> dict[str, Any] | None:
    """What the options ask for, as the API takes it."""
    if similar is None:
        if uses is not None or same or any:
            raise UsageError(
                "similar for how long?", "--uses, --same and --any go with --similar, as in `--similar 1h`"
            )
        return None
    if any and same:
        raise UsageError("which arguments must be equal?", "give --same or --any, not both")
    if duration(similar) is None:
        raise UsageError(f"--similar `{similar}` is not a duration", "write it like `15m` or `1h`")
    asked = {"for": similar, "uses": uses, "same": list(same) if same or any else None}
    return {name: value for name, value in asked.items() if value is not None}


def tell(waivers: Sequence[Mapping[str, Any]]) -> None:
    """What waivers allow, and how each is ended."""
    for each in waivers:
        say(f"Until {each['expires_at']}, {allows(each)}.")
        say(f"  to end it: policylayer approvals revoke {each['id']}")


def allows(waiver: Mapping[str, Any]) -> str:
    """What one waiver allows, as a clause."""
    acting = f" for {waiver['for']}" if waiver["for"] else ""
    what = f"{waiver['method']} {waiver['target'] or ''}".rstrip()
    times = "once" if waiver["uses_left"] == 1 else f"{waiver['uses_left']} times"
    return (
        f"{waiver['principal']}{acting} may do {what} on {waiver['server']} {times} more without approval by "
        f"{waiver['rule']}, with {equal(waiver)}"
    )


def equal(waiver: Mapping[str, Any]) -> str:
    """Which arguments must be as they were."""
    if waiver["exact"]:
        return "the same arguments"
    # Agents choose these names: none of them may look like the end of the line, or like another name.
    names = ", ".join(quote(name, 200) for name in waiver["same"])
    return f"the same {names}, whatever else" if names else "any arguments"


def row(waiver: Mapping[str, Any]) -> list[object]:
    """One waiver in a table of `COLUMNS`."""
    return [*(waiver[column] for column in COLUMNS[:-1]), equal(waiver)]
