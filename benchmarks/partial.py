"""The proxy with parts of it left out, for comparison alone: `python -m benchmarks.partial CONFIG policy,log`.

Everything else is as in `serve`: the same path from the first byte to the last. Not a setting of the program.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from benchmarks.inside import leave_out
from policylayer.app import Service
from policylayer.config import load
from policylayer.serve.logs import configure
from policylayer.serve.server import Hooks, Listen, bind, serve, url_of


async def main(config_path: Path, parts: list[str]) -> None:
    """Serve until a signal."""
    config = load(config_path)
    listen = Listen(config.listen.host, config.listen.port)
    bound = bind(listen)
    service = Service(config, url_of(listen, bound))
    await service.start()
    try:
        leave_out(service, parts)
        hooks = Hooks(ready=lambda url: print(f"listening on {url}", flush=True), stopping=service.stopping)
        await serve(service.app, listen, bound, hooks)
    finally:
        await service.close()
        bound.close()


if __name__ == "__main__":
    configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), sys.argv[2].split(",")))
