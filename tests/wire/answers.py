"""Answers of a server, treated as a decision wants it."""

from __future__ import annotations

import json
from typing import Any

import orjson

from policylayer.core.decision import Mask
from policylayer.core.masking import masker
from policylayer.wire.results import Treatment, treat
from policylayer.wire.server_messages import ServerMessage, decode

CARD = "4111 1111 1111 1111"
EMAIL = masker((Mask(pattern="email"),))


def answer(result: Any = None, raw: bytes | None = None, **members: Any) -> ServerMessage:
    body = {"jsonrpc": "2.0", "id": 1, **({} if result is None else {"result": result}), **members}
    found = decode(raw or json.dumps(body).encode())
    assert isinstance(found, ServerMessage), found
    return found


def paths(*texts: str) -> Any:
    return masker(tuple(Mask(path=text) for text in texts))


def treated(result: Any, masks: Any = None, cap: int | None = None, schema: Any = None) -> dict[str, Any]:
    """The result as it may pass."""
    known = None if schema is None else orjson.dumps(schema)
    done = treat(answer(result), Treatment(masks, cap, known))
    found: dict[str, Any] = json.loads(done.raw)["result"]
    return found


def text(*texts: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": each} for each in texts]}
