"""`policylayer approvals`: held calls, deciding about them, and what was allowed along with them. What a call carries
is shown inert, whole on request. How waivers are asked for and told is in `approvals_similar.py`.

Must not know who may decide (`policylayer/approvals`): everything goes through `reach`.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
import typer

from policylayer.cli import approvals_similar, ids
from policylayer.cli.application import new
from policylayer.cli.approvals_similar import AnyOption, SameOption, SimilarOption, UsesOption
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import compact, emit, listing, note, say
from policylayer.cli.reach import Reach, reach

app = new("Held calls, and deciding about them.")

SHOWN: Final = 4000
"""Characters of arguments that are shown unless `--full` is given; how much is missing is said."""

EACH: Final = 1.0
"""Seconds between looks of `watch`."""

NoteOption = Annotated[str | None, typer.Option("--note", help="Why; the agent reads it with a denial.")]
IdArgument = Annotated[str, typer.Argument(help="Which approval.")]


class State(StrEnum):
    """Where an approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CONSUMED = "consumed"


@app.command("list")
def list_(
    state: Annotated[State, typer.Option("--state", help="Which ones.")] = State.PENDING,
    every: Annotated[bool, typer.Option("--all", help="Those in any state.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many.")] = 100,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Approvals, the one that expires first on top."""
    query = {"limit": str(limit)} if every else {"limit": str(limit), "state": state.value}
    with reach(config, url, token, "approvals list") as proxy:
        page = proxy.ask("GET", "/approvals", query)
    if page["next"]:
        note(f"There are more than these {limit}.")
    found = sorted(page["items"], key=lambda each: each["expires_at"])
    columns = ("id", "state", "expires_at", "principal", "server", "target", "waiters")
    listing(json, found, (*columns, "rules"), lambda each: [*(each[c] for c in columns), _rules(each)])


@app.command()
def show(
    id: IdArgument,
    full: Annotated[bool, typer.Option("--full", help="All of the arguments, however long.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """One approval, with what the call would do."""
    with reach(config, url, token, "approvals show") as proxy:
        found = proxy.ask("GET", f"/approvals/{ids.approval(id)}")
    if json:
        emit(found)
    else:
        _show(found, full)


@app.command()
def approve(
    id: IdArgument,
    note: NoteOption = None,
    similar: SimilarOption = None,
    uses: UsesOption = None,
    same: SameOption = None,
    any: AnyOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Vote for a held call. Needs an approver's token, also with -c."""
    wish = approvals_similar.wish(similar, uses, same or [], any)
    with reach(config, url, token, "approvals approve") as proxy:
        _done(_post(proxy, id, "approve", note, wish), json)


@app.command()
def deny(
    id: IdArgument,
    note: NoteOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Vote against a held call. Needs an approver's token, also with -c."""
    with reach(config, url, token, "approvals deny") as proxy:
        _done(_post(proxy, id, "deny", note), json)


@app.command()
def withdraw(
    id: IdArgument,
    note: NoteOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End an approval without a vote."""
    with reach(config, url, token, "approvals withdraw") as proxy:
        _done(_post(proxy, id, "withdraw", note), json)


@app.command()
def waivers(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many.")] = 100,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """What is allowed without asking for now, the one that ends first on top."""
    with reach(config, url, token, "approvals waivers") as proxy:
        page = proxy.ask("GET", "/waivers", {"limit": str(limit)})
    if page["next"]:
        note(f"There are more than these {limit}.")
    listing(json, page["items"], approvals_similar.COLUMNS, approvals_similar.row)


@app.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="WAIVER", help="Which waiver.")],
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """End a waiver: the next such call is asked about again."""
    with reach(config, url, token, "approvals revoke") as proxy:
        ended = proxy.ask("POST", f"/waivers/{ids.waiver(id)}/revoke")
    if json:
        emit(ended)
    else:
        say(f"Revoked: {ended['id']} ({ended['principal']}, {ended['rule']}).")


@app.command()
def watch(
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Show each approval as it begins to wait and as it ends, until Ctrl-C."""
    known: dict[str, str] = {}
    with reach(config, url, token, "approvals watch") as proxy:
        while True:
            for each in reversed(proxy.ask("GET", "/approvals", {"limit": "100"})["items"]):
                if known.get(each["id"]) == each["state"] or (each["id"] not in known and each["state"] != "pending"):
                    continue
                known[each["id"]] = each["state"]
                if json:
                    emit(each)
                else:
                    target = f"{each['server']} {each['target'] or each['method']}"
                    say(f"{each['state']:9} {each['id']}  {each['principal']}  {target}")
            time.sleep(EACH)


def _post(proxy: Reach, id: str, verb: str, note: str | None, similar: dict[str, Any] | None = None) -> Any:
    said = {"note": note, "similar": similar}
    body = {name: value for name, value in said.items() if value is not None}
    return proxy.ask("POST", f"/approvals/{ids.approval(id)}/{verb}", body=body)


def _done(found: dict[str, Any], json: bool) -> None:
    if json:
        emit(found)
        return
    left = [f"{rule['policy']}/{rule['rule']}" for rule in found["rules"] if len(rule["approved_by"]) < rule["quorum"]]
    more = f"; still waiting for {', '.join(left)}" if found["state"] == "pending" and left else ""
    say(f"{found['id']} is {found['state']}{more}.")
    approvals_similar.tell(found["waivers"])


def _names(found: dict[str, Any]) -> list[str]:
    return [f"{rule['policy']}/{rule['rule']}" for rule in found["rules"]]


def _rules(found: dict[str, Any]) -> str:
    return ", ".join(_names(found))


def _why(found: dict[str, Any]) -> str:
    """The reason, which mostly names the rule; where it leaves one out, the rules stand before it."""
    reason: str = found.get("reason") or ""
    return reason if all(name in reason for name in _names(found)) else f"{_rules(found)}: {reason}"


def _unseen(found: dict[str, Any]) -> str:
    """Why there are no arguments: of a call that is still held, who decides about it sees them."""
    if found["state"] in ("pending", "approved") and not found.get("altered"):
        return "not shown, this role does not see them; an approver's token does"
    return "not shown, none are kept or this role does not see them"


def _show(found: dict[str, Any], full: bool) -> None:
    say(f"{found['id']}  {found['state']}, until {found['expires_at']}, {found['waiters']} waiting")
    acting = f" for {found['for']}" if found.get("for") else ""
    say(f"  who      {found['principal']}{acting}")
    say(f"  what     {found['method']} {found['target'] or ''} on {found['server']}")
    say(f"  why      {_why(found)}")
    say(f"  who may  {', '.join(found['approvers']) or 'any approver'} (quorum {found['quorum']})")
    for vote in found["votes"]:
        say(f"  vote     {vote['principal']}: {vote['decision']} {vote['note'] or ''}")
    for waiver in found["waivers"]:
        say(f"  waiver   until {waiver['expires_at']}, {approvals_similar.allows(waiver)}")
    if found["arguments"] is None and not found.get("arguments_complete"):
        say(f"  arguments (digest {found['digest']}): {_unseen(found)}")
        return
    text = orjson.dumps(found["arguments"], option=orjson.OPT_INDENT_2).decode()
    label = "arguments" if found.get("arguments_complete") else "arguments, redacted"
    say(f"  {label} (digest {found['digest']}):")
    shown = text if full else text[:SHOWN]
    say("\n".join(f"    {line}" for line in shown.split("\n")))
    if len(shown) < len(text):
        say(f"  TRUNCATED: {len(text) - len(shown)} of {len(text)} characters are not shown; look at them with --full")
    if not full and len(compact(found["arguments"])) > SHOWN:
        note("Do not decide before you have seen all of it.")
