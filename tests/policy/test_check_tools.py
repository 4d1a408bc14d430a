"""Rules held against what servers list: which servers count, and that a rule said never to match never does.

What is said of each mistake, word for word, is in the golden cases `tool-*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings

from policylayer.core.call import Json
from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.check_tools import check_tools
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.known import Known
from policylayer.policy.load import load
from policylayer.policy.tool_schema import Document, Nodes
from tests.policy.generated import SEEDS
from tests.policy.made import ALLOW, DENY, HOLD, policy, policy_set, question, rule
from tests.policy.made_schemas import Schemas
from tests.policy.parsed import PEOPLE

SEARCH: dict[str, Json] = {"type": "object", "properties": {"query": {"type": "string"}}}
SHOP: dict[str, Json] = {"search": SEARCH, "refund": {"type": "object", "properties": {"amount": {"type": "number"}}}}


def findings(made: list[ast.Policy], tools: dict[str, dict[str, Json]]) -> list[Diagnostic]:
    sink: list[Diagnostic] = []
    check_tools(made, ast.Directory(), Known(tools=tools), sink)
    return [each for each in sink if each.code != Code.UNCOVERED_TOOL]


@settings(max_examples=500)
@given(SEEDS)
def test_a_rule_that_is_said_never_to_match_never_does(seed: int) -> None:
    world = Schemas(seed)
    schema = world.root()
    effect = world.pick([ALLOW, ALLOW, DENY, HOLD, None])
    block = rule("x", None, {"when": world.when()}).selection
    made = rule("r", effect, {"tools": ["t"], "when": world.when()}, except_=(block,) if world.odds(0.2) else ())
    if effect is None:
        made = replace(made, label=("seen",))
    everything = rule("all", ALLOW, {"tools": ["*"]})
    said = findings([policy(made)], {"s": {"t": schema}})
    if all(each.code != Code.NO_CALL_FITS for each in said):
        return
    fits = jsonschema_rs.Draft202012Validator(schema).is_valid
    others = () if effect is ALLOW else (everything,)
    alone = policy_set(policy(made, *others))
    for arguments in filter(fits, [world.arguments(schema) for _ in range(12)]):
        decision = alone.decide(question("t", arguments))
        assert "p/r" not in {ref.name for ref in decision.rules}, (schema, made, arguments)
        assert decision.effect is (Effect.DENY if effect is ALLOW else Effect.ALLOW)


@settings(max_examples=500)
@given(SEEDS)
def test_a_type_that_is_said_to_be_wrong_is_an_error_of_every_fitting_call(seed: int) -> None:
    world = Schemas(seed)
    kind: Any = world.pick([world.text, world.number, world.listed, world.several_types])(0)
    if world.odds(0.3):
        kind = {"type": "array", "items": kind}
    schema = {"type": "object", "properties": {"a": kind}, "required": ["a"]}
    matchers = world.matchers(1)
    made = rule("r", DENY, {"tools": ["t"], "when": {"args.a": matchers}})
    wrong = {Code.ARGUMENT_TYPE, Code.LIST_ARGUMENT, Code.CONTAINS_ON_LIST}
    said = findings([policy(made)], {"s": {"t": schema}})
    if not any(each.code in wrong and each.is_error for each in said) or isinstance(kind.get("items"), dict):
        return
    fits = jsonschema_rs.Draft202012Validator(schema).is_valid
    alone = policy_set(policy(made, rule("all", ALLOW, {"tools": ["*"]})))
    for arguments in filter(fits, [world.arguments(schema) for _ in range(12)]):
        decision = alone.decide(question("t", arguments))
        if arguments["a"] is not None:
            assert decision.reason_code != "rule" or decision.effect is not DENY, (schema, matchers, arguments)


HEAD = 'policy: p\napplies_to: {principals: ["*"], servers: %s}\nrules:\n'


def codes(rules: str, known: Known, servers: str = '["*"]') -> list[str]:
    """The codes of what is wrong with some rules, uncovered tools aside."""
    text = (HEAD % servers) + "".join(f"  - {{{each}}}\n" for each in rules.split("\n"))
    found = load({"p.yaml": text.encode(), "principals.yaml": PEOPLE}, known, frozenset())
    return [each.code for each in found.diagnostics if each.code not in (Code.UNCOVERED_TOOL, Code.UNKNOWN_SERVER)]


ONE = Known(tools={"shop": SHOP})
BOTH = Known(servers=frozenset({"shop", "docs"}), tools={"shop": SHOP, "docs": {"search": SEARCH}})
HALF = Known(servers=frozenset({"shop", "docs"}), tools={"shop": SHOP})


@pytest.mark.parametrize(
    ("known", "servers", "found"),
    [
        (ONE, "[shop]", ["PL401"]),
        (ONE, '["*"]', []),
        (ONE, '["sh*"]', []),
        (BOTH, '["*"]', ["PL401"]),
        (BOTH, "[docs]", ["PL401"]),
        (HALF, '["*"]', []),
        (HALF, "[shop]", ["PL401"]),
        (HALF, "[shop, docs]", []),
        (HALF, "[docs]", []),
        (HALF, "[shop, gone]", ["PL401"]),
        (Known(servers=frozenset({"docs"}), tools={"shop": SHOP}), "[shop]", []),
        (Known(), "[shop]", []),
        # A server with tools that call others may be asked for what it does not list.
        (replace(BOTH, open=frozenset({"shop"})), "[shop]", []),
        (replace(BOTH, open=frozenset({"shop"})), '["*"]', []),
        (replace(BOTH, open=frozenset({"shop"})), "[docs]", ["PL401"]),
    ],
)
def test_a_tool_is_unknown_only_where_every_server_that_may_have_it_is_known(
    known: Known, servers: str, found: list[str]
) -> None:
    assert codes("id: r, tools: [serach], effect: allow", known, servers) == found


DENIED = "effect: deny, reason: No."


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("id: r, tools: [search, refund], effect: allow", []),
        (f"id: r, tools: [search], {DENIED}, when: {{args.query: x}}", []),
        (f"id: r, methods: [tools/call], {DENIED}, when: {{args.query: x}}", ["PL405"]),
        (f'id: r, methods: ["*"], {DENIED}, when: {{args.uri: x}}', ["PL405"]),
        ('id: r, methods: ["*"], effect: allow, when: {args.qeury: x}', []),
        ("id: r, tools: [search], prompts: [p], effect: allow, when: {args.qeury: x}", []),
        (f"id: r, annotations: {{readOnlyHint: true}}, {DENIED}, when: {{args.query: x}}", []),
        (f"id: r, annotations: {{readOnlyHint: true}}, {DENIED}, when: {{args.qeury: x}}", ["PL404"]),
        (f"id: r, tools: [refund], {DENIED}, when: {{args: {{keys: [amuont]}}}}", ["PL404"]),
        (
            f"id: r, tools: [refund], {DENIED}, when: {{any: [{{args.amuont: 1}}, {{not: {{args.amount: '1'}}}}]}}",
            ["PL404", "PL406"],
        ),
        (f"id: r, tools: [refund], {DENIED}, when: {{server: shpo}}", ["PL409"]),
        ("id: r, tools: [refund], effect: allow, when: {method: tools/list}", ["PL409"]),
        ("id: r, tools: [refund], effect: allow, when: {input.x.y: 5}", []),
        ("id: r, tools: [refund], effect: allow, when: {request.ip: {cidr: 10.0.0.0/8}}", []),
        ("id: r, tools: [refund], effect: allow, when: {session.labels: untrusted}", ["PL407"]),
        ("id: r, tools: [refund], effect: allow, when: {for.id: {exists: true}}", []),
        ('id: r, tools: ["*"], effect: allow, except: [{tools: [refund], when: {args.amuont: {gt: 5}}}]', ["PL404"]),
        ('id: r, tools: ["*"], effect: allow, except: [{tools: [refund], when: {args.amount: {gt: 5}}}]', []),
        (
            'id: r, tools: ["*"], effect: allow, except: [{servers: [other], tools: [refund], when: {args.amuont: 5}}]',
            [],
        ),
    ],
)
def test_what_a_rule_is_held_against(rules: str, found: list[str]) -> None:
    assert codes(rules, ONE, "[shop]") == found


def test_a_tool_whose_schema_cannot_be_read_is_not_judged_by_it() -> None:
    known = Known(tools={"shop": {"search": True, "refund": {}}})
    rules = [
        f"id: r, tools: [search], {DENIED}, when: {{args.a.b: 5}}",
        f"id: s, tools: [refund], {DENIED}, when: {{args.b: 5}}",
    ]
    assert codes("\n".join(rules), known, "[shop]") == []


def uncovered(files: dict[str, bytes], known: Known = ONE) -> list[str]:
    """What is said of tools that no rule is about."""
    found = load({**files, "principals.yaml": PEOPLE}, known, frozenset())
    return [each.message for each in found.diagnostics if each.code == Code.UNCOVERED_TOOL]


def test_tools_that_no_rule_is_about() -> None:
    everywhere = (HEAD % '["*"]').encode()
    assert uncovered({"p.yaml": everywhere + b"  - {id: r, tools: [search], effect: allow}\n"}) == [
        "no rule is about `refund`, which `shop` lists"
    ]
    assert uncovered({"p.yaml": everywhere + b'  - {id: r, methods: ["*"], effect: allow}\n'}) == []
    assert uncovered({"p.yaml": everywhere + b"  - {id: r, annotations: {readOnlyHint: true}, effect: allow}\n"}) == []
    watched = everywhere.replace(b"policy: p", b"policy: p\nmode: observe")
    assert len(uncovered({"p.yaml": watched + b'  - {id: r, tools: ["*"], effect: allow}\n'})) == 1
    elsewhere = (HEAD % "[docs]").encode()
    assert len(uncovered({"p.yaml": elsewhere + b'  - {id: r, tools: ["*"], effect: allow}\n'})) == 1
    rego = {"x.rego": b"package policylayer\n"}
    assert uncovered({"p.yaml": everywhere + b"  - {id: r, tools: [search], effect: allow}\n", **rego}) == []


def test_where_they_are_told_of_is_where_the_server_is_named() -> None:
    text = b"policy: p\napplies_to: {principals: [agent:a], servers: [docs, shop]}\nrules:\n"
    files = {"p.yaml": text + b"  - {id: r, tools: [search], effect: allow}\n", "principals.yaml": PEOPLE}
    found = [each for each in load(files, ONE, frozenset()).diagnostics if each.code == Code.UNCOVERED_TOOL]
    assert [(each.file, each.line, each.column) for each in found] == [
        ("p.yaml", 2, text.splitlines()[1].index(b"shop") + 1)
    ]


def test_a_schema_is_taken_apart_once_however_many_rules_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    ways = Document.ways

    def counting(document: Document, schemas: Iterable[object]) -> list[Nodes]:
        counted[-1] += 1
        return ways(document, schemas)

    monkeypatch.setattr(Document, "ways", counting)
    known = Known(tools={"shop": {f"t{number}": SHOP["refund"] for number in range(20)}})
    for count in (1, 100):
        counted.append(0)
        rules = [f'id: r{n}, tools: ["*"], effect: allow, when: {{args.amount: {{gt: {n}}}}}' for n in range(count)]
        assert codes("\n".join(rules), known, "[shop]") == []
    assert counted[0] == counted[1] <= 20 * 2 + 10


GUARDED = [
    "when: {all: [{args.query: {exists: true}}, {args.query: {within: /etc}}]}",
    "when: {any: [{all: [{args.query: {exists: true}}, {args.query: x}]}, {args.amount: {gt: 5, absent: no_match}}]}",
    "when: {not: {any: [{args.query: {exists: false}}, {args.query: {neq: x}}]}}",
    "when: {args.query: x}, except: [{when: {args.query: {exists: false}}}]",
    "when: {all: [{args.query: {exists: true}}, {principal.id: {eq: {ref: args.query}}}]}",
    "when: {all: [{args.query: {exists: true}}, {args.query.a: x}]}",
]
UNGUARDED = [
    "when: {all: [{args.amount: {exists: true}}, {args.query: {within: /etc}}]}",
    "when: {any: [{args.query: {exists: true}}, {args.query: x}]}",
    "when: {all: [{args.query: {exists: false}}, {args.query: x}]}",
    "when: {args.query: x}, except: [{when: {args.query: {exists: true}}}]",
]


@pytest.mark.shows("proxy.9")
@pytest.mark.parametrize("effect", ["effect: deny, reason: r", "effect: require_approval"])
@pytest.mark.parametrize("rest", GUARDED + UNGUARDED)
def test_a_rule_fires_for_want_of_an_argument_where_it_is_said_to(effect: str, rest: str) -> None:
    text = f"id: r, tools: ['*'], {effect}, {rest}"
    named = {"search": {"type": "object", "properties": {"query": {"type": ["string", "object"]}}}}
    found = codes(text, Known(tools={"shop": {**SHOP, **named}}))
    assert ("PL405" in found) is (rest in UNGUARDED)
    policy = f"policy: p\napplies_to: {{principals: ['*'], servers: ['*']}}\nrules:\n  - {{{text}}}\n"
    loaded = load({"p.yaml": policy.encode()}, not_enforced=frozenset()).policy_set
    assert loaded is not None
    decision = loaded.decide(question("refund", {"amount": 1}))
    assert ("p/r" in {ref.name for ref in decision.rules}) is (rest in UNGUARDED)
