"""Pure: a list of tools, prompts, resources or templates, without what the agent may not see.

Items are cut out of the bytes; unknown members, order, `nextCursor` and the text of everything kept stay as they came.
Filtering is a courtesy, not enforcement: calls are judged anyway.

Must not know who may see what: that is `keep`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from policylayer.core.immutable import immutable
from policylayer.core.text import fold
from policylayer.wire import splice
from policylayer.wire.mirrors import mirrors
from policylayer.wire.server_messages import ServerMessage


@immutable
class Listing:
    """How a list's result is made: the member that holds the items, and the item's member that names it."""

    items: str
    name: str


LISTS: Final[Mapping[str, Listing]] = {
    "tools/list": Listing("tools", "name"),
    "prompts/list": Listing("prompts", "name"),
    "resources/list": Listing("resources", "uri"),
    "resources/templates/list": Listing("resourceTemplates", "uriTemplate"),
    "tasks/list": Listing("tasks", "taskId"),
}

LONGEST_FRESH_MS: Final = 60_000
"""How long a modern client may keep a filtered list: policy may have changed by then."""


def name_of(method: str, item: Mapping[str, Any]) -> str | None:
    """What an item is called, or None where it has no name."""
    name = item.get(LISTS[method].name)
    return name if type(name) is str else None


def filter_list(
    message: ServerMessage, method: str, keep: Callable[[dict[str, Any]], bool], modern: bool
) -> bytes | None:
    """The response's bytes with only the items that `keep` is true of; None where it is not such a list.

    An item that is no object or has no name is not kept. For modern clients the list becomes private to them, fresh for
    a minute at most, and tools go whose `x-mcp-header` annotations a client must refuse. An error is left as it is.
    """
    body, result = message.raw, message.result
    if result is None:
        return body if message.error is not None else None
    listing = LISTS[method]
    listed = result.get(listing.items)
    if type(listed) is not list or _shadowed(result, listing.items):
        return None
    dropped = frozenset(
        index for index, item in enumerate(listed) if not _kept(item, method, keep, modern and method == "tools/list")
    )
    body = splice.remove_items(body, ("result", listing.items), dropped)
    return _private(body, result) if modern else body


def _kept(item: object, method: str, keep: Callable[[dict[str, Any]], bool], check_mirrors: bool) -> bool:
    if type(item) is not dict or name_of(method, item) is None:
        return False
    if check_mirrors and mirrors(item.get("inputSchema")) is None:
        return False
    return keep(item)


def _shadowed(result: Mapping[str, Any], key: str) -> bool:
    """Whether a careless client would read another member as the list."""
    folded = fold(key)
    return any(name != key and fold(name) == folded for name in result)


def _private(body: bytes, result: Mapping[str, Any]) -> bytes:
    if result.get("cacheScope") != "private":
        body = splice.insert_member(body, ("result",), "cacheScope", b'"private"')
    fresh = result.get("ttlMs")
    if isinstance(fresh, int | float) and fresh > LONGEST_FRESH_MS:
        body = splice.replace(body, ("result", "ttlMs"), str(LONGEST_FRESH_MS).encode())
    return body
