"""`policylayer audit`: the decision log on a terminal, or as a stream for programs.

Must not know how it is kept: everything goes through `reach`, a page at a time (`audit_pages.py`). What needs the key
is beside this, in `audit_keeping.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from policylayer.cli import ids
from policylayer.cli.application import new
from policylayer.cli.audit_events import TypeOption, asked_of, events_command
from policylayer.cli.audit_files import Format, write, write_as_they_come
from policylayer.cli.audit_keeping import mark_command, prune_command, verify_command
from policylayer.cli.audit_pages import BEGINNING, following, newest, now, onward
from policylayer.cli.exits import CommandError, UsageError
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, fields, listing, say
from policylayer.cli.reach import Reach, reach
from policylayer.cli.times import since as ago
from policylayer.core.commands import OutcomeState
from policylayer.core.decision import Effect, ReasonCode

app = new("The decision log.")

PrincipalOption = Annotated[str | None, typer.Option("--principal", help="Who called.")]
ServerOption = Annotated[str | None, typer.Option("--server", help="Which server.")]
MethodOption = Annotated[str | None, typer.Option("--method", help="Which MCP method.")]
TargetOption = Annotated[str | None, typer.Option("--target", help="Which tool, prompt or resource.")]
EffectOption = Annotated[
    Effect | None, typer.Option("--effect", help="What policy said: allow, deny or require_approval.")
]
EnforcedOption = Annotated[
    Effect | None, typer.Option("--enforced", help="What was done, by people too: allow, deny or require_approval.")
]
CodeOption = Annotated[ReasonCode | None, typer.Option("--reason-code", help="Why.")]
RuleOption = Annotated[str | None, typer.Option("--rule", metavar="POLICY/RULE", help="Where this rule decided.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="2h", help="From then on: a duration, an instant.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="1h", help="Before then.")]
TextOption = Annotated[
    str | None, typer.Option("-q", "--text", help="In targets, reasons, rules, arguments, inner calls.")
]


@app.command()
def query(
    principal: PrincipalOption = None,
    server: ServerOption = None,
    method: MethodOption = None,
    target: TargetOption = None,
    effect: EffectOption = None,
    enforced: EnforcedOption = None,
    reason_code: CodeOption = None,
    rule: RuleOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    text: TextOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Decisions, the newest first."""
    asked = _query(principal, server, method, target, effect, enforced, reason_code, rule, since, until, text)
    with reach(config, url, token, "audit query") as proxy:
        found = list(newest(proxy, asked, limit))
    listing(json, found, COLUMNS, _row)


@app.command()
def tail(
    principal: PrincipalOption = None,
    server: ServerOption = None,
    effect: EffectOption = None,
    enforced: EnforcedOption = None,
    since: SinceOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Decisions as they are made, until Ctrl-C."""
    asked = _query(principal, server, None, None, effect, enforced, None, None, None, None, None)
    with reach(config, url, token, "audit tail") as proxy:
        for each in following(proxy, asked, since, BEGINNING if since else now()):
            if json:
                emit(each)
            else:
                say("  ".join(str(cell or "-") for cell in _row(each)))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="Which decision.")],
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """One decision, whole."""
    with reach(config, url, token, "audit show") as proxy:
        found = proxy.ask("GET", f"/decisions/{ids.decision(id)}")
        approval = found["approval_id"] and _approval(proxy, found["approval_id"])
    if json:
        emit({**found, "approval": approval} if approval else found)
        return
    children = found.pop("children", [])
    if _outcome(found) == "released":
        found["released by"] = children[-1]["id"]
    fields({name: value for name, value in found.items() if value not in (None, [], {})})
    if approval:
        _tell_approval(approval)
    for child in children:
        say("")
        fields({name: value for name, value in child.items() if value not in (None, [], {})})


def _approval(proxy: Reach, id: str) -> dict[str, Any] | None:
    """Who decided about it; None where it was removed since."""
    try:
        found = proxy.ask("GET", f"/approvals/{ids.approval(id)}")
    except CommandError:
        return None
    return {name: found[name] for name in ("id", "state", "created_at", "expires_at", "quorum", "votes")}


def _tell_approval(approval: dict[str, Any]) -> None:
    say("")
    say(f"approval {approval['id']}: {approval['state']}")
    for vote in approval["votes"]:
        note = f": {vote['note']}" if vote["note"] else ""
        say(f"  {vote.get('at', '')[:23]}  {vote['decision']} by {vote['principal']}{note}")
    if not approval["votes"]:
        say("  nobody has voted")


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Not standard output.")] = None,
    format: Annotated[Format, typer.Option("--format", help="jsonl, csv or parquet.")] = Format.JSONL,
    principal: PrincipalOption = None,
    server: ServerOption = None,
    method: MethodOption = None,
    target: TargetOption = None,
    effect: EffectOption = None,
    enforced: EnforcedOption = None,
    reason_code: CodeOption = None,
    rule: RuleOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    events: Annotated[bool, typer.Option("--events", help="Events instead (docs/events.md).")] = False,
    type: TypeOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is decided, until Ctrl-C.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """All decisions, or all events, oldest first; memory stays flat."""
    if events or type is not None:
        given = (principal, server, method, target, effect, enforced, reason_code, rule)
        if not events or follow or format is not Format.JSONL or any(value is not None for value in given):
            raise UsageError("events have a type and a time", "--events goes with --type, --since, --until and jsonl")
        with reach(config, url, token, "audit export") as proxy:
            write(out, format, onward(proxy, asked_of(type, since, until), path="/events"))
        return
    if follow and (format is Format.PARQUET or until is not None):
        raise UsageError("`--follow` has no end", "leave out --until, and choose jsonl or csv")
    if follow:
        asked = _query(principal, server, method, target, effect, enforced, reason_code, rule, None, None, None)
        with reach(config, url, token, "audit export") as proxy:
            write_as_they_come(out, format, following(proxy, asked, since))
        return
    asked = _query(principal, server, method, target, effect, enforced, reason_code, rule, since, until, None)
    with reach(config, url, token, "audit export") as proxy:
        write(out, format, onward(proxy, asked))


app.command("events")(events_command)
app.command("verify")(verify_command)
app.command("prune")(prune_command)
app.command("mark")(mark_command)

DONE: Final = {"allow": "allowed", "deny": "denied", "require_approval": "held"}
"""What was done, where that is not what policy said."""

FILTERS: Final = (
    *("principal", "server", "method", "target", "effect", "enforced", "reason_code", "rule", "since", "until", "q"),
)
"""As the API names them, in the order in which `_query` is given them."""

MOST_INNER: Final = 3
"""Inner calls of one call that a line names."""

COLUMNS: Final = ("time", "effect", "why", "principal", "server", "target", "outcome", "id")


def _row(found: dict[str, Any]) -> list[object]:
    effect, done = found["effect"], found["enforced"]
    effect = effect if effect == done else f"{effect} ({DONE.get(done, done)})"
    rules = ", ".join(f"{rule['policy']}/{rule['rule']}" for rule in found["rules"])
    why = rules if found["reason_code"] == "rule" else found["reason_code"]
    place = (found["principal"], found["server"], _target(found), _outcome(found))
    return [found["time"][:23], effect, why, *place, found["id"]]


def _outcome(found: dict[str, Any]) -> str | None:
    """What it came to. A held call is sent by the row that released it: one execution is shown once."""
    if not found["outcome"]:
        return None
    state: str = found["outcome"]["state"]
    held = found["enforced"] == Effect.REQUIRE_APPROVAL.value
    return "released" if held and state != OutcomeState.NEVER_SENT.value else state


def _target(found: dict[str, Any]) -> str:
    """What was called, and what a meta-tool was to call."""
    target: str = found["target"] or found["method"]
    inner = [each["target"] for each in found["detail"].get("inner", ())]
    more = ", …" if len(inner) > MOST_INNER else ""
    return f"{target} ({', '.join(inner[:MOST_INNER])}{more})" if inner else target


def _query(*values: str | None) -> dict[str, str]:
    asked = {name: str(value) for name, value in zip(FILTERS, values, strict=True) if value is not None}
    if any(not value for value in asked.values()):
        raise UsageError("a filter is empty", "leave it out")
    for name in ("since", "until"):
        if name in asked:
            asked[name] = ago(asked[name])
    return asked
