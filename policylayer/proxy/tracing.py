"""OpenTelemetry spans of the data path: one for each admitted request, and one for each step of a judged call.

With tracing off nothing here runs, and neither this file nor the library is imported; with it on, each request's
`Trace` hangs on its visit. What a caller sends as trace context becomes a span's parent or link, and nothing else: it
travels on as it came (`wire/headers.py`). What spans say is in `trace_words.py`, who exports them `serve/traces.py`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, StatusCode, Tracer, set_span_in_context

from policylayer.core.commands import Command, Forward, Outcome, OverLimit, Record, Recorded, Waited
from policylayer.core.decision import Decision
from policylayer.proxy import trace_words as words
from policylayer.proxy.perform import Performer
from policylayer.proxy.visit import Visit
from policylayer.wire.message import Message

Go: TypeAlias = Callable[[Visit, str], Awaitable[None]]
Do: TypeAlias = Callable[[Performer, Any], Awaitable[object]]

ROUTE = "/mcp/{server}"


class Tracing:
    """Makes the trace of each request, with one tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def follow(self, visit: Visit, method: str, go: Go) -> None:
        """Do `go`, an admitted request, within its span."""
        trace = visit.trace = Trace(self._tracer, visit, method)
        try:
            await go(visit, method)
        except BaseException as error:
            trace.failed(type(error).__name__)
            raise
        finally:
            trace.end()


class Trace:
    """One request's span, and those below it. It begins with the message, which may say whose it is; where none can be
    read, with the request's end."""

    __slots__ = ("_asked", "_at", "_below", "_method", "_span", "_tracer", "_visit")

    def __init__(self, tracer: Tracer, visit: Visit, method: str) -> None:
        self._tracer = tracer
        self._visit = visit
        self._method = method
        self._at = time.time_ns()
        self._asked: dict[str, Any] = {}
        self._below = words.NOTHING
        self._span: Span | None = None
        if method != "POST":
            self._begun({})

    def read(self, message: Message) -> None:
        """The request's message could be read."""
        self._asked = words.of_message(message)
        if self._span is None:
            self._span = self._begin(message.meta)
            if message.id is not None:
                self._span.set_attribute("jsonrpc.request.id", words.short(str(message.id)))

    def failed(self, kind: str) -> None:
        """The request ended by an error of this kind."""
        fail(self._begun({}), kind)

    def end(self) -> None:
        """The request is over."""
        span = self._begun({})
        if self._visit.session is not None:
            span.set_attribute("mcp.session.id", self._visit.session.id)
        span.end()
        structlog.contextvars.unbind_contextvars("trace_id")

    async def performed(self, performer: Performer, command: Command, do: Do) -> object:
        """Do one command of a judged call within a span of its own."""
        # Questions of the server's own are judged on the way, and are not what the request came to.
        own = performer.call.method == self._asked.get("mcp.method.name")
        span = self._step(command, performer.call.method, own)
        spans = (span, self._begun({})) if own else (span,)
        try:
            reply = await do(performer, command)
        except BaseException as error:
            for each in spans:
                fail(each, words.kind(command, error))
            span.end()
            raise
        # Whatever were wrong here, the call has come to what it came to.
        with suppress(Exception):
            tell(spans, command, reply)
            span.end()
        return reply

    # --- inside -------------------------------------------------------------------------------------------------------

    def _begun(self, meta: Mapping[str, Any]) -> Span:
        if self._span is None:
            self._span = self._begin(meta)
        return self._span

    def _begin(self, meta: Mapping[str, Any]) -> Span:
        """Who asks by MCP is the parent; the HTTP request that brought it is linked, where it tells of another span."""
        carried, sent = words.carried(meta), words.sent(self._visit.headers)
        parent = carried or sent
        span = self._tracer.start_span(
            words.title(self._asked) if self._asked else f"{self._method} {ROUTE}",
            words.NOTHING if parent is None else set_span_in_context(NonRecordingSpan(parent), words.NOTHING),
            SpanKind.SERVER,
            {
                **self._asked,
                "http.request.method": self._method,
                "http.route": ROUTE,
                "policylayer.server": self._visit.server.name,
                "policylayer.principal": self._visit.caller.subject.id,
            },
            links=[Link(sent)] if carried and sent and carried != sent else None,
            start_time=self._at,
        )
        self._below = set_span_in_context(span, words.NOTHING)
        structlog.contextvars.bind_contextvars(trace_id=f"{span.get_span_context().trace_id:032x}")
        return span

    def _step(self, command: Command, method: str, own: bool) -> Span:
        step = words.STEPS[type(command)]
        if not own:
            return self._tracer.start_span(f"{step} {method}", self._below)
        if not isinstance(command, Forward):
            return self._tracer.start_span(step, self._below)
        told = {**self._asked, "policylayer.server": self._visit.server.name}
        return self._tracer.start_span(words.title(self._asked), self._below, SpanKind.CLIENT, told)


def tell(spans: Sequence[Span], command: Command, reply: object) -> None:
    """What a command came to, on its own span and, of the call as a whole, on the request's."""
    if isinstance(reply, Waited):
        spans[0].set_attributes({"policylayer.approval.id": reply.approval_id, "policylayer.hold.state": reply.state})
    if (kind := words.fault(command, reply)) is not None:
        for span in spans:
            fail(span, kind)
    told = words.of_outcome(reply) if isinstance(reply, Outcome) else {}
    decision = reply.decision if isinstance(reply, OverLimit) else reply
    if isinstance(decision, Decision):
        told = words.of_decision(decision)
    if isinstance(command, Record) and isinstance(reply, Recorded | OverLimit) and reply.row_id is not None:
        told["policylayer.decision.id"] = reply.row_id
    for span in spans:
        if told and span.is_recording():
            span.set_attributes(told)


def fail(span: Span, kind: str) -> None:
    """Mark a span as failed. No more than the kind: the text of an error may hold what was sent."""
    if span.is_recording():
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR)
