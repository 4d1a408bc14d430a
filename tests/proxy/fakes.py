"""Small fakes of what the endpoint is handed: policy, the log, approvals, credentials, freezes, a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from policylayer.audit.context import CallContext
from policylayer.clock import Clock
from policylayer.core.call import Call, Caller, Grant, Question, Subject
from policylayer.core.commands import (
    AlreadyConsumed,
    Found,
    OverLimit,
    Record,
    Recorded,
    RecordOutcome,
    Unrecorded,
    Waited,
    Waived,
)
from policylayer.core.decision import Charge, Decision, Effect, HoldRule, ReasonCode, RuleRef
from policylayer.core.errors import AuditUnavailable
from policylayer.upstream.interface import Exchange
from policylayer.wire import sse

ALICE = Caller(Subject("agent:alice"), grant=Grant("g1", "alice", frozenset({"shop", "files"})))
BOB = Caller(Subject("agent:bob"), grant=Grant("g2", "bob", frozenset({"shop"})))

# --- policy -----------------------------------------------------------------------------------------------------------


def rule(name: str) -> RuleRef:
    return RuleRef("p", name, "p.yaml", 1)


ALLOW = Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, "rev", reason="rule p/allow", rules=(rule("allow"),))
DENY = Decision(
    Effect.DENY, ReasonCode.RULE, Effect.DENY, "rev", "rule p/deny", (rule("deny"),), said=("Rule p/deny: no.",)
)
HOLD = replace(ALLOW, effect=Effect.REQUIRE_APPROVAL, enforced=Effect.REQUIRE_APPROVAL, holds=(HoldRule(rule("hold")),))


@dataclass
class FakeEngine:
    """Decides by the target, else the method; holds are satisfied by `p/hold`."""

    says: dict[str, Decision] = field(default_factory=dict)
    revision: str = "rev"
    fails: bool = False
    asked: list[Question] = field(default_factory=list)

    async def decide(self, question: Question) -> Decision:
        self.asked.append(question)
        if self.fails:
            raise RuntimeError("broken")
        return self._of(question)

    def _of(self, question: Question) -> Decision:
        call = question.call
        decision = self.says.get(call.target or "", self.says.get(call.method, ALLOW))
        if decision.holds and {hold.ref.name for hold in decision.holds} <= question.approved:
            return ALLOW
        return decision

    async def listed(self, question: Question) -> bool:
        return self._of(question).effect is not Effect.DENY

    def reads(self, server: str, method: str, target: str | None) -> None:
        return None


# --- the decision log and approvals -----------------------------------------------------------------------------------


@dataclass
class FakeRecorder:
    """Keeps rows in memory; `fails` makes it refuse, after `good` rows."""

    approvals: FakeApprovals
    rows: list[tuple[Record, CallContext]] = field(default_factory=list)
    outcomes: list[RecordOutcome] = field(default_factory=list)
    events: list[tuple[str, str | None, Mapping[str, Any]]] = field(default_factory=list)
    refused: list[tuple[str, str | None]] = field(default_factory=list)
    redeemed: set[str] = field(default_factory=set)
    over: Decision | None = None
    fails: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def record(
        self, cmd: Record, context: CallContext, decide_us: int | None = None
    ) -> Recorded | OverLimit | AlreadyConsumed | Unrecorded:
        if self.fails:
            return Unrecorded("disk full")
        if cmd.consume and not self.approvals.consume(cmd.consume):
            return AlreadyConsumed("approval")
        if cmd.redeem is not None:
            if cmd.redeem.nonce in self.redeemed:
                return AlreadyConsumed("round")
            self.redeemed.add(cmd.redeem.nonce)
        approval_id = self.approvals.open(context.caller, context.call) if cmd.hold else None
        self.rows.append((cmd, context))
        return Recorded(f"row-{len(self.rows)}", approval_id)

    async def outcome(self, cmd: RecordOutcome) -> Recorded | Unrecorded:
        self.outcomes.append(cmd)
        self.closed.set()
        return Recorded(f"outcome-{len(self.outcomes)}")

    async def event(self, type: str, actor: str | None, detail: Mapping[str, Any]) -> None:
        if self.fails:
            raise AuditUnavailable("disk full")
        self.events.append((type, actor, detail))

    async def rejected(
        self,
        reason: str,
        body_sha256: bytes | None,
        length: int,
        caller: Caller | None = None,
        ip: str | None = None,
        server: str | None = None,
    ) -> None:
        self.refused.append((reason, caller.subject.id if caller else None))

    @property
    def effects(self) -> list[str]:
        return [str(cmd.decision.enforced) for cmd, _ in self.rows]

    @property
    def states(self) -> list[str]:
        return [str(cmd.outcome.state) for cmd in self.outcomes]


@dataclass
class FakeApprovals:
    """One approval a call; `settle` ends the newest."""

    states: dict[str, str] = field(default_factory=dict)
    calls: dict[str, tuple[Caller, bytes]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waits: int = 0
    waivers: tuple[Waived, ...] = ()

    def open(self, caller: Caller, call: Call) -> str:
        found = self._of(caller, call, "pending", "approved")
        if found is None:
            found = f"apr-{len(self.states) + 1}"
            self.states[found] = "pending"
            self.calls[found] = (caller, call.digest)
        return found

    def _of(self, caller: Caller, call: Call, *states: str) -> str | None:
        return next(
            (id for id, of in self.calls.items() if of == (caller, call.digest) and self.states[id] in states), None
        )

    def consume(self, id: str) -> bool:
        if self.states.get(id) != "approved":
            return False
        self.states[id] = "consumed"
        return True

    def settle(self, state: str, id: str | None = None) -> None:
        self.states[id or list(self.states)[-1]] = state
        self.changed.set()
        self.changed = asyncio.Event()

    async def seek(self, caller: Caller, call: Call) -> Found | None:
        found = self._of(caller, call, "pending", "approved", "denied")
        if found is None:
            return None
        state: Any = self.states[found]
        return Found(found, state, frozenset({"p/hold"}) if state == "approved" else frozenset(), "the note")

    async def waived(
        self, caller: Caller, call: Call, holds: Sequence[HoldRule], charges: Sequence[Charge] = ()
    ) -> tuple[Waived, ...]:
        return self.waivers

    async def wait(self, approval_id: str, deadline: float) -> Waited:
        self.waits += 1
        try:
            async with asyncio.timeout(max(0, deadline - Clock().monotonic())):
                while self.states[approval_id] == "pending":
                    await self.changed.wait()
        except TimeoutError:
            return Waited("pending", approval_id)
        state: Any = self.states[approval_id]
        state = "approved" if state == "consumed" else state
        return Waited(state, approval_id, frozenset({"p/hold"}), "the note")


@dataclass
class FakeAuthenticator:
    tokens: dict[bytes, Caller] = field(default_factory=lambda: {b"Bearer alice": ALICE, b"Bearer bob": BOB})

    async def agent(self, authorization: bytes | None, ip: str | None = None) -> Caller | None:
        return None if authorization is None else self.tokens.get(authorization)


@dataclass
class Stop:
    reason: str = "for a test"


@dataclass
class FakeFreezes:
    names: set[str] = field(default_factory=set)

    def frozen(self, principals: Iterable[str], server: str) -> Stop | None:
        return Stop() if self.names & {*principals, server} else None


# --- a server ---------------------------------------------------------------------------------------------------------


class FakeAnswer:
    """An answer: a body, or pieces from a queue until None."""

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        pieces: asyncio.Queue[bytes | Exception | None] | None = None,
    ) -> None:
        self.status, self.content_type = status, kind
        self.headers = {"content-type": kind, **(headers or {})}
        self._body, self._pieces = body, pieces
        self.closed = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._pieces is None:
            if self._body:
                yield self._body
            return
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed.set()


Script = Callable[[Exchange, dict[str, Any]], "FakeAnswer | Exception"]


@dataclass
class Scripted:
    """A fake server. `answer` may be replaced; `sent` is what it got."""

    name: str = "shop"
    answer: Script | None = None
    sent: list[Exchange] = field(default_factory=list)
    answers: list[FakeAnswer] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def exchange(self, exchange: Exchange) -> FakeAnswer:
        self.sent.append(exchange)
        self.news.set()
        message = json.loads(exchange.body) if exchange.body else {}
        made = (self.answer or proper)(exchange, message)
        if isinstance(made, Exception):
            raise made
        self.answers.append(made)
        return made

    async def close(self) -> None:
        pass

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self.news.clear()
                await self.news.wait()

    @property
    def methods(self) -> list[str]:
        return [json.loads(each.body).get("method", "response") for each in self.sent if each.body]

    def bodies(self, method: str = "tools/call") -> list[dict[str, Any]]:
        return [body for each in self.sent if each.body and (body := json.loads(each.body)).get("method") == method]


def result(message: Mapping[str, Any], value: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value or DONE, **more}).encode()


DONE = {"content": [{"type": "text", "text": "done"}], "isError": False, "resultType": "complete"}
TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("safe", "danger", "gated")]


def proper(exchange: Exchange, message: dict[str, Any]) -> FakeAnswer:
    """A server that does what it should, with sessions."""
    if exchange.verb != "POST":
        return FakeAnswer(405 if exchange.verb == "GET" else 200)
    if "id" not in message or "method" not in message:
        return FakeAnswer(202, kind="")
    if message["method"] == "initialize":
        answer = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {}, "serverInfo": {}}
        return FakeAnswer(body=result(message, answer), headers={"mcp-session-id": "server-secret"})
    if message["method"] == "tools/list":
        return FakeAnswer(body=result(message, {"tools": TOOLS}))
    return FakeAnswer(body=result(message))


def event(body: bytes, id: str | None = None) -> bytes:
    return sse.encode(body, event="message", id=id)


def stream(*pieces: bytes | Exception | None) -> tuple[FakeAnswer, asyncio.Queue[Any]]:
    """A streamed answer, with what it begins with, and the queue that feeds it."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    for piece in pieces:
        queue.put_nowait(piece)
    return FakeAnswer(kind="text/event-stream", pieces=queue), queue
