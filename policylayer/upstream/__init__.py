"""Talking to MCP servers: Streamable HTTP (`http`) and stdio (`stdio`) behind one interface (`interface`).

`registry.Upstreams` is what the proxy holds. Nothing here knows policy, grants or audit: it carries the bytes it is
given, says exactly how far a failed call came (`core.errors`: NotSent, Lost, TimedOut, ProtocolFault), and never sends
one twice. `front` is the other direction: a stdio face of the proxy for clients that can only launch a command.
"""

from policylayer.upstream.interface import Answer, CircuitOpen, Exchange, Overloaded, Upstream
from policylayer.upstream.registry import Upstreams
from policylayer.upstream.settings import HttpServer, Limits, ServerSettings, StdioServer

__all__ = [
    "Answer",
    "CircuitOpen",
    "Exchange",
    "HttpServer",
    "Limits",
    "Overloaded",
    "ServerSettings",
    "StdioServer",
    "Upstream",
    "Upstreams",
]
