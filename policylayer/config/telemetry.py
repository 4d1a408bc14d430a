"""The section `telemetry`: where spans go. Without it none are made.

Must not know OpenTelemetry (`serve/traces.py`).
"""

from __future__ import annotations

from policylayer.config import values
from policylayer.config.codes import ConfigCode
from policylayer.config.fields import Section
from policylayer.config.model import Traces
from policylayer.config.servers import read_headers
from policylayer.policy.codes import Code


def read_traces(top: Section) -> Traces | None:
    """`telemetry: {traces: {url, headers, percent}}`: a collector that takes OTLP over HTTP."""
    telemetry = top.section("telemetry", ("traces",))
    if not telemetry.has("traces"):
        return None
    section = telemetry.section("traces", ("url", "headers", "percent"))
    url = section.parsed("url", values.server_url, ConfigCode.BAD_URL, "a URL like `http://127.0.0.1:4318`", None)
    if not section.has("url"):
        section.reading.problem(Code.MISSING_KEY, section.span, f"{section.what} has no `url`")
    return Traces(url=url or "", headers=read_headers(section), percent=section.number("percent", 100, 1, 100))
