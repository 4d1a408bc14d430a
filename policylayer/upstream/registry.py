"""All configured servers by name: what the proxy holds of this package.

Knows the settings and which class speaks to which kind; nothing of calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policylayer.clock import Clock
from policylayer.upstream.addresses import GuardedResolver
from policylayer.upstream.guard import Condition, Guarded
from policylayer.upstream.http import HttpUpstream
from policylayer.upstream.interface import Upstream
from policylayer.upstream.settings import HttpServer, ServerSettings


class Upstreams:
    """The configured servers. `start` before the first call, `close` after the last."""

    def __init__(self, servers: Iterable[ServerSettings], clock: Clock) -> None:
        self._settings: Mapping[str, ServerSettings] = {server.name: server for server in servers}
        self._clock = clock
        self._resolver = GuardedResolver()
        self._open: dict[str, Guarded] = {}

    async def start(self) -> None:
        """Make ready to send; connects nowhere and starts no process yet."""
        for name, settings in self._settings.items():
            self._open[name] = Guarded(self._make(settings), settings.limits, self._clock.monotonic)

    def get(self, server: str) -> Upstream | None:
        """The server of that name, or None where none is configured."""
        return self._open.get(server)

    def conditions(self) -> list[Condition]:
        """How each server stands, for `/readyz` and the metrics."""
        return [upstream.condition for upstream in self._open.values()]

    async def close(self) -> None:
        """End all connections and processes."""
        for upstream in self._open.values():
            await upstream.close()
        self._open.clear()
        await self._resolver.close()

    def _make(self, settings: ServerSettings) -> Upstream:
        if isinstance(settings, HttpServer):
            return HttpUpstream(settings, self._resolver)
        from policylayer.upstream.stdio import StdioUpstream

        return StdioUpstream(settings)
