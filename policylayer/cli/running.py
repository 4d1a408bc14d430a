"""Runs one service in an event loop of its own: bound first, begun, then listening, and ended in order.

Must not know its parts (`app.py`) nor HTTP (`serve/`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog
import uvloop

from policylayer import __version__
from policylayer.app import Service
from policylayer.config import Config
from policylayer.revisions.process import Process
from policylayer.serve.server import Hooks, Listen, bind, serve, url_of


def run(config: Config, ready: Callable[[str], None], judge: Process | None = None) -> None:
    """Serve `config` until a signal ends it; `ready` is told the URL. `judge` is a process that is warm already."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_config(config, ready, judge))


async def serve_config(config: Config, ready: Callable[[str], None], judge: Process | None = None) -> None:
    """The same in a running loop."""
    tls = (config.tls.cert, config.tls.key) if config.tls else None
    listen = Listen(config.listen.host, config.listen.port, tls)
    bound = bind(listen)
    try:
        service = Service(config, url_of(listen, bound), judge)
        await service.start()
        try:
            _warn(config)
            hooks = Hooks(ready=ready, stopping=partial(_stopping, service), refused=service.refused)
            await serve(service.app, listen, bound, hooks)
        finally:
            await service.close()
        structlog.get_logger().info("stopped")
    finally:
        bound.close()


async def _stopping(service: Service) -> None:
    structlog.get_logger().info("stopping: no new connections, calls under way are answered")
    await service.stopping()


def _warn(config: Config) -> None:
    """Say loudly what makes this proxy less than it could be."""
    log = structlog.get_logger()
    log.info("started", version=__version__, servers=[server.name for server in config.servers])
    if config.local_principal is not None:
        log.warning("requests without a credential are accepted", principal=config.local_principal)
    observed = [server.name for server in config.servers if server.mode == "observe"]
    if observed:
        log.warning("servers in observe mode: nothing is denied there", servers=observed)
