"""Pure: an explanation as lines for people, from its JSON (`explain_shown`), wherever that came from.

Must not know how an explanation is found.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

SHOWN: Final = 120
"""Characters of a value that people are shown."""

MARKS: Final = {"true": "yes", "false": "no", "missing": "missing", "wrong": "wrong type", "unknown": "not known"}

Json = Mapping[str, Any]


def lines(told: Json, everything: bool = False) -> Iterator[str]:
    """What was decided and by what, the rules about this call, and what would change it."""
    decision = told["decision"]
    if "recorded" in told:
        yield from _recorded(told["recorded"], told["revision"])
    yield from _decision(told, decision)
    yield ""
    yield from _rules(told["rules"], everything, bool(told.get("rego")))
    for inner in told.get("inside", ()):
        yield ""
        yield f"Inside it, {inner['question']['target']} {_short(inner['question'].get('arguments', {}))}:"
        yield from _decision(inner, inner["decision"])
        yield from _rules(inner["rules"], everything, bool(told.get("rego")))
    for unit in told.get("rego", ()):
        yield from _rego(unit)
    yield ""
    yield from _changes(told)


def _rules(rules: Collection[Json], everything: bool, rego: bool) -> Iterator[str]:
    about = [rule for rule in rules if rule["concerns"]]
    near = [] if about else [rule for rule in rules if _names_target(rule)]
    none = f"No rule{' of a YAML file' if rego else ''} is about this call{': those that name it' if near else ''}."
    yield "Rules about this call:" if about else none
    for rule in about or near:
        yield from _rule(rule)
    yield from _others(rules, about or near, everything)


def _decision(told: Json, decision: Json) -> Iterator[str]:
    possible = told.get("possible", ())
    if len(possible) > 1:
        yield f"{' or '.join(possible)}: the record does not hold what decides"
    else:
        yield f"{decision['effect']} ({decision['reason_code']}): {decision['reason']}"
    if told.get("not_known"):
        yield f"  not known any more: {', '.join(told['not_known'])}"
    if decision["enforced"] != decision["effect"]:
        yield f"  the server is in observe mode: {decision['enforced']} is what happens"
    if decision["would"] is not None:
        yield f"  with the files in observe mode it would be: {decision['would']}"
    for charge in decision["charges"]:
        yield f"  charges {charge['counter']}: {charge['amount']} of {charge['max']} in {charge['window']} s"


def _recorded(row: Json, revision: str) -> Iterator[str]:
    yield f"Recorded {row['time']}: {row['effect']} ({row['reason_code']}): {row['reason'] or '-'}"
    if row["revision"] != revision:
        yield f"  by revision {_revision(row['revision'])}; what follows is by {_revision(revision)}"


def _revision(name: str | None) -> str:
    return (name or "none").removeprefix("sha256:")[:12]


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(rule: Json) -> Iterator[str]:
    effect = rule["effect"] or "limit or duty"
    notes = [note for note, said in (("decided", rule["decided"]), ("observed only", rule["observed"])) if said]
    head = f"  {_name(rule)}  {_place(rule)}  {effect}: {MARKS[rule['outcome']]}"
    yield f"{head}{' (' + ', '.join(notes) + ')' if notes else ''}"
    for part in rule["parts"]:
        if part["what"] in ("when", "except") or part["outcome"] != "true":
            yield from _part(part, "    ")


def _part(part: Json, indent: str) -> Iterator[str]:
    below = part.get("parts", ())
    if part["what"] == "when" and below:
        for each in below:
            yield from _part(each, indent)
        return
    word = f"{part['what']}: " if part["what"] not in ("test", "time", "all", "when") else ""
    read = f"  <- {_short(part['value'])}" if "value" in part and part["what"] in ("test", "when") else ""
    fields = f"  [{', '.join(part['fields'])}]" if part.get("fields") else ""
    at = f"  (line {part['line']})" if "line" in part else ""
    yield f"{indent}{MARKS[part['outcome']]:<10} {word}{part['written']}{read}{fields}{at}"
    for each in below:
        yield from _part(each, f"{indent}  ")


def _names_target(rule: Json) -> bool:
    """Whether a rule names the call's server and target, whoever calls."""
    return all(
        part["outcome"] != "false" for part in rule["parts"] if part["what"] == "target" or "servers" in part["what"]
    )


def _others(rules: Iterable[Json], shown: Collection[Json], everything: bool) -> Iterator[str]:
    others = [rule for rule in rules if rule not in shown]
    if not everything:
        if others:
            plural = f"{len(others)} rules are" if len(others) > 1 else "1 rule is"
            yield f"  {plural} about other calls or callers (--all lists them)"
        return
    for rule in others:
        why = next(part for part in rule["parts"] if part["outcome"] == "false")
        yield f"  {_name(rule)}  {_place(rule)}  no: {why['what']}: {why['written']}"


def _name(rule: Json) -> str:
    return f"{rule['policy']}/{rule['rule']}"


def _place(rule: Json) -> str:
    return f"{rule['file']}:{rule['line']}"


def _rego(unit: Json) -> Iterator[str]:
    yield ""
    if "not_asked" in unit:
        yield _not_asked(unit)
        return
    yield f"Rego {', '.join(unit.get('files', ()))}:"
    if "error" in unit:
        yield f"  the engine {unit['error']}"
    for finding in unit.get("findings", ()):
        effect = finding["effect"] or "failed"
        yield f"  {effect}: {finding['rule']} {finding['file']}:{finding['line']}  {finding['reason']}"
    for text in unit.get("prints", ()):
        yield f"  printed: {text}"
    for file, lines_of in unit.get("coverage", {}).items():
        missed = lines_of["not_covered"]
        yield f"  {file}: lines that were not reached: {', '.join(map(str, missed)) if missed else 'none'}"


def _not_asked(unit: Json) -> str:
    """Why an engine was not asked about a recorded call."""
    if unit["engine"] == "opa":
        return "The OPA server was not asked: what it reads of a call, and whether the record holds that, is not known."
    return f"Rego was not asked: it reads what the record does not hold as it was: {', '.join(unit['not_asked'])}."


# --- what would change it ---------------------------------------------------------------------------------------------


def _changes(told: Json) -> Iterator[str]:
    change, own = told["change"], told["own_change"]
    if len(told.get("possible", ())) > 1 or any(each.get("not_known") for each in (told, *told.get("inside", ()))):
        yield "What would change it cannot be said of a call that is not known whole."
    elif change is None:
        yield "No change of this call that was thought of gets it another decision."
    else:
        yield f"The smallest change: {change_text(change)}."
        if own is not None and own != change:
            yield f"What the agent itself could send: {change_text(own)}."


def change_text(change: Json) -> str:
    """A change in words."""
    steps = "; ".join(map(_step, change["steps"]))
    return f"{steps}: then {change['effect']}"


def _step(step: Json) -> str:
    because = f"({step['rule']}: {step['says']})"
    field = step["field"]
    if field == "approved":
        return f"an approval for {', '.join(step['to'])}"
    if step.get("removed"):
        return f"a direct call {because}" if field == "for" else f"without `{field}` {because}"
    if field in ("principal.groups", "for.groups"):
        return f"`{field.partition('.')[0]}` in {', '.join(step['to'])} {because}"
    return f"`{field}` = {_short(step['to'])} {because}"


def _short(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
