"""Runs the ASGI app on uvicorn: the ready line, signals, and an orderly end.

A port is bound before anything starts (so that a taken one is told at once), but listened on only when the caller has
started everything behind it. On SIGTERM or SIGINT nothing new is accepted, the app is told to let go of what it holds
(`Hooks.stopping`), and answers under way get a bounded time. Must not know what the app is (`app.py`); the connection's
side is `http_protocol.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn

from policylayer.core.errors import ConfigError
from policylayer.core.immutable import immutable
from policylayer.serve.head import Heads
from policylayer.serve.http_protocol import Deadlines, StrictHttpProtocol

GRACE: Final = 10
"""Seconds that answers under way get once the end has begun."""

BACKLOG: Final = 1024
COLLECT: Final = (20_000, 20, 20)
"""New containers, net, between looks for cycles among them; and how many looks between those at older ones."""


@immutable
class Listen:
    """Where to listen; `tls` is certificate and key."""

    host: str
    port: int
    tls: tuple[Path, Path] | None = None


@dataclass(slots=True)
class Hooks:
    """What the app hears of: `ready` with the real URL, `stopping` before connections drain, `refused` requests."""

    ready: Callable[[str], None] = field(default=lambda url: None)
    stopping: Callable[[], Awaitable[None]] | None = None
    refused: Callable[[str, str | None], None] = field(default=lambda reason, peer: None)


class _Server(uvicorn.Server):
    """uvicorn's server with our hooks, and signals that end it with exit code 0."""

    def __init__(self, config: uvicorn.Config, hooks: Hooks, url: str) -> None:
        self._ended = asyncio.Event()
        super().__init__(config)
        self._hooks = hooks
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._hooks.ready(self._url)

    @property
    def should_exit(self) -> bool:
        """Whether it is to end, as uvicorn asks and we set it."""
        return self._ended.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self._ended.set()
        else:
            self._ended.clear()

    async def main_loop(self) -> None:
        """uvicorn looks ten times a second whether it is to end, and writes the date each second; we are told of the
        end, and `date.py` writes the date when it is needed."""
        await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self._hooks.stopping is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hooks.stopping(), GRACE)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """A second signal ends the waiting; neither is raised again once all is closed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def bind(listen: Listen) -> socket.socket:
    """The bound socket, not listening yet: a taken port is told before anything else starts."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((listen.host, listen.port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"cannot listen on `{listen.host}:{listen.port}`: {(error.strerror or 'failed').lower()}",
            help="end what listens there (`ss -ltnp`), or set another `listen` in the configuration",
        ) from None
    return bound


def url_of(listen: Listen, bound: socket.socket) -> str:
    """The URL of a bound socket, with its real port."""
    port = bound.getsockname()[1]
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return f"{'https' if listen.tls else 'http'}://{host}:{port}"


def settings(app: Any, listen: Listen, hooks: Hooks, deadlines: Deadlines | None = None) -> uvicorn.Config:
    """uvicorn's configuration for `app`."""
    protocol = type(
        "Protocol",
        (StrictHttpProtocol,),
        {
            "deadlines": deadlines or Deadlines(),
            "heads": Heads(),
            "on_refused": staticmethod(hooks.refused),
        },
    )
    tls = _tls(*listen.tls) if listen.tls else None
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        interface="asgi3",
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )
    config.load()
    return config


def _tls(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"cannot read the certificate `{cert}` with the key `{key}`: {error.strerror or error}",
            help="name a PEM certificate chain and its unencrypted key under `tls` in the configuration",
        ) from None
    return context


def settle_memory() -> None:
    """Have the collector of cycles look seldom: it took a quarter of each call.

    What is there when all has begun stays, and need not be walked again; calls leave no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT)


async def serve(
    app: Any, listen: Listen, bound: socket.socket, hooks: Hooks, deadlines: Deadlines | None = None
) -> None:
    """Serve until a signal; returns when everything is closed."""
    server = _Server(settings(app, listen, hooks, deadlines), hooks, url_of(listen, bound))
    settle_memory()
    await server.serve([bound])
