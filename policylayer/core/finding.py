"""Pure: what a policy engine other than YAML's says of one question, so that all are combined by one order of effects.

`rego/` makes these; `policy/decide.py` combines them with the rules of the YAML files. Knows neither.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from policylayer.core.decision import Effect, HoldRule, Obligations, RuleRef
from policylayer.core.immutable import immutable


@immutable
class Finding:
    """One result of one rule.

    `effect` is None where there is a `failure`: `indeterminate` if the policy's own result could not be read (a wrong
    shape, an unknown effect, a conflict, an error in the policy), `engine_error` if the engine gave none (a timeout, a
    dead worker, an unreachable server). `reason` is the author's text, or what went wrong. `engine_id` is the engine's
    own id of this decision, where it has one.
    """

    rule: RuleRef
    effect: Effect | None
    reason: str = ""
    hold: HoldRule | None = None
    obligations: Obligations = field(default_factory=Obligations)
    failure: Literal["indeterminate", "engine_error"] | None = None
    engine_id: str | None = None
