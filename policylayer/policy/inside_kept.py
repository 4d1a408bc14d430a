"""Pure: what a record holds of the calls inside a call: which of it is to be kept, and what may be told of the rest.

A record may keep less than a call held. Where it does not hold what says which calls are inside, they may be any.
Must not know how they are judged (`inside`), nor rows (`recorded`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from policylayer.core.call import Call, Question, Unwrap
from policylayer.core.decision import Effect
from policylayer.core.unwrap import Layer, path_of, unwrapped
from policylayer.policy.ast import Path
from policylayer.policy.inside import Asked
from policylayer.policy.partial import Outlook, Together
from policylayer.policy.together import BADNESS
from policylayer.policy.values import Unknown, step, text_of

Reads = Callable[[str, str, str | None], Iterable[Path] | None]
"""Which paths rules read of calls to a server, method and target; None: that is not known."""

ANYTHING: Final = frozenset(Effect)


# --- what is not known ------------------------------------------------------------------------------------------------


def outlook(found: Asked, unknown: Unknown, each: Callable[[Question, Unknown], Outlook]) -> Together:
    """What may become of the whole, from what may become of each call."""
    outlooks = [each(found.questions[0], unknown)]
    if is_open(found, unknown):
        effects = _worst_of(outlooks[0].effects, ANYTHING)
        return Together(effects, outlooks, (*outlooks[0].fields, *_told_by(found, unknown)))
    if any(layer.fault is not None for layer in found.layers):
        return Together(frozenset((Effect.DENY,)), ())
    effects, fields = outlooks[0].effects, list(outlooks[0].fields)
    for layer, question in zip(found.layers[1:], found.questions[1:], strict=True):
        outlooks.append(each(question, unknown_in(layer, unknown)))
        effects = _worst_of(effects, outlooks[-1].effects)
        fields += (_placed(layer, field) for field in outlooks[-1].fields)
    return Together(effects, outlooks, fields)


def _told_by(found: Asked, unknown: Unknown) -> list[str]:
    """What is not known that would say which calls are inside."""
    told: list[str] = []
    for layer in found.layers:
        said = (layer.meta.each, layer.meta.name, layer.meta.arguments) if layer.meta is not None else ()
        paths = ((*_as_path(layer.at), *path[1:]) for path in said if path is not None and path[0] == "args")
        told += (text_of(path) for path in paths if unknown.touches(path))
    return told


def _placed(layer: Layer, field: str) -> str:
    """A field of an inner call, as it is said of the whole."""
    return path_of(layer.at) + field.removeprefix("args") if field.partition(".")[0] == "args" else field


def _worst_of(some: Iterable[Effect], others: Iterable[Effect]) -> frozenset[Effect]:
    others = tuple(others)
    return frozenset(max(one, other, key=BADNESS.__getitem__) for one in some for other in others)


def is_open(found: Asked, unknown: Unknown) -> bool:
    """Whether it is not even known what calls are inside."""
    for layer in found.layers:
        if layer.meta is None:
            continue
        at = _as_path(layer.at)
        if layer.meta.each is not None and unknown.touches((*at, *layer.meta.each[1:])):
            return True
        told = [(*at, *path[1:]) for path in (layer.meta.name, layer.meta.arguments) if path[0] == "args"]
        if any(place[: len(path)] == path for place in told for path in unknown.paths):
            return True
    return False


def unknown_in(layer: Layer, unknown: Unknown) -> Unknown:
    """What is not known of an inner call: what lies in its arguments, and what is the same for all."""
    at = _as_path(layer.at)
    same = (path for path in unknown.paths if path[0] != "args")
    own = (("args", *path[len(at) :]) for path in unknown.paths if path[: len(at)] == at)
    return replace(unknown, paths=(*same, *own))


def _as_path(place: Iterable[str | int]) -> Path:
    return tuple(map(str, place))


# --- what is read -----------------------------------------------------------------------------------------------------


def reads_inside(call: Call, metas: Sequence[Unwrap], each: Reads) -> frozenset[Path] | None:
    """What rules read of a call and of those inside it, in the whole's arguments: for a record that keeps no more.

    Of a call that cannot be unwrapped nothing is kept: whoever asks again is to know that it is not known.
    """
    whole = unwrapped(call, metas)
    layers = (Layer(call),) if whole is None else tuple(whole.all())
    kept: set[Path] = set()
    for layer in layers:
        own = each(layer.call.server, layer.call.method, layer.call.target)
        if own is None:
            return None
        kept.update(_short(layer, path) for path in own)
        if layer.meta is not None:
            said = [path for path in (layer.meta.name, layer.meta.each) if path is not None and path[0] == "args"]
            kept.update(_short(layer, path) for path in said)
    return frozenset() if any(layer.fault is not None for layer in layers) else frozenset(kept)


def _short(layer: Layer, path: Path) -> Path:
    """A path of an inner call's in the whole's arguments; a list is kept whole."""
    if path[0] != "args":
        return path
    until = next((number for number, each in enumerate(layer.at) if isinstance(each, int)), None)
    return (*_as_path(layer.at), *path[1:]) if until is None else _as_path(layer.at[:until])


def not_kept(call: Call, metas: Sequence[Unwrap], each: Reads) -> Iterator[Path]:
    """Of a record that kept what rules read then: the fields inside it that rules read now, and which may have been
    there. The outermost call's own are told by whoever reads the record; a list is there whole, or not at all."""
    whole = unwrapped(call, metas)
    for layer in whole.all() if whole is not None else ():
        if any(isinstance(part, int) for part in layer.at):
            continue
        if layer.meta is not None:
            said = (layer.meta.each,) if layer.meta.each is not None else (layer.meta.name, layer.meta.arguments)
            yield from _absent(layer, said)
        if layer is not whole:
            own = each(layer.call.server, layer.call.method, layer.call.target) or ()
            yield from _absent(layer, own, or_part=True)


def _absent(layer: Layer, paths: Iterable[Path], or_part: bool = False) -> Iterator[Path]:
    """The fields among these that are not there; `or_part`: also objects, of which more may have been there."""
    for path in paths:
        value = step(layer.call.arguments, path[1:]) if path[0] == "args" else True
        if value is None or (or_part and isinstance(value, Mapping)):
            yield (*_as_path(layer.at), *path[1:])
