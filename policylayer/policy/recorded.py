"""Pure: a row of the decision log back to the question that was asked; and what the row leaves out.

A record may keep less than a call held: nothing of its arguments, what rules read, or all with secrets masked. What is
not kept is said (`Unknown`), never made up. Must not know where rows come from, nor what is asked about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from policylayer.core.call import NOTHING, Call, Question, ServerFacts, Subject, Unwrap
from policylayer.core.decision import Effect
from policylayer.policy.ast import Path
from policylayer.policy.inside_kept import not_kept
from policylayer.policy.selectors import TOOLS
from policylayer.policy.texts import OVER_LIMIT
from policylayer.policy.times import EPOCH, YEARS, in_years, microseconds
from policylayer.policy.values import Unknown

PROTOCOL: Final = "2025-11-25"
POLICY_S: Final = frozenset(("rule", "not_applicable", "indeterminate", "over_limit"))
"""Reason codes of decisions that policy made; the proxy's own say nothing of rules."""

HELD: Final = frozenset(("pending", "approval_denied", "approval_expired"))
"""What became of a call that policy held."""

WHOLE: Final = (("args",), ("input",))
ANNOTATIONS: Final = ("annotations",)
OF_TOOLS: Final = (("risk",), ("traits",))
"""What no row holds of a tool."""

EFFECTS: Final = {str(effect): effect for effect in Effect}
UNSTORABLE: Final = "\\u0000"
"""Stands in a stored text where there was a character that databases do not hold: then it is not what it was."""

TEXTS: Final[tuple[Path, ...]] = (("target",), ("request", "client"), ("principal", "id"), ("for", "id"))
"""What may hold such a text."""

NOBODY: Final[frozenset[str]] = frozenset()

Facts = Callable[[str], ServerFacts | None]
"""What the configuration says of a server; None: not known."""

Reads = Callable[[str, str, str | None], Iterable[Path]]
"""Which paths a policy set reads of calls to a server, method and target."""


class Kept(NamedTuple):
    """A row as it is stored, in columns of these names. What is JSON there may be its text, or decoded already."""

    id: str
    kind: str
    time_us: int
    principal: str | None
    on_behalf_of: str | None
    server: str | None
    method: str | None
    target: str | None
    effect: str | None
    reason_code: str | None
    reason: str | None
    rules: Any
    arguments: Any
    input: Any
    arguments_mode: str | None
    protocol: str | None
    client: str | None
    ip: str | None
    labels: Any
    detail: Any
    decide_us: int | None


class Recorded(NamedTuple):
    """One row. `effect` is what policy said of the call, before any limit was counted (None: it was not asked).

    `why` says why a row cannot be asked about, or is empty; `decide_us` is how long deciding took.
    """

    id: str
    question: Question
    unknown: Unknown
    effect: Effect | None
    why: str = ""
    decide_us: int = 0


def kept(shown: Mapping[str, Any]) -> Kept:
    """A row from how it is shown outside. Raises KeyError, TypeError or ValueError where it is none."""
    at = datetime.fromisoformat(shown["time"])
    if not in_years(at):
        raise ValueError(f"the time is not in {YEARS}")
    other: dict[str, Any] = {"time_us": microseconds(at), "on_behalf_of": shown["for"]}
    other |= {"decide_us": shown["latency"]["decide_us"]}
    # What is decoded already is no text of JSON: a marker in the place of all arguments is none of them.
    other |= {name: None if isinstance(shown[name], str) else shown[name] for name in ("arguments", "input")}
    return Kept(**other, **{name: shown[name] for name in Kept._fields if name not in other})


def recorded(row: Kept, facts: Facts, reads: Reads) -> Recorded:
    """The question of a row. `reads` are what the set that is to be asked reads: `read` records are held to that."""
    effect, why = said_of(row)
    server, method = row.server or "", row.method or ""
    detail: Mapping[str, Any] = loaded(row.detail) or NOTHING
    known = facts(server)
    arguments, answers = _mapping(row.arguments), _mapping(row.input)
    call = Call(server, method, row.target, arguments, b"", b"", row.protocol or PROTOCOL, answers)
    hidden = tuple(_hidden(row, detail, call, () if known is None else known.unwrap, reads)) if _lacks(row) else ()
    annotated = "annotations" in detail
    believed = known is not None and _believes(known, annotated)
    question = Question(
        call,
        _subject(row.principal or "", detail.get("principal")),
        known or ServerFacts(server),
        moment(row.time_us),
        None if row.on_behalf_of is None else _subject(row.on_behalf_of, detail.get("for")),
        frozenset(detail["approved"]) if "approved" in detail else NOBODY,
        frozenset(loaded(row.labels)) if row.labels else NOBODY,
        detail["annotations"] if annotated else None,
        ip=row.ip,
        client=row.client,
    )
    unknown = _unknown(hidden, known is None, method == TOOLS, believed)
    return Recorded(row.id, question, unknown, effect, why, row.decide_us or 0)


def loaded(value: Any) -> Any:
    """A JSON column's value, whether it was decoded already or not."""
    return orjson.loads(value) if isinstance(value, str) else value


def _mapping(value: Any) -> Mapping[str, Any]:
    """Arguments, or responses. A record holds no mapping where all of it was masked."""
    found = loaded(value)
    return found if isinstance(found, Mapping) else NOTHING


def _believes(known: ServerFacts, annotated: bool) -> bool:
    """Whether a row says all that was believed of hints: of the tools that a meta-tool calls it holds none."""
    return not known.trust_annotations or (annotated and not known.unwrap)


def moment(time_us: int) -> datetime:
    """A row's time."""
    return EPOCH + timedelta(microseconds=time_us)


@lru_cache(maxsize=4096)
def _unknown(hidden: tuple[Path, ...], elsewhere: bool, tool: bool, believed: bool) -> Unknown:
    of_tool = () if not tool else OF_TOOLS if believed else (*OF_TOOLS, ANNOTATIONS)
    return Unknown((*hidden, *of_tool), elsewhere)


def _subject(name: str, credential: Mapping[str, Any] | None) -> Subject:
    """Who it was, with what the credential said besides."""
    if credential is None:
        return _bare(name)
    return Subject(name, frozenset(credential["groups"]), credential["attributes"])


_bare = lru_cache(maxsize=4096)(Subject)


def said_of(row: Kept) -> tuple[Effect | None, str]:
    """What policy said, and why the row is not one that a policy set can be asked about."""
    code, method = row.reason_code, row.method or ""
    if code in HELD:
        # What was held because of a limit is told as ended, under the same reason.
        over = (row.reason or "").startswith(OVER_LIMIT)
        return Effect.ALLOW if over else Effect.REQUIRE_APPROVAL, ""
    if code not in POLICY_S:
        return None, f"not decided by policy: {code}"
    if method.startswith("tasks/") or method == "subscriptions/listen":
        return None, "judged as the calls it stands for"
    if row.effect == "allow" and not row.rules:
        return None, "not decided by policy: passed or filtered"
    if code == "over_limit":
        return Effect.ALLOW, ""
    effect = EFFECTS.get(row.effect or "")
    return effect, "" if effect is not None else "the row is damaged"


# --- what is left out -------------------------------------------------------------------------------------------------


def _lacks(row: Kept) -> bool:
    """Whether something may be left out of a row."""
    if row.detail is not None or row.arguments_mode not in ("redacted", "full"):
        return True
    return UNSTORABLE in f"{row.target} {row.client} {row.principal} {row.on_behalf_of}"


def _hidden(row: Kept, detail: Mapping[str, Any], call: Call, metas: Sequence[Unwrap], reads: Reads) -> Iterator[Path]:
    """The paths whose values are not what they were."""
    yield from _unlike(row)
    if "masked_target" in detail:
        yield TEXTS[0]
    if row.arguments_mode not in ("read", "redacted", "full"):
        yield from WHOLE
        return
    if row.input is None and "why_input" in detail:
        yield WHOLE[1]
    yield from _masked("args", call.arguments, detail.get("masked_arguments", ()))
    yield from _masked("input", call.input, detail.get("masked_input", ()))
    if row.arguments_mode == "read":
        then = [tuple(path) for path in detail.get("reads", ())]
        own = _not_picked(call, reads(call.server, call.method, call.target))
        now = chain(own, not_kept(call, metas, reads)) if metas else own
        # What was read then was kept whole: where it is not there, there was none.
        yield from (path for path in now if not any(path[: len(kept)] == kept for kept in then))


def _unlike(row: Kept) -> list[Path]:
    """What the database could not hold as it was."""
    texts = (row.target, row.client, row.principal, row.on_behalf_of)
    return [path for path, text in zip(TEXTS, texts, strict=True) if text is not None and UNSTORABLE in text]


def _masked(root: str, value: Any, pointers: Iterable[str]) -> Iterator[Path]:
    """Where markers stand; within a list, the list."""
    for pointer in pointers:
        if not pointer.startswith("/"):
            yield (root,)  # more places than are named
            return
        path, here = [root], value
        for part in pointer[1:].split("/"):
            if not isinstance(here, Mapping):
                break
            key = part.replace("~1", "/").replace("~0", "~")
            path.append(key)
            here = here.get(key)
        yield tuple(path)


def _not_picked(call: Call, reads: Iterable[Path]) -> Iterator[Path]:
    """Of what rules read now, what need not have been read then: a scalar or a list that is there is all there was,
    but for a text that is an object in JSON."""
    for path in reads:
        here: Any = call.arguments if path[0] == "args" else call.input
        for key in path[1:]:
            here = here.get(key) if isinstance(here, Mapping) else here
        if here is None or isinstance(here, Mapping) or _is_opened(here):
            yield path


def _is_opened(value: Any) -> bool:
    """Whether a text may be a part of what it was: of an object in JSON, what was read inside it is kept."""
    return isinstance(value, str) and value.lstrip()[:1] == "{"
