"""Pure: what policy does to an answer before the agent gets it: masked, then cut; every other byte as it came.

What was done is said under `_meta`. A masked `structuredContent` still fits the tool's outputSchema; where it cannot,
it is left out, the texts stay, and `isError` keeps clients from missing it. Must not know policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from policylayer.core.immutable import immutable
from policylayer.core.masking import Masker
from policylayer.wire import caps, splice, stand_ins
from policylayer.wire.masks import STRUCTURED, Masks, masks_of
from policylayer.wire.server_messages import ServerMessage

TOLD: Final = "io.policylayer/result"
"""Under `_meta`: `{masked: [JSON pointers], cut: true}`."""

UNFIT: Final = (
    "[Masked by policy: structuredContent was left out, since nothing masked fits the tool's outputSchema. "
    "The call was carried out.]"
)


class CannotCut(Exception):
    """The answer is larger than may pass, and there is nothing in it that could be left out."""


@immutable
class Treatment:
    """What is to be done. `schema` is the tool's outputSchema; empty: it has none; None: that is not known."""

    masker: Masker | None = None
    cap: int | None = None
    schema: bytes | None = None


@immutable
class Treated:
    """The message as it may pass, and what was done to it."""

    raw: bytes
    done: tuple[str, ...] = ()


def treat(answer: ServerMessage, treatment: Treatment) -> Treated:
    """Do it. Raises `CannotCut`."""
    raw, done = answer.raw, []
    told: dict[str, Any] = {}
    if treatment.masker is not None:
        masks = masks_of(answer.result, answer.error, treatment.masker)
        if masks.values or masks.names:
            raw = _masked(raw, answer.result or {}, masks, treatment.schema)
            done.append("masked")
            told["masked"] = masks.places
    if treatment.cap is not None:
        shorter = _cut(raw, answer, treatment.cap, treatment.schema)
        if shorter is not None:
            raw, told["cut"] = shorter, True
            done.append("cut")
    if told and answer.result is not None:
        raw = _tell(raw, told)
    return Treated(raw, tuple(done))


def _masked(raw: bytes, result: Mapping[str, Any], masks: Masks, schema: bytes | None) -> bytes:
    if schema:
        for base in (("result",), ("result", "result")):
            inner = result if len(base) == 1 else result.get("result")
            if type(inner) is dict and not _fit(raw, base, inner, masks, schema):
                return _without_structure(masks.applied(raw), base)
    return masks.applied(raw)


def _fit(raw: bytes, base: splice.Path, result: Mapping[str, Any], masks: Masks, schema: bytes) -> bool:
    """See to it that the masked structuredContent fits; whether it does."""
    at = (*base, STRUCTURED)
    masked = {path[len(at) :]: value for path, value in masks.values.items() if path[: len(at)] == at}
    renamed = any(path[: len(at)] == at for path in masks.names)
    if not masked and not renamed:
        return True
    new = masks.applied(raw)
    start, end = splice.span(new, at) or (0, 0)
    shown = {_renamed(at, path, masks): path for path in masked}
    after = {path: masked[original] for path, original in shown.items()}
    chosen = stand_ins.fitting(schema, result.get(STRUCTURED), orjson.loads(new[start:end]), after)
    if chosen is None:
        return False
    masks.values.update({(*at, *shown[path]): value for path, value in chosen.items()})
    return True


def _renamed(at: splice.Path, path: splice.Path, masks: Masks) -> splice.Path:
    """A path by the names that members have once they are masked."""
    whole = (*at, *path)
    steps = (masks.names.get(whole[: length + 1], whole[length]) for length in range(len(at), len(whole)))
    return tuple(steps)


def _without_structure(raw: bytes, base: splice.Path) -> bytes:
    raw = splice.remove(raw, (*base, STRUCTURED))
    raw = splice.insert_member(raw, base, "isError", b"true")
    note = orjson.dumps({"type": "text", "text": UNFIT})
    found = splice.span(raw, (*base, "content"))
    if found is None or raw[found[0] : found[0] + 1] != b"[":
        return splice.insert_member(raw, base, "content", b"[" + note + b"]")
    rest = raw[found[0] + 1 : found[1]]
    comma = b"" if rest.lstrip()[:1] == b"]" else b","
    return raw[: found[0]] + b"[" + note + comma + rest + raw[found[1] :]


def _cut(raw: bytes, answer: ServerMessage, cap: int, schema: bytes | None) -> bytes | None:
    """The message cut, or None where it is no larger than it may be."""
    if answer.error is not None:
        return caps.cut_error(raw, answer.error, cap) if caps.size_of(raw, "error") > cap else None
    if answer.result is None or caps.size_of(raw) <= cap:
        return None
    start, end = splice.span(raw, ("result",)) or (0, 0)
    done = caps.cut(raw, orjson.loads(raw[start:end]), cap)
    if done is None:
        raise CannotCut
    # A client that knows of an outputSchema misses what was left out, unless this is an error.
    missed = done.unstructured and schema != b""
    return splice.insert_member(done.raw, ("result",), "isError", b"true") if missed else done.raw


def _tell(raw: bytes, told: dict[str, Any]) -> bytes:
    meta = splice.span(raw, ("result", "_meta"))
    said = orjson.dumps(told)
    if meta is not None and raw[meta[0] : meta[0] + 1] == b"{":
        return splice.insert_member(raw, ("result", "_meta"), TOLD, said)
    return splice.insert_member(raw, ("result",), "_meta", b"{" + orjson.dumps(TOLD) + b":" + said + b"}")
