"""A great many recorded decisions of every kind, made quickly: questions by their number, rows by the recorder's maker.

`BEFORE` decided them; `AFTER` is a changed set. The same number is the same question every time, so that whoever
checks a replay can decide each again from what the caller really sent. Rows go into a real database file, sealed into
a chain as the writer does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.commands import Kind
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.redact import Mode
from policylayer.policy.decide import over_limit
from policylayer.policy.load import load
from policylayer.policy.policy_set import PolicySet
from policylayer.store.rows import Place, Row
from policylayer.store.schema import prepare
from policylayer.store.session import Session, create_file
from tests.support.kept import row_of

BEGIN: Final = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
APART: Final = timedelta(milliseconds=750)
BATCH: Final = 2_000

PRINCIPALS: Final = """\
attributes: {tenant: string}
principals:
  agent:refund-bot: {owner: user:lena, tenant: acme}
  agent:reader: {tenant: acme}
  agent:intern: {tenant: other}
  user:lena: {}
groups:
  support: [agent:refund-bot, {member: agent:intern, until: "2026-11-20T18:00:00Z"}]
  leads: [user:lena]
"""
BEFORE: Final = {
    "principals.yaml": PRINCIPALS,
    "pay.yaml": """\
policy: pay
applies_to: {principals: ["group:support"], servers: [stripe]}
rules:
  - id: small
    tools: [create_refund]
    when: {args.amount: {gt: 0, lte: 5000}, args.currency: {in: [usd, eur]}, args.note: {exists: true}}
    effect: allow
    limits: [20/hour]
  - {id: large, tools: [create_refund], when: {args.amount: {gt: 5000}}, effect: require_approval, reason: Ask.}
  - {id: no-deletes, tools: ["delete_*"], effect: deny, reason: People delete.}
  - {id: office, tools: [export], when: {time: {during: {between: ["08:00", "18:00"], zone: UTC}}}, effect: allow}
""",
    "read.yaml": """\
policy: read
applies_to: {principals: ["agent:*"], servers: ["*"]}
redact: [args.customer.**]
rules:
  - {id: lists, tools: ["get_*", "list_*"], effect: allow}
  - {id: files, tools: [read_file], when: {args.path: {within: /srv/data}}, effect: allow}
  - {id: mine, tools: ["get_*"], for: ["user:*"], when: {principal.tenant: acme}, effect: allow}
  - {id: docs, resources: ["file:///srv/**"], effect: allow}
  - {id: tainted, tools: [send], when: {session.labels: {some: untrusted}}, effect: deny, reason: Nothing leaves.}
  - {id: send, tools: [send], when: {args.to: {matches: "[a-z]+@acme[.]com"}}, effect: allow}
""",
}
AFTER: Final = {
    "principals.yaml": PRINCIPALS.replace("support: [agent:refund-bot", "support: [agent:refund-bot, agent:reader"),
    "pay.yaml": BEFORE["pay.yaml"].replace("5000", "2500").replace('"08:00", "18:00"', '"09:00", "18:00"')
    + "  - {id: cards, tools: [create_refund], when: {args.card: {exists: true}}, effect: deny, reason: No cards.}\n",
    "read.yaml": BEFORE["read.yaml"].replace("args.path: {within: /srv/data}", "args.path: {within: /srv}")
    + "  - {id: vip, tools: [get_customer], when: {args.customer.tier: gold}, effect: require_approval}\n",
}
FACTS: Final = {
    "stripe": ServerFacts("stripe"),
    "files": ServerFacts("files", cwd="/srv/data"),
    "new": ServerFacts("new", mode="observe"),
}
AGENTS: Final = ("agent:refund-bot", "agent:reader", "agent:intern", "agent:stranger")
TOOLS: Final = (
    *(("stripe", tool) for tool in ("create_refund", "create_refund", "create_refund", "delete_customer", "export")),
    *(("stripe", tool) for tool in ("get_customer", "list_charges", "unheard_of")),
    *(("files", tool) for tool in ("read_file", "read_file", "get_size", "send")),
    ("new", "get_x"),
)


def compiled(files: dict[str, str]) -> PolicySet:
    """A set, or an assertion."""
    made = load({name: text.encode() for name, text in files.items()})
    assert made.policy_set is not None, made.diagnostics
    return made.policy_set


def question(number: int) -> Question:
    """The question of that number."""
    random = Random(number)
    server, tool = random.choice(TOOLS)
    method, target, arguments = "tools/call", tool, _arguments(random, tool)
    if random.random() < 0.04:
        method, target = "resources/read", f"file:///srv/{random.choice(('a', 'b/../../etc/passwd', 'c%2fd'))}"
        arguments = {"uri": target}
    asked = Question(
        Call(server, method, target, arguments, b"d" * 32, b"", "2025-11-25"),
        Subject(random.choice(AGENTS)),
        FACTS[server],
        BEGIN + APART * number,
        ip=random.choice(("10.0.0.1", None)),
        client="claude",
    )
    if random.random() < 0.1:
        asked = replace(asked, on_behalf_of=Subject("user:lena"))
    return replace(asked, labels=frozenset({"untrusted"})) if random.random() < 0.1 else asked


def _arguments(random: Random, tool: str) -> dict[str, Any]:
    text = "a refund for something that broke on its way " * random.randrange(6)
    if tool == "create_refund":
        made: dict[str, Any] = {"amount": random.choice((-5, 100, 2600, 4999.5, 5001, 90_000, "12"))}
        made |= {"currency": random.choice(("usd", "eur", "gbp"))}
        made |= {"note": text} if random.random() < 0.8 else {}
        made |= {"card": "4111 1111 1111 1111"} if random.random() < 0.1 else {}
        return made
    if tool == "get_customer":
        return {"customer": {"id": random.randrange(1000), "tier": random.choice(("gold", "tin"))}, "q": text}
    if tool == "read_file":
        return {"path": random.choice(("/srv/data/a", "/srv/b", "../c", "d.txt", "/srv/data/../../etc/passwd"))}
    if tool == "send":
        return {"to": random.choice(("bob@acme.com", "eve@evil.com")), "api_key": "sk-live-0123456789abcdef", "m": text}
    return {"limit": random.randrange(100), "q": text}


def rows(made: PolicySet, numbers: Iterable[int]) -> Iterator[tuple[Question, Row]]:
    """Questions with the rows of them: decided, released, refused by a limit, ended, or not policy's at all."""
    for number in numbers:
        asked, decision, kind = question(number), None, Kind.DECISION
        chance = number % 41
        if chance in (0, 1):
            holds = frozenset(hold.ref.name for hold in made.decide(asked).holds)
            asked, kind = replace(asked, approved=holds), Kind.RELEASE if holds else Kind.DECISION
        decision = _ended(made.decide(asked), chance)
        mode: Mode = {7: "digest", 8: "read", 9: "full"}.get(chance, "redacted")  # type: ignore[assignment]
        call = asked.call
        reads = made.reads(call.server, call.method, call.target)
        yield asked, row_of(asked, decision, number, mode, kind, reads)


def _ended(decision: Decision, chance: int) -> Decision:
    """What else may have become of a decision than what policy said."""
    if chance == 2 and decision.effect is Effect.ALLOW and decision.charges:
        return over_limit(decision, decision.charges, frozenset(), 60)
    if chance == 3 and decision.effect is Effect.REQUIRE_APPROVAL:
        return replace(decision, enforced=Effect.DENY, reason_code=ReasonCode.APPROVAL_DENIED)
    if chance == 4:
        return Decision(Effect.DENY, ReasonCode.FROZEN, Effect.DENY, decision.revision, reason="frozen: odd")
    return decision


def write(path: Path, number: int) -> None:
    """A database file with so many decisions, as the writer leaves it."""
    create_file(path)
    session = Session(path, 5.0)
    try:
        session.begin()
        prepare(session.connection)
        session.place = Place("chain", bytes(32), "key")
        made = (row for _, row in rows(compiled(BEFORE), range(number)))
        while batch := list(islice(made, BATCH)):
            session.insert(batch)
        session.commit()
    finally:
        session.close()
