"""What the data path needs of the rest of the program, and the bundle it is handed.

The protocols name only what is used here, so that tests can put small fakes in. `app.py` puts the real ones in. Must
not know how any of it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Protocol

from policylayer.audit.context import CallContext
from policylayer.clock import Clock
from policylayer.core.call import Call, Caller, Question, ServerFacts
from policylayer.core.commands import (
    AlreadyConsumed,
    Found,
    OverLimit,
    Record,
    Recorded,
    RecordOutcome,
    Unrecorded,
    Waited,
    Waived,
)
from policylayer.core.decision import Charge, Decision, HoldRule
from policylayer.core.redact import Path
from policylayer.keys import Keys
from policylayer.proxy.hosts import Hosts
from policylayer.proxy.limits import Limits
from policylayer.proxy.load import Load
from policylayer.proxy.metrics import Metrics
from policylayer.proxy.patience import Patience
from policylayer.proxy.sessions import Sessions
from policylayer.proxy.streams import Streams
from policylayer.proxy.task_owners import TaskOwners
from policylayer.proxy.tools_seen import ToolsSeen
from policylayer.upstream.interface import Upstream
from policylayer.wire.credentials import Credentials

if TYPE_CHECKING:
    from policylayer.proxy.tracing import Tracing


class Engine(Protocol):
    """The active policy set, with whatever other engines are part of it."""

    @property
    def revision(self) -> str:
        """Which one it is."""

    def decide(self, question: Question) -> Awaitable[Decision]:
        """What it says. Whatever it raises means that there is no decision."""

    async def listed(self, question: Question) -> bool:
        """Whether a list may show a target, whose arguments (of a template, whose URI) are not there yet."""

    def reads(self, server: str, method: str, target: str | None) -> frozenset[Path] | None:
        """Which fields of such calls its rules read, or None where that is not known."""


class Recorder(Protocol):
    """The decision log."""

    async def record(
        self, cmd: Record, context: CallContext, decide_us: int | None = None
    ) -> Recorded | OverLimit | AlreadyConsumed | Unrecorded:
        """Write a row durably, with what must happen in its transaction."""

    async def outcome(self, cmd: RecordOutcome) -> Recorded | Unrecorded:
        """Write how a forwarded row ended."""

    async def event(self, type: str, actor: str | None, detail: Mapping[str, Any]) -> None:
        """Write something that happened. Raises where it cannot."""

    async def rejected(
        self,
        reason: str,
        body_sha256: bytes | None,
        length: int,
        caller: Caller | None = None,
        ip: str | None = None,
        server: str | None = None,
    ) -> None:
        """Write that input was refused, or count it where there is too much of that."""


class Approvals(Protocol):
    """Held calls and their approvals."""

    async def seek(self, caller: Caller, call: Call) -> Found | None:
        """What is known of exactly this call."""

    async def waived(
        self, caller: Caller, call: Call, holds: Sequence[HoldRule], charges: Sequence[Charge] = ()
    ) -> tuple[Waived, ...]:
        """The waivers that satisfy rules which hold this call, which is to charge these; each is used once."""

    async def wait(self, approval_id: str, deadline: float) -> Waited:
        """Wait until it is settled, or until the monotonic deadline."""


class Authenticator(Protocol):
    """Who presents a credential."""

    async def agent(self, authorization: bytes | None, ip: str | None = None) -> Caller | None:
        """The caller of a request, or None."""


class Freeze(Protocol):
    """One freeze in force."""

    @property
    def reason(self) -> str:
        """The operator's words."""


class Freezes(Protocol):
    """The freezes in force."""

    def frozen(self, principals: Iterable[str], server: str) -> Freeze | None:
        """The one that stops such a call, or None."""


class Current(Protocol):
    """Whether what is in memory of freezes and labels is up to date."""

    @property
    def stale(self) -> bool:
        """Whether there may be changes that are older than promised, and not known here."""

    async def refresh(self) -> None:
        """Read them. Raises `AuditUnavailable`."""


class Always:
    """Where nobody else changes anything."""

    stale = False

    async def refresh(self) -> None:
        """There is nothing to read."""


class Upstreams(Protocol):
    """The configured servers."""

    def get(self, server: str) -> Upstream | None:
        """One of them."""


def no_labels(_caller: Caller) -> frozenset[str]:
    """Where nothing keeps labels, no grant carries any."""
    return frozenset()


@dataclass(slots=True)
class Deps:
    """Everything. The last group is the data path's own, and lives as long as the process."""

    clock: Clock
    keys: Keys
    engine: Engine
    recorder: Recorder
    approvals: Approvals
    authenticator: Authenticator
    freezes: Freezes
    upstreams: Upstreams
    servers: Mapping[str, ServerFacts]
    hosts: Hosts
    metadata_url: Callable[[str], str | None] = lambda _server: None
    labels: Callable[[Caller], frozenset[str]] = no_labels
    current: Current = field(default_factory=Always)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    behind_proxy: tuple[IPv4Network | IPv6Network, ...] = ()
    limits: Limits = field(default_factory=Limits)
    replicas: bool = False
    traces: Tracing | None = None

    metrics: Metrics = field(default_factory=Metrics)
    patience: Patience = field(default_factory=Patience)
    sessions: Sessions = field(init=False)
    streams: Streams = field(init=False)
    tasks: TaskOwners = field(init=False)
    tools: ToolsSeen = field(init=False)
    load: Load = field(init=False)

    def __post_init__(self) -> None:
        monotonic = self.clock.monotonic
        self.sessions = Sessions(monotonic, self.limits, self.keys, self.replicas)
        self.streams = Streams(self.limits, self.metrics)
        self.tasks = TaskOwners(monotonic, self.limits)
        self.tools = ToolsSeen(monotonic, self.limits)
        self.load = Load(self.limits.calls, self.limits.held, self.limits.held_each)
