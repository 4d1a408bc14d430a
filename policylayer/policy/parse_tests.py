"""Pure: `*_test.yaml` files: calls, and what policy is expected to say of them.

Read into `ast.TestCase`; `testing` runs them. Whether the rules and limits they name exist is `check_tests`'s.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.nodes import Broken, Key, Node, Scalar
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.parse_limits import exact
from policylayer.policy.parse_principals import PRINCIPAL, group_id, principal_id
from policylayer.policy.parse_unwrap import UNWRAP
from policylayer.policy.shapes import Definitions, Field, ListOf, MapOf, RawJson, Reading, Record, Shape, Values
from policylayer.policy.words import NAME, Choice, Moment, Number, Parsed, Text

EFFECTS: Final = tuple(str(effect) for effect in Effect)
REASON_CODES: Final = ("rule", "not_applicable", "indeterminate", "over_limit")
KINDS: Final = ("tool", "prompt", "resource", "method")

_RULE: Final = re.compile(f"{NAME}/{NAME}")
_LIMIT: Final = re.compile(f"{NAME}/{NAME}(?:#[1-9][0-9]{{0,3}})?")


# --- who --------------------------------------------------------------------------------------------------------------


def _subject(values: Values, reading: Reading) -> tuple[ast.TestSubject, ast.TestSubject | None] | None:
    if "id" not in values:
        return None
    subject = ast.TestSubject(values["id"], values.span, values.get("groups", ()), values.get("attributes", {}))
    acted_for = values.get("for")
    return subject, acted_for[0] if acted_for else None


_PRINCIPAL: Final = Parsed(principal_id, "a principal", f"^{PRINCIPAL}$")
_GROUPS: Final = ListOf(Parsed(group_id, "a group", "^group:.+$"), "a list of groups")
_PERSON: Final = {
    "id": Field(_PRINCIPAL, "the principal's name", required=True),
    "groups": Field(_GROUPS, "groups besides those of principals.yaml, as a token would bring them"),
    "attributes": Field(RawJson(), "attributes besides those of principals.yaml"),
}


class _Who(Shape):
    """A name or a mapping, as the subject and the user it acts for."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def read(self, node: Node, reading: Reading) -> tuple[ast.TestSubject, ast.TestSubject | None] | None:
        """The subject, and whom it acts for."""
        if isinstance(node, MappingNode):
            found: tuple[ast.TestSubject, ast.TestSubject | None] | None = self.record.read(node, reading)
            return found
        name = _PRINCIPAL.read(node, reading)
        return None if name is None else (ast.TestSubject(name, node.span), None)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string or an object."""
        return {"anyOf": [_PRINCIPAL.schema(definitions), self.record.schema(definitions)]}


_USER: Final = _Who(Record("`for`", _PERSON, _subject))
_ACTOR: Final = _Who(
    Record("`principal`", {**_PERSON, "for": Field(_USER, "the user it acts for", feature="for")}, _subject)
)


# --- what -------------------------------------------------------------------------------------------------------------


def _call(values: Values, reading: Reading) -> ast.TestCall | None:
    kinds = [kind for kind in KINDS if values.written(kind)]
    if len(kinds) != 1:
        message = "a call names one tool, prompt, resource or method"
        reading.error(Code.CONFLICTING_KEYS, values.span, message, "`call: {server: shop, tool: search}`")
        return None
    kind: Any = kinds[0]
    data = {"arguments": kind in ("tool", "prompt"), "params": kind == "method"}
    for key, fits in data.items():
        if values.written(key) and not fits:
            help_ = "tools and prompts have `arguments`, methods have `params`, resources neither"
            reading.error(Code.CONFLICTING_KEYS, values.spans[key], f"a {kind} has no `{key}`", help_)
    if kind not in values or "server" not in values:
        return None
    arguments = values.get("arguments") or values.get("params") or {}
    return ast.TestCall(values["server"], kind, values[kind], values.span, arguments)


_CALL: Final = Record(
    "`call`",
    {
        "server": Field(Text("a server"), "the server that is called", required=True),
        "tool": Field(Text("a tool"), "the tool that is called"),
        "prompt": Field(Text("a prompt"), "the prompt that is got"),
        "resource": Field(Text("a URI"), "the resource that is read"),
        "method": Field(Text("a method"), "any other method"),
        "arguments": Field(RawJson(), "the arguments of a tool or prompt"),
        "params": Field(RawJson(), "the params of a method"),
    },
    _call,
)


def _text(text: str, node: Scalar, reading: Reading) -> str:
    return text


_REQUEST: Final = Record(
    "`request`",
    {
        "ip": Field(Parsed(_text, "an address"), "the client's address"),
        "client": Field(Parsed(_text, "a client's name"), "what the client calls itself"),
        "protocol": Field(Parsed(_text, "a protocol revision"), 'the protocol revision: "2025-11-25"'),
    },
)


def _rule_name(text: str, node: Scalar, reading: Reading) -> ast.Pattern | None:
    if _RULE.fullmatch(text):
        return ast.Pattern(text, node.span)
    reading.error(Code.BAD_NAME, node.span, f"{quote(text)} is not a rule's name", "write policy/rule")
    return None


def _is_limit(key: Key, reading: Reading) -> bool:
    if _LIMIT.fullmatch(key.text):
        return True
    help_ = "write policy/limit, or policy/rule#1 for the first limit written in a rule"
    reading.error(Code.BAD_NAME, key.span, f"{quote(key.text)} is not a limit's name", help_)
    return False


# --- what is expected -------------------------------------------------------------------------------------------------


def _expected(values: Values, reading: Reading) -> ast.Expected | None:
    effect = Effect(values.get("effect", Effect.DENY))
    rules = tuple(pattern.text for pattern in values["rules"]) if "rules" in values else None
    places = {pattern.text: pattern.span for pattern in values.get("rules", ())}
    return ast.Expected(effect, values.span, rules, values.get("reason_code"), places)


_RULES: Final = Parsed(_rule_name, "a rule's name", f"^{NAME}/{NAME}$")
_EXPECT: Final = Record(
    "`expect`",
    {
        "effect": Field(Choice(EFFECTS, "an effect"), "allow, deny or require_approval", required=True),
        "rules": Field(ListOf(_RULES, "a list of rules", empty=True), "all rules that decide it, in any order"),
        "reason_code": Field(Choice(REASON_CODES, "a reason code"), "why"),
    },
    _expected,
)


class _Fixture(Shape):
    """What a test says of a server."""

    def __init__(self) -> None:
        self.record = Record(
            "a server",
            {
                "cwd": Field(Text("a directory"), "the directory that relative paths begin at"),
                "mode": Field(Choice(("enforce", "observe"), "a mode"), "enforce or observe"),
                "unwrap": Field(UNWRAP, "its tools that call other tools, as the configuration declares them"),
            },
        )

    def read(self, node: Node, reading: Reading) -> ast.Fixture | None:
        """The fixture."""
        values = self.record.read(node, reading)
        if values is None:
            return None
        cwd = values.get("cwd")
        if cwd is not None and not cwd.startswith("/"):
            reading.error(Code.RELATIVE_PATH, values.spans["cwd"], f"{quote(cwd)} is not absolute", "begin it with `/`")
        return ast.Fixture(cwd, values.get("mode", "enforce"), values.get("unwrap", ()))

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """An object."""
        return self.record.schema(definitions)


# --- tests ------------------------------------------------------------------------------------------------------------


def _test(values: Values, reading: Reading) -> ast.TestCase | None:
    """The test. Where something in it is wrong it is never run, but its names are looked for as well."""
    subject, user = values.get("principal", (ast.TestSubject("", values.span), None))
    if user is not None and values.written("for"):
        reading.error(Code.CONFLICTING_KEYS, values.spans["for"], "`for` is said twice", "remove one of them")
    if "for" in values:
        user = values["for"][0]
    request = values.get("request", {})
    return ast.TestCase(
        name=values.get("name", ""),
        span=values.span,
        subject=subject,
        call=values.get("call", ast.TestCall("", "tool", "", values.span)),
        expected=values.get("expect", ast.Expected(Effect.DENY, values.span)),
        on_behalf_of=user,
        at=values.get("at"),
        labels=frozenset(values.get("labels", ())),
        limits={name: exact(used) for name, (_, used) in values.get("limits", {}).items()},
        ip=request.get("ip"),
        client=request.get("client"),
        protocol=request.get("protocol"),
        input=values.get("input", {}),
        approved=frozenset(pattern.text for pattern in values.get("approved", ())),
        places=_places(values),
    )


def _places(values: Values) -> dict[str, ast.Span]:
    """Where the names of limits and of approved rules stand."""
    limits = {name: span for name, (span, _) in values.get("limits", {}).items()}
    return limits | {pattern.text: pattern.span for pattern in values.get("approved", ())}


_TEST: Final = Record(
    "test",
    {
        "name": Field(Text("a name"), "what the test shows", required=True),
        "principal": Field(_ACTOR, "who calls: a name, or {id, groups, attributes, for}", required=True),
        "for": Field(_USER, "the user it acts for", feature="for"),
        "call": Field(_CALL, "what is called", required=True),
        "at": Field(Moment(), "when; needed where time is read"),
        "labels": Field(ListOf(Text("a label"), "a list of labels"), "labels that the grant carries", feature="label"),
        "limits": Field(
            MapOf(_is_limit, Number("a number", least=0), "a mapping from limits to numbers", f"^{_LIMIT.pattern}$"),
            "what is used so far",
            feature="limits",
        ),
        "request": Field(_REQUEST, "the client's address, name and protocol"),
        "input": Field(RawJson(), "responses to the server's questions"),
        "approved": Field(ListOf(_RULES, "a list of rules"), "holds that are already satisfied"),
        "expect": Field(_EXPECT, "what policy says", required=True),
    },
    _test,
    name_key="name",
)


def _server_name(key: Key, reading: Reading) -> bool:
    return Text("a server").read(Scalar(key.span, key.text, key.text, True), reading) is not None


TESTS: Final = Record(
    "a test file",
    {
        "servers": Field(MapOf(_server_name, _Fixture(), "a mapping from servers to fixtures"), "fixtures"),
        "tests": Field(ListOf(_TEST, "a list of tests"), "the tests: `tests: […]`", required=True),
    },
)


def parse_tests(node: Node, reading: Reading) -> tuple[ast.TestCase, ...]:
    """The tests of a file, those that could be read."""
    if isinstance(node, Broken):
        return ()
    values = TESTS.read(node, reading)
    if values is None:
        return ()
    servers = {name: fixture for name, (_, fixture) in values.get("servers", {}).items()}
    return tuple(replace(case, servers=servers) for case in values.get("tests", ()))
