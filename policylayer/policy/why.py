"""Pure: an explanation together with what would change the decision, where the files' rules are all there is.

`revisions/explaining.py` asks other engines too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from policylayer.core.call import Question
from policylayer.policy.change import Change
from policylayer.policy.change_inside import all_changes
from policylayer.policy.explain import KNOWN, explain
from policylayer.policy.explain_shown import Told
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.values import Unknown

LOOKED_AT: Final = 12
"""Changes that are looked at for one that the agent itself can make."""


def why(policy_set: PolicySet, question: Question, unknown: Unknown = KNOWN) -> Told:
    """All that is told of a question. Looking for a change takes a moment: not to be called in an event loop."""
    explanation = explain(policy_set, question, unknown)
    return told(Told(explanation), until_own(policy_set, question) if explanation.is_whole else [])


def until_own(policy_set: PolicySet, question: Question) -> list[Change]:
    """The smallest changes, until one that the agent itself can make."""
    found: list[Change] = []
    for change in islice(all_changes(policy_set, question), LOOKED_AT):
        found.append(change)
        if change.own:
            break
    return found


def told(made: Told, found: Sequence[Change]) -> Told:
    """With the smallest change, and the smallest that the agent itself can make."""
    own = next((change for change in found if change.own), None)
    return Told(made.explanation, next(iter(found), None), own, made.rego, made.recorded)
