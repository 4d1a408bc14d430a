"""Reading large messages beside the event loop, so that others have their turn meanwhile.

Who is cancelled while it waits gets nothing, and nothing is begun for it; what has begun is finished for nobody. Must
not know what is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

INLINE: Final = 256 * 1024
"""Bytes of a message that is read without leaving the loop."""

_reader: Final = ThreadPoolExecutor(1, thread_name_prefix="reader")
"""One: several would read no faster, since one interpreter runs them all, and the loop would wait for each of them."""


async def read(size: int, work: Callable[P, T], /, *args: P.args, **named: P.kwargs) -> T:
    """What `work` gives, on a message of so many bytes: at once, or where it is large, beside the loop."""
    return work(*args, **named) if size <= INLINE else await aside(work, *args, **named)


async def aside(work: Callable[P, T], /, *args: P.args, **named: P.kwargs) -> T:
    """What `work` gives, done in a thread. It must change nothing that others see."""
    return await asyncio.get_running_loop().run_in_executor(_reader, partial(work, *args, **named))
