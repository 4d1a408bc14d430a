"""How a server's failure is told: the agent gets one word of ours for it, the record how far the call came.

    NotSent       never_sent        cannot be reached, or is asked too much
    TimedOut      timed_out         may have run
    Lost          unknown           may have run
    ProtocolFault failed            answered something that is no answer

Nothing the server said is repeated. Must not know HTTP (`wire/replies.py` words the answer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from policylayer.core.commands import Outcome, OutcomeState
from policylayer.core.errors import Lost, NotSent, ProtocolFault, TimedOut, UpstreamError
from policylayer.upstream.interface import Overloaded
from policylayer.wire import replies
from policylayer.wire.rejection import INVALID_REQUEST, Id
from policylayer.wire.replies import Reply

_TOLD: Final[Mapping[type[UpstreamError], tuple[OutcomeState, str]]] = {
    Overloaded: (OutcomeState.NEVER_SENT, "it is overloaded"),
    NotSent: (OutcomeState.NEVER_SENT, "it cannot be reached"),
    TimedOut: (OutcomeState.TIMED_OUT, "it did not answer in time"),
    Lost: (OutcomeState.UNKNOWN, "the connection to it was lost"),
    ProtocolFault: (OutcomeState.FAILED, "its answer is not valid"),
}

REFUSES_US: Final = "it refuses the proxy's credential"
INVALID: Final = "its answer is not valid"
INTERNAL: Final = "the proxy failed to relay it"


class Unusable(Exception):
    """An answer arrived that cannot be relayed; `word` is for the agent, `detail` for the record."""

    def __init__(self, detail: str, word: str = INVALID, state: OutcomeState = OutcomeState.FAILED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.word = word
        self.state = state


class Unread(Unusable):
    """The server refused the message by its status, before it knew whose it was: no answer of its, but a refusal."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(f"status {status}", word, OutcomeState.UPSTREAM_REFUSED)
        self.status = status


def outcome_of(error: UpstreamError | Unusable) -> Outcome:
    """For the record."""
    if isinstance(error, Unusable):
        return Outcome(error.state, error.detail)
    return Outcome(_of(error)[0], error.message)


def reply_of(id: Id | None, error: UpstreamError | Unusable, row_id: str | None = None) -> Reply:
    """For the agent."""
    if isinstance(error, Unread):
        return replies.error(id, INVALID_REQUEST, error.word, {"decision_id": row_id}, error.status)
    word = error.word if isinstance(error, Unusable) else _of(error)[1]
    reply = replies.upstream_failed(id, word, row_id)
    if isinstance(error, Overloaded):
        after = ("Retry-After", str(max(1, round(error.retry_after))))
        return replace(reply, status=503, headers=(*reply.headers, after))
    return reply


def _of(error: UpstreamError) -> tuple[OutcomeState, str]:
    found = next((_TOLD[kind] for kind in type(error).__mro__ if kind in _TOLD), None)
    return found or (OutcomeState.UNKNOWN, INTERNAL)
