"""What the configuration says of one MCP server, as the code that talks to it needs it.

Must not know the configuration file: `config/` maps its own models to these and checks what people write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TypeAlias

from policylayer.core.immutable import immutable


@immutable
class Limits:
    """What one server may take of us. Times in seconds, sizes in bytes.

    `timeout` bounds one call from its first byte to the last byte of its answer; streams without an end (GET,
    subscriptions) are not bounded by it. `max_calls` and `max_streams` are open at one time; over them: `Overloaded`.
    """

    connect_timeout: float = 5.0
    timeout: float = 300.0
    max_answer_bytes: int = 16 * 1024 * 1024
    max_calls: int = 512
    max_streams: int = 512
    breaker_failures: int = 5
    breaker_wait: float = 1.0


@immutable
class HttpServer:
    """A server spoken to over Streamable HTTP. `headers` are added to every request and may be credentials."""

    name: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limits: Limits = Limits()


@immutable
class StdioServer:
    """A server that is a command, spoken to over its standard input and output.

    One process runs per handshake session, and at 2026-07-28 one per owner; `max_processes` bounds both together. One
    that nothing asked of for `idle_timeout` is ended (`session_idle_timeout` where it is a session's). At most
    `max_waiting_bytes` wait for one process that does not read.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_processes: int = 32
    max_waiting_bytes: int = 16 * 1024 * 1024
    idle_timeout: float = 300.0
    session_idle_timeout: float = 3600.0
    stop_timeout: float = 3.0
    limits: Limits = Limits()


ServerSettings: TypeAlias = HttpServer | StdioServer
