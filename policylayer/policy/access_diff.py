"""Pure: what changes in access between two policy sets: what opens, what closes, and what is open on other terms.

Must not know how access is found (`access`), nor how changes are shown (`access_shown`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from policylayer.core.decision import Effect
from policylayer.core.immutable import immutable
from policylayer.policy.access import Access, Cell

Kind = Literal["added", "removed", "changed"]
Direction = Literal["wider", "narrower", "unclear"]

OPENNESS: Final = {Effect.DENY: 0, Effect.REQUIRE_APPROVAL: 1, Effect.ALLOW: 2}

WISHES: Final = ("added", "removed", "changed", "widened", "narrowed", "any")
"""What `fails` knows."""


@immutable
class Difference:
    """One cell, before and after.

    `direction`: `wider` where every effect that is possible now is at least as open as every one before; `narrower` the
    other way round; of anything else it cannot be told without all calls.
    """

    before: Access
    after: Access

    @property
    def cell(self) -> Cell:
        """Whose access it is."""
        return self.after.cell

    @property
    def kind(self) -> Kind:
        """Whether something opens, closes, or stays open on other terms."""
        if not self.before.is_open:
            return "added"
        return "changed" if self.after.is_open else "removed"

    @property
    def direction(self) -> Direction:
        """Where it goes."""
        before = sorted(OPENNESS[effect] for effect in self.before.effects)
        after = sorted(OPENNESS[effect] for effect in self.after.effects)
        if before != after and after[0] >= before[-1]:
            return "wider"
        if before != after and after[-1] <= before[0]:
            return "narrower"
        return "unclear"


def differences(before: Iterable[Access], after: Iterable[Access]) -> Iterator[Difference]:
    """The cells that differ, of two lists of the same cells."""
    for old, new in zip(before, after, strict=True):
        if (old.is_open or new.is_open) and _terms(old) != _terms(new):
            yield Difference(old, new)


def _terms(access: Access) -> object:
    """All that access hangs on: where two are equal, the rules say the same, whatever they are called."""
    reasons = frozenset((each.effect, each.certain, each.said) for each in access.reasons)
    return access.effects, access.fields, reasons, access.rego


def fails(found: Iterable[Difference], wanted: Iterable[str]) -> tuple[str, ...]:
    """Which of the wishes happened. What may be wider counts as widened, what may be narrower as narrowed."""
    happened: set[str] = set()
    for each in found:
        happened |= {each.kind, "any"}
        happened |= {"widened"} if each.direction != "narrower" else set()
        happened |= {"narrowed"} if each.direction != "wider" else set()
    return tuple(wish for wish in wanted if wish in happened)
