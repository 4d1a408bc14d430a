"""The rows of calls: which column holds what. Must not know how they are written (`recorder.py`, `store/`).

Only texts that come from outside are made storable; JSON is so by itself, and our own words are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from policylayer.audit import marks
from policylayer.audit.context import CallContext, Keeping
from policylayer.core.call import Json
from policylayer.core.commands import Kind, Outcome, Record
from policylayer.core.decision import Decision, Inner, RuleRef
from policylayer.core.immutable import immutable
from policylayer.core.redact import Redactor, View
from policylayer.keys import Keys, text
from policylayer.store.rows import Row, storable

OUTCOME: Final = Kind.OUTCOME.value


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
        redeemed = cmd.redeem
        grant, user = caller.grant, caller.on_behalf_of
        return Row(
            id=stamp.id,
            kind=cmd.kind._value_,
            time_us=stamp.time_us,
            parent=cmd.parent,
            principal=storable(caller.subject.id),
            on_behalf_of=None if user is None else storable(user.id),
            grant_id=None if grant is None else grant.id,
            server=call.server,
            method=storable(call.method),
            target=None if call.target is None else storable(call.target),
            effect=decision.effect._value_,
            enforced=decision.enforced._value_,
            would=None if decision.would is None else decision.would._value_,
            reason_code=decision.reason_code._value_,
            reason=storable(decision.reason) or None,
            rules=_refs(decision.rules),
            observed=_refs(decision.observed),
            revision=decision.revision or None,
            arguments=view.text,
            input=answers.text if answers else None,
            arguments_mode=view.mode,
            digest=None if view.mode == "none" else self.digest(call.digest),
            approval_id=cmd.consume or cmd.approval_id or (redeemed.approval_id if redeemed else None),
            session=context.session,
            protocol=call.protocol,
            client=None if context.client is None else storable(context.client),
            ip=context.ip,
            detail=_detail(decision, view, answers, context),
            decide_us=stamp.decide_us,
            labels=orjson.dumps(sorted(context.labels)).decode() if context.labels else None,
            charges=_charges(decision) if cmd.charge and decision.charges else None,
            redeemed=redeemed.nonce if redeemed else None,
        )

    def outcome(self, parent: str, outcome: Outcome, stamp: Stamp, record_us: int | None = None) -> Row:
        """The row of what became of the row `parent`."""
        return Row(
            id=stamp.id,
            kind=OUTCOME,
            time_us=stamp.time_us,
            parent=parent,
            state=outcome.state._value_,
            reason=storable(outcome.detail) or None,
            record_us=record_us,
            upstream_us=outcome.upstream_us,
            size=outcome.size,
            is_error=int(outcome.is_error),
            result_digest=self.digest(outcome.digest),
        )

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


def _charges(decision: Decision) -> str:
    return orjson.dumps(
        [{"counter": each.counter, "key": each.key, "amount": str(each.amount)} for each in decision.charges]
    ).decode()


def _detail(decision: Decision, view: View, answers: View | None, context: CallContext) -> str | None:
    """The calls inside, where markers stand, why less was kept than configured, and what else was decided by; None for
    most rows."""
    detail = _decided_by(context)
    if decision.inner:
        detail["inner"] = list(map(_inner, decision.inner))
    for name, each in (("arguments", view), ("input", answers)):
        if each is not None and each.masked:
            detail[f"masked_{name}"] = each.masked
        if each is not None and each.why:
            detail[f"why_{name}"] = each.why
    return orjson.dumps(detail).decode() if detail else None


def _decided_by(context: CallContext) -> dict[str, object]:
    """What policy was told besides the call: holds that were satisfied, hints it believed, what the credential adds."""
    detail: dict[str, object] = {}
    if context.approved:
        detail["approved"] = sorted(context.approved)
    if context.annotations is not None:
        detail["annotations"] = {hint: said for hint, said in context.annotations.items() if isinstance(said, bool)}
    for name, subject in (("principal", context.caller.subject), ("for", context.caller.on_behalf_of)):
        if subject is not None and (subject.groups or subject.attributes):
            detail[name] = {"groups": sorted(subject.groups), "attributes": subject.attributes}
    return detail
