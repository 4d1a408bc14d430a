"""Spans leave for a collector by OTLP; a collector that fails costs no call anything; without one nothing is loaded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otel` is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from policylayer import __version__
from policylayer.core.errors import ConfigError
from policylayer.serve import traces
from tests.attacks.messages import call, headers
from tests.support.ports import free_port
from tests.support.recording import Recording
from tests.support.running import ALLOW_ALL, Running

pytestmark = pytest.mark.shows("audit.1")
SECRET = "CANARY-SECRET"


class Collector:
    """Takes what is exported; answers with `status`."""

    def __init__(self) -> None:
        taken = self.taken = []  # type: ignore[var-annotated]
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["content-length"]))
                taken.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}, body))
                handler.send_response(self.status)
                handler.send_header("content-length", "0")
                handler.end_headers()

            def log_message(handler, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        told = [ExportTraceServiceRequest.FromString(body) for _, _, body in self.taken]
        scopes = [scope for one in told for resource in one.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def proxy(folder: Path, rec: Recording, url: str, **more: Any) -> Running:
    telemetry = {"traces": {"url": url, "headers": {"Authorization": f"Bearer {SECRET}"}, **more}}
    return Running(folder, {"rec": {"url": rec.url}}, {"all.yaml": ALLOW_ALL}, telemetry=telemetry)


def post(running: Running, token: str, **arguments: Any) -> httpx2.Response:
    import orjson

    body = call(b'"echo_args"', orjson.dumps(arguments))
    return httpx2.post(
        running.mcp("rec"), content=body, headers=dict(headers(token, host=None)), trust_env=False, timeout=30
    )


def test_spans_arrive_and_hold_no_argument_and_no_credential(
    tmp_path: Path, rec: Recording, collector: Collector
) -> None:
    """AUD-16, traces."""
    with proxy(tmp_path, rec, collector.url) as running:
        token = running.grant("agent:a", "rec")
        assert post(running, token, password=SECRET, note=f"{SECRET} in a text").status_code == 200
        (row,) = running.decisions()
    # What was left was sent at the end.
    (path, sent, body) = collector.taken[0]
    assert (path, sent["authorization"]) == ("/v1/traces", f"Bearer {SECRET}")
    server = next(span for span in collector.spans if span.kind == 2)
    told = {each.key: each.value.string_value for each in server.attributes}
    assert (server.name, told["policylayer.decision.id"]) == ("tools/call echo_args", row["id"])
    assert {span.name for span in collector.spans} >= {"decide", "record", "record outcome"}
    resource = ExportTraceServiceRequest.FromString(body).resource_spans[0].resource
    about = {each.key: each.value.string_value for each in resource.attributes}
    assert (about["service.name"], about["service.version"]) == ("policylayer", __version__)
    everything = b"".join(body for _, _, body in collector.taken)
    assert SECRET.encode() not in everything
    assert token.encode() not in everything
    assert SECRET not in running.log()


@pytest.mark.parametrize("failing", ["away", "500"])
def test_a_collector_that_fails_costs_no_call_anything(
    tmp_path: Path, rec: Recording, collector: Collector, failing: str
) -> None:
    collector.status = 500
    url = collector.url if failing == "500" else f"http://127.0.0.1:{free_port()}"
    running = proxy(tmp_path, rec, url)
    running.start()
    token = running.grant("agent:a", "rec")
    assert [post(running, token, n=n).status_code for n in range(20)] == [200] * 20
    begun = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - begun < 4 * traces.PATIENCE + 5
    assert "Traceback" not in running.log()


def test_a_share_of_requests_is_traced(tmp_path: Path, rec: Recording, collector: Collector) -> None:
    with proxy(tmp_path, rec, f"{collector.url}/own/path", percent=1) as running:
        token = running.grant("agent:a", "rec")
        assert {post(running, token, n=n).status_code for n in range(40)} == {200}
    assert len({span.trace_id for span in collector.spans}) < 20
    assert {path for path, _, _ in collector.taken} <= {"/own/path"}


def test_what_an_operator_set_up_is_used_and_else_nothing() -> None:
    assert run("print(traces.to_operators())") == "None"
    assert run("import opentelemetry.trace; print(traces.to_operators())") == "None"
    own = "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider as P;"
    assert "Tracer" in run(f"{own} trace.set_tracer_provider(P()); print(traces.to_operators().tracer)")


def run(statements: str) -> str:
    """What a fresh interpreter prints."""
    code = f"from policylayer.serve import traces\n{statements}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match="packages that are not installed") as caught:
        traces.to_collector("http://127.0.0.1:1", {}, 100)
    assert caught.value.help == "pip install 'policylayer[otel]'"


async def _ended(exporting: traces.Exporting) -> None:
    await exporting.close()


def test_an_operators_own_is_left_to_them() -> None:
    asyncio.run(_ended(traces.Exporting(tracer=None)))  # type: ignore[arg-type]
