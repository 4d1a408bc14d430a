"""Calls that take several rounds (2026-07-28): what a server asks back, and calls that wait for their approval.

Every `requestState` that an agent carries is ours: sealed for this caller, and inside it the server's own. Two kinds:
`round` after a server asked for input, `waiting` while an approval is pending. On the way back the seal is opened, the
server's own text put in its place, and the retry decided again: with what earlier rounds earned only if its arguments
are the same and its answers are exactly those asked for, else as a new call. A state that does not open is refused.

Must not know HTTP, or how a nonce is redeemed (the row's transaction does it).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from policylayer.approvals.state import RequestState, asked_digest, is_ours, open_state, seal
from policylayer.core.call import Call
from policylayer.core.commands import Forward, Refused, Relayed, Round, Verdict
from policylayer.core.immutable import immutable
from policylayer.keys import text
from policylayer.policy.texts import render
from policylayer.proxy.faults import Unusable
from policylayer.proxy.server_requests import first_refused
from policylayer.proxy.visit import Visit
from policylayer.wire import replies, splice
from policylayer.wire.calls import call_of
from policylayer.wire.message import Message, decode
from policylayer.wire.rejection import INVALID_PARAMS, Rejection
from policylayer.wire.server_messages import ServerMessage

METHODS: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The only requests that may be answered with `input_required`."""

LARGEST_CARRIED: Final = 256 * 1024
"""Bytes of a server's state, and of the answers that a waiting state carries; a call with more must come again."""

_STATE: Final = ("params", "requestState")


@immutable
class Attempt:
    """One request of a call, as it is to be judged and forwarded.

    `round` is set where earlier rounds count; `polls` and `since_us` say how often and since when it has waited;
    `state` is the sealed round that a waiting state is to carry on.
    """

    message: Message
    call: Call
    raw: bytes
    round: Round | None = None
    polls: int = 0
    since_us: int | None = None
    state: str | None = None


# --- what comes back --------------------------------------------------------------------------------------------------


def attempt(visit: Visit, message: Message) -> Attempt | Rejection:
    """The attempt that a request is: a first one, or a later one with the state it carries taken out."""
    call = call_of(message, visit.server.name)
    sealed = message.params.get("requestState")
    if sealed is None or message.method not in METHODS:
        return Attempt(message, call, message.raw)
    opened = _open(visit, call, sealed)
    if opened is None:
        return Rejection(400, INVALID_PARAMS, "request_state", "requestState is not valid for this request", message.id)
    if opened.kind == "waiting":
        return _waited(visit, message, call, opened)
    raw = _unwrapped(message.raw, opened.upstream_state)
    return Attempt(message, call, raw, _covering(call, opened), state=sealed)


def _open(visit: Visit, call: Call, sealed: str) -> RequestState | None:
    if not is_ours(sealed):
        return None
    deps = visit.deps
    return open_state(deps.keys, sealed, visit.caller, _bound(call), deps.clock.time_us())


def _bound(call: Call) -> Call:
    """What a seal is bound to besides the caller: server and method. A retry of another call is told from a forgery."""
    return replace(call, target=None, asked_digest=b"")


def _identity(call: Call) -> str:
    return f"{call.target or ''}\n{text(call.asked_digest)}"


def _covering(call: Call, opened: RequestState) -> Round | None:
    """The round, if this retry is its continuation and nothing else."""
    if opened.extra.get("call") != _identity(call) or not opened.covers(call.input) or opened.parent is None:
        return None
    return Round(opened.parent, opened.number, opened.nonce, opened.approval_id, frozenset(opened.rules))


def _waited(visit: Visit, message: Message, call: Call, opened: RequestState) -> Attempt | Rejection:
    raw = splice.remove(message.raw, _STATE)
    if opened.extra.get("call") != _identity(call):
        return Attempt(message, call, raw)
    since, polls = int(opened.extra["since"]), opened.number
    answers, inner = opened.extra.get("answers"), opened.upstream_state
    if answers is None or call.input:
        return Attempt(message, call, raw, polls=polls, since_us=since)
    raw = splice.insert_member(raw, ("params",), "inputResponses", answers.encode())
    if inner is not None:
        raw = splice.insert_member(raw, ("params",), "requestState", orjson.dumps(inner))
    again = decode(raw, visit.headers, visit.deps.limits.message)
    if isinstance(again, Rejection):
        return again
    resumed = attempt(visit, again)
    return resumed if isinstance(resumed, Rejection) else replace(resumed, polls=polls, since_us=since)


def _unwrapped(raw: bytes, upstream_state: str | None) -> bytes:
    if upstream_state is None:
        return splice.remove(raw, _STATE)
    return splice.replace(raw, _STATE, orjson.dumps(upstream_state))


# --- what goes out: the server asks -----------------------------------------------------------------------------------


async def ask_back(visit: Visit, tried: Attempt, sent: Forward, answer: ServerMessage) -> bytes:
    """A server's `input_required`, judged and sealed; or the denial that ends the call. Raises `Unusable`."""
    requests, upstream_state = _asked(tried.message, answer)
    ended = await refused_by_policy(visit, tried.message, requests.values(), sent.row_id)
    if ended is not None:
        return ended
    deps = visit.deps
    state = RequestState(
        "round",
        number=(tried.round.number if tried.round else 0) + 1,
        nonce=deps.clock.new_id(),
        expires_us=deps.clock.time_us() + int(deps.limits.round_life * 1e6),
        approval_id=sent.approval_id,
        parent=sent.row_id,
        rules=tuple(sorted(sent.rules)),
        asked=tuple(requests),
        asked_digest=asked_digest(requests),
        upstream_state=upstream_state,
        extra={"call": _identity(tried.call)},
    )
    if state.number > deps.limits.rounds:
        raise Unusable("the call takes too many rounds")
    sealed = seal(deps.keys, state, visit.caller, _bound(tried.call))
    return splice.insert_member(answer.raw, ("result",), "requestState", orjson.dumps(sealed))


async def refused_by_policy(
    visit: Visit, message: Message, questions: Collection[object], parent: str | None
) -> bytes | None:
    """The answer that ends a request, where its server asks something that may not be shown; None where all may be."""
    capabilities = message.client_capabilities
    if capabilities is None and visit.session is not None:
        capabilities = visit.session.capabilities
    refused = await first_refused(visit, questions, capabilities or {}, message.protocol, parent)
    return None if refused is None else _ended(message, *refused)


def _asked(message: Message, answer: ServerMessage) -> tuple[Mapping[str, Any], str | None]:
    """What is asked, by key, and the server's own state, in good form."""
    assert answer.result is not None
    requests = answer.result.get("inputRequests", {})
    state = answer.result.get("requestState")
    if message.method not in METHODS or message.era != "modern":
        raise Unusable("it asks for input where it may not")
    if type(requests) is not dict or not (state is None or type(state) is str) or (not requests and state is None):
        raise Unusable("what it asks is malformed")
    if state is not None and len(state) > LARGEST_CARRIED:
        raise Unusable("its state is too large")
    return requests, state


def _ended(message: Message, asked: Call, verdict: Verdict) -> bytes:
    """The answer to a call whose server may not ask what it asked."""
    if isinstance(verdict, Refused):
        words = render(verdict.decision, asked, verdict.row_id, verdict.note, verdict.approval_id)
        return replies.denial(
            message, verdict.decision, verdict.row_id, verdict.approval_id, verdict.note, text=words
        ).body
    reason = "audit_unavailable" if isinstance(verdict, Relayed) else str(verdict.reason_code)
    return replies.unavailable(message.id, reason).body


# --- what goes out: an approval is pending ----------------------------------------------------------------------------


def wait_again(visit: Visit, tried: Attempt, refused: Refused) -> bytes | None:
    """The `input_required` that asks for nothing but to come again; None where the agent has come often enough."""
    deps = visit.deps
    now = deps.clock.time_us()
    since = now if tried.since_us is None else tried.since_us
    number = tried.polls + 1
    answers = _carried(tried)
    left_us = since + int(deps.limits.hold_modern * 1e6) - now
    if tried.message.method not in METHODS or number > deps.limits.last_poll or left_us <= 0 or answers is None:
        return None
    extra = {"call": _identity(tried.call), "since": str(since), **({"answers": answers} if answers else {})}
    state = RequestState(
        "waiting",
        number=number,
        nonce=deps.clock.new_id(),
        expires_us=now + left_us + int(deps.limits.round_life * 1e6),
        approval_id=refused.approval_id,
        upstream_state=tried.state if answers else None,
        extra=extra,
    )
    sealed = seal(deps.keys, state, visit.caller, _bound(tried.call))
    told = replies.told_of(refused.decision, refused.row_id, refused.approval_id, refused.note)
    result = {"resultType": "input_required", "requestState": sealed, "_meta": {replies.DECISION: told}}
    return replies.result(tried.message.id, result).body


def _carried(tried: Attempt) -> str | None:
    """The answers that the next poll will not bring again, as JSON; empty where there are none, None if too large."""
    if not tried.call.input:
        return ""
    found = splice.span(tried.raw, ("params", "inputResponses"))
    if found is None or found[1] - found[0] > LARGEST_CARRIED:
        return None
    return tried.raw[slice(*found)].decode()
