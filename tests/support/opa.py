"""A real OPA server on a free loopback port, ended by whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.support.ports import free_port
from tests.support.require import program


@dataclass
class Opa:
    """A running server."""

    url: str
    process: asyncio.subprocess.Process


@asynccontextmanager
async def opa(*arguments: str, port: int | None = None) -> AsyncIterator[Opa]:
    """`opa run --server` with these arguments, ready."""
    executable, port = program("opa"), port or free_port()
    address = f"127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        executable, "run", "--server", "--skip-version-check", "--log-level=error", f"--addr={address}", *arguments
    )
    try:
        await _ready(f"http://{address}/health", process)
        yield Opa(f"http://{address}", process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession(trust_env=False) as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.02)
    raise AssertionError("opa did not start")
