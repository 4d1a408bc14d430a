"""`policylayer audit`: the decision log on a terminal, or as a stream for programs.

Must not know how it is kept: everything goes through `reach`, a page at a time (`audit_pages.py`). What needs the key
is beside this, in `audit_keeping.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from policylayer.cli.application import new
from policylayer.cli.audit_files import Format, write, write_as_they_come
from policylayer.cli.audit_keeping import mark_command, prune_command, verify_command
from policylayer.cli.audit_pages import BEGINNING, following, newest, now, onward
from policylayer.cli.exits import UsageError
from policylayer.cli.options import ConfigOption, JsonOption, TokenOption, UrlOption
from policylayer.cli.output import emit, fields, say, table
from policylayer.cli.reach import reach
from policylayer.cli.times import since as ago

app = new("The decision log.")

PrincipalOption = Annotated[str | None, typer.Option("--principal", help="Who called.")]
ServerOption = Annotated[str | None, typer.Option("--server", help="Which server.")]
MethodOption = Annotated[str | None, typer.Option("--method", help="Which MCP method.")]
TargetOption = Annotated[str | None, typer.Option("--target", help="Which tool, prompt or resource.")]
EffectOption = Annotated[str | None, typer.Option("--effect", help="allow, deny or require_approval.")]
CodeOption = Annotated[str | None, typer.Option("--reason-code", help="rule, not_applicable, over_limit, …")]
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
    asked = _query(principal, server, method, target, effect, reason_code, rule, since, until, text)
    with reach(config, url, token, "audit query") as proxy:
        found = list(newest(proxy, asked, limit))
    if json:
        for each in found:
            emit(each)
    else:
        table(COLUMNS, map(_row, found))


@app.command()
def tail(
    principal: PrincipalOption = None,
    server: ServerOption = None,
    effect: EffectOption = None,
    since: SinceOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Decisions as they are made, until Ctrl-C."""
    asked = _query(principal, server, None, None, effect, None, None, None, None, None)
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
        found = proxy.ask("GET", f"/decisions/{id}")
    if json:
        emit(found)
        return
    children = found.pop("children", [])
    fields({name: value for name, value in found.items() if value not in (None, [], {})})
    for child in children:
        say("")
        fields({name: value for name, value in child.items() if value not in (None, [], {})})


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Not standard output.")] = None,
    format: Annotated[Format, typer.Option("--format", help="jsonl, csv or parquet.")] = Format.JSONL,
    principal: PrincipalOption = None,
    server: ServerOption = None,
    method: MethodOption = None,
    target: TargetOption = None,
    effect: EffectOption = None,
    reason_code: CodeOption = None,
    rule: RuleOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is decided, until Ctrl-C.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """All decisions, oldest first; memory stays flat."""
    if follow and (format is Format.PARQUET or until is not None):
        raise UsageError("`--follow` has no end", "leave out --until, and choose jsonl or csv")
    if follow:
        asked = _query(principal, server, method, target, effect, reason_code, rule, None, None, None)
        with reach(config, url, token, "audit export") as proxy:
            write_as_they_come(out, format, following(proxy, asked, since))
        return
    asked = _query(principal, server, method, target, effect, reason_code, rule, since, until, None)
    with reach(config, url, token, "audit export") as proxy:
        write(out, format, onward(proxy, asked))


app.command("verify")(verify_command)
app.command("prune")(prune_command)
app.command("mark")(mark_command)

MOST_INNER: Final = 3
"""Inner calls of one call that a line names."""

COLUMNS: Final = ("time", "effect", "why", "principal", "server", "target", "outcome", "id")


def _row(found: dict[str, Any]) -> list[object]:
    effect = found["effect"] if found["effect"] == found["enforced"] else f"{found['effect']} ({found['enforced']}d)"
    rules = ", ".join(f"{rule['policy']}/{rule['rule']}" for rule in found["rules"])
    why = rules if found["reason_code"] == "rule" else found["reason_code"]
    outcome = found["outcome"]["state"] if found["outcome"] else None
    return [found["time"][:23], effect, why, found["principal"], found["server"], _target(found), outcome, found["id"]]


def _target(found: dict[str, Any]) -> str:
    """What was called, and what a meta-tool was to call."""
    target: str = found["target"] or found["method"]
    inner = [each["target"] for each in found["detail"].get("inner", ())]
    more = ", …" if len(inner) > MOST_INNER else ""
    return f"{target} ({', '.join(inner[:MOST_INNER])}{more})" if inner else target


def _query(*values: str | None) -> dict[str, str]:
    names = ("principal", "server", "method", "target", "effect", "reason_code", "rule", "since", "until", "q")
    asked = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if any(not value for value in asked.values()):
        raise UsageError("a filter is empty", "leave it out")
    for name in ("since", "until"):
        if name in asked:
            asked[name] = ago(asked[name])
    return asked
