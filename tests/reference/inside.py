"""Calls inside calls: what a declared tool's arguments say is called, and how all decisions come to one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.reference.world import segments

DEEPEST, MOST = 4, 64
ORDER = {"allow": 0, "require_approval": 1, "deny": 2}
PLAIN = {"not_applicable": 0, "indeterminate": 1, "rule": 2}
BROKEN = object()


class Part(NamedTuple):
    """A call: its tool, its arguments, where those stand, and what is inside. `faults` are fields that tell nothing."""

    tool: str
    arguments: Mapping[str, Any]
    at: tuple[Any, ...]
    inside: list[Part]
    faults: list[str]
    hidden: list[str]

    def all(self) -> Iterable[Part]:
        """This call, then those inside it."""
        yield self
        for part in self.inside:
            yield from part.all()


class TooMany(Exception):
    """More calls than one may hold."""


class Reader:
    """Finds the calls inside one call."""

    def __init__(self, metas: list[Mapping[str, Any]]) -> None:
        self.metas = {meta["tool"]: meta for meta in metas}
        self.found = 0

    def read(self, tool: str, arguments: Mapping[str, Any], at: tuple[Any, ...] = ("args",), depth: int = 0) -> Part:
        """The call with what is inside it."""
        meta = self.metas.get(tool)
        part = Part(tool, arguments, at, [], [], [])
        if meta is None:
            return part
        if depth == DEEPEST:
            return part._replace(faults=[""], hidden=[path(at)])
        roots: list[tuple[Any, tuple[Any, ...]]] = [(None, ())]
        if "each" in meta:
            listed, place = self._value(meta["each"], arguments, at, None, ())
            if not isinstance(listed, list) or not listed:
                hidden = [] if listed is None or listed == [] else [path((*at, *segments(meta["each"])[1:2]))]
                return part._replace(faults=[field(place)], hidden=hidden)
            roots = [(item, (*place, number)) for number, item in enumerate(listed)]
        for item, place in roots:
            try:
                self._one(part, meta, item, place, depth)
            except TooMany:
                part.faults.append("")
                part.hidden.append(path(at))
                break
        return part

    def _one(self, part: Part, meta: Mapping[str, Any], item: Any, place: tuple[Any, ...], depth: int) -> None:
        if self.found == MOST:
            raise TooMany
        self.found += 1
        name, name_at = self._value(meta["name"], part.arguments, part.at, item, place)
        given, given_at = self._value(meta["arguments"], part.arguments, part.at, item, place)
        opened = arguments_of(given, meta.get("arguments_as") == "json")
        faults = [field(name_at)] if not is_name(name) else []
        faults += [field(given_at)] if opened is None else []
        if faults or opened is None:
            part.faults.extend(faults)
            part.hidden.append(path(self._root(meta["arguments"], part.at, place)))
            if not is_name(name) and name is not None:
                part.hidden.append(path(self._root(meta["name"], part.at, place)))
            return
        part.inside.append(self.read(name, opened, given_at, depth + 1))

    def _root(self, written: str, at: tuple[Any, ...], place: tuple[Any, ...]) -> tuple[Any, ...]:
        first, *rest = segments(written)
        return (*at, *rest[:1]) if first == "args" else place

    def _value(
        self, written: str, arguments: Any, at: tuple[Any, ...], item: Any, place: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        first, *rest = segments(written)
        value, where = (arguments, at) if first == "args" else (item, place)
        for key in rest:
            where = (*where, key)
            if value is None or value is BROKEN:
                continue
            if not isinstance(value, Mapping) or any(other != key and alike(other, key) for other in value):
                value = BROKEN
            else:
                value = value.get(key)
        return value, where


def alike(one: str, other: str) -> bool:
    """Whether two keys differ only in case, in compatible forms, or in what shows nothing."""

    def bare(text: str) -> str:
        text = unicodedata.normalize("NFKC", text.partition("\0")[0]).casefold()
        return "".join(sign for sign in text if sign.isprintable()).strip()

    return bare(one) == bare(other)


def is_name(value: Any) -> bool:
    """Whether a message could name a tool so."""
    return isinstance(value, str) and 0 < len(value) <= 128 and value.isprintable() and value == value.strip(" ")


def arguments_of(value: Any, as_json: bool) -> Mapping[str, Any] | None:
    """The inner arguments, or None."""
    if value is None:
        return {}
    if not as_json:
        return value if isinstance(value, Mapping) else None
    try:
        read = json.loads(value, object_pairs_hook=_once, parse_constant=_refuse) if isinstance(value, str) else None
    except ValueError:
        return None
    return read if isinstance(read, Mapping) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _refuse(text: str) -> Any:
    raise ValueError(text)


def field(at: Iterable[Any]) -> str:
    """As fields are named: an element of a list is `[]`."""
    return ".".join("[]" if isinstance(step, int) else step for step in at).replace(".[]", "[]")


def path(at: tuple[Any, ...]) -> str:
    """As `redact` writes it; all of the arguments are what is in them."""
    return ".".join(map(str, at if len(at) > 1 else (*at, "*")))


# --- as one -----------------------------------------------------------------------------------------------------------


def together(whole: Part, decisions: list[dict[str, Any]], observed: bool) -> dict[str, Any]:
    """One decision from those on each call, in the order of `whole.all()`."""
    parts = list(whole.all())
    placed = [
        one | {"redact": [_placed(part, each) for each in one["redact"]]}
        for part, one in zip(parts, decisions, strict=True)
    ]
    everything = placed + [_fault(part, observed) for part in parts if part.faults]
    worst = max(everything, key=lambda one: (ORDER[one["effect"]], PLAIN[one["reason_code"]]))
    alike_ = [one for one in everything if one["effect"] == worst["effect"]]
    would = max((one["would"] or one["effect"] for one in everything), key=ORDER.__getitem__)
    made = {
        **worst,
        "rules": sorted({rule for one in alike_ for rule in one["rules"]}),
        "would": None if would == worst["effect"] else would,
        "redact": sorted({each for one in everything for each in one["redact"]}),
        "inner": [
            {"target": part.tool, "effect": one["effect"]} for part, one in zip(parts[1:], decisions[1:], strict=True)
        ],
    }
    told = [one for one in alike_ if one["reason_code"] == worst["reason_code"]]
    if worst["effect"] == "deny":
        made["fields"] = sorted({each for one in told for each in one["fields"]})
        return made
    holds = {hold["rule"]: hold for one in alike_ for hold in one["holds"]}
    caps = [one["cap"] for one in everything if one["cap"] is not None]
    earned: dict[str, int] = {}
    for one in everything:
        for label, seconds in one["earn"].items():
            earned[label] = min(earned.get(label, seconds), seconds)
    made |= {
        "holds": [holds[name] for name in sorted(holds)],
        "charges": _charges(whole, dict(zip(map(id, parts), decisions, strict=True))),
        "mask": sorted({each for one in everything for each in one["mask"]}),
        "cap": min(caps, default=None),
        "label": sorted({each for one in everything for each in one["label"]}),
        "earn": earned,
    }
    return made


def _placed(part: Part, written: str) -> str:
    return ".".join(map(str, part.at)) + written[len("args") :] if written.split(".")[0] == "args" else written


def _fault(part: Part, observed: bool) -> dict[str, Any]:
    nothing: dict[str, Any] = {"holds": [], "charges": [], "mask": [], "cap": None, "label": [], "earn": {}}
    fields = sorted({each for each in part.faults if each})
    said = {"effect": "deny", "enforced": "allow" if observed else "deny", "reason_code": "indeterminate"}
    return nothing | said | {"rules": [], "inner": [], "fields": fields, "would": None, "redact": part.hidden}


def _charges(whole: Part, decided: Mapping[int, dict[str, Any]]) -> list[Any]:
    amounts = _amounts(whole, decided)
    found = {}
    for part in whole.all():
        for counter, key, _, *rest in decided[id(part)]["charges"]:
            found[counter, key, tuple(rest)] = (counter, key, amounts[counter, key], *rest)
    return sorted(found.values(), key=repr)


def _amounts(part: Part, decided: Mapping[int, dict[str, Any]]) -> dict[tuple[Any, Any], Any]:
    found: dict[tuple[Any, Any], Any] = {}
    for inner in part.inside:
        for name, amount in _amounts(inner, decided).items():
            found[name] = found.get(name, 0) + amount
    for counter, key, amount, *_ in decided[id(part)]["charges"]:
        found[counter, key] = max(found.get((counter, key), amount), amount)
    return found
