"""What stands before every server: how much may be open at one time, and the breaker.

Knows nothing of how a server is spoken to; wraps any `Upstream` and every `Answer` it gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import structlog

from policylayer.core.errors import Lost, NotSent, TooLarge, UpstreamError
from policylayer.core.immutable import immutable
from policylayer.core.shares import Shares
from policylayer.upstream.breaker import Breaker, State
from policylayer.upstream.interface import Answer, CircuitOpen, Exchange, Overloaded, Upstream
from policylayer.upstream.settings import Limits

log = structlog.get_logger()

GATEWAY_FAILURES = frozenset({502, 503, 504})
"""Statuses that a gateway before a dead server gives: failures, as far as the breaker is concerned."""


QUIET = 60.0
"""Seconds between two lines in the log that a server is away: one that comes and goes does not flood it."""


@immutable
class Condition:
    """How a server stands, for `/readyz` and the metrics."""

    name: str
    breaker: State
    calls: int
    streams: int
    last_failure: str


class Guarded:
    """An upstream that is not asked more than it may be."""

    def __init__(self, inner: Upstream, limits: Limits, monotonic: Callable[[], float]) -> None:
        self._inner = inner
        self._limits = limits
        self._monotonic = monotonic
        self._breaker = Breaker(limits.breaker_failures, limits.breaker_wait)
        self._calls = Shares(limits.max_calls)
        self._streams = Shares(limits.max_streams)
        self._last_failure = ""
        self._away = False
        self._quiet_until = 0.0

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._inner.name

    @property
    def condition(self) -> Condition:
        """How it stands now."""
        return Condition(self.name, self._breaker.state, self._calls.held, self._streams.held, self._last_failure)

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send it once, or say why not now."""
        endless, owner = exchange.endless, exchange.owner
        self._enter(endless, owner)
        try:
            answer = await self._inner.exchange(exchange)
        except BaseException as error:
            self.leave(endless, owner, error)
            raise
        if answer.status not in GATEWAY_FAILURES:
            self._breaker.began()
        return _GuardedAnswer(self, answer, endless, owner)

    async def close(self) -> None:
        """End all that is open."""
        await self._inner.close()

    def _enter(self, endless: bool, owner: str) -> None:
        """Count one in, or say why not. No owner can take all that the others need too."""
        shares = self._streams if endless else self._calls
        if not shares.room(owner):
            what = "streams" if endless else "calls"
            raise Overloaded(
                f"server `{self.name}` has as many {what} open as it may", f"try again, or raise its max_{what}"
            )
        wait = self._breaker.admit(self._monotonic())
        if wait is not None:
            raise CircuitOpen(
                f"server `{self.name}` failed several times in a row and is left alone for {wait:.0f} s",
                f"see whether it runs; the last failure was: {self._last_failure}",
                retry_after=wait,
            )
        shares.take(owner)

    def leave(self, endless: bool, owner: str, how: BaseException | int) -> None:
        """Count one out, with what became of it."""
        (self._streams if endless else self._calls).give_back(owner)
        self._judge(how)

    def _judge(self, how: BaseException | int) -> None:
        """Tell the breaker. A caller that went away says nothing of the server, and neither does our own limit.

        An answer that is larger than we take is one: else one caller could have the server left alone for all.
        """
        if isinstance(how, TooLarge):
            how = 200
        if isinstance(how, UpstreamError) and not isinstance(how, Overloaded):
            self._failed(how.message, isinstance(how, NotSent | Lost))
        elif isinstance(how, int) and how in GATEWAY_FAILURES:
            self._failed(f"it answered {how}", True)
        elif isinstance(how, int):
            self._breaker.succeeded()
            if self._away:
                self._away = False
                log.warning("server answers again", server=self.name)
        else:
            self._breaker.abandoned()

    def _failed(self, why: str, away: bool) -> None:
        """Logged once for as long as it is away, and not again within a minute of the last time."""
        now = self._monotonic()
        self._last_failure = why
        self._breaker.failed(now)
        if away and not self._away and now >= self._quiet_until:
            self._away, self._quiet_until = True, now + QUIET
            log.warning("server cannot be reached", server=self.name, error=why)


class _GuardedAnswer:
    """An answer whose end is counted, once."""

    __slots__ = ("_endless", "_guard", "_inner", "_left", "_owner", "content_type", "headers", "status")

    def __init__(self, guard: Guarded, inner: Answer, endless: bool, owner: str) -> None:
        self._guard = guard
        self._inner = inner
        self._endless = endless
        self._owner = owner
        self._left = False
        self.status = inner.status
        self.headers = inner.headers
        self.content_type = inner.content_type

    async def read(self, limit: int) -> bytes:
        try:
            body = await self._inner.read(limit)
        except UpstreamError as error:
            self._leave(error)
            raise
        self._leave(self.status)
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner.chunks():
                yield chunk
        except UpstreamError as error:
            self._leave(error)
            raise
        self._leave(self.status)

    def close(self) -> None:
        """A head arrived and nothing failed since: the server is well, whoever ends the answer."""
        self._leave(self.status)
        self._inner.close()

    def _leave(self, how: BaseException | int) -> None:
        if not self._left:
            self._left = True
            self._guard.leave(self._endless, self._owner, how)
