"""How effects, limits and obligations of all rules come to one decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from tests.reference.inside import Part, Reader, together
from tests.reference.rules import Rule, applies, excused_by_names, reach, rule_truth
from tests.reference.truth import Truth
from tests.reference.world import BROKEN, GONE, SCALARS, World, exact, kind_of

HELD = "require_approval"
NAMED_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Judged(NamedTuple):
    """A rule and what it came to."""

    rule: Rule
    truth: Truth

    def may(self, *kinds: str) -> bool:
        """Whether it may come to one of these."""
        return self.truth.may(*kinds)


class Set:
    """A policy folder: what its files hold, by their paths."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self.principals: Mapping[str, Any] = files.get("principals.yaml", {})
        scopes = {path[: -len("scope.yaml")]: said["applies_to"] for path, said in files.items() if _is_scope(path)}
        self.files: list[tuple[Mapping[str, Any], tuple[Any, ...]]] = []
        for path, said in sorted(files.items()):
            if path != "principals.yaml" and not _is_scope(path):
                above = tuple(scope for folder, scope in scopes.items() if path.startswith(folder))
                self.files.append((said, above))
        self.rules = [Rule(file, said, above) for file, above in self.files for said in file["rules"]]

    def decide(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The decision in the words of the README of the decision cases, calls inside calls included."""
        said = question.get("unwrap", ())
        metas = [said] if isinstance(said, Mapping) else list(said)
        tool = question.get("tool", "t")
        if any(key in question for key in ("prompt", "resource", "method")) or tool not in {m["tool"] for m in metas}:
            return self._decide(question)
        whole = Reader(metas).read(tool, question.get("args", {}))
        inner = [self._decide(self._inside(question, part)) for part in list(whole.all())[1:]]
        return together(whole, [self._decide(question), *inner], question.get("mode") == "observe")

    def _inside(self, question: Mapping[str, Any], part: Part) -> Mapping[str, Any]:
        """The question about an inner call: what is known of the tool is its own, which is nothing here."""
        of_tools = ("risk", "traits", "annotations")
        kept = {key: value for key, value in question.items() if key not in of_tools}
        return kept | {"tool": part.tool, "args": part.arguments}

    def _decide(self, question: Mapping[str, Any]) -> dict[str, Any]:
        world = World(self.principals, question)
        judged = [Judged(rule, rule_truth(world, rule)) for rule in self.rules]
        counted = [one for one in judged if not one.rule.observed]
        found = _decision(world, counted)
        found["enforced"] = found["effect"]
        if question.get("mode") == "observe":
            found |= {"enforced": "allow", "charges": [], "mask": [], "cap": None}
        would = _decision(world, judged)["effect"] if len(counted) < len(judged) else found["effect"]
        found["would"] = None if would == found["effect"] else would
        found["redact"] = sorted({*self._file_redactions(world), *_redactions(judged)})
        return found

    def _file_redactions(self, world: World) -> Iterable[str]:
        for file, above in self.files:
            if applies(world, Rule(file, {}, above)):
                yield from file.get("redact", ())

    def listed(self, question: Mapping[str, Any]) -> bool:
        """Whether a list shows the target, the arguments not being there yet."""
        world = World(self.principals, question, listing=True)
        judged = [Judged(rule, rule_truth(world, rule)) for rule in self.rules if not rule.observed]
        if question.get("mode") == "observe":
            return True
        kept = [one for one in judged if one.rule.said.get("list") and one.rule.effect]
        kept = [
            one for one in kept if not reach(world, one.rule).must("false") and not excused_by_names(world, one.rule)
        ]
        for one in judged:
            if one not in kept and one.truth.must(*DENIES.get(one.rule.effect or "", ())):
                return False
        opens = any(one.may(*OPENS.get(one.rule.effect or "", ())) for one in judged)
        return opens or bool(kept)


DENIES: Mapping[str, tuple[str, ...]] = {"deny": ("true", "missing", "wrong"), HELD: ("wrong",)}
"""What a rule comes to where it denies."""

OPENS: Mapping[str, tuple[str, ...]] = {"allow": ("true",), HELD: ("true", "missing")}
"""What a rule comes to where it lets a call be allowed or held."""


def _is_scope(path: str) -> bool:
    return path.rpartition("/")[2] == "scope.yaml"


def _decision(world: World, judged: list[Judged]) -> dict[str, Any]:
    """By the effects of the rules, then by what their limits charge."""
    denials = [one for one in judged if one.may(*DENIES.get(one.rule.effect or "", ()))]
    holds = [one for one in judged if one.rule.effect == HELD and one.may("true", "missing")]
    waiting = [one for one in holds if one.rule.name not in world.approved]
    allows = [one for one in judged if one.rule.effect == "allow" and one.may("true")]
    plain = [one for one in judged if one.rule.effect is None and one.may("true", "missing", "wrong")]
    if denials:
        sure = any(one.rule.effect == "deny" and one.may("true") for one in denials)
        return _answer("deny", "rule" if sure else "indeterminate", denials, () if sure else _fields(denials))
    if not holds and not allows:
        erring = [one for one in judged if one.rule.effect == "allow" and one.may("missing", "wrong")]
        return _answer("deny", "indeterminate" if erring else "not_applicable", [], _fields(erring))
    matched = [*allows, *holds, *plain]
    charges, faults = _charges(world, matched)
    if faults:
        fields = sorted({field for _, field in faults})
        return _answer("deny", "indeterminate", [one for one, _ in faults], fields)
    effect = HELD if waiting else "allow"
    found = _answer(effect, "rule", waiting or matched, ())
    found["holds"] = sorted((_hold(one.rule) for one in waiting), key=lambda hold: str(hold["rule"]))
    return found | {"charges": charges} | _obligations(matched)


def _answer(effect: str, code: str, rules: list[Judged], fields: Iterable[str]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"holds": [], "charges": [], "mask": [], "cap": None, "label": [], "earn": {}}
    names = sorted({one.rule.name for one in rules})
    return {"effect": effect, "reason_code": code, "rules": names, "fields": sorted(fields), "inner": []} | nothing


def _fields(judged: list[Judged]) -> list[str]:
    return sorted({field for one in judged for field in one.truth.fields})


def _hold(rule: Rule) -> dict[str, Any]:
    said = rule.said.get("approval", {})
    expires = said.get("expires")
    return {
        "rule": rule.name,
        "approvers": sorted(said.get("approvers", [])),
        "quorum": said.get("quorum", 1),
        "expires": None if expires is None else period(expires),
        "note": said.get("note") == "required",
        "each_round": said.get("each_round", False),
    }


# --- obligations ------------------------------------------------------------------------------------------------------


def _redactions(judged: list[Judged]) -> Iterable[str]:
    """Of rules without effect that apply, and of allows and holds that matched; of observed files too."""
    for one in judged:
        if one.rule.effect != "deny" and one.may("true", "missing", "wrong"):
            yield from one.rule.said.get("redact", ())


def _obligations(matched: list[Judged]) -> dict[str, Any]:
    said = [one.rule.said for one in matched]
    written = [mask for one in said for mask in one.get("mask", ())]
    masks = {next(iter(mask.values())) if isinstance(mask, Mapping) else mask for mask in written}
    caps = [size(one["cap"]) for one in said if "cap" in one]
    earned: dict[str, int] = {}
    for one in said:
        for label, time in one.get("earn", {}).items():
            earned[label] = min(earned.get(label, period(time)), period(time))
    labels = {label for one in said for label in one.get("label", ())}
    return {"mask": sorted(masks), "cap": min(caps, default=None), "label": sorted(labels), "earn": earned}


def size(said: Any) -> int:
    """Bytes, or so many KiB or MiB."""
    if isinstance(said, int):
        return said
    number, unit = said[:-3], said[-3:]
    return int(number) * {"KiB": 1024, "MiB": 1024 * 1024}[unit]


def period(said: str) -> int:
    """Seconds of a duration, or of a named period."""
    return NAMED_PERIODS[said] if said in NAMED_PERIODS else int(said[:-1]) * UNITS[said[-1]]


# --- limits -----------------------------------------------------------------------------------------------------------


def _charges(world: World, matched: list[Judged]) -> tuple[list[Any], list[tuple[Judged, str]]]:
    """What the call would charge, and the rules whose limits cannot be counted with the fields at fault."""
    charges: list[Any] = []
    faults: list[tuple[Judged, str]] = []
    for one in matched:
        inline = 0
        for written in one.rule.said.get("limits", ()):
            names = one.rule.file.get("limits", {})
            named = isinstance(written, str) and written in names
            inline += not named
            where = f"{one.rule.file['policy']}/{written}" if named else f"{one.rule.name}#{inline}"
            limit = _limit(names[written] if named else written)
            key = [_key(world, path) for path in limit["by"]]
            amount = _amount(world, limit)
            bad = [path for path, value in zip(limit["by"], key, strict=True) if value is None]
            bad += [limit["sum"]] if amount is None else []
            faults += [(one, path) for path in bad]
            if not bad:
                top = Fraction(str(limit.get("max", limit.get("calls"))))
                over = limit.get("over", "deny")
                charges.append((where, tuple(key), amount, top, period(limit["per"]), one.rule.name, over))
    return sorted(charges, key=repr), faults


def _limit(written: Any) -> dict[str, Any]:
    if isinstance(written, str):
        number, _, per = written.partition("/")
        written = {"calls": int(number), "per": per}
    return {"by": ["principal.id"]} | dict(written)


def _key(world: World, path: str) -> Any:
    value = BROKEN if path == "target" and world.is_ambiguous else world.value(path)
    return (kind_of(value), exact(value)) if kind_of(value) in SCALARS else None


def _amount(world: World, limit: Mapping[str, Any]) -> Fraction | None:
    if "sum" not in limit:
        return Fraction(1)
    value = world.value(limit["sum"])
    if value is GONE or value is BROKEN:
        return None
    if limit.get("decimal"):
        fine = isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
        value = Fraction(value) if fine else None
    number = exact(value) if kind_of(value) == "number" else value
    return number if isinstance(number, Fraction) and number >= 0 else None
