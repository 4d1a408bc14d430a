"""Real MCP clients behind one face, so that one test can drive each of them through the same situations.

A `Session` lists tools and begins calls; a call's answer is a `Future`, because what decides about a held call happens
meanwhile. Must not know the proxy: it is given a `Way` to one server.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2
from anyio.from_thread import start_blocking_portal
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.support import node
from tests.support.running import COMMAND, environment

DECISION = "io.policylayer/decision"
PATIENCE = 45.0
"""Seconds that a client waits for an answer unless a test says otherwise: longer than anything is held."""

START = 4.0
"""Seconds that the Inspector may take until it has connected."""

INSPECTOR = ("@modelcontextprotocol/inspector", "clients/cli/build/index.js")


@dataclass(frozen=True)
class Way:
    """How one server is reached: through the proxy by URL with a token, or by `policylayer connect` with the same."""

    url: str
    token: str
    connect: bool = False

    @property
    def command(self) -> list[str]:
        """The stdio front of this server."""
        base, _, server = self.url.rpartition("/mcp/")
        return [*COMMAND, "connect", "--url", base, "--server", server]

    @property
    def env(self) -> dict[str, str]:
        """The environment of the stdio front."""
        return environment({"POLICYLAYER_GRANT": self.token})


@dataclass(frozen=True)
class Said:
    """What a client made of the answer to a call. `failure` is set where its caller got an exception instead."""

    text: str = ""
    is_error: bool = False
    decision: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the tool ran and did not complain."""
        return self.failure is None and not self.is_error


def said(result: Mapping[str, Any]) -> Said:
    """A call's result as JSON."""
    parts = [part.get("text", "") for part in result.get("content", ())]
    meta = result.get("_meta") or {}
    return Said("\n".join(parts), bool(result.get("isError")), meta.get(DECISION) or {})


class Session(Protocol):
    """One client, connected."""

    protocol: str | None

    def tools(self) -> set[str]:
        """The names of the tools it is shown."""

    def call(self, tool: str, arguments: Mapping[str, Any], timeout: float = PATIENCE) -> Future[Said]:
        """Begin a call."""


Open = Callable[[Way], AbstractContextManager[Session]]


# --- the Python SDK ---------------------------------------------------------------------------------------------------


class _Python:
    """The SDK's client in an event loop of its own."""

    def __init__(self, portal: Any, client: Client) -> None:
        self._portal = portal
        self._client = client
        self.protocol = client.protocol_version

    def tools(self) -> set[str]:
        return {tool.name for tool in self._portal.call(self._client.list_tools).tools}

    def call(self, tool: str, arguments: Mapping[str, Any], timeout: float = PATIENCE) -> Future[Said]:
        found: Future[Said] = self._portal.start_task_soon(self._call, tool, dict(arguments), timeout)
        return found

    async def _call(self, tool: str, arguments: dict[str, Any], timeout: float) -> Said:
        try:
            result = await self._client.call_tool(tool, arguments, read_timeout_seconds=timeout)
        except Exception as error:
            return Said(failure=f"{type(error).__name__}: {error}")
        return said(result.model_dump(by_alias=True, mode="json"))


def python(mode: str) -> Open:
    """`mcp.client.Client` in one of its modes."""

    @contextlib.asynccontextmanager
    async def client(way: Way) -> Any:
        if way.connect:
            launched = StdioServerParameters(command=way.command[0], args=way.command[1:], env=way.env)
            async with Client(stdio_client(launched), mode=mode) as opened:  # type: ignore[arg-type]
                yield opened
            return
        headers = {"Authorization": f"Bearer {way.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300), trust_env=False) as http,
            Client(streamable_http_client(way.url, http_client=http), mode=mode) as opened,  # type: ignore[arg-type]
        ):
            yield opened

    @contextlib.contextmanager
    def opened(way: Way) -> Iterator[Session]:
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(client(way)) as made:
            yield _Python(portal, made)

    return opened


# --- the TypeScript SDKs ----------------------------------------------------------------------------------------------


class _TypeScript:
    """One of the scripts of `node/`, fed step by step."""

    def __init__(self, process: subprocess.Popen[str], pool: ThreadPoolExecutor) -> None:
        self._process = process
        self._pool = pool
        self._lock = threading.Lock()
        opening = self._read()
        assert "error" not in opening, opening
        self.protocol = opening["protocol"]

    def tools(self) -> set[str]:
        return {tool["name"] for tool in self._step({"list": "tools"})["result"]["tools"]}

    def call(self, tool: str, arguments: Mapping[str, Any], timeout: float = PATIENCE) -> Future[Said]:
        step = {"call": tool, "arguments": arguments, "timeout": int(timeout * 1000)}
        return self._pool.submit(self._call, step)

    def _call(self, step: Mapping[str, Any]) -> Said:
        answer = self._step(step)
        return said(answer["result"]) if "result" in answer else Said(failure=answer["error"]["message"])

    def _step(self, step: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(step) + "\n")
            self._process.stdin.flush()
            return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the client ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


def typescript(version: int) -> Open:
    """The SDK's client of a version; version 2 negotiates (`mode: auto`)."""

    @contextlib.contextmanager
    def opened(way: Way) -> Iterator[Session]:
        where = {"command": way.command, "env": way.env} if way.connect else {"url": way.url, "token": way.token}
        job = {"interactive": True, "timeout": int(PATIENCE * 1000), **where}
        command = [str(node.node()), str(node.script(f"client_v{version}.mjs")), json.dumps(job)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=node.packages(),
            env=node.environment(),
        )
        with process, ThreadPoolExecutor(1) as pool:
            try:
                yield _TypeScript(process, pool)
                assert process.stdin is not None
                process.stdin.close()
                process.wait(10)
            finally:
                process.kill()

    return opened


# --- the Inspector ----------------------------------------------------------------------------------------------------


class _Inspector:
    """The Inspector's command line: a process, and so a session, for each thing asked."""

    protocol = None

    def __init__(self, way: Way, folder: Path, era: str, pool: ThreadPoolExecutor) -> None:
        self._way = way
        self._folder = folder
        self._era = era
        self._pool = pool

    def tools(self) -> set[str]:
        done = self._run("tools/list", PATIENCE)
        assert done.returncode == 0, done.stderr
        return {tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]}

    def call(self, tool: str, arguments: Mapping[str, Any], timeout: float = PATIENCE) -> Future[Said]:
        more = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        return self._pool.submit(self._call, timeout, more)

    def _call(self, timeout: float, more: tuple[str, ...]) -> Said:
        # It has no timeout to set: its caller has, which ends it.
        try:
            done = self._run("tools/call", timeout + START, *more)
        except subprocess.TimeoutExpired:
            return Said(failure="timed out")
        try:
            answer = json.loads(done.stdout)
        except json.JSONDecodeError:
            return Said(failure=done.stderr.strip() or f"exit code {done.returncode}")
        return said(answer["result"])

    def _run(self, method: str, timeout: float, *more: str) -> subprocess.CompletedProcess[str]:
        server = {
            "type": "streamable-http",
            "url": self._way.url,
            "headers": {"Authorization": f"Bearer {self._way.token}"},
            "protocolEra": self._era,
        }
        config = self._folder / f"{threading.get_ident()}.json"
        config.write_text(json.dumps({"mcpServers": {"it": server}}))
        words = ["--config", str(config), "--server", "it", "--format", "json", "--method", method, *more]
        return subprocess.run(
            [*node.entry(*INSPECTOR), *words],
            env={**node.environment(), "HOME": str(self._folder)},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )


def inspector(era: str) -> Open:
    """The Inspector's command line."""

    @contextlib.contextmanager
    def opened(way: Way) -> Iterator[Session]:
        node.packages()
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
            yield _Inspector(way, Path(folder), era, pool)

    return opened


CLIENTS: Mapping[str, Open] = {
    "python-auto": python("auto"),
    "python-legacy": python("legacy"),
    "typescript-v1": typescript(1),
    "typescript-v2": typescript(2),
    "inspector": inspector("legacy"),
}
"""By the name that tests show."""
