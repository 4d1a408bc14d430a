"""Which findings a unit's scope lets count: an allow only for the actor's (and user's) own scope, the rest for either.

The matching itself is the policy engine's (`policy/`), handed in as `Covers`, so that there is one reading of a scope.
"""

from __future__ import annotations

from collections.abc import Callable

from policylayer.core.call import Question
from policylayer.core.decision import Effect
from policylayer.core.finding import Finding
from policylayer.policy.rules import Scope

Covers = Callable[[tuple[Scope, ...], Question, Effect | None], bool]
"""Whether scopes cover a question for a rule of this effect; None: for any effect at all."""


def covered(finding: Finding, scopes: tuple[Scope, ...], question: Question, covers: Covers) -> bool:
    """A failure counts wherever the unit was asked: what it would have said is not known."""
    return finding.effect is None or covers(scopes, question, finding.effect)
