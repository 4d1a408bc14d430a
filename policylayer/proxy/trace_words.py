"""What spans say, in OpenTelemetry's words for MCP where it has some; and of whose trace a caller says that it is part.

`mcp.*`, `gen_ai.*`, `jsonrpc.*` and `error.type` are the conventions', `policylayer.*` ours. Arguments, results, the
addresses of resources (they may hold credentials) and texts of errors have no words here. Must not know who makes
spans (`tracing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from policylayer.core.commands import (
    Command,
    Decide,
    Forward,
    Hold,
    Outcome,
    OutcomeState,
    Record,
    RecordOutcome,
    Seek,
    Unrecorded,
)
from policylayer.core.decision import Decision
from policylayer.core.errors import AuditUnavailable
from policylayer.wire.fields import Headers
from policylayer.wire.message import Message

LONGEST_PARENT: Final = 128
LONGEST_STATE: Final = 512
"""Characters of `traceparent` and `tracestate`; of a longer one nothing is believed."""

LONGEST: Final = 128
"""Characters of what an agent chose."""

STEPS: Final[Mapping[type, str]] = {
    Decide: "decide",
    Seek: "seek approval",
    Record: "record",
    Hold: "hold",
    Forward: "upstream",
    RecordOutcome: "record outcome",
}
"""The span of each command; that of a request's own `Forward` is named like the request."""

NAMED: Final = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}
"""Methods whose target is a name; others' are addresses."""

GOOD: Final = frozenset({OutcomeState.EXECUTED, OutcomeState.CANCELLED})
NOTHING: Final = Context()
_PROPAGATOR: Final = TraceContextTextMapPropagator()


def of_message(message: Message) -> dict[str, Any]:
    """What both sides' spans of a request say of it."""
    method = message.method or message.kind
    told: dict[str, Any] = {"mcp.method.name": short(method), "mcp.protocol.version": message.protocol}
    if (name := NAMED.get(method)) is not None and message.target is not None:
        told[name] = short(message.target)
    if method == "tools/call":
        told["gen_ai.operation.name"] = "execute_tool"
    return told


def title(told: Mapping[str, Any]) -> str:
    """A span's name: the method, and the tool or prompt where there is one."""
    name = next((told[key] for key in NAMED.values() if key in told), None)
    return f"{told['mcp.method.name']} {name}" if name is not None else str(told["mcp.method.name"])


def of_decision(decision: Decision) -> dict[str, Any]:
    """What policy said, and by which rules."""
    return {
        "policylayer.decision.effect": decision.effect.value,
        "policylayer.decision.enforced": decision.enforced.value,
        "policylayer.decision.reason_code": decision.reason_code.value,
        "policylayer.decision.rules": [rule.name for rule in decision.rules],
        "policylayer.policy.revision": decision.revision,
    }


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """How a forwarded call ended."""
    return {"policylayer.outcome.state": outcome.state.value, "policylayer.outcome.size": outcome.size}


def fault(command: Command, reply: object) -> str | None:
    """`error.type` of a command that came to no good end. A denial is a good one."""
    if isinstance(reply, Outcome) and reply.state not in GOOD:
        return reply.state.value
    if isinstance(reply, Outcome):
        return "tool_error" if reply.is_error else None
    if isinstance(reply, Unrecorded):
        return "audit_unavailable"
    if isinstance(command, Decide) and not isinstance(reply, Decision):
        return "engine_error"
    return None


def kind(command: Command, error: BaseException) -> str:
    """`error.type` of a command that was not done."""
    if isinstance(error, AuditUnavailable):
        return error.code
    return "engine_error" if isinstance(command, Decide) else type(error).__name__


def short(text: str) -> str:
    """At most so many characters, all of them printable."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:LONGEST])


def carried(meta: Mapping[str, Any]) -> SpanContext | None:
    """The span that a message's `_meta` tells of."""
    parent = meta.get("traceparent")
    state = meta.get("tracestate", "")
    if type(parent) is not str or type(state) is not str:
        return None
    return _read(parent, state)


def sent(headers: Headers) -> SpanContext | None:
    """The span that an HTTP request's headers tell of."""
    if "traceparent" not in headers:
        return None
    parents = headers.get_all("traceparent")
    return _read(parents[0], ",".join(headers.get_all("tracestate"))) if len(parents) == 1 else None


def _read(parent: str, state: str) -> SpanContext | None:
    if len(parent) > LONGEST_PARENT or len(state) > LONGEST_STATE:
        return None
    found = get_current_span(_PROPAGATOR.extract({"traceparent": parent, "tracestate": state}, NOTHING))
    context = found.get_span_context()
    return context if context.is_valid else None
