"""What is being said with one process: which messages belong to which request, and who hears the rest.

Where a process is shared (2026-07-28: one per owner, whose clients may use the same ids), ids and progress tokens are
rewritten into a namespace of the process by splicing the bytes, and back on the way out; nothing else is changed.
Where it is a session's own, bytes pass as they are. Must not know HTTP (`stdio.py`) or how a process runs (`child.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from policylayer.core.errors import Lost, NotSent, TimedOut
from policylayer.tasks import spawn
from policylayer.upstream.child import Child
from policylayer.upstream.glance import SUBSCRIPTION, Glance, Id, glance
from policylayer.upstream.interface import Unsent
from policylayer.upstream.mailbox import Mailbox
from policylayer.upstream.settings import StdioServer
from policylayer.wire import splice

GENERAL: Final = frozenset(
    {
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    }
)
"""Notifications that belong to no request."""

MOST_KEPT: Final = 256
"""Messages kept for a session whose GET stream is not open, and their bytes; the oldest go first."""

MOST_KEPT_BYTES: Final = 1024 * 1024

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Ticket:
    """One request under way: its mailbox, and what it was called by its sender."""

    id: Id
    said: Glance
    mailbox: Mailbox
    sent_id: bytes = b""
    sent_token: bytes | None = None
    endless: bool = False
    answer: bytes | None = None
    """The response itself, once it has come; it is also the mailbox's last message."""

    error_code: int | None = None


class Conversation:
    """One process and all that is open with it."""

    def __init__(self, settings: StdioServer, shared: bool, on_end: Callable[[Conversation], None]) -> None:
        self._settings = settings
        self.shared = shared
        self._on_end = on_end
        self._child: Child | None = None
        self._tickets: dict[Id, Ticket] = {}
        self._listener: Mailbox | None = None
        self._kept: deque[bytes] = deque()
        self._kept_size = 0
        self._next_id = 0
        self._idle: asyncio.TimerHandle | None = None
        self._stopping = False
        self._noted: dict[str, int] = {}
        self.fresh = True
        """Whether nothing but a refused `server/discover` was ever said: a later `initialize` may have the process."""

    async def start(self) -> None:
        """Start the process. Raises `NotSent`."""
        self._child = await Child.start(self._settings, self._heard, self._ended)
        self._rest()

    @property
    def running(self) -> bool:
        """Whether it can be spoken to."""
        return self._child is not None and self._child.running and not self._stopping

    @property
    def listening(self) -> bool:
        """Whether a GET stream is open."""
        return self._listener is not None and not self._listener.ended

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._tickets)

    def is_open(self, id: Id) -> bool:
        """Whether a request of that id is under way (only where ids are not rewritten)."""
        return not self.shared and id in self._tickets

    async def ask(self, raw: bytes, said: Glance, endless: bool, deadline: float | None = None) -> Ticket:
        """Send a request; what comes for it is in the ticket's mailbox. Raises as `Inlet.write` does."""
        assert said.id is not None
        child = self._alive()
        self._stir()
        if said.method != "server/discover":
            self.fresh = False
        ticket = Ticket(said.id, said, Mailbox(self._settings.name, self._settings.limits.max_answer_bytes))
        ticket.endless = endless
        if self.shared:
            raw = self._rename(raw, said, ticket)
        self._tickets[ticket.id] = ticket
        try:
            await child.write(raw, deadline)
        except (NotSent, Unsent):
            self.drop(ticket, "it was never sent", cancel=False)
            raise
        except TimedOut:
            self.drop(ticket, "it took too long")
            raise
        except BaseException:
            self.drop(ticket, "nobody waits for it", cancel=self.shared)
            raise
        return ticket

    async def tell(self, raw: bytes, deadline: float | None = None) -> None:
        """Send a notification, or the response to a request of the server. Raises as `Inlet.write` does."""
        child = self._alive()
        self._stir()
        self.fresh = False
        await child.write(raw, deadline)
        if not self._tickets and not self.listening:
            self._rest()

    def listen(self) -> Mailbox:
        """Hear what belongs to no request, beginning with what was kept."""
        self._stir()
        self._listener = Mailbox(self._settings.name, self._settings.limits.max_answer_bytes)
        for message in self._kept:
            self._listener.put(message)
        self._kept.clear()
        self._kept_size = 0
        return self._listener

    def hush(self, listener: Mailbox) -> None:
        """The reader of `listener` went away."""
        listener.end()
        if self._listener is listener:
            self._listener = None
        self._rest()

    def drop(self, ticket: Ticket, reason: str, cancel: bool = True) -> None:
        """Nobody waits for this request any more; the server is told, unless it has answered."""
        ticket.mailbox.end()
        if self._tickets.pop(ticket.id, None) is None:
            return
        if cancel and self._child is not None:
            params = {"requestId": ticket.id, "reason": reason}
            self._child.post(orjson.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        self._rest()

    async def stop(self) -> None:
        """End the process and all that is open."""
        self._stopping = True
        self._stir()
        if self._child is not None:
            await self._child.stop()

    # --- what the process says ----------------------------------------------------------------------------------------

    def _heard(self, line: bytes) -> None:
        """A line came; one that cannot be understood is passed over."""
        try:
            self._sort(line, glance(line))
        except (KeyError, ValueError):
            self._note("server wrote a message that cannot be read", size=len(line))

    def _sort(self, line: bytes, said: Glance | None) -> None:
        """Find whose a message is."""
        if said is None:
            self._note("server wrote a line that is no message", size=len(line))
        elif said.kind == "response":
            self._answered(line, said)
        elif (ticket := self._named_by(said)) is not None:
            ticket.mailbox.put(self._restore(line, ticket))
        elif said.token is not None and said.method == "notifications/progress":
            self._note("server reports progress of a request that is over")
        else:
            self._route(line, said)

    def _answered(self, line: bytes, said: Glance) -> None:
        ticket = self._tickets.pop(said.id, None) if said.id is not None else None
        if ticket is None:
            self._note("server answered a request that is not open")
            return
        if said.error_code is None or said.error_code not in (-32601, -32602, -32600):
            self.fresh = False
        ticket.answer = self._restore(line, ticket, answer=True)
        ticket.error_code = said.error_code
        ticket.mailbox.put(ticket.answer)
        ticket.mailbox.end()
        self._rest()

    def _named_by(self, said: Glance) -> Ticket | None:
        """The open request that a message names by its progress token or its subscription."""
        if said.subscription is not None:
            return self._tickets.get(said.subscription)
        if said.method == "notifications/progress" and said.token is not None:
            if self.shared:
                return self._tickets.get(said.token)
            return next((t for t in self._tickets.values() if t.said.token == said.token), None)
        return None

    def _route(self, line: bytes, said: Glance) -> None:
        """A message that names no request: to the only open one it can belong to, else to the session's own stream."""
        open_calls = [ticket for ticket in self._tickets.values() if not ticket.endless]
        if self.shared:
            if len(open_calls) == 1:
                open_calls[0].mailbox.put(line)
            else:
                self._note("server sent a message that belongs to no one", method=said.method[:100])
        elif len(open_calls) == 1 and said.method not in GENERAL:
            open_calls[0].mailbox.put(line)
        elif self._listener is not None and not self._listener.ended:
            self._listener.put(line)
        elif open_calls:
            open_calls[-1].mailbox.put(line)
        else:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        self._kept.append(line)
        self._kept_size += len(line)
        while len(self._kept) > MOST_KEPT or self._kept_size > MOST_KEPT_BYTES:
            self._kept_size -= len(self._kept.popleft())
            self._note("a message that nobody fetched was dropped")

    def _note(self, event: str, **more: object) -> None:
        """Log the first of its kind, the second, the fourth and so on: a server cannot flood the log."""
        count = self._noted[event] = self._noted.get(event, 0) + 1
        if count & (count - 1) == 0:
            log.warning(event, server=self._settings.name, count=count, **more)

    def _ended(self, error: Lost) -> None:
        """The process is gone: what was sent is lost."""
        self._stir()
        for ticket in list(self._tickets.values()):
            ticket.mailbox.end(error)
        self._tickets.clear()
        if self._listener is not None:
            self._listener.end()
        self._on_end(self)

    # --- names --------------------------------------------------------------------------------------------------------

    def _rename(self, raw: bytes, said: Glance, ticket: Ticket) -> bytes:
        """Give the request an id (and progress token) of the process's own."""
        self._next_id += 1
        ticket.id = self._next_id
        new = str(self._next_id).encode()
        ticket.sent_id = _cut(raw, ("id",))
        raw = splice.replace(raw, ("id",), new)
        if said.token is not None:
            path = ("params", "_meta", "progressToken")
            ticket.sent_token = _cut(raw, path)
            raw = splice.replace(raw, path, new)
        return raw

    def _restore(self, line: bytes, ticket: Ticket, answer: bool = False) -> bytes:
        """Put back the names that the sender knows."""
        if not self.shared:
            return line
        part = "result" if answer else "params"
        if answer:
            line = splice.replace(line, ("id",), ticket.sent_id)
        if splice.span(line, (part, "_meta", SUBSCRIPTION)) is not None:
            line = splice.replace(line, (part, "_meta", SUBSCRIPTION), ticket.sent_id)
        if not answer and ticket.sent_token is not None and splice.span(line, ("params", "progressToken")) is not None:
            line = splice.replace(line, ("params", "progressToken"), ticket.sent_token)
        return line

    # --- idling -------------------------------------------------------------------------------------------------------

    def _alive(self) -> Child:
        if self._child is None or not self.running:
            raise NotSent(f"the process of server `{self._settings.name}` is not running")
        return self._child

    def _stir(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _rest(self) -> None:
        """Begin to count idle time, where nothing is open."""
        self._stir()
        if self._tickets or self.listening or not self.running:
            return
        seconds = self._settings.idle_timeout if self.shared else self._settings.session_idle_timeout
        self._idle = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._stopping = True
        spawn(self.stop(), f"end idle {self._settings.name}")


def _cut(raw: bytes, path: tuple[str | int, ...]) -> bytes:
    span = splice.span(raw, path)
    assert span is not None
    return raw[span[0] : span[1]]


async def next_message(ticket: Ticket, deadline: float | None, name: str) -> bytes | None:
    """The next message for a request; raises `TimedOut` at the deadline."""
    try:
        return await ticket.mailbox.get(deadline)
    except TimeoutError:
        raise TimedOut(f"server `{name}` did not answer in time") from None
