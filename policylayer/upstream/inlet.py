"""The standard input of one process: one message after the other, each whole, and no more in the pipe than it takes.

A message is handed to the pipe only when the pipe is below its mark; until then it waits for its turn, with its caller.
One whose caller leaves, or has no more time, before its turn is taken out and was never sent. What has begun is written
to its end by the pipe itself, whoever leaves: no line is ever cut. Knows neither messages nor processes (`child.py`).
"""

from __future__ import annotations

import asyncio

from policylayer.core.errors import Lost, NotSent, TimedOut, UpstreamError
from policylayer.upstream.interface import Overloaded, Unsent


class Inlet:
    """What is written to one process. At most `most` bytes wait; a message alone may be larger."""

    def __init__(self, name: str, pipe: asyncio.StreamWriter, most: int) -> None:
        self._name = name
        self._pipe = pipe
        self._most = most
        self._turn = asyncio.Lock()
        self._aborted = False
        self.waiting = 0
        """Bytes of messages whose turn has not come."""

    async def write(self, message: bytes, deadline: float | None = None) -> None:
        """Write one line, and see the pipe take it.

        Raises `NotSent` (or `Unsent`, where the caller is cancelled) if nothing of it was written, else `Lost` or
        `TimedOut`; a cancelled caller's line that has begun goes on without it.
        """
        if self.waiting and self.waiting + len(message) > self._most:
            raise Overloaded(
                f"server `{self._name}` does not read what it is sent: more than {self._most} bytes wait for it",
                "try again when it has answered; a server that reads while it works takes more at one time",
            )
        begun = False
        self.waiting += len(message)
        try:
            async with asyncio.timeout_at(deadline), self._turn:
                # One that left may have filled the pipe.
                await self._pipe.drain()
                if self._pipe.is_closing():
                    raise self._ended(begun)
                begun = True
                self.waiting -= len(message)
                self._put(message)
                await self._pipe.drain()
                if self._aborted:
                    raise self._ended(begun)
        except asyncio.CancelledError as left:
            if begun:
                raise
            raise Unsent from left
        except TimeoutError:
            late = f"server `{self._name}` did not take the message in time"
            raise (TimedOut if begun else NotSent)(late) from None
        except (ConnectionError, RuntimeError) as error:
            raise self._ended(begun) from error
        finally:
            if not begun:
                self.waiting -= len(message)

    def post(self, message: bytes) -> None:
        """Write one line at once: for what is small, and said of what was written before."""
        if not self._pipe.is_closing():
            self._put(message)

    def close(self) -> None:
        """End the input, once all that has begun is written."""
        self._pipe.close()

    def abort(self) -> None:
        """Nobody reads it any more: forget what was not taken, and wake whoever waits."""
        self._aborted = True
        # A pipe that holds nothing is over by itself, and asyncio's may not be aborted after its end.
        if self._pipe.transport.get_write_buffer_size():
            self._pipe.transport.abort()

    def _put(self, message: bytes) -> None:
        """Outside strings, where JSON has no raw line breaks, a line break is white space like any other."""
        self._pipe.write(message.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")

    def _ended(self, begun: bool) -> UpstreamError:
        return (Lost if begun else NotSent)(f"the process of server `{self._name}` ended")
