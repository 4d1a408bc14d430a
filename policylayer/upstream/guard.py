"""What stands before every server: how much may be open at one time, and the breaker.

Knows nothing of how a server is spoken to; wraps any `Upstream` and every `Answer` it gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from policylayer.core.errors import UpstreamError
from policylayer.core.immutable import immutable
from policylayer.upstream.breaker import Breaker, State
from policylayer.upstream.interface import Answer, CircuitOpen, Exchange, Overloaded, Upstream
from policylayer.upstream.settings import Limits

GATEWAY_FAILURES = frozenset({502, 503, 504})
"""Statuses that a gateway before a dead server gives: failures, as far as the breaker is concerned."""


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
        self._calls = 0
        self._streams = 0
        self._last_failure = ""

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._inner.name

    @property
    def condition(self) -> Condition:
        """How it stands now."""
        return Condition(self.name, self._breaker.state, self._calls, self._streams, self._last_failure)

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send it once, or say why not now."""
        leave = self._enter(exchange.endless)
        try:
            answer = await self._inner.exchange(exchange)
        except BaseException as error:
            leave(error)
            raise
        if answer.status not in GATEWAY_FAILURES:
            self._breaker.began()
        return _GuardedAnswer(answer, leave)

    async def close(self) -> None:
        """End all that is open."""
        await self._inner.close()

    def _enter(self, endless: bool) -> Callable[[BaseException | int], None]:
        """Count one in; what it returns counts it out, once, with what became of it."""
        full = self._streams >= self._limits.max_streams if endless else self._calls >= self._limits.max_calls
        if full:
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
        self._count(endless, 1)
        left = False

        def leave(how: BaseException | int) -> None:
            nonlocal left
            if not left:
                left = True
                self._count(endless, -1)
                self._judge(how)

        return leave

    def _count(self, endless: bool, by: int) -> None:
        if endless:
            self._streams += by
        else:
            self._calls += by

    def _judge(self, how: BaseException | int) -> None:
        """Tell the breaker. A caller that went away says nothing of the server, and neither does our own limit."""
        if isinstance(how, UpstreamError) and not isinstance(how, Overloaded):
            self._last_failure = how.message
            self._breaker.failed(self._monotonic())
        elif isinstance(how, int) and how in GATEWAY_FAILURES:
            self._last_failure = f"it answered {how}"
            self._breaker.failed(self._monotonic())
        elif isinstance(how, int):
            self._breaker.succeeded()
        else:
            self._breaker.abandoned()


class _GuardedAnswer:
    """An answer whose end is counted."""

    __slots__ = ("_inner", "_leave")

    def __init__(self, inner: Answer, leave: Callable[[BaseException | int], None]) -> None:
        self._inner = inner
        self._leave = leave

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    @property
    def content_type(self) -> str:
        return self._inner.content_type

    async def read(self, limit: int) -> bytes:
        try:
            body = await self._inner.read(limit)
        except UpstreamError as error:
            self._leave(error)
            raise
        self._leave(self._inner.status)
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner.chunks():
                yield chunk
        except UpstreamError as error:
            self._leave(error)
            raise
        self._leave(self._inner.status)

    async def close(self) -> None:
        """A head arrived and nothing failed since: the server is well, whoever ends the answer."""
        self._leave(self._inner.status)
        await self._inner.close()
