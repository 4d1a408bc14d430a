"""One request of an agent on its way: who asks, of which server, by which message, and where the answer goes.

What the modules of this package hand to each other. Knows how to ask the server on the agent's behalf, and what a
question to policy is made of; decides nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from policylayer.audit.context import CallContext
from policylayer.core.call import Call, Caller, Json, Question, ServerFacts
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.errors import UpstreamError
from policylayer.identity.authenticator import opens
from policylayer.policy.inside_kept import reads_inside
from policylayer.proxy.downstream import Downstream, Event
from policylayer.proxy.ports import Deps
from policylayer.proxy.sessions import Owner, Request, Session, owner_of
from policylayer.proxy.task_owners import Task
from policylayer.upstream.interface import Answer, Exchange, Upstream
from policylayer.wire.fields import Headers
from policylayer.wire.headers import ACCEPT, JSON

if TYPE_CHECKING:
    from policylayer.proxy.tracing import Trace

SESSION_HEADER: Final = "mcp-session-id"

FRESH: Final = 0.5
"""Seconds after which a request's credential is asked for again before anything more is made of the request."""


async def _never() -> Event:
    return {"type": "http.disconnect"}


async def _nowhere(_event: Event) -> None:
    return


NO_HEADERS: Final = Headers()
NOWHERE: Final = Downstream(_never, _nowhere)


@dataclass(slots=True)
class Visit:
    """One request. `session` is the handshake session it belongs to, if any; `authorization` as presented.

    `asked_at` is when its credential was last found good, by the monotonic clock. `length` is what the request says of
    its body's; `client` is the client's own claim of its name; `streams` says whether it reads streams of events.
    `trace` is there only while an operator has requests traced. `answered` is false
    once something was sent of which it is not known that the server is done with it.
    """

    deps: Deps
    caller: Caller
    server: ServerFacts
    upstream: Upstream
    headers: Headers
    down: Downstream
    authorization: bytes | None = None
    ip: str | None = None
    length: str | None = None
    streams: bool = True
    session: Session | None = None
    client: str | None = None
    trace: Trace | None = None
    answered: bool = True
    asked_at: float = math.inf

    @property
    def owner(self) -> Owner:
        """Whom sessions, tasks and streams of this caller belong to."""
        return owner_of(self.caller)

    @property
    def process_owner(self) -> str:
        """Whose process of a stdio server may be used."""
        return "\n".join(self.owner)

    def spoken(self, protocol: str) -> str:
        """The revision that server and client speak: what their session negotiated, whatever a header says."""
        return protocol if self.session is None else self.session.protocol

    def detached(self) -> Visit:
        """The same caller and server without the exchange: for what outlives it."""
        made = Visit(self.deps, self.caller, self.server, self.upstream, NO_HEADERS, NOWHERE)
        made.authorization, made.ip, made.streams = self.authorization, self.ip, self.streams
        made.session, made.client, made.trace = self.session, self.client, self.trace
        return made

    def hidden(self, said: bytes) -> bytes:
        """What the server says, without the credential that we use there; the same object where it is not in there."""
        credentials = self.deps.credentials.get(self.server.name)
        return said if credentials is None else credentials.hidden(said)

    def told_ours(self, request: Request | None) -> None:
        """The server said our credential, which was hidden; `request` is what it answered."""
        self.deps.metrics.count("credentials_hidden", self.server.name)
        if request is not None:
            request.told_ours = True

    # --- the right to ask ---------------------------------------------------------------------------------------------

    def frozen(self) -> Decision | None:
        """The denial of an operator's freeze, if one is in force."""
        user = self.caller.on_behalf_of
        principals = [self.caller.subject.id, *([user.id] if user else ())]
        freeze = self.deps.freezes.frozen(principals, self.server.name)
        if freeze is None:
            return None
        return refusal(ReasonCode.FROZEN, f"frozen: {freeze.reason}", self.deps.engine.revision)

    async def allowed(self) -> bool:
        """Whether the caller would still be let in: its credential, its grant's servers, no freeze."""
        return await self.known() and self.frozen() is None

    async def known(self) -> bool:
        """Whether its credential still is who it was, and opens this server. Raises `AuditUnavailable`."""
        caller = await self.deps.authenticator.agent(self.authorization, self.ip)
        return caller is not None and owner_of(caller) == self.owner and opens(caller, self.server.name)

    async def still_known(self) -> bool:
        """The same, where it was not asked a moment ago: a body may be long in coming, and so may an approval."""
        now = self.deps.clock.monotonic()
        if now - self.asked_at < FRESH:
            return True
        known = await self.known()
        # Only once it is found good: an answer that did not come, or was no, is none to lean on.
        if known:
            self.asked_at = now
        return known

    def task(self, id: str) -> Task | None:
        """The caller's task of this server and session, if it has one of this id."""
        return self.deps.tasks.find(self.server.name, id, self.caller, self.session.id if self.session else "")

    # --- questions ----------------------------------------------------------------------------------------------------

    def context(self, call: Call) -> CallContext:
        """What the decision log is told of a call."""
        reads, metas = self.deps.engine.reads, self.server.unwrap
        return CallContext(
            call,
            self.caller,
            session=self.session.id if self.session else None,
            client=self.client,
            ip=self.ip,
            labels=self.deps.labels(self.caller),
            annotations=self.believed(call),
            reads=reads_inside(call, metas, reads) if metas else reads(call.server, call.method, call.target),
        )

    def believed(self, call: Call) -> Mapping[str, Json] | None:
        """The tool's annotations, where policy may believe them."""
        if not self.server.trust_annotations or call.method != "tools/call":
            return None
        return self.deps.tools.annotations(call.server, call.target)

    def question(
        self,
        call: Call,
        approved: frozenset[str] = frozenset(),
        labels: frozenset[str] = frozenset(),
        annotations: Mapping[str, Json] | None = None,
    ) -> Question:
        """What policy is asked about a call."""
        if annotations is None and call.method == "tools/call":
            annotations = self.deps.tools.annotations(call.server, call.target)
        return Question(
            call=call,
            subject=self.caller.subject,
            server=self.server,
            now=self.deps.clock.now(),
            on_behalf_of=self.caller.on_behalf_of,
            approved=approved,
            labels=labels,
            annotations=annotations,
            ip=self.ip,
            client=self.client,
            others=self.deps.tools.hints(call.server) if self.server.unwrap else None,
        )

    # --- the server ---------------------------------------------------------------------------------------------------

    def server_headers(self, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The fields with the server's own id of the session."""
        if self.session is None:
            return fields
        return [*fields, ("Mcp-Session-Id", self.session.upstream_id)]

    def send(self, fields: list[tuple[str, str]], body: bytes, endless: bool = False) -> Awaitable[Answer]:
        """Post a message to the server. Raises `UpstreamError`."""
        headers = self.server_headers(fields)
        return self.upstream.exchange(Exchange("POST", headers, body, self.process_owner, endless))

    async def tell_server(self, body: bytes, protocol: str) -> None:
        """Post a message of our own to the session; that it does not arrive is the server's loss."""
        fields = [
            JSON,
            ACCEPT,
            ("MCP-Protocol-Version", protocol),
        ]
        with contextlib.suppress(UpstreamError):
            answer = await self.send(fields, body)
            answer.close()


def refusal(code: ReasonCode, reason: str, revision: str = "") -> Decision:
    """A denial that is not a rule's."""
    return Decision(Effect.DENY, code, Effect.DENY, revision, reason=reason)
