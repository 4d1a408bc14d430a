"""One revision of the folder's Rego on an OPA server: put there whole or not at all, and answering only for itself.

It has a place of its own there (`placing.py`), so that nothing of another revision is touched, whoever puts them: this
proxy, another one, or this one before it crashed. Each answer names the revision and has a value only while all its
files are there; one that does not is no answer. Must not know when to put it there (`server.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from policylayer.rego.asked import Asked
from policylayer.rego.connection import Connection, NotTaken, PolicyFailed, Unanswered
from policylayer.rego.placing import ANSWER, PLACES, Placed, pushed_at

KEPT: Final = 4
"""How many revisions are left on the server beside the new one: those of calls under way, and of other proxies."""
LOST: Final = "does not hold this revision (was the server started anew?)"


class Refused(Exception):
    """The server does not hold the revision; the message says why."""


class Pushed(Asked):
    """A revision on a server. `lost` is called where an answer does not prove that it is by this revision."""

    def __init__(self, connection: Connection, placed: Placed, lost: Callable[[Pushed], None]) -> None:
        super().__init__(connection.settings.path)
        self.placed = placed
        self._connection = connection
        self._lost = lost

    async def decided(self, asked: dict[str, Any]) -> tuple[list[Any], object]:
        """What this revision decided; `Unanswered` where the answer is not by it, or not by all of it."""
        answer = await self._connection.ask(self.placed.answer, asked)
        result = answer.get("result")
        if not isinstance(result, dict) or result.get("revision") != self.placed.revision:
            self._lost(self)
            raise Unanswered(LOST)
        values = result.get("decision")
        if not isinstance(values, list) or len(values) > 1:
            raise Unanswered("answered something that is no result")
        return values, answer.get("decision_id")

    async def is_held(self) -> bool:
        """Whether all of it is there. Raises `Unanswered`."""
        try:
            answer = await self._connection.ask(self.placed.held, {})
        except PolicyFailed:
            return False
        return answer.get("result") == self.placed.revision

    async def put(self) -> None:
        """Put all of it there and see that it is. Raises `Refused`; then no call is decided by any of it."""
        try:
            await self._put(dict(self.placed.modules))
            if not await self.is_held():
                raise Refused("it took the files, but does not hold all of them")
        except NotTaken as refusal:
            await self.remove()
            raise Refused(f"it refused {self._shown(str(refusal))}") from None
        except Unanswered as failure:
            raise Refused(f"it {failure}") from None

    async def _put(self, left: dict[str, str]) -> None:
        """Put these there, each after those whose functions it calls, which the server must know before."""
        while left:
            tried, refusals = len(left), []
            for name, text in tuple(left.items()):
                try:
                    await self._connection.put(name, text)
                    del left[name]
                except NotTaken as refusal:
                    refusals.append(NotTaken(f"{name}: {refusal}"))
            if len(refusals) == tried:
                raise refusals[0]

    async def remove(self) -> None:
        """Take it off the server, as far as that can be reached: nobody is decided for by what is left."""
        await _remove(self._connection, self.placed.modules)

    async def tidy(self) -> None:
        """Take off the server what no revision needs any more: all but this one and the latest few others."""
        try:
            found = await self._connection.modules()
        except Unanswered as failure:
            _warn(str(failure))
            return
        places: dict[str, list[str]] = {}
        for name in found:
            if name.startswith(PLACES):
                places.setdefault(name.removeprefix(PLACES).partition("/")[0], []).append(name)
        places.pop(self.placed.place, None)
        latest = sorted(places, key=lambda place: pushed_at(found.get(f"{PLACES}{place}/{ANSWER}", "")))
        for place in latest[:-KEPT]:
            await _remove(self._connection, dict.fromkeys(sorted(places[place])))

    def _shown(self, message: str) -> str:
        """What the server says, in the words of the folder's own files."""
        root = PLACES + self.placed.place + "/files"
        return message.replace(f"{root}/", "").replace("data." + root.replace("/", "."), "data.policylayer")


async def _remove(connection: Connection, modules: Mapping[str, object]) -> None:
    try:
        for name in modules:
            await connection.delete(name)
    except (NotTaken, Unanswered) as failure:
        _warn(str(failure))


def _warn(why: str) -> None:
    structlog.get_logger().warning("old revisions could not be taken off the OPA server", why=why)
