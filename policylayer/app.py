"""The composition root: configuration -> parts -> one ASGI app. With `backstage.py`, the only files that know them all.

`Service` is `serve`: what `backstage.py` has, the active policies, the servers, the data path and the API, begun and
ended in order. The port is opened by whoever runs `Service.app`, after `start` has returned: so it is never open before
policy and database are ready.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp

from policylayer.api.endpoint import PREFIX, Api
from policylayer.api.front import Front
from policylayer.api.health import Health
from policylayer.api.services import Part
from policylayer.api.table import ROUTES
from policylayer.audit import replicas, sinks
from policylayer.audit.checkpoints import Checkpoints, Sink
from policylayer.backstage import SERVE, Backstage, services
from policylayer.config import Config, Server
from policylayer.config.facts import facts_of, known_of
from policylayer.config.load import has_changed
from policylayer.policies import Policies
from policylayer.proxy import limits as proxy_limits
from policylayer.proxy.endpoint import McpEndpoint
from policylayer.proxy.hosts import Hosts
from policylayer.proxy.ports import Deps
from policylayer.rego.opening import opa_server
from policylayer.rego.pool import PoolSettings
from policylayer.revisions.judge import judges
from policylayer.revisions.keeper import Revisions
from policylayer.revisions.process import Process
from policylayer.serve import traces
from policylayer.tasks import spawn
from policylayer.upstream import settings
from policylayer.upstream.registry import Upstreams
from policylayer.wire.credentials import Credentials

if TYPE_CHECKING:
    from policylayer.proxy.tracing import Tracing

SYSTEM: Final = "policylayer"
"""Who did what nobody asked for."""


class Service:
    """The proxy. `url` is where it listens; agents may know it by `public_url`. `judge` is warm already."""

    def __init__(self, config: Config, url: str, judge: Process | None = None) -> None:
        self.config = config
        self.backstage = Backstage(config, SERVE, lambda: self.policies.current)
        self._opa = opa_server(config.opa, self.backstage.clock)
        self._revisions = Revisions(
            config.policies,
            self.backstage.clock,
            self._policy_event,
            known_of(config),
            judge=judges(judge),
            rego=rego_of(config),
            server=self._opa,
        )
        self.policies = Policies(self._revisions, lambda: restart_of(config))
        self.checkpoints = checkpoints_of(config, self.backstage)
        self.upstreams = Upstreams(map(server_settings, config.servers), self.backstage.clock)
        self._exporting = exporting_of(config)
        self.endpoint = McpEndpoint(self._deps(config.public_url or url))
        self.services = services(self.backstage, self.policies, config.public_url or url)
        self.services.parts = self._parts
        if self.backstage.store.dialect == "postgresql":
            self.services.replicas = replicas.revisions
        self.services.counts = lambda: self.endpoint.deps.metrics.counts
        self.services.times = lambda: self.endpoint.deps.metrics.times
        apps: dict[str, ASGIApp] = {PREFIX: Api(self.services, ROUTES), "": Health(self.services)}
        self.app = Front(self.endpoint, apps, hosts_of(config), config.behind_proxy)
        self._begun = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Begin everything, in order; where something cannot begin, end what has, and raise."""
        back = self.backstage
        if self._exporting is not None:
            self._begun.push_async_callback(self._exporting.close)
        try:
            await self._begin(back.start, back.close)
            # Ended after the recorder, so that the last one carries the last row.
            await self._begin(self.checkpoints.start, self.checkpoints.close)
            await self._begin(back.limits.start, back.limits.close)
            await self._begin(back.labels.start, back.labels.close)
            await self._begin(back.recorder.start, back.recorder.close)
            if self._opa is not None:
                await self._begin(self._opa.start, self._opa.close)
            await self._begin(self._revisions.start, self._revisions.close)
            await self._begin(back.authenticator.start, back.authenticator.close)
            await self._begin(back.approvals.start, back.approvals.close)
            await self._begin(back.freezes.start, back.freezes.close)
            await self._begin(self.upstreams.start, self.upstreams.close)
            await self._begin(self.endpoint.start, self.endpoint.close)
        except BaseException:
            await self.close()
            raise
        recheck = self.endpoint.deps.streams.changed
        self._revisions.subscribe(lambda _: recheck())
        back.freezes.subscribe(recheck)
        back.store.subscribe("grants", recheck)

    async def _begin(self, start: Callable[[], Awaitable[Any]], close: Callable[[], Awaitable[Any]]) -> None:
        self._begun.push_async_callback(close)
        await start()

    async def stopping(self) -> None:
        """The end has begun: let go of open streams, so that what is left are answers under way."""
        self.endpoint.release()

    async def close(self) -> None:
        """End everything, the last begun first: outcomes are written before the database closes."""
        await self._begun.aclose()

    def refused(self, reason: str, peer: str | None) -> None:
        """The HTTP server has refused a request before any of this saw it: recorded like other refused input."""
        spawn(self.backstage.recorder.rejected(f"http: {reason}", None, 0, None, peer), "record refused request")

    async def _policy_event(self, type: str, detail: Mapping[str, Any]) -> None:
        await self.backstage.recorder.event(
            type, SYSTEM, {**detail, **replicas.own_name(), "configuration": self.config.digest}
        )

    def _deps(self, base_url: str) -> Deps:
        back, config = self.backstage, self.config
        return Deps(
            clock=back.clock,
            keys=back.keys,
            engine=self.policies,
            recorder=back.recorder,
            approvals=back.approvals,
            authenticator=back.authenticator,
            freezes=back.freezes,
            labels=back.labels.of,
            current=back.current,
            upstreams=self.upstreams,
            servers=facts_of(config),
            hosts=hosts_of(config),
            metadata_url=lambda server: f"{base_url}/.well-known/oauth-protected-resource/mcp/{server}",
            credentials={each.name: Credentials(each.credentials) for each in config.servers if each.credentials},
            behind_proxy=config.behind_proxy,
            limits=limits_of(config),
            replicas=config.database.startswith("postgresql:"),
            traces=tracing_of(self._exporting),
        )

    def _parts(self) -> list[Part]:
        """Policy must be well; servers may fail one by one, which is no reason to take no calls at all."""
        conditions = self.upstreams.conditions()
        detail = {each.name: {"breaker": str(each.breaker), "last_failure": each.last_failure} for each in conditions}
        parts = [self.policies.part(), Part("servers", True, detail)]
        if self._opa is not None:
            told = {"breaker": self._opa.state, "revision": self._opa.revision, "problem": self._opa.problem}
            parts.append(Part("opa", self._opa.ready, told))
        return parts


def hosts_of(config: Config) -> Hosts:
    """Which Host and Origin are allowed."""
    return Hosts.of(
        config.hosts,
        config.origins,
        config.public_url,
        loopback=config.listen.loopback,
        tls=config.tls is not None,
        fronted=bool(config.behind_proxy),
    )


def restart_of(config: Config) -> list[str]:
    """This process, where its configuration's file has changed since it began; asked when someone reloads."""
    return ["{host}:{pid}".format(**replicas.own_name())] if has_changed(config) else []


def rego_of(config: Config) -> PoolSettings:
    """The embedded Rego engine's processes."""
    written = config.rego
    return PoolSettings(workers=written.workers, deadline=written.deadline_ms / 1000, memory=written.memory)


def exporting_of(config: Config) -> traces.Exporting | None:
    """Where spans go: to the configured collector, or to what the operator has set up in this process, if anything."""
    written = config.traces
    if written is None:
        return traces.to_operators()
    return traces.to_collector(written.url, dict(written.headers), written.percent)


def tracing_of(exporting: traces.Exporting | None) -> Tracing | None:
    """Whatever makes spans; imported, with the library, only where they go somewhere."""
    if exporting is None:
        return None
    from policylayer.proxy.tracing import Tracing

    return Tracing(exporting.tracer)


def checkpoints_of(config: Config, backstage: Backstage) -> Checkpoints:
    """Whatever signs the heads of all chains, and sends that away."""
    written = config.audit.checkpoints
    to: list[Sink] = [sinks.to_file(written.file)] if written.file else []
    to += [sinks.to_stdout] if written.stdout else []
    to += [sinks.to_webhook(written.webhook)] if written.webhook else []
    return Checkpoints(backstage.store, backstage.keys, backstage.clock, to, written.seconds, written.every)


def limits_of(config: Config) -> proxy_limits.Limits:
    """The data path's limits, with what the configuration sets.

    The largest answer that any server may give must pass here too, and have room to wait for its reader; what each
    server may give is seen to where it is read.
    """
    default = proxy_limits.DEFAULT
    answer = max([default.answer, *(each.limits.max_answer or 0 for each in config.servers)])
    more = answer - default.answer
    return replace(
        default,
        message=replace(default.message, size=config.limits.message),
        server_message=replace(default.server_message, size=max(default.server_message.size, answer)),
        answer=answer,
        event=max(default.event, answer),
        held=default.held + more,
        held_each=default.held_each + more,
        hold=config.approvals.hold,
        hold_modern=config.approvals.hold_modern,
        sessions=config.limits.sessions,
        calls=config.limits.calls,
    )


def server_settings(server: Server) -> settings.ServerSettings:
    """What the code that talks to a server needs."""
    written = server.limits
    names: dict[str, Any] = {
        "timeout": written.timeout,
        "connect_timeout": written.connect_timeout,
        "max_answer_bytes": written.max_answer,
        "max_calls": written.max_calls,
        "max_streams": written.max_streams,
    }
    limits = replace(settings.Limits(), **{name: value for name, value in names.items() if value is not None})
    if server.url is not None:
        return settings.HttpServer(server.name, server.url, server.headers, limits)
    made = settings.StdioServer(server.name, server.command, server.folder, server.env, limits=limits)
    own: dict[str, Any] = {"max_processes": written.max_processes, "idle_timeout": written.idle_timeout}
    return replace(made, **{name: value for name, value in own.items() if value is not None})
