"""A few worker processes for one set of Rego units: deadline for each evaluation, kill and respawn on overrun.

An evaluation that ends by its deadline, by the worker's death or by a full queue raises `EngineFailure`; nothing that a
policy does can keep the caller waiting longer. Must not know what is evaluated (`worker.py`) nor what it means
(`embedded.py`).
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import orjson

from policylayer.core.immutable import immutable
from policylayer.rego.frames import HEADER
from policylayer.tasks import spawn

SPAWN_SECONDS: Final = 10.0


class EngineFailure(Exception):
    """No result: `timed out`, `died`, `is busy`, `could not be started`, `has ended`."""


class NotStarted(EngineFailure):
    """There is no worker, since the machine could not make one: nothing is said about what it was to load."""


@immutable
class PoolSettings:
    """Times in seconds, memory in bytes (data, per worker)."""

    workers: int = 2
    deadline: float = 0.1
    load_deadline: float = 10.0
    wait: float = 1.0
    queue: int = 256
    memory: int = 128 * 1024 * 1024


class _Process(asyncio.Protocol):
    """One worker: a process and one frame under way at most."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.transport: asyncio.Transport | None = None
        self.pending: asyncio.Future[bytes] | None = None
        self.buffer = bytearray()
        self.dead = False
        self.reaped = False

    @classmethod
    async def start(cls, memory: int) -> _Process:
        """A spawned worker that is connected. Raises NotStarted; then nothing of it is left."""
        self = cls()
        try:
            await self._start(memory)
        except BaseException as failure:
            await self.reap()
            if isinstance(failure, OSError):
                # Processes, memory or descriptors ran out: of this machine, and perhaps for a moment only.
                raise NotStarted(f"could not be started ({failure.strerror or type(failure).__name__})") from None
            raise
        return self

    async def _start(self, memory: int) -> None:
        """Spawn with an empty environment, in a session of its own, with one socket and nothing else open."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                ours.setblocking(False)
                self.child = subprocess.Popen(
                    [sys.executable, "-I", "-m", "policylayer.rego.worker", str(memory)],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env={"RUST_BACKTRACE": "0"},  # an error would else map the whole program to name its frames
                    cwd="/",
                    start_new_session=True,
                )
            self.transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing to say first."""

    def data_received(self, data: bytes) -> None:
        """Collect one answer."""
        self.buffer += data
        if len(self.buffer) < HEADER.size:
            return
        (size,) = HEADER.unpack_from(self.buffer)
        if len(self.buffer) >= HEADER.size + size and self.pending is not None and not self.pending.done():
            body = bytes(self.buffer[HEADER.size : HEADER.size + size])
            self.buffer.clear()
            self.pending.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker died, or was killed."""
        self._fail("died")

    def _fail(self, why: str) -> None:
        self.dead = True
        if self.pending is not None and not self.pending.done():
            self.pending.set_exception(EngineFailure(why))

    async def ask(self, frame: bytes, deadline: float) -> Any:
        """One frame's answer within `deadline` seconds, or the worker is killed."""
        if self.dead or self.transport is None:
            raise EngineFailure("died")
        loop = asyncio.get_running_loop()
        self.pending = loop.create_future()
        timer = loop.call_later(deadline, self.kill, "timed out")
        self.transport.write(HEADER.pack(len(frame)) + frame)
        try:
            return orjson.loads(await self.pending)
        except orjson.JSONDecodeError:
            raise EngineFailure("gave an unreadable result") from None
        except asyncio.CancelledError:
            self.kill("died")
            raise
        finally:
            timer.cancel()

    def kill(self, why: str) -> None:
        """End the process at once; whoever waits learns `why`."""
        self._fail(why)
        if self.child is not None:
            self.child.kill()
        if self.transport is not None:
            self.transport.close()

    async def reap(self) -> None:
        """Collect the exit status, so that no zombie stays."""
        self.kill("died")
        if self.child is not None:
            await asyncio.get_running_loop().run_in_executor(None, self.child.wait)
        self.reaped = True


class Pool:
    """Workers that all hold the same units."""

    def __init__(self, units: list[list[tuple[str, str]]], settings: PoolSettings) -> None:
        self.settings = settings
        self._load = orjson.dumps({"op": "load", "units": units})
        self._idle: deque[_Process] = deque()
        self._waiting: deque[asyncio.Future[_Process]] = deque()
        self._all: set[_Process] = set()
        self._closed = False
        self._errands: set[asyncio.Task[None]] = set()
        self.respawns = 0

    async def start(self) -> Any:
        """Start all workers; answer what the first said of the units. Raises EngineFailure; then none is left."""
        first, told = await self._spawn()
        try:
            # Not `gather`: it would go on at the first failure, while the others are still being started.
            async with asyncio.TaskGroup() as group:
                count = 0 if told["problems"] else self.settings.workers - 1
                others = [group.create_task(self._spawn()) for _ in range(count)]
        except BaseException as failure:
            await self.close()
            if isinstance(failure, BaseExceptionGroup):
                raise failure.exceptions[0] from None
            raise
        self._idle.extend((first, *(task.result()[0] for task in others)))
        return told

    async def ask(self, operation: dict[str, Any], deadline: float | None = None) -> Any:
        """One operation on any worker. Raises EngineFailure, at once where the pool has been closed."""
        if self._closed:
            raise EngineFailure("has ended: another revision took over")
        process = await self._take()
        try:
            return await process.ask(orjson.dumps(operation), deadline or self.settings.deadline)
        finally:
            self._give(process)

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        while self._all or self._errands:
            await asyncio.gather(*(process.reap() for process in tuple(self._all)), *tuple(self._errands))
            self._all = {process for process in self._all if not process.reaped}
        self._idle.clear()

    async def _spawn(self) -> tuple[_Process, Any]:
        process = await _Process.start(self.settings.memory)
        self._all.add(process)
        try:
            return process, await process.ask(self._load, self.settings.load_deadline)
        except BaseException:
            self._all.discard(process)
            await process.reap()
            raise

    async def _take(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if not process.dead:
                return process
            self._replace(process)
        if len(self._waiting) >= self.settings.queue:
            raise EngineFailure("is busy")
        future: asyncio.Future[_Process] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            async with asyncio.timeout(self.settings.wait):
                return await future
        except (TimeoutError, asyncio.CancelledError) as ended:
            if future.done() and not future.cancelled():
                self._give(future.result())  # handed over in the same moment
            if isinstance(ended, TimeoutError):
                raise EngineFailure("is busy") from None
            raise

    def _give(self, process: _Process) -> None:
        if process.dead or self._closed:
            self._replace(process)
            return
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(process)
                return
        self._idle.append(process)

    def _replace(self, process: _Process) -> None:
        if process not in self._all:
            return
        self._all.discard(process)
        self._errand(process.reap(), "rego-reap")
        if not self._closed:
            self.respawns += 1
            self._errand(self._refill(), "rego-respawn")

    def _errand(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = spawn(work, name)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _refill(self) -> None:
        """Bring one worker back, patiently: a machine that cannot fork now may be able to in a second."""
        pause = 0.05
        while not self._closed:
            try:
                process, _ = await self._spawn()
            except EngineFailure:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
                continue
            self._give(process)
            return
