"""The rig of every attack: one real proxy, two recording servers, identities, and the case that checks afterwards.

`Rig` lives for a whole test run; each test makes its own principals, so that one test's refusals are not another's.
A `Case` is one attack: it counts what it expects, and at its end asserts all invariants and that a good call still
succeeds. Must not know any particular attack.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.server import Server
from tests.support.background import Background
from tests.support.invariants import CALLS, Ledger, Vitals, Watched, absent
from tests.support.raw_http import Field, Response, Wire, request
from tests.support.running import until
from tests.support.service import Proxy

SECRET: Final = "CANARY-SECRET"
"""What carries this must never be seen again: not in rows, logs, metrics or answers."""

UPSTREAM: Final = f"{SECRET}-of-the-server"
REJECTED_A_WINDOW: Final = 200
"""Refusals that are written one by one in ten seconds; more are counted (policylayer/audit/rejections.py)."""

POLICY: Final = """
policy: attacks
applies_to: {principals: ["agent:*"], servers: "*"}
rules:
  - {id: safe, tools: [safe, echo_args, routed], effect: allow}
  - id: pay
    tools: [pay]
    when: {args.amount: {lte: 100}}
    effect: allow
  - {id: gated, tools: [gated], principals: ["agent:a-*"], effect: require_approval}
  - {id: no-danger, tools: [danger], effect: deny}
  - id: hello
    prompts: [hello]
    when: {args.who: {eq: world}}
    effect: allow
  - {id: ones, resources: ["rec://one"], effect: allow}
  - {id: asks, methods: [elicitation/create], effect: allow}
"""
TEST: Final = """
tests:
  - name: danger is denied
    principal: agent:a-1
    call: {server: rec, tool: danger, arguments: {}}
    expect: {effect: deny, rules: [attacks/no-danger], reason_code: rule}
"""
CONSTANT_401: Final = b'{"error":"unauthorized","error_description":"a valid credential is required"}'


@dataclass(frozen=True, slots=True)
class Agent:
    """An identity, and where it connects from."""

    principal: str
    token: str
    source: str = "127.0.0.2"


class Rig:
    """The proxy and its surroundings."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self._stack = ExitStack()
        self.loop = self._stack.enter_context(Background())
        self.rec, self.rec2 = self._server("rec"), self._server("rec2")
        self.broken, self.endless = self._server("broken", "broken"), self._server("endless", "endless")
        where = {"Authorization": f"Bearer {UPSTREAM}"}
        every = (self.rec, self.rec2, self.broken, self.endless)
        servers: dict[str, Any] = {each.name: {"url": each.url, "headers": where} for each in every}
        for name, settings in (more.pop("servers", None) or {}).items():
            servers[name] = {**servers.get(name, {}), **settings}
        more.setdefault("approvals", {"hold": "2s", "hold_modern": "2s", "expires": "1m"})
        policies = more.pop("policies", {"attacks.yaml": POLICY, "attacks_test.yaml": TEST})
        source = more.pop("policies_from", None)
        self.proxy = Proxy(folder, servers, policies, **more)
        if source is not None:
            self.proxy.configure(policies=source)
        self._numbers = itertools.count(1)
        self.reasons: list[str] = []

    def _server(self, name: str, lists: str = "proper") -> Server:
        watched = Server(name, lambda server, received: self.ledger.arrived(server, received), lists)
        self.loop.run(watched.__aenter__())
        self._stack.callback(lambda: self.loop.run(watched.__aexit__(None, None, None)))
        return watched

    def __enter__(self) -> Rig:
        self.proxy.start()
        self._stack.callback(self.proxy.stop)
        self.ledger = Ledger(self.proxy.database, self.proxy.key_file)
        self.vitals = Vitals(self.proxy.pid, self.proxy.port)
        self.good = self.agent("b")
        for era in ERAS:
            self.good_call(era)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self.ledger.check(self.secrets)
                self.ledger.check_file(self.secrets)
                absent(self.proxy.log().encode(), self.secrets, "the log")
        finally:
            self.ledger.close()
            self._stack.close()

    @property
    def secrets(self) -> list[bytes]:
        """What nothing may contain: tokens, and what tests marked."""
        return [SECRET.encode(), *(token.encode() for token in self.proxy.tokens)]

    def agent(self, kind: str = "a", *servers: str) -> Agent:
        """A new identity: `a` may call safe and gated, `b` safe."""
        number = next(self._numbers)
        principal = f"agent:{kind}-{number}"
        source = f"127.0.{1 + number // 250}.{1 + number % 250}"
        return Agent(principal, self.proxy.grant(principal, *(servers or ("rec", "rec2", "broken", "endless"))), source)

    def wire(self, source: str = "127.0.0.2", small: bool = False) -> Wire:
        """A connection to the proxy."""
        return Wire(self.proxy.port, source, small)

    def good_call(self, era: Era = "handshake") -> Response:
        """I8: a good call succeeds."""
        with self.wire(self.good.source) as wire:
            wire.send(request("POST", "/mcp/rec", headers(self.good.token, era), call(era=era)))
            answer = wire.response()
        assert answer.status == 200, answer
        assert answer.json["result"]["content"] == [{"type": "text", "text": "safe done"}], answer
        return answer

    def forget(self) -> None:
        """For runs of hours: let go of what the servers received."""
        for rec in (self.rec, self.rec2, self.broken, self.endless):
            rec.received.clear()
            for connection in rec.connections:
                connection.clear()

    def case(self, *, log: bool = True) -> Case:
        """One attack. `log`: nothing may be logged as an error meanwhile."""
        return Case(self, log)


@dataclass
class Case:
    """One attack, and what came of it. Its expectations count decision rows; its end checks the invariants.

    Not `counted`: nobody can say beforehand how many calls it makes.
    """

    rig: Rig
    log: bool
    counted: bool = True
    agent: Agent = field(init=False)
    _rows: int = 0
    _decisions: int = 0
    _answers: list[Response] = field(default_factory=list)
    _logged: int = 0

    def __enter__(self) -> Case:
        self.agent = self.rig.agent("a")
        self.rig.vitals.begin()
        self._rows = len(self.rig.ledger.read())
        self._before = [_received(rec) for rec in (self.rig.rec, self.rig.rec2)]
        self._logged = len(self.rig.proxy.program.errors)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            return
        rig = self.rig
        rig.vitals.check()
        decisions = self.decisions()
        assert not self.counted or len(decisions) == self._decisions, (
            f"{self._decisions} decisions expected: {decisions}"
        )
        for era in ERAS:
            rig.good_call(era)
        rig.ledger.check(rig.secrets)
        for answer in self._answers:
            absent(repr(answer).encode(), rig.secrets, "an answer")
        if self.log:
            logged = rig.proxy.program.errors[self._logged :]
            troubles = [line for line in logged if '"level":"error"' in line or not line.startswith("{")]
            assert not troubles, troubles

    # --- sending ------------------------------------------------------------------------------------------------------

    def post(
        self, body: bytes, fields: Sequence[Field] | None = None, era: Era = "handshake", server: str = "rec"
    ) -> Response:
        """Post a body, as the case's own agent unless `fields` say otherwise."""
        given = headers(self.agent.token, era) if fields is None else fields
        return self.raw(request("POST", f"/mcp/{server}", given, body))

    def raw(self, *pieces: bytes) -> Response:
        """Send bytes on a connection of their own, and read one answer."""
        with self.rig.wire(self.agent.source) as wire:
            return self.saw(wire.send(*pieces).response())

    def saw(self, answer: Response) -> Response:
        """Keep an answer for the checks at the end."""
        self._answers.append(answer)
        return answer

    def head(self, *extra: str) -> bytes:
        """A POST's head with these lines besides the usual ones, as they are."""
        usual = [f"{name!s}: {value!s}" for name, value in headers(self.agent.token)]
        return "\r\n".join(["POST /mcp/rec HTTP/1.1", *usual, *extra, "", ""]).encode("latin-1")

    def closed(self, sent: bytes, *statuses: int) -> Response:
        """Refused, recorded, and the connection ends with the answer: nothing after it is read as a request."""
        with self.rig.wire(self.agent.source) as wire:
            answer = self.saw(wire.send(sent).response())
            assert answer.status in (statuses or (400,)), answer
            assert answer.header("connection") == "close"
            assert wire.rest() == b"", "a second answer came"
        self.recorded("rejected", "http: " + answer.json["detail"])
        self.nothing_sent()
        return answer

    # --- what came of it ----------------------------------------------------------------------------------------------

    def rows(self, *kinds: str) -> list[dict[str, Any]]:
        """The rows since the case began, without the rig's own good calls."""
        new = self.rig.ledger.read()[self._rows :]
        return [
            row for row in new if row["principal"] != self.rig.good.principal and (not kinds or row["kind"] in kinds)
        ]

    def decisions(self) -> list[dict[str, Any]]:
        """Rows of calls."""
        return self.rows(*CALLS)

    def events(self, type: str) -> list[dict[str, Any]]:
        """The details of events of one type."""
        found = [row for row in self.rows("event") if row["reason_code"] == type]
        return [json.loads(row["detail"]) | {"who": row["principal"]} for row in found]

    def decided(self, count: int = 1) -> None:
        """So many decision rows are expected (more)."""
        self._decisions += count

    def rejected(
        self, answer: Response, code: int | None, reason: str | None, body: bytes | None = None, status: int = 400
    ) -> None:
        """REJ: the stated error, recorded with the digest of the body, and not one byte of it at a server."""
        assert answer.status == status, answer
        if code is not None:
            assert answer.json["error"]["code"] == code, answer
        if reason is not None:
            self.recorded("rejected", reason, body)

    def recorded(self, type: str, reason: str, body: bytes | None = None) -> None:
        """A refusal has its row, or was one too many to have one of its own."""
        digest = None if body is None else hashlib.sha256(body).hexdigest()

        def found() -> bool:
            return (
                any(
                    each["reason"] == reason and (digest is None or each["body_sha256"] == digest)
                    for each in self.events(type)
                )
                or self._many()
            )

        until(found, lambda: f"no row says {reason}: {self.events(type)}", 5)

    def _many(self) -> bool:
        """Whether so much was refused of late that refusals are only counted."""
        since = (time.time() - 12) * 1e6
        codes = ("rejected", "unauthenticated")
        late = [row for row in self.rig.ledger.rows if row["reason_code"] in codes and row["time_us"] > since]
        return len(late) >= REJECTED_A_WINDOW

    def unauthenticated(self, answer: Response) -> None:
        """UNAUTH: 401 with a challenge and a body that says nothing, recorded."""
        assert answer.status == 401, answer
        assert answer.body == CONSTANT_401
        assert (answer.header("www-authenticate") or "").startswith("Bearer ")
        self.recorded("unauthenticated", "unauthenticated")

    def denied(self, answer: Response, reason_code: str = "rule", rule: str | None = None) -> dict[str, Any]:
        """DENY: told in the agent's form, with its row; the row."""
        assert answer.status == 200, answer
        told = answer.json
        said: dict[str, Any] = (
            told["result"]["_meta"]["io.policylayer/decision"] if "result" in told else told["error"]["data"]
        )
        assert told["result"]["isError"] is True if "result" in told else told["error"]["code"] == 40301
        assert said["reason_code"] == reason_code, answer
        assert rule is None or said["rule"] == rule, answer
        self.rig.ledger.read()
        row = self.rig.ledger.by_id[said["decision_id"]]
        assert (row["enforced"], row["reason_code"]) in (("deny", reason_code), ("require_approval", "rule"))
        self.decided()
        return row

    def executed(self, answer: Response, text: str | None = None) -> dict[str, Any]:
        """The call was made, and its outcome written; the row."""
        assert answer.status == 200, answer
        assert answer.json["result"].get("isError") is False, answer
        if text is not None:
            assert answer.json["result"]["content"][0]["text"] == text
        return self.executed_other(answer)

    def executed_other(self, answer: Response) -> dict[str, Any]:
        """The same of another method."""
        assert "result" in answer.json, answer
        self.decided()
        row = self.decisions()[self._decisions - 1]
        assert row["enforced"] == "allow"
        until(lambda: self.rig.ledger.outcome(row["id"]) is not None, lambda: f"no outcome of {row}")
        return row

    def nothing_sent(self) -> None:
        """I1, byte by byte: no server has got anything since the case began."""
        now = [_received(rec) for rec in (self.rig.rec, self.rig.rec2)]
        assert now == self._before, [rec.received[-1] for rec in (self.rig.rec, self.rig.rec2) if rec.received]


def _received(rec: Watched) -> int:
    """How many bytes a server got, but for the lists of tools that the proxy asks for by itself."""
    own = sum(len(one.head) + len(one.body) for one in rec.received if one.method == "tools/list")
    return sum(map(len, rec.connections)) - own
