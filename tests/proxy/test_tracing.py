"""Spans of the data path, taken by the SDK's own exporter in memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from policylayer.proxy.trace_words import LONGEST, short
from policylayer.proxy.tracing import Tracing
from tests.proxy.fakes import DENY, HOLD, FakeAnswer, event, result, stream
from tests.proxy.rig import Rig, call, modern_call, request

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]

TRACE, SPAN, OTHER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
PARENT = f"00-{TRACE}-{SPAN}-01"
STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"


@pytest.fixture
def spans(rig: Rig) -> Iterator[InMemorySpanExporter]:
    """All that ended so far."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=TraceIdRatioBased(1))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    rig.deps.traces = Tracing(provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def named(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """By name; the request's own is `server`, the server's answer `upstream`."""
    kinds = {SpanKind.SERVER: "server", SpanKind.CLIENT: "upstream"}
    return {kinds.get(span.kind, span.name): span for span in spans.get_finished_spans()}


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_call_is_a_span_and_its_steps_are_below_it(rig: Rig, spans: InMemorySpanExporter) -> None:
    assert (await rig.post(modern_call("safe", {"secret": "CANARY"}, id="req-7"))).status == 200
    found = named(spans)
    assert list(found) == ["decide", "record", "upstream", "record outcome", "server"]
    server = found.pop("server")
    assert server.name == "tools/call safe"
    assert said(server) == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2026-07-28",
        "gen_ai.tool.name": "safe",
        "gen_ai.operation.name": "execute_tool",
        "jsonrpc.request.id": "req-7",
        "http.request.method": "POST",
        "http.route": "/mcp/{server}",
        "policylayer.server": "shop",
        "policylayer.principal": "agent:alice",
        "policylayer.decision.id": "row-1",
        "policylayer.decision.effect": "allow",
        "policylayer.decision.enforced": "allow",
        "policylayer.decision.reason_code": "rule",
        "policylayer.decision.rules": ("p/allow",),
        "policylayer.policy.revision": "rev",
        "policylayer.outcome.state": "executed",
        "policylayer.outcome.size": said(server)["policylayer.outcome.size"],
    }
    assert server.parent is None
    for child in found.values():
        assert child.parent is not None
        assert child.parent.span_id == server.context.span_id
        assert server.start_time is not None
        assert child.start_time is not None
        assert server.start_time <= child.start_time
    assert found["upstream"].name == "tools/call safe"
    assert said(found["record"])["policylayer.decision.id"] == "row-1"
    assert "CANARY" not in "".join(span.to_json() for span in spans.get_finished_spans())


async def test_a_denial_is_no_error_and_says_its_rule(rig: Rig, spans: InMemorySpanExporter) -> None:
    rig.engine.says["danger"] = DENY
    await rig.post(call("danger"))
    found = named(spans)
    assert list(found) == ["decide", "record", "server"]
    assert said(found["server"])["policylayer.decision.enforced"] == "deny"
    assert said(found["server"])["policylayer.decision.rules"] == ("p/deny",)
    assert found["server"].status.status_code is StatusCode.UNSET


async def test_a_held_call_has_a_span_of_its_waiting(rig: Rig, spans: InMemorySpanExporter) -> None:
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(call("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.states:
            await asyncio.sleep(0.01)
    rig.approvals.settle("approved")
    await opened.whole()
    order = [span.name for span in spans.get_finished_spans()]
    assert order == [
        *("decide", "seek approval", "record", "hold", "decide", "record"),
        *("tools/call gated", "record outcome", "tools/call gated"),
    ]
    assert said(named(spans)["hold"]) == {"policylayer.approval.id": "apr-1", "policylayer.hold.state": "approved"}
    assert said(named(spans)["server"])["policylayer.decision.id"] == "row-2"


@pytest.mark.parametrize("failing", ["policy", "log", "server", "tool"])
async def test_what_fails_is_an_error_without_its_text(rig: Rig, spans: InMemorySpanExporter, failing: str) -> None:
    rig.engine.fails, rig.recorder.fails = failing == "policy", failing == "log"
    if failing == "server":
        rig.upstream.answer = lambda _exchange, _message: FakeAnswer(500, b"CANARY")
    if failing == "tool":
        wrong = {"content": [{"type": "text", "text": "CANARY"}], "isError": True}
        rig.upstream.answer = lambda _exchange, message: FakeAnswer(body=result(message, wrong))
    await rig.post(call("safe"))
    server = named(spans)["server"]
    kinds = {"policy": "engine_error", "log": "audit_unavailable", "server": "failed", "tool": "tool_error"}
    assert said(server)["error.type"] == kinds[failing]
    assert server.status.status_code is StatusCode.ERROR
    everything = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "CANARY" not in everything
    assert "broken" not in everything


async def test_passed_requests_refused_ones_and_streams_have_a_span(rig: Rig, spans: InMemorySpanExporter) -> None:
    await rig.initialize()
    await rig.post(request("ping"))
    await (await rig.request("POST", b"{", rig.headers({}, "alice", {}))).whole()
    await (await rig.listen()).whole()
    assert [span.name for span in spans.get_finished_spans()] == [
        "initialize",
        "ping",
        "POST /mcp/{server}",
        "GET /mcp/{server}",
    ]
    assert "mcp.session.id" in said(spans.get_finished_spans()[1])
    spans.clear()
    assert (await rig.request("POST", b"{}", rig.headers({}, "nobody", {}))).task is not None
    await asyncio.sleep(0.05)
    assert spans.get_finished_spans() == (), "who is not admitted makes no spans"


async def test_what_a_server_asks_is_not_what_the_request_came_to(rig: Rig, spans: InMemorySpanExporter) -> None:
    await rig.initialize(sampling={})
    rig.engine.says["sampling/createMessage"] = DENY
    asked = {"jsonrpc": "2.0", "id": 9, "method": "sampling/createMessage", "params": {"messages": []}}

    def answer(_exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message.get("method") != "tools/call":
            return FakeAnswer(202, kind="")
        return stream(event(json.dumps(asked).encode()), event(result(message)), None)[0]

    rig.upstream.answer = answer
    spans.clear()
    await (await rig.open(call("safe"))).whole()
    async with asyncio.timeout(5):
        while "record sampling/createMessage" not in (found := named(spans)):
            await asyncio.sleep(0.01)
    assert said(found["server"])["policylayer.decision.rules"] == ("p/allow",)
    assert said(found["decide sampling/createMessage"])["policylayer.decision.rules"] == ("p/deny",)


# --- whose trace it is ------------------------------------------------------------------------------------------------


async def test_the_callers_span_is_the_parent_and_travels_on_unchanged(rig: Rig, spans: InMemorySpanExporter) -> None:
    await rig.post(call("safe"), traceparent=PARENT, tracestate=STATE)
    server = named(spans)["server"]
    assert server.parent is not None
    assert (f"{server.parent.trace_id:032x}", f"{server.parent.span_id:016x}") == (TRACE, SPAN)
    assert {f"{span.context.trace_id:032x}" for span in spans.get_finished_spans()} == {TRACE}
    sent = dict(rig.upstream.sent[-1].headers)
    assert (sent["traceparent"], sent["tracestate"]) == (PARENT, STATE)


async def test_the_span_in_meta_is_the_parent_and_the_requests_is_linked(rig: Rig, spans: InMemorySpanExporter) -> None:
    meta = {"traceparent": f"00-{TRACE}-{OTHER}-00", "tracestate": STATE}
    await rig.post(call("safe", _meta=meta), traceparent=PARENT)
    server = named(spans)["server"]
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == OTHER
    assert [f"{link.context.span_id:016x}" for link in server.links] == [SPAN]
    assert server.context.trace_state.to_header() == STATE
    assert rig.upstream.bodies()[-1]["params"]["_meta"] == meta


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"traceparent": PARENT.upper()},
        {"traceparent": PARENT + "-" + "x" * 200},
        {"traceparent": PARENT, "tracestate": "a=" + "b" * 600},
        {"tracestate": STATE},
    ],
)
async def test_what_is_no_trace_context_is_nobodys_parent_and_changes_nothing(
    rig: Rig, spans: InMemorySpanExporter, headers: dict[str, str]
) -> None:
    assert (await rig.post(call("safe"), **headers)).status == 200
    assert named(spans)["server"].parent is None
    assert rig.recorder.effects == ["allow"]


@pytest.mark.parametrize(
    "meta", [{"traceparent": 7}, {"traceparent": PARENT, "tracestate": ["x"]}, {"traceparent": ""}]
)
async def test_meta_of_another_type_is_nobodys_parent(
    rig: Rig, spans: InMemorySpanExporter, meta: dict[str, Any]
) -> None:
    assert (await rig.post(call("safe", _meta=meta))).status in (200, 400)
    assert named(spans)["server"].parent is None


async def test_the_callers_trace_changes_no_decision_and_no_row(rig: Rig, spans: InMemorySpanExporter) -> None:
    plain = await rig.post(call("safe"))
    traced = await rig.post(call("safe"), traceparent=PARENT, tracestate=STATE)
    assert plain.json == traced.json
    (first, one), (second, two) = rig.recorder.rows
    assert (first, one) == (second, two)


async def test_what_an_agent_chose_is_short_and_printable(rig: Rig, spans: InMemorySpanExporter) -> None:
    """Names and ids that get so far are so already; what did not would be cut and shown here."""
    await rig.post(call("safe", id="y" * 200))
    assert said(named(spans)["server"])["jsonrpc.request.id"] == "y" * LONGEST
    assert short("\x1b[31m\r\n\0\u2028\u202e" + "x" * 500) == "?[31m?????" + "x" * (LONGEST - 10)


# --- off --------------------------------------------------------------------------------------------------------------


async def test_without_an_sdk_nothing_is_made_and_the_library_not_imported(rig: Rig) -> None:
    assert rig.deps.traces is None
    code = "import sys, policylayer.cli.running, policylayer.app; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
