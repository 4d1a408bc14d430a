"""What servers ask of the agent's client: sampling, elicitation, roots - judged like calls, also inside a result.

A question that policy denies, or that the client never said it can answer, never reaches the client: in the handshake
era the server gets an error for it; a modern result that asks it ends as an error (`rounds.py`). Must not know streams.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from policylayer.core.call import Call
from policylayer.core.commands import Forward, Hold, Outcome, OutcomeState, Relayed, Verdict, Waited
from policylayer.core.decision import Decision, ReasonCode
from policylayer.proxy import judging
from policylayer.proxy.faults import Unusable
from policylayer.proxy.perform import Performer
from policylayer.proxy.visit import Visit, refusal
from policylayer.tasks import spawn
from policylayer.wire import questions, replies
from policylayer.wire.calls import call_of_server_request
from policylayer.wire.rejection import METHOD_NOT_FOUND, Id
from policylayer.wire.server_messages import ServerMessage

NEEDS: Final[Mapping[str, str]] = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
"""The capability that a client declares for each."""

URL_REQUIRED: Final = -32042
NOT_HERE: Final = "it asks for input where it may not"
ROUND: Final = frozenset({"inputRequests", "requestState"})
"""Members of a result that a client answers with another request."""


def unfit(method: str, params: Mapping[str, Any], capabilities: Mapping[str, Any]) -> str | None:
    """Why a question is refused before policy is asked, or None."""
    needed = NEEDS.get(method)
    if needed is None:
        return "servers may not ask this"
    declared = capabilities.get(needed)
    if type(declared) is not dict:
        return f"the client did not declare {needed}"
    if questions.disguised(params):
        return "a member is written almost like another, which some clients read for it"
    if method == "elicitation/create":
        return _unfit_elicitation(params, declared)
    return None


def _unfit_elicitation(params: Mapping[str, Any], declared: Mapping[str, Any]) -> str | None:
    mode = params.get("mode", "form")
    if mode == "form":
        return None if not declared or "form" in declared else "the client did not declare elicitation.form"
    if mode != "url":
        return "the mode of the elicitation is not known"
    if "url" not in declared:
        return "the client did not declare elicitation.url"
    return None if _is_safe(params.get("url")) else "the elicitation's url is not https"


def _is_safe(url: object) -> bool:
    if type(url) is not str or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False


class Asking:
    """One question of a server, on its way to being shown or refused."""

    def __init__(self, visit: Visit, method: str, params: Mapping[str, Any], protocol: str) -> None:
        self.visit = visit
        self.call: Call = call_of_server_request(method, params, visit.server.name, protocol)
        self._params = params

    async def run(self, capabilities: Mapping[str, Any], parent: str | None) -> Verdict:
        """Judge it; `Relayed` means that it may be shown."""
        why = unfit(self.call.method, self._params, capabilities)
        if why is None:
            judge = judging.of_call(self.visit, self.call)
        else:
            judge = judging.constant(self._refusal(why))
        return await Performer(self.visit, self.call, judge, self._show, self._wait).run(parent=parent)

    def _refusal(self, why: str) -> Decision:
        return refusal(ReasonCode.REJECTED, why, self.visit.deps.engine.revision)

    async def _show(self, command: Forward) -> Outcome:
        return Outcome(OutcomeState.EXECUTED, "shown to the client")

    async def _wait(self, command: Hold) -> Waited:
        deps = self.visit.deps
        until = deps.clock.monotonic() + deps.limits.hold
        return await deps.approvals.wait(command.approval_id, until)


async def first_refused(
    visit: Visit, asked: Collection[object], capabilities: Mapping[str, Any], protocol: str, parent: str | None
) -> tuple[Call, Verdict] | None:
    """The first of several questions that may not be shown, with its verdict; None where all may be.

    Each is an object with `method` and `params`; anything else raises `Unusable`, and so do more than may be asked at
    one time: before any of them is judged, since each costs a row.
    """
    if len(asked) > visit.deps.limits.asked:
        raise Unusable("it asks too much at one time")
    fit = [each for each in asked if is_question(each)]
    if len(fit) < len(asked):
        raise Unusable("what it asks is malformed")
    for each in fit:
        asking = Asking(visit, each["method"], each.get("params") or {}, protocol)
        verdict = await asking.run(capabilities, parent)
        if not isinstance(verdict, Relayed):
            return asking.call, verdict
    return None


def is_question(asked: object) -> TypeGuard[dict[str, Any]]:
    """Whether it has the form of a request without an id, to every reader."""
    if type(asked) is not dict or type(asked.get("method")) is not str or questions.folded_entry(asked):
        return False
    return type(asked.get("params", {})) in (dict, type(None))


def urls_asked(answer: ServerMessage) -> list[object] | None:
    """The questions in an error that wants pages opened first (2025-11-25), or None where it is no such error.

    Where readers could find others in it, what stands for them has no question's form.
    """
    if answer.error is None or answer.error.get("code") != URL_REQUIRED:
        return None
    data = answer.error.get("data")
    if questions.disguised(data):
        return [None]
    listed = data.get("elicitations") if type(data) is dict else None
    pages = listed if type(listed) is list else [None]
    return [{"method": "elicitation/create", "params": page} for page in pages]


async def plain(answer: ServerMessage) -> bytes:
    """An answer that asks for nothing, as it is. Raises `Unusable` where it does."""
    if urls_asked(answer) is not None or (answer.result is not None and asks(answer.result)):
        raise Unusable(NOT_HERE)
    return answer.raw


def asks(result: Mapping[str, Any]) -> bool:
    """Whether a result is not the end of its request, or some client could take it so: for where none may ask."""
    return result.get("resultType", "complete") != "complete" or not ROUND.isdisjoint(result)


async def may_pass(visit: Visit, message: ServerMessage, protocol: str, parent: str | None) -> bool:
    """Whether a handshake server's request goes to the client; where not, the server is told."""
    assert message.id is not None
    assert message.method is not None
    session = visit.session
    if not visit.down.streams:
        visit.deps.metrics.count("dropped", "no_stream")
        _tell(visit, _error(message.id, replies.DENIED, "the client cannot be asked: it takes no streams"), protocol)
        return False
    if message.treatment(protocol) != "passed":
        asking = Asking(visit, message.method, message.params, protocol)
        verdict = await asking.run(session.capabilities if session else {}, parent)
        if not isinstance(verdict, Relayed):
            _refuse(visit, message, protocol)
            return False
    if session is not None and session.show(message.id, message.method, visit.deps.limits.outstanding):
        return True
    visit.deps.metrics.count("dropped", "too_many_questions" if session else "no_session")
    _tell(visit, _error(message.id, replies.DENIED, "the client cannot be asked now"), protocol)
    return False


def _refuse(visit: Visit, message: ServerMessage, protocol: str) -> None:
    visit.deps.metrics.count("dropped", "server_request")
    if message.method not in NEEDS:
        _tell(visit, _error(message.id, METHOD_NOT_FOUND, "Method not found"), protocol)
    else:
        _tell(visit, _error(message.id, replies.DENIED, "denied by the policy of the client's proxy"), protocol)


def _error(id: Id | None, code: int, text: str) -> bytes:
    return replies.error(id, code, text).body


def _tell(visit: Visit, body: bytes, protocol: str) -> None:
    """In the background: the server may not read before we have read on."""
    spawn(visit.tell_server(body, protocol), "refuse server request")
