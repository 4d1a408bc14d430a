"""Lists of tools, prompts, resources and templates as this caller may see them, wherever they arrive.

Asked item by item of policy, with arguments that are not there yet. A courtesy, not enforcement: calls are judged
anyway. Must not know HTTP or streams; how items are cut out is `wire/lists.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from policylayer.core.call import Call
from policylayer.proxy.faults import Unusable
from policylayer.proxy.server_requests import plain
from policylayer.proxy.sessions import Take
from policylayer.proxy.visit import Visit
from policylayer.wire.lists import LISTS, filter_list, name_of
from policylayer.wire.methods import MODERN
from policylayer.wire.server_messages import ServerMessage

CALLED_BY: Final = {
    "tools/list": "tools/call",
    "prompts/list": "prompts/get",
    "resources/list": "resources/read",
    "resources/templates/list": "resources/read",
}
"""What an item of each list is there for."""

BREATH: Final = 100
"""Items judged before others have their turn."""


def filtered(visit: Visit, method: str, protocol: str) -> Take:
    """What becomes of the answer to a list request."""
    visit = visit.detached()

    async def take(message: ServerMessage) -> bytes:
        await plain(message)
        listed = _items(message, method)
        if method == "tools/list" and message.result is not None:
            visit.deps.tools.learn(visit.server.name, message.result)
        if len(listed) > visit.deps.limits.listed:
            raise Unusable("the list is too long")
        shown: set[str] = set()
        for number, (name, item) in enumerate(listed.items()):
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            if await _shown(visit, method, protocol, name, item):
                shown.add(name)
        kept = filter_list(message, method, lambda item: name_of(method, item) in shown, protocol == MODERN)
        if kept is None:
            raise Unusable("it is not a list")
        return kept

    return take


def _items(message: ServerMessage, method: str) -> dict[str, Mapping[str, Any]]:
    """The items by name; of two with one name the last, as most clients read it."""
    listed = message.result.get(LISTS[method].items) if message.result is not None else None
    if type(listed) is not list:
        return {}
    named = ((name_of(method, item), item) for item in listed if type(item) is dict)
    return {name: item for name, item in named if name is not None}


async def _shown(visit: Visit, method: str, protocol: str, name: str, item: Mapping[str, Any]) -> bool:
    if visit.frozen() is not None:
        return False
    if method == "tasks/list":
        return visit.task(name) is not None
    call = Call(visit.server.name, CALLED_BY[method], name, {}, b"", b"", protocol)
    annotations = item.get("annotations") if method == "tools/list" else None
    question = visit.question(
        call,
        labels=visit.deps.labels(visit.caller),
        annotations=annotations if type(annotations) is dict else {},
    )
    return await visit.deps.engine.listed(question)
