"""An event loop in a thread of its own: servers that answer while a test blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """A loop that runs for as long as the block."""

    def __enter__(self) -> Background:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background loop", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 20.0) -> T:
        """Its result."""
        return self.begin(work).result(timeout)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begun, to be waited for later."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def soon(self, what: Callable[[], object]) -> None:
        """Call it on the loop."""
        self._loop.call_soon_threadsafe(what)
