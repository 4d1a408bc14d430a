"""Pure: a row of the decision log, as it is shown outside, back to the question that was asked; and what it leaves out.

A record may keep less than a call held: nothing of its arguments, what rules read, or all with secrets masked. What is
not kept is said (`Unknown`), never made up. Must not know where rows come from, nor what is asked about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect
from policylayer.core.immutable import immutable
from policylayer.policy.ast import Path
from policylayer.policy.inside_kept import not_kept
from policylayer.policy.selectors import TOOLS
from policylayer.policy.values import Unknown

PROTOCOL: Final = "2025-11-25"
POLICY_S: Final = frozenset(("rule", "not_applicable", "indeterminate", "over_limit"))
"""Reason codes of decisions that policy made; the proxy's own say nothing of rules."""

HELD: Final = frozenset(("pending", "approval_denied", "approval_expired"))
"""What became of a call that policy held."""

WHOLE: Final = (("args",), ("input",))
OF_TOOLS: Final = (("risk",), ("traits",), ("annotations",))
"""What rows do not hold of a tool."""

Facts = Callable[[str], ServerFacts | None]
"""What the configuration says of a server; None: not known."""

Reads = Callable[[str, str, str | None], Iterable[Path]]
"""Which paths a policy set reads of calls to a server, method and target."""


@immutable
class Recorded:
    """One row. `effect` is what policy said of the call, before any limit was counted (None: it was not asked).

    `whole`: nothing that arguments held is left out. `why` says why a row cannot be asked about again, or is empty.
    """

    id: str
    question: Question
    unknown: Unknown
    effect: Effect | None
    whole: bool
    why: str = ""
    rules: tuple[str, ...] = ()


def recorded(row: Mapping[str, Any], facts: Facts, reads: Reads) -> Recorded:
    """The question of a row. `reads` are what the set that is to be asked reads: `read` records are held to that."""
    server, method, target = row["server"] or "", row["method"] or "", row["target"]
    known = facts(server)
    arguments, answers = row["arguments"] or {}, row["input"] or {}
    # A record may hold no mapping where all of the arguments was masked.
    kept = arguments if isinstance(arguments, Mapping) else {}
    call = Call(server, method, target, kept, b"", b"", row.get("protocol") or PROTOCOL, answers)
    hidden = (
        *_hidden(row, arguments, answers, lambda: reads(server, method, target)),
        *_inner(row, call, known, reads),
    )
    rules = tuple(f"{rule['policy']}/{rule['rule']}" for rule in row["rules"])
    user = row["for"]
    question = Question(
        call=call,
        subject=Subject(row["principal"] or ""),
        server=known or ServerFacts(server),
        now=datetime.fromisoformat(row["time"]),
        on_behalf_of=None if user is None else Subject(user),
        approved=frozenset(rules) if _was_approved(row) else frozenset(),
        labels=frozenset(row.get("labels") or ()),
        ip=row.get("ip"),
        client=row.get("client"),
    )
    paths = (*hidden, *(OF_TOOLS if method == TOOLS else ()))
    effect, why = _effect(row, rules)
    return Recorded(row["id"], question, Unknown(paths, known is None), effect, not hidden, why, rules)


def _was_approved(row: Mapping[str, Any]) -> bool:
    """Whether an approval or a waiver let the call pass: then all holds that the row names were satisfied."""
    return row.get("approval_id") is not None and row["effect"] == Effect.ALLOW


def _effect(row: Mapping[str, Any], rules: tuple[str, ...]) -> tuple[Effect | None, str]:
    """What policy said, and why the row is not one that a policy set can be asked about."""
    code, method = row["reason_code"], row["method"] or ""
    if code in HELD:
        return Effect.REQUIRE_APPROVAL, ""
    if code not in POLICY_S:
        return None, f"not decided by policy: {code}"
    if method.startswith("tasks/") or method == "subscriptions/listen":
        return None, "judged as the calls it stands for"
    effect = Effect(row["effect"])
    if effect is Effect.ALLOW and not rules:
        return None, "not decided by policy: passed or filtered"
    return (Effect.ALLOW if code == "over_limit" else effect), ""


# --- what is left out -------------------------------------------------------------------------------------------------


def _hidden(
    row: Mapping[str, Any], arguments: Any, answers: Any, reads: Callable[[], Iterable[Path]]
) -> Iterator[Path]:
    """The paths whose values are not what they were."""
    mode, detail = row["arguments_mode"], row.get("detail") or {}
    if mode not in ("read", "redacted", "full"):
        # Only a later round has responses; of the first one it is known that there are none.
        yield from WHOLE if row["kind"] != "decision" else WHOLE[:1]
        return
    if row["input"] is None and row["kind"] != "decision":
        yield WHOLE[1]
    yield from _masked("args", arguments, detail.get("masked_arguments", ()))
    yield from _masked("input", answers, detail.get("masked_input", ()))
    if mode == "read":
        yield from _not_picked(arguments, answers, reads())


def _inner(row: Mapping[str, Any], call: Call, known: ServerFacts | None, reads: Reads) -> Iterable[Path]:
    """What a record that keeps what rules read then leaves out of the calls inside a meta-tool's."""
    metas = known.unwrap if known is not None else ()
    return not_kept(call, metas, reads) if row["arguments_mode"] == "read" and metas else ()


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


def _not_picked(arguments: Any, answers: Any, reads: Iterable[Path]) -> Iterator[Path]:
    """Of what rules read now, what need not have been read then: a scalar or a list that is there is all there was."""
    for path in reads:
        here = arguments if path[0] == "args" else answers
        for key in path[1:]:
            here = here.get(key) if isinstance(here, Mapping) else here
        if here is None or isinstance(here, Mapping):
            yield path
