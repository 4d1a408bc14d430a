"""One process of a stdio server: started clean, read line by line, ended as a group.

Knows lines, not messages (`conversation.py` does). Its environment is a short list of names and what is configured for
it, never ours; it leads a process group of its own, so that whatever it starts ends with it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import structlog

from policylayer.core.errors import Lost, NotSent, Overrun
from policylayer.tasks import spawn
from policylayer.upstream.inlet import Inlet
from policylayer.upstream.settings import StdioServer
from policylayer.upstream.stderr import Lines

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")

MOST_SAID: Final = 200
"""Lines of standard error that are logged between two messages; a process that says more is cut short."""

LINES_AT_ONCE: Final = 64
"""Lines read before others have a turn: what is buffered is read without waiting."""

log = structlog.get_logger()


def environment(configured: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """What a process sees: the inherited names that are set, then what is configured for it."""
    return {name: ours[name] for name in INHERITED if name in ours} | dict(configured)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Streams for the pipes, and the exit itself: `Process.wait` may wait for the pipes too, which others may hold."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        """The process has ended and is reaped."""
        super().process_exited()
        self.exited.set()


class Child:
    """A running process. `on_line` is called with each line it writes, `on_end` once, after the last one, with what
    becomes of calls under way."""

    def __init__(
        self,
        settings: StdioServer,
        transport: asyncio.SubprocessTransport,
        protocol: _Protocol,
        on_line: Callable[[bytes], None],
        on_end: Callable[[Lost], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())
        assert self._process.stdin is not None
        self._inlet = Inlet(settings.name, self._process.stdin, settings.max_waiting_bytes)
        self._exited = protocol.exited
        self._on_line = on_line
        self._on_end = on_end
        self._said = 0
        self._log = log.bind(server=settings.name, pid=self._process.pid)
        self._running = spawn(self._run(), f"stdio {settings.name} {self._process.pid}")
        self._stderr = spawn(self._listen_to_stderr(), f"stderr {settings.name} {self._process.pid}")

    @classmethod
    async def start(
        cls, settings: StdioServer, on_line: Callable[[bytes], None], on_end: Callable[[Lost], None]
    ) -> Child:
        """Start the configured command. Raises `NotSent` where it cannot be."""
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(settings.limits.max_answer_bytes),
                *settings.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=settings.cwd,
                env=environment(settings.env, os.environ),
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(settings, error) from error
        log.info("server process started", server=settings.name, pid=transport.get_pid(), command=settings.command[0])
        return cls(settings, transport, protocol, on_line, on_end)

    @property
    def running(self) -> bool:
        """Whether it can still be written to."""
        return self._process.returncode is None and not self._running.done()

    @property
    def code(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        return self._process.returncode

    async def write(self, message: bytes, deadline: float | None = None) -> None:
        """Write one message as one line, when it is its turn. Raises as `Inlet.write` does."""
        self._said = 0
        await self._inlet.write(message, deadline)

    def post(self, message: bytes) -> None:
        """Write one at once, whether or not the process takes it: for what is small."""
        self._said = 0
        with suppress(ConnectionError, RuntimeError):
            self._inlet.post(message)

    async def stop(self) -> None:
        """End it: close its input, then ask, then kill; it and what it started. Returns when it is gone."""
        self._inlet.close()
        for ask in (None, signal.SIGTERM, signal.SIGKILL):
            if ask is not None:
                self._signal(ask)
            done, _ = await asyncio.wait({self._running}, timeout=self._settings.stop_timeout)
            if done:
                return

    async def _run(self) -> None:
        """Read lines until it ends; then see to it that nothing of its group is left."""
        lines = spawn(self._read_lines(), "stdio lines")
        exit = spawn(self._exited.wait(), "stdio exit")
        try:
            await asyncio.wait({lines, exit}, return_when=asyncio.FIRST_COMPLETED)
            await self._clear(lines, exit)
        finally:
            self._signal(signal.SIGKILL)
            for task in (lines, exit, self._stderr):
                task.cancel()
            self._transport.close()
            self._inlet.abort()
        wrong = lines.done() and not lines.cancelled() and lines.result()
        why = wrong or f"it ended with code {self.code}"
        self._log.info("server process ended", code=self.code, why=why)
        told = f"the process of server `{self._settings.name}` ended: {why}"
        self._on_end((Overrun if wrong else Lost)(told, "its standard error is in the log"))

    async def _clear(self, lines: asyncio.Task[str], exit: asyncio.Task[Any]) -> None:
        """Its output or the process itself has ended: so must the other, and all it started, in this order."""
        grace = self._settings.stop_timeout
        if lines.done() and not lines.result():
            await asyncio.wait({exit}, timeout=grace)
        for ask in (signal.SIGTERM, signal.SIGKILL):
            if not (lines.done() and exit.done()):
                self._signal(ask)
                await asyncio.wait({lines, exit}, timeout=grace)

    async def _read_lines(self) -> str:
        """Pass on each line; return what was wrong, or nothing at the end of its output."""
        assert self._process.stdout is not None
        for count in itertools.count(1):
            if count % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                line = await self._process.stdout.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                if end.partial.strip():
                    self._on_line(end.partial.strip())
                return ""
            except asyncio.LimitOverrunError:
                return f"it wrote a line of more than {self._settings.limits.max_answer_bytes} bytes"
            except ConnectionError:
                return ""
            if line := line.strip():
                self._on_line(line)
        return ""

    async def _listen_to_stderr(self) -> None:
        """Drain its standard error into the log, cut short, with configured secrets masked."""
        assert self._process.stderr is not None
        lines = Lines(self._settings.env.values())
        try:
            while data := await self._process.stderr.read(16 * 1024):
                self._log_said(lines.feed(data))
        finally:
            self._log_said(lines.end())

    def _log_said(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self._said <= MOST_SAID:
                self._said += 1
                self._log.info("server stderr", line=line if self._said <= MOST_SAID else "(more is not logged)")

    def _signal(self, what: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, what)


def _not_started(settings: StdioServer, error: OSError) -> NotSent:
    program = settings.command[0]
    if isinstance(error, FileNotFoundError):
        if settings.cwd is not None and not settings.cwd.is_dir():
            return NotSent(
                f"server `{settings.name}` cannot be started: its folder `{settings.cwd}` does not exist",
                f"correct `cwd` of `{settings.name}` in the configuration",
            )
        return NotSent(
            f"server `{settings.name}` cannot be started: there is no program `{program}`",
            f"install it, or write its full path in `command` of `{settings.name}`",
        )
    reason = (error.strerror or type(error).__name__).lower()
    return NotSent(f"server `{settings.name}` cannot be started: `{program}`: {reason}", "see the server's `command`")
