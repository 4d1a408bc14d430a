"""The configuration as frozen values: everything resolved, checked and given its default.

Must not know files or YAML (`load.py`). Times are in seconds, sizes in bytes, paths absolute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, TypeAlias

from policylayer.core.call import Unwrap
from policylayer.core.immutable import immutable

Arguments: TypeAlias = Literal["none", "digest", "read", "redacted", "full"]
"""How much of a call's arguments the decision log keeps."""

Network: TypeAlias = "IPv4Network | IPv6Network"


@immutable
class Address:
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int
    loopback: bool


@immutable
class Tls:
    """PEM files."""

    cert: Path
    key: Path


@immutable
class KeySource:
    """Where the service's secret is: files (the first is current), or a variable's value."""

    files: tuple[Path, ...]
    value: str | None = field(default=None, repr=False)
    variable: str = ""
    """The variable's name, for messages."""


@immutable
class ServerLimits:
    """What one server may take of the proxy; None: the proxy's default."""

    timeout: float | None = None
    connect_timeout: float | None = None
    max_answer: int | None = None
    max_calls: int | None = None
    max_streams: int | None = None
    max_processes: int | None = None
    idle_timeout: float | None = None


@immutable
class Server:
    """One MCP server. Exactly one of `url` and `command` is set. `folder` is where its command runs.

    `arguments` is how much of calls' arguments is kept; `tools` are tools, or globs of them, with modes of their own.
    `unwrap` are its tools that call others; `credentials` are what its answers must not tell.
    """

    name: str
    url: str | None
    command: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    cwd: str | None
    folder: Path
    mode: Literal["enforce", "observe"]
    trust_annotations: bool
    arguments: Arguments
    limits: ServerLimits
    unwrap: tuple[Unwrap, ...] = ()
    tools: tuple[tuple[str, Arguments], ...] = ()
    credentials: tuple[str, ...] = field(default=(), repr=False)


@immutable
class Approvals:
    """How long calls are held, and approvals are good."""

    hold: float = 30.0
    hold_modern: float = 240.0
    expires: int = 3600


@immutable
class Checkpoints:
    """After how many rows or seconds one is signed, and where its line goes besides the database."""

    every: int = 1000
    seconds: int = 60
    file: Path | None = None
    stdout: bool = False
    webhook: str | None = field(default=None, repr=False)


@immutable
class Audit:
    """What the decision log keeps of arguments; `secret_keys` are further names whose values are masked."""

    arguments: Arguments = "redacted"
    secret_keys: tuple[str, ...] = ()
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


@immutable
class Traces:
    """Where spans go, by OTLP over HTTP, and of how many in a hundred requests."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    percent: int = 100


@immutable
class Limits:
    """How much the proxy as a whole takes in: handshake sessions, and calls under way at one time."""

    message: int = 4 * 1024 * 1024
    sessions: int = 10_000
    calls: int = 1_000


@immutable
class Rego:
    """The embedded engine's processes; `memory` in bytes for each."""

    workers: int = 2
    deadline_ms: int = 100
    memory: int = 128 * 1024 * 1024


@immutable
class Opa:
    """An OPA server that is asked beside the files. `push`: its policies are ours to manage."""

    url: str
    path: str
    token: str | None = field(repr=False)
    ca: Path | None
    deadline_ms: int
    push: bool


@immutable
class Config:
    """The whole file. `policies` is a folder, or `git:REPOSITORY@REF` with an absolute repository."""

    file: Path
    listen: Address
    public_url: str | None
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    behind_proxy: tuple[Network, ...]
    tls: Tls | None
    database: str
    policies: str
    keys: KeySource
    servers: tuple[Server, ...]
    approvals: Approvals
    audit: Audit
    session_window: int
    local_principal: str | None
    limits: Limits
    rego: Rego = field(default_factory=Rego)
    opa: Opa | None = None
    traces: Traces | None = None
    digest: str = ""
    """Of the file's bytes: what a process began with, held against what lies there now."""

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return self.file.parent
