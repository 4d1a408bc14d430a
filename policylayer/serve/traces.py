"""Where spans go: a collector that takes OTLP over HTTP, or whatever an operator's own SDK in this process does.

The SDK and its exporter are an extra, imported only where a collector is configured. Spans are sent from a thread of
the SDK's, which drops them where the collector does not keep up; no call ever waits for it. Must not know what spans
say (`proxy/tracing.py`).
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from policylayer import __version__
from policylayer.core.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

NAME: Final = "policylayer"
PATH: Final = "/v1/traces"
PATIENCE: Final = 3.0
"""Seconds that what is left gets at the end."""

OPERATORS: Final = ("OTEL_PYTHON_TRACER_PROVIDER",)


@dataclass(slots=True)
class Exporting:
    """A tracer, and what is to be ended with the service."""

    tracer: Tracer
    provider: Any = field(default=None)

    async def close(self) -> None:
        """Send what is left, for a bounded time."""
        if self.provider is not None:
            await asyncio.to_thread(self.provider.force_flush, int(PATIENCE * 1000))
            await asyncio.to_thread(self.provider.shutdown)


def to_collector(url: str, headers: Mapping[str, str], percent: int) -> Exporting:
    """Spans of so many in a hundred requests, to a collector. ConfigError where the packages are not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    except ImportError:
        raise ConfigError(
            "`telemetry` needs packages that are not installed", "pip install 'policylayer[otel]'"
        ) from None
    told = {"service.name": NAME, "service.version": __version__, "service.instance.id": instance()}
    # By the trace's own id, whatever the caller's `sampled` says: nobody hides from it, and nobody floods it.
    provider = TracerProvider(resource=Resource.create(told), sampler=TraceIdRatioBased(percent / 100))
    endpoint = url if urlsplit(url).path.strip("/") else url.rstrip("/") + PATH
    exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=PATIENCE)
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=PATIENCE * 1000))
    return Exporting(provider.get_tracer(NAME, __version__), provider)


def to_operators() -> Exporting | None:
    """The tracer of an SDK that the operator has set up in this process; None where there is none.

    The library takes 5 MB and is not imported to find that out.
    """
    if "opentelemetry.trace" not in sys.modules and not any(name in os.environ for name in OPERATORS):
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Exporting(provider.get_tracer(NAME, __version__))


def instance() -> str:
    """Which replica this is: as in `/readyz` and the log's chains."""
    return f"{platform.node()}:{os.getpid()}"
