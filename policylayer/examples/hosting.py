"""Runs an ASGI app on a loopback port and says where: shared by the example servers.

Knows neither MCP nor the proxy.
"""

from __future__ import annotations

import socket

import uvicorn
from starlette.types import ASGIApp


def listen(app: ASGIApp, port: int, path: str = "/mcp") -> None:
    """Serve `app` on 127.0.0.1 until interrupted; print `listening on URL` first, with the real port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}{path}", flush=True)
        config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])
