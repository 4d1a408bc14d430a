"""Carries a server's answer to the agent: whole or event by event, its bytes untouched, its headers our own.

An answer is relayed only if it is one: a single JSON-RPC response with the request's id, or a stream in which that
comes. Statuses and errors that MCP gives a meaning are kept; those between the proxy and the server (401, 403, 5xx
without a message) are not the agent's business. Must not know policy; what is inside is `sift.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson

from policylayer.core.commands import Outcome, OutcomeState
from policylayer.core.errors import Lost, UpstreamError
from policylayer.proxy import aside
from policylayer.proxy.downstream import LARGE
from policylayer.proxy.events import events_of
from policylayer.proxy.faults import REFUSES_US, Unread, Unusable
from policylayer.proxy.sessions import Request
from policylayer.proxy.sift import Sift
from policylayer.proxy.visit import Visit
from policylayer.upstream.interface import Answer
from policylayer.wire.headers import JSON
from policylayer.wire.message import Message
from policylayer.wire.own_words import heard
from policylayer.wire.replies import Reply
from policylayer.wire.server_messages import ServerMessage

EVENTS: Final = "text/event-stream"
UNTAKEN: Final = "too many of this caller's answers have not been read"


REFUSES_UNREAD: Final = frozenset({400, 404, 413, 429})
"""Statuses by which a server refuses what it has not read as a request."""


KEPT: Final = frozenset({200, 400, 404, 405, 406, 408, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504})
"""A server's statuses that are relayed as they are. Others mean something to HTTP (205: no content follows; 407: a
proxy wants a credential), or nothing."""


class SessionOver(Exception):
    """The server does not know the session any more."""


@dataclass(slots=True)
class Relay:
    """One answer to one request of the agent. `row_id` is the row that let it through, if it was judged."""

    visit: Visit
    message: Message
    request: Request
    row_id: str | None = None
    endless: bool = False

    def run(self, answer: Answer) -> Awaitable[Outcome]:
        """Relay it; how it ended. Raises `UpstreamError`, `Unusable` or `SessionOver`."""
        if answer.status in (401, 403):
            raise Unusable(f"status {answer.status}", REFUSES_US, OutcomeState.UPSTREAM_REFUSED)
        if answer.status == 404 and self.visit.session is not None:
            raise SessionOver
        if answer.status == 200 and answer.content_type == EVENTS:
            return self._stream(answer)
        return self._whole(answer)

    # --- a whole answer -----------------------------------------------------------------------------------------------

    async def _whole(self, answer: Answer) -> Outcome:
        body = await answer.read(self.visit.deps.limits.answer)
        hidden = self.visit.hidden(body)
        if hidden is not body:
            self.visit.told_ours(self.request)
        message = await aside.read(len(hidden), self._response, answer.status, hidden)
        data = message.raw if self.request.take is None else await self.request.take(message)
        if len(data) > LARGE:
            self._make_room(data)
        await self.visit.down.reply(Reply(_kept(answer.status), (JSON,), data))
        if self.visit.session is not None and self.message.id is not None:
            self.visit.session.answered_whole(self.message.id, self.request)
        return ended(self.request, message, data)

    def _make_room(self, data: bytes) -> None:
        """A large answer is held until it is read: who reads nothing must not have ever more of them kept."""
        if not self.visit.down.take(len(data)):
            raise Unusable("too many answers wait to be read", UNTAKEN, OutcomeState.EXECUTED)

    def _response(self, status: int, body: bytes) -> ServerMessage:
        """The message, if it answers this request: a result with status 200, or an error with any."""
        message = heard(body, self.visit.deps.limits.server_message)
        if not isinstance(message, ServerMessage):
            if status in REFUSES_UNREAD and _is_nobodys(body):
                raise Unread(status, self._refused_unread(status))
            raise Unusable(f"status {status}: {message.reason}")
        if message.kind != "response" or (message.error is None and status != 200):
            raise Unusable(f"status {status} with no response in it")
        if not self._is_answer(message, status):
            raise Unusable("the response is to another request")
        return message

    def _refused_unread(self, status: int) -> str:
        sessionless = self.message.era == "handshake" and self.visit.session is None
        wants = ": it may want a session (send `initialize` first)" if sessionless and status == 400 else ""
        return f"the server refused the request{wants}"

    def _is_answer(self, message: ServerMessage, status: int) -> bool:
        """Whether the ids agree; a server that refused what it could not read does not know the id."""
        assert self.message.id is not None
        if message.error is not None and status >= 400 and message.id in (None, "server-error"):
            return True
        # JSON-RPC ids are equal only if their types are.
        return type(message.id) is type(self.message.id) and message.id == self.message.id

    # --- a stream -----------------------------------------------------------------------------------------------------

    async def _stream(self, answer: Answer) -> Outcome:
        visit = self.visit
        message = self.message
        protocol, capabilities = visit.spoken(message.protocol), message.client_capabilities
        sift = Sift(visit, protocol, message.id, self.request, self.row_id, capabilities)
        await visit.down.begin()
        cut: UpstreamError | None = None
        try:
            await self._events(answer, sift)
        except UpstreamError as error:
            cut = error
        if sift.answer is not None:
            return ended(self.request, sift.answer, sift.passed)
        if self.endless and cut is None:
            await visit.down.end()
            return Outcome(OutcomeState.EXECUTED, "the stream has ended")
        if visit.session is not None and sift.resumable and (cut is None or isinstance(cut, Lost)):
            return await self._answered_later()
        raise cut or Unusable("the stream ended without an answer", state=OutcomeState.UNKNOWN)

    async def _events(self, answer: Answer, sift: Sift) -> None:
        async with aclosing(events_of(answer, self.visit.deps.limits.event)) as stream:
            async for events in stream:
                out = [await sift.event(event) for event in events]
                if sift.answer is not None:
                    if len(sift.passed) > LARGE:
                        self._make_room(sift.passed)
                    if self.visit.session is not None and self.message.id is not None:
                        self.visit.session.done(self.message.id)
                    await self.visit.down.last(b"".join(out))
                    await _to_the_end(answer, self.visit.deps.limits.linger)
                    return
                await self.visit.down.event(b"".join(out))

    async def _answered_later(self) -> Outcome:
        """The stream was cut where the agent may come back for the rest: the answer will pass by there."""
        await self.visit.down.end()
        self.request.late = asyncio.get_running_loop().create_future()
        try:
            with self.visit.deps.load.left(self.visit.owner):
                async with asyncio.timeout(self.visit.deps.limits.resume):
                    came = await self.request.late
        except TimeoutError:
            return Outcome(OutcomeState.UNKNOWN, "nobody came back for the answer")
        if came is None:
            return Outcome(OutcomeState.UNKNOWN, "the session ended before its answer")
        return ended(self.request, *came)


def _kept(status: int) -> int:
    """The status that goes with a server's message: its own where clients know it as that of an error or an answer."""
    if status in KEPT:
        return status
    return 400 if 400 <= status < 500 else 500 if 500 <= status < 600 else 200


def _is_nobodys(body: bytes) -> bool:
    """Whether it is a JSON-RPC error to no request, as of a server that did not look for the id."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return type(said) is dict and said.get("id") is None and type(said.get("error")) is dict


async def _to_the_end(answer: Answer, seconds: float) -> None:
    """After its response a stream has nothing more to say; waiting for its end keeps the connection usable."""
    try:
        async with asyncio.timeout(seconds):
            async for _ in answer.chunks():
                pass
    except (TimeoutError, UpstreamError):
        return


def ended(request: Request, message: ServerMessage, data: bytes) -> Outcome:
    """The outcome of a request that was answered; `data` is what the agent got."""
    refused = message.error is not None
    said = [f"error {message.error.get('code')}"] if message.error is not None else []
    if request.told_ours:
        said.append("it held the proxy's credential, which was masked")
    return Outcome(
        OutcomeState.UPSTREAM_REFUSED if refused else OutcomeState.EXECUTED,
        ", ".join([*said, *request.treated]),
        size=len(data),
        is_error=message.is_error,
        digest=sha256(data).digest(),
        succeeded=message.succeeded(request.method),
    )
