"""`policylayer explain`: why a call gets its decision, and what would change it; or what a diagnostic's code means.

A call that nobody has made is asked of policy files right here, without database or protocol: that starts at once. A
recorded one is reached as every command reaches the proxy's state (`reach.py`).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from policylayer.cli import stale
from policylayer.cli.exits import OK, CommandError, UsageError
from policylayer.cli.output import emit, note, say
from policylayer.cli.plain import Parser

if TYPE_CHECKING:
    from policylayer.cli.folders import Checked, Place
    from policylayer.core.call import Question
    from policylayer.policy.codes_about import About
    from policylayer.policy.explain_shown import Told
    from policylayer.rego.server import OpaServer

CODE: Final = re.compile(r"PL\d{3}", re.IGNORECASE)
CALLED: Final = ("tool", "prompt", "resource", "method")
OF_METHOD: Final = {"tools/call": "--tool", "prompts/get": "--prompt", "resources/read": "--resource"}
"""How what these methods name is given."""


def run(arguments: list[str]) -> int:
    """Explain; returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.what is not None:
        _check_alone(given)
    if given.what is not None and CODE.fullmatch(given.what):
        from policylayer.policy.codes_about import as_text

        code, about = _about(given.what.upper())
        if given.json:
            emit({"code": code, **asdict(about)})
        else:
            say(as_text(code, about).rstrip("\n"))
        return OK
    told = _recorded(given) if given.what is not None else _call(given)
    if given.json:
        emit(told)
        return OK
    from policylayer.policy.explain_lines import lines

    for line in lines(told, given.all):
        say(line)
    return OK


def _parser() -> Parser:
    parser = Parser("explain", "Why a call gets its decision, and the smallest change that would get it another.")
    parser.add_argument("what", metavar="ID|CODE", nargs="?", help="a recorded decision, or a code like PL103")
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, help="the proxy's configuration")
    parser.add_argument("--url", help="the proxy, through its API, for a recorded decision")
    parser.add_argument("--token", help="a person's token; or POLICYLAYER_TOKEN")
    parser.add_argument("--policies", metavar="DIR", help="a folder, or git:REPO@REF; default: the configured")
    parser.add_argument("--principal", metavar="P", help="who calls")
    parser.add_argument("--for", dest="user", metavar="USER", help="whom for")
    parser.add_argument("--group", action="append", metavar="G", default=[], help="a group that its token adds")
    parser.add_argument("--server", metavar="S")
    called = parser.add_mutually_exclusive_group()
    for name in CALLED:
        called.add_argument(f"--{name}", metavar=name[0].upper())
    parser.add_argument("--args", metavar="JSON", help="the arguments; of a method its params")
    parser.add_argument("--input", metavar="JSON", help="responses to what the server asked")
    parser.add_argument("--at", metavar="TIME", help="when; default: now")
    parser.add_argument("--label", action="append", metavar="L", default=[], help="a label of the session")
    parser.add_argument("--approved", action="append", metavar="RULE", default=[], help="a hold that is satisfied")
    parser.add_argument("--ip", metavar="ADDRESS")
    parser.add_argument("--risk", metavar="R", help="the tool's risk")
    parser.add_argument("--cwd", metavar="DIR", help="the server's directory, where it is not configured")
    parser.add_argument("--all", action="store_true", help="rules about other calls, too")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.epilog = "Without --principal, an access request (JSON) is read from standard input."
    return parser


def _check_alone(given: argparse.Namespace) -> None:
    """What is recorded, or a code, has no further sides that an option could say."""
    for name in ("principal", "user", "server", *CALLED, "args", "input", "at", "ip", "risk", "cwd"):
        if getattr(given, name) is not None:
            option = "--for" if name == "user" else f"--{name}"
            raise UsageError(f"{option} is about a call that nobody has made", "leave it, or the id, out")
    if given.group or given.label or given.approved:
        raise UsageError("--group, --label and --approved are about a call that nobody has made", "leave them out")


def _about(code: str) -> tuple[str, About]:
    """What a code means: of policy files, Rego files, or the configuration."""
    from policylayer.config import codes_about as config
    from policylayer.policy import codes_about as policy
    from policylayer.rego.codes import ABOUT as REGO

    tables: tuple[Mapping[Any, About], ...] = (policy.CODES, REGO, config.CODES)
    for table in tables:
        for known, about in table.items():
            if known == code:
                return code, about
    raise CommandError(f"there is no code `{code}`", "docs/policy-reference.md lists them all")


# --- a recorded decision ----------------------------------------------------------------------------------------------


def _recorded(given: argparse.Namespace) -> Any:
    import os

    from policylayer.cli import ids
    from policylayer.cli.folders import config_of
    from policylayer.cli.reach import reach
    from policylayer.config import load

    if given.policies is not None:
        raise UsageError("a recorded decision is explained by the configured policies", "leave --policies out")
    token = given.token or os.environ.get("POLICYLAYER_TOKEN")
    url = given.url or os.environ.get("POLICYLAYER_URL")
    config = config_of(given.config) if url is None else None
    if config is not None:
        stale.warn(load(config))
    with reach(given.config, url, token, "explain") as proxy:
        return proxy.ask("GET", f"/decisions/{ids.decision(given.what)}/explain")


# --- a call that nobody has made --------------------------------------------------------------------------------------


def _call(given: argparse.Namespace) -> Any:
    from policylayer.cli.folders import loaded_from, place_of
    from policylayer.clock import Clock
    from policylayer.policy.asked import BadRequest, question_of
    from policylayer.policy.explain_shown import as_json
    from policylayer.policy.why import why

    request = _request(given)
    place = place_of(given.policies, given.config)
    found = loaded_from(place.source, place.known)
    stale.warn(place.config)
    _note_server(place, request["server"])
    try:
        question = question_of(request, place.facts.get(request["server"]), Clock().now())
    except BadRequest as wrong:
        raise UsageError(str(wrong), "policylayer explain --help") from None
    policy_set, opa = found.loaded.policy_set, _opa(place) if given.policies is None else None
    _check_approved(question.approved, found, opa is not None)
    if policy_set is not None and not found.loaded.rego and opa is None:
        return as_json(why(policy_set, question))
    import asyncio

    return as_json(asyncio.run(_asked(found, question, opa)))


def _check_approved(names: Iterable[str], found: Checked, elsewhere: bool) -> None:
    """What names no hold would change nothing, and nobody would notice."""
    from policylayer.policy.check_tests import no_hold

    for name in sorted(names):
        wrong = no_hold(name, found.loaded.policies, elsewhere or bool(found.loaded.rego))
        if wrong is not None:
            raise UsageError(f"--approved: {wrong[0]}", wrong[1])


def _note_server(place: Place, server: str) -> None:
    """A misspelt server is no error, as rules may be about it; but it should be seen."""
    if place.config is None or server in place.facts:
        return
    from policylayer.policy.diagnostics import did_you_mean, quote

    note(f"policylayer: no server {quote(server)} is configured: its calls reach nobody")
    if help_ := did_you_mean(server, place.facts):
        note(f"  help: {help_}")


async def _asked(found: Checked, question: Question, opa: OpaServer | None) -> Told:
    """The explanation with what engines say."""
    from policylayer.revisions.opened import opened

    async with opened(found.loaded, found.files, opa) as active:
        return await active.explain(question)


def _opa(place: Place) -> OpaServer | None:
    """The OPA server that the configuration has beside its policies."""
    if place.config is None or place.config.opa is None:
        return None
    from policylayer.clock import Clock
    from policylayer.rego.opening import opa_server

    return opa_server(place.config.opa, Clock())


def _request(given: argparse.Namespace) -> Mapping[str, Any]:
    """What the options say, or what stands on standard input."""
    if given.principal is None:
        text = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        if not text.strip():
            raise UsageError("which call?", "give --principal, --server and --tool, or an access request on stdin")
        request = _json("standard input", text)
    else:
        named = {name: getattr(given, name) for name in CALLED if getattr(given, name) is not None}
        if given.server is None or not named:
            raise UsageError("which call?", "give --server, and --tool, --prompt, --resource or --method")
        _check_named(given, named)
        request = {"principal": given.principal, "server": given.server, **named, **_options(given, named)}
    _check(request)
    return request


def _check_named(given: argparse.Namespace, named: Mapping[str, str]) -> None:
    """Who calls has a name; what has a target is named by an option of its own, not in the params of its method."""
    for option, name in (("--principal", given.principal), ("--for", given.user)):
        if name is not None and (name.startswith("group:") or not name.rpartition(":")[2] or ":" not in name):
            help_ = "say who calls, as in agent:refund-bot; what groups a token brings is said by --group"
            raise UsageError(f"{option} {name!r} is nobody's name", help_)
    of_method = OF_METHOD.get(named.get("method", ""))
    if of_method is not None:
        message = f"--method {named['method']} does not say which"
        raise UsageError(message, f"give {of_method} NAME in its place, and the arguments alone as --args")


def _options(given: argparse.Namespace, named: Mapping[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if given.group:
        made["principal"] = {"id": given.principal, "groups": given.group}
    if given.args is not None:
        made["params" if "method" in named else "arguments"] = _json("--args", given.args.encode())
    if given.input is not None:
        made["input"] = _json("--input", given.input.encode())
    said = {
        "for": given.user,
        "at": given.at,
        "ip": given.ip,
        "risk": given.risk,
        "cwd": given.cwd,
        "labels": given.label or None,
        "approved": given.approved or None,
    }
    return made | {name: value for name, value in said.items() if value is not None}


def _json(where: str, text: bytes) -> dict[str, Any]:
    """A JSON object, read as strictly as a call is."""
    from policylayer.core import strict_json

    value = strict_json.parse(text)
    if isinstance(value, strict_json.Fault):
        why = "" if value.parse else f" that a call could hold: {value.message}"
        raise UsageError(f"{where} is not JSON{why}", """as in '{"amount": 5}'""")
    if not isinstance(value, dict):
        raise UsageError(f"{where} is not a JSON object", """as in '{"amount": 5}'""")
    return value


def _check(request: Mapping[str, Any]) -> None:
    """The words of an access request are those that the API takes."""
    import jsonschema_rs

    from policylayer.policy.asked import SCHEMA

    for problem in jsonschema_rs.Draft202012Validator(SCHEMA).iter_errors(dict(request)):
        where = ".".join(map(str, problem.instance_path)) or "the access request"
        raise UsageError(
            f"{where}: {problem.message}", "its words are those of policy tests: policylayer explain --help"
        )
