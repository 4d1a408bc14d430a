"""Pure: a server's message without what only the proxy says: `_meta` keys that begin with `io.policylayer/`, and the
codes of its errors.

An agent's program goes by them: that a call was denied, waits for an approval, or was masked. A server that wrote them
could send it to a page of its own, or have it believe that nothing was masked.

Must not know what the proxy says there (`replies`, `results`), which is put in later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from policylayer.core.text import fold
from policylayer.wire import splice
from policylayer.wire.limits import SERVER, Limits
from policylayer.wire.rejection import Rejection
from policylayer.wire.replies import DENIED, UPSTREAM_FAILED
from policylayer.wire.server_messages import ServerMessage, decode

OURS: Final = "io.policylayer/"
CODES: Final = frozenset({DENIED, UPSTREAM_FAILED})
SERVER_ERROR: Final = b"-32000"
"""What stands for them then: an error of the server's own (JSON-RPC 2.0, section 5.1)."""


def heard(raw: bytes, limits: Limits = SERVER) -> ServerMessage | Rejection:
    """The message in `raw`, without such words; or why there is none."""
    message = decode(raw, limits)
    if isinstance(message, Rejection):
        return message
    if message.error is not None and message.error.get("code") in CODES:
        raw = splice.replace(raw, ("error", "code"), SERVER_ERROR)
        message = decode(raw, limits)
        if isinstance(message, Rejection):
            return message
    spoofed = [(*at, name) for at, members in _places(message) for name in members if fold(name).startswith(OURS)]
    if not spoofed:
        return message
    for path in spoofed:
        raw = splice.remove(raw, path)
    return decode(raw, limits)


def _places(message: ServerMessage) -> Iterator[tuple[splice.Path, Mapping[str, Any]]]:
    """Where a client looks for what the proxy says."""
    if message.result is not None:
        yield from _meta(message.result, ("result",))
        inner = message.result.get("result")
        if type(inner) is dict:
            yield from _meta(inner, ("result", "result"))
    elif message.error is not None:
        data = message.error.get("data")
        if type(data) is dict:
            yield ("error", "data"), data
            yield from _meta(data, ("error", "data"))
    else:
        yield from _meta(message.params, ("params",))


def _meta(members: Mapping[str, Any], at: splice.Path) -> Iterator[tuple[splice.Path, Mapping[str, Any]]]:
    meta = members.get("_meta")
    if type(meta) is dict:
        yield (*at, "_meta"), meta
