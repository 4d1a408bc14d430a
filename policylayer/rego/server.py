"""An OPA server as the engine: the same document and the same results as the embedded one's.

With policies of its own it is asked for the document that the configuration names; with ours (`push`), each revision
answers for itself (`pushed.py`), and is put there again where the server has lost it. Undefined is not applicable, but
only of a document that is there: a server that holds no such rule has not said that it objects to nothing. Must not
know HTTP (`connection.py`) nor what a finding leads to (`policy/decide.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final

import structlog

from policylayer.clock import Clock
from policylayer.rego.asked import Asked
from policylayer.rego.connection import Connection, OpaSettings, Unanswered
from policylayer.rego.placing import Unplaceable, placed
from policylayer.rego.pushed import LOST, Pushed, Refused
from policylayer.tasks import spawn

__all__ = ["OpaServer", "OpaSettings"]

EVERY: Final = 5.0
"""Seconds between two looks whether all is there; so long, too, one look holds for undefined answers."""
FIRST: Final = 0.5
LONGEST: Final = 10.0
"""Seconds until the first trial to mend what is lost, and at most between two: each wait is twice the one before."""
MISSING: Final = "holds no such rule (was it started anew, is its bundle not loaded yet, is `opa.path` right?)"


class OpaServer(Asked):
    """Findings from one OPA server, and the revisions on it where they are ours."""

    def __init__(self, settings: OpaSettings, clock: Clock) -> None:
        super().__init__(settings.path)
        self.settings = settings
        self._clock = clock
        self._connection = Connection(settings, clock)
        self._current: Pushed | None = None
        self._pushing = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._there: tuple[int, float] | None = None
        self.problem: str | None = None
        """Why calls that need it are denied, though it answers; None: all is there."""

    async def start(self) -> None:
        """Open the client; the server need not be there yet."""
        await self._connection.start()
        self._keeping = spawn(self._keep(), "OPA server")

    async def close(self) -> None:
        """Close the client."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await self._connection.close()

    async def look(self) -> None:
        """Ask once, about nothing. Raises `Unanswered` where a call could not be decided."""
        if self.pushes:
            await self._connection.modules()
        else:
            await self.decided({})

    @property
    def state(self) -> str:
        """`closed` (in order), `open` (failing closed until tried again), for /readyz and metrics."""
        return self._connection.state

    @property
    def ready(self) -> bool:
        """Whether calls that need it are decided."""
        return self.state == "closed" and self.problem is None

    @property
    def pushes(self) -> bool:
        """Whether the server's policies are ours to manage."""
        return self.settings.push

    @property
    def revision(self) -> str | None:
        """Which of our revisions it decides by; None where that is not known."""
        return self._current.placed.revision if self._current is not None and self.problem is None else None

    async def decided(self, asked: dict[str, Any]) -> tuple[list[Any], object]:
        """What the configured document is. `Unanswered` where it is undefined since there is no rule for it."""
        answer = await self._connection.ask(self.settings.path, asked)
        if "result" in answer:
            return [answer["result"]], answer.get("decision_id")
        if not await self._is_there():
            self._lost(MISSING)
            raise Unanswered(MISSING)
        return [], answer.get("decision_id")

    async def push(self, files: Mapping[str, bytes], revision: str) -> Pushed | str:
        """Put this revision on the server and keep it there from now on; or why it does not hold it.

        What was there before is left as it was, for calls under way and where this one is refused.
        """
        try:
            texts = {name: text.decode() for name, text in files.items()}
            made = placed(texts, revision, self._clock.time_us())
        except (Unplaceable, UnicodeDecodeError) as problem:
            return str(problem)
        pushed = Pushed(self._connection, made, self._lost_one)
        async with self._pushing:
            try:
                await pushed.put()
            except Refused as refusal:
                return str(refusal)
            self._current, self.problem = pushed, None
            await pushed.tidy()
        return pushed

    async def _is_there(self) -> bool:
        """Whether there is a rule for the configured document. Found out now and then: a server that was started anew
        is on another connection, and what else takes a rule away (a bundle) is noticed within seconds."""
        connections = self._connection.connections
        if self._there is not None and self._there[0] == connections and self._clock.monotonic() < self._there[1]:
            return True
        found = await self._connection.has_rules(self.settings.path)
        self._there = (connections, self._clock.monotonic() + EVERY) if found else None
        return found

    def _lost_one(self, pushed: Pushed) -> None:
        if pushed is self._current:  # An old one is not put there again: nobody begins a call by it.
            self._lost(LOST)

    def _lost(self, problem: str) -> None:
        self.problem = problem
        self._wanted.set()

    async def _keep(self) -> None:
        """See to it that all is there: now and then where it is ours, else when it was missed; try ever more seldom."""
        pause = FIRST
        while True:
            if self.problem is None:
                pause = FIRST
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY if self.pushes else None):
                        await self._wanted.wait()
            self._wanted.clear()
            before = self.problem
            try:
                self.problem = await self._mended()
            except Exception as failure:  # A mistake of ours; what is lost stays denied.
                self.problem = f"failed: {type(failure).__name__}"
            if self.problem != before:
                structlog.get_logger().warning("OPA server", problem=self.problem)
            if self.problem is not None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)

    async def _mended(self) -> str | None:
        """What is still wrong, once everything was tried. A server that cannot be asked is the breaker's matter."""
        try:
            if not self.pushes:
                return None if await self._is_there() else MISSING
            async with self._pushing:
                if self._current is None or await self._current.is_held():
                    return None
                self.problem = LOST
                await self._current.put()
                return None
        except Unanswered:
            return self.problem
        except Refused as refusal:
            return f"does not hold this revision: {refusal}"
