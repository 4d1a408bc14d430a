"""The rows of calls: which column holds what. Must not know how they are written (`recorder.py`, `store/`).

Only texts that come from outside are made storable; JSON is so by itself, and our own words are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from policylayer.audit import marks
from policylayer.audit.context import CallContext, Keeping
from policylayer.core.call import Call, Json, Subject
from policylayer.core.commands import Kind, Outcome, Record
from policylayer.core.decision import Decision, Inner, RuleRef
from policylayer.core.immutable import immutable
from policylayer.core.redact import Redactor, View
from policylayer.core.satisfied import names
from policylayer.keys import Keys, text
from policylayer.store.rows import VERSION, Row, storable

NAMED: Final = frozenset({"tools/call", "prompts/get"})
"""Methods whose targets are names; others' are addresses, which may hold what must not be kept."""

OUTCOME: Final = Kind.OUTCOME.value
_NEW: Final = tuple.__new__
_AT: Final = {name: at for at, name in enumerate(Row._fields)}
_NO_CALL: Final = (None,) * (_AT["reason"] - _AT["parent"] - 1)
_NO_DECISION: Final = (None,) * (_AT["state"] - _AT["reason"] - 1)


@immutable
class Stamp:
    """A row's id and time, and how long deciding took."""

    id: str
    time_us: int
    decide_us: int | None = None


class RowMaker:
    """Makes rows; holds the keys of their digests and what is kept of arguments."""

    def __init__(self, keys: Keys, keeping: Keeping) -> None:
        self._keys = keys
        self._keeping = keeping
        self._redactor = Redactor.of(self.mark, keeping.secret_keys)

    def mark(self, value: Json) -> str:
        """What stands for a masked value in the log: equal for equal values, of no use without the key."""
        return marks.mark(self._keys, value)

    def digest(self, digest: bytes | None) -> str | None:
        """A digest as rows keep it."""
        return None if digest is None else text(self._keys.digest(digest))

    def decision(self, cmd: Record, context: CallContext, stamp: Stamp) -> Row:
        """The row of a decision, round or release."""
        decision, call, caller = cmd.decision, context.call, context.caller
        view, answers = self._views(decision, context)
        target = self._target(call, view)
        redeemed = cmd.redeem
        grant, user = caller.grant, caller.on_behalf_of
        # By place, in the order of `Row`: by name it takes ten times as long.
        columns = (
            stamp.id,
            cmd.kind._value_,
            stamp.time_us,
            VERSION,
            cmd.parent,
            storable(caller.subject.id),
            None if user is None else storable(user.id),
            None if grant is None else grant.id,
            call.server,
            storable(call.method),
            None if target is None else storable(target),
            decision.effect._value_,
            decision.enforced._value_,
            None if decision.would is None else decision.would._value_,
            decision.reason_code._value_,
            storable(decision.reason) or None,
            _refs(decision.rules),
            _refs(decision.observed),
            decision.revision or None,
            view.text,
            answers.text if answers else None,
            view.mode,
            None if view.mode == "none" else self.digest(call.digest),
            cmd.consume or cmd.approval_id or (redeemed.approval_id if redeemed else None),
            context.session,
            call.protocol,
            None if context.client is None else storable(context.client),
            context.ip,
            None,  # state
            _detail(decision, view, answers, context, target != call.target),
            stamp.decide_us,
            None,  # record_us
            None,  # upstream_us
            None,  # size
            None,  # is_error
            None,  # result_digest
            orjson.dumps(sorted(context.labels)).decode() if context.labels else None,
            _charges(decision, self._keys) if cmd.charge and decision.charges else None,
            redeemed.nonce if redeemed else None,
        )
        return _NEW(Row, columns)

    def outcome(self, parent: str, outcome: Outcome, stamp: Stamp, record_us: int | None = None) -> Row:
        """The row of what became of the row `parent`."""
        columns = (
            *(stamp.id, OUTCOME, stamp.time_us, VERSION, parent),
            *_NO_CALL,
            storable(outcome.detail) or None,
            *_NO_DECISION,
            outcome.state._value_,
            None,  # detail
            None,  # decide_us
            record_us,
            outcome.upstream_us,
            outcome.size,
            int(outcome.is_error),
            self.digest(outcome.digest),
            *(None, None, None),  # labels, charges, redeemed
        )
        return _NEW(Row, columns)

    def _target(self, call: Call, view: View) -> str | None:
        """What the call was about. Names of tools and prompts are kept as they are: rules and people go by them."""
        if call.target is None or call.method in NAMED or view.mode == "full":
            return call.target
        return self._redactor.address(call.target)

    def _views(self, decision: Decision, context: CallContext) -> tuple[View, View | None]:
        """What is kept of the arguments, and of the responses of a later round."""
        call = context.call
        mode = self._keeping.mode_of(call, decision.inner)
        paths = decision.obligations.redact
        view = self._redactor.view(mode, call.arguments, paths=paths, reads=context.reads)
        if not call.input:
            return view, None
        return view, self._redactor.view(mode, call.input, paths=paths, reads=context.reads, root="input")


def _refs(refs: Sequence[RuleRef]) -> str | None:
    return orjson.dumps(refs).decode() if refs else None


def _inner(inner: Inner) -> dict[str, object]:
    """A call inside a call: named whatever is kept of arguments, as a call of its own would be."""
    rules = [rule.name for rule in inner.rules]
    return {"target": inner.target, "effect": inner.effect, "reason_code": inner.reason_code, "rules": rules}


def _charges(decision: Decision, keys: Keys) -> str:
    said = [
        {"counter": each.counter, "key": marks.key_of(keys, each), "amount": str(each.amount)}
        for each in decision.charges
    ]
    return orjson.dumps(said).decode()


def _detail(
    decision: Decision, view: View, answers: View | None, context: CallContext, masked_target: bool
) -> str | None:
    """The calls inside, where markers stand, why less was kept than configured, what was kept where that is what rules
    read, and what else was decided by; None for most rows."""
    detail = _decided_by(context)
    if decision.inner:
        detail["inner"] = list(map(_inner, decision.inner))
    for name, each in (("arguments", view), ("input", answers)):
        if each is not None and each.masked:
            detail[f"masked_{name}"] = each.masked
        if each is not None and each.why:
            detail[f"why_{name}"] = each.why
    if masked_target:
        detail["masked_target"] = True
    if view.mode == "read" and context.reads:
        detail["reads"] = sorted(context.reads)
    return orjson.dumps(detail).decode() if detail else None


def _decided_by(context: CallContext) -> dict[str, object]:
    """What policy was told besides the call: holds that were satisfied (and by which waivers), hints it believed, what
    the credential adds."""
    caller, detail = context.caller, dict[str, object]()
    if context.approved:
        detail["approved"] = sorted(names(context.approved))
    if context.waived:
        # Why nobody was asked: the approval names the person who said so.
        detail["waivers"] = [
            {"rule": each.rule, "waiver_id": each.waiver_id, "approval_id": each.approval_id} for each in context.waived
        ]
    if context.annotations is not None:
        detail["annotations"] = {hint: said for hint, said in context.annotations.items() if isinstance(said, bool)}
    if _adds(caller.subject):
        detail["principal"] = _added(caller.subject)
    if caller.on_behalf_of is not None and _adds(caller.on_behalf_of):
        detail["for"] = _added(caller.on_behalf_of)
    return detail


def _adds(subject: Subject) -> bool:
    return bool(subject.groups or subject.attributes)


def _added(subject: Subject) -> dict[str, object]:
    return {"groups": sorted(subject.groups), "attributes": subject.attributes}
