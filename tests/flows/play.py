"""A playbook: the commands a call is expected to yield, each with the reply it is given.

    Play(mediate()) >> ask() << allowed() >> write(charge=True) << Recorded("r1") >> ends(Relayed)

`>>` takes the next command (or the verdict) and compares what the expectation names; `<<` is the reply. A mismatch
shows the whole script so far.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from policylayer.core.commands import (
    Decide,
    Forward,
    Hold,
    Outcome,
    OutcomeState,
    Record,
    RecordOutcome,
    Seek,
    Waited,
)
from policylayer.core.decision import Decision, Effect, HoldRule, ReasonCode, RuleRef
from policylayer.core.mediate import Steps

OPEN = object()


class Expected:
    """A command (or verdict) type, and the fields that must be equal."""

    def __init__(self, of: type, /, **fields: Any) -> None:
        self.of, self.fields = of, fields

    def differs(self, value: object) -> str | None:
        """What is different, or None."""
        if not isinstance(value, self.of):
            return f"expected {self.of.__name__}, got {value!r}"
        wrong = {k: getattr(value, k) for k, v in self.fields.items() if getattr(value, k) != v}
        return f"{self.of.__name__}: expected {self.fields}, got {wrong}" if wrong else None


class Play:
    """A generator under way, and the script so far."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.script, self.reply = steps, [], None
        self.verdict: Any = OPEN

    def _next(self) -> object:
        assert self.verdict is OPEN, f"it has already ended with {self.verdict}"
        try:
            return self.steps.send(self.reply)
        except StopIteration as stop:
            self.verdict = stop.value
            return self.verdict

    def __rshift__(self, expected: Expected) -> Play:
        got = self._next()
        self.script.append(f"  >> {got!r}")
        wrong = expected.differs(got)
        assert wrong is None, "\n".join([f"{wrong}, after", *self.script])
        return self

    def __lshift__(self, reply: object) -> Play:
        self.script.append(f"  << {reply!r}")
        self.reply = reply
        return self


def ends(verdict: type, /, **fields: Any) -> Expected:
    """The verdict."""
    return Expected(verdict, **fields)


def ask(*approved: str) -> Expected:
    """Policy is asked, with these hold rules satisfied."""
    return Expected(Decide, approved=frozenset(approved))


def seek() -> Expected:
    """The approvals are searched."""
    return Expected(Seek)


def write(**fields: Any) -> Expected:
    """A row."""
    return Expected(Record, **fields)


def wait(approval_id: str) -> Expected:
    """The call is kept."""
    return Expected(Hold, approval_id=approval_id)


def send(row_id: str, **fields: Any) -> Expected:
    """The call is forwarded."""
    return Expected(Forward, row_id=row_id, **fields)


def close(row_id: str, **fields: Any) -> Expected:
    """An outcome row."""
    return Expected(RecordOutcome, row_id=row_id, **fields)


def rule(name: str) -> RuleRef:
    """A rule of policy `p`."""
    return RuleRef("p", name, "p.yaml", 1)


def allowed() -> Decision:
    """Policy says yes."""
    return Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, revision="sha256:1")


def denied(code: ReasonCode = ReasonCode.RULE) -> Decision:
    """Policy says no."""
    return Decision(Effect.DENY, code, Effect.DENY, revision="sha256:1")


def held(*names: str, each_round: bool = False) -> Decision:
    """Policy wants approval, by these rules."""
    holds = tuple(HoldRule(rule(name), each_round=each_round) for name in names or ("hold",))
    base = Decision(Effect.REQUIRE_APPROVAL, ReasonCode.RULE, Effect.REQUIRE_APPROVAL, revision="sha256:1")
    return replace(base, holds=holds)


def approved(approval_id: str, *rules: str) -> Waited:
    """Someone said yes."""
    return Waited("approved", approval_id, frozenset(rules or ("p/hold",)))


DONE = Outcome(OutcomeState.EXECUTED)
