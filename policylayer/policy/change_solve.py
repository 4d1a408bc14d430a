"""Pure: edits that would make a condition, or a rule, come out true or not; each option is a set of edits.

Values come from `change_values`, and each is asked of the condition itself before it is offered, so an option does
what it says for its own condition. Whether it changes the decision is for `change` to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Any, Final, TypeAlias

from policylayer.core.call import Question
from policylayer.core.immutable import immutable
from policylayer.policy import ast, change_times, change_values, written
from policylayer.policy.change_edits import cost, edited, settable
from policylayer.policy.conditions import Node, compile_condition
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.truth import Truth
from policylayer.policy.values import BROKEN, reader


@immutable
class Edit:
    """One field's new value, and for the sake of which words of which rule."""

    value: Any
    rule: str
    says: str


Option: TypeAlias = Mapping[ast.Path, Edit]

OPTIONS: Final = 6
"""Ways that are kept for one condition."""
COMBINED: Final = 24
"""Ways that are kept for a conjunction."""


class Exhausted(Exception):
    """Enough has been tried."""


def values(option: Option) -> dict[ast.Path, Any]:
    """An option's fields and values."""
    return {path: edit.value for path, edit in option.items()}


def merged(options: Iterable[Option]) -> Option | None:
    """All of them together; None where one would undo another."""
    made: dict[ast.Path, Edit] = {}
    for option in options:
        for path, edit in option.items():
            for other in made:
                if path != other and path[: len(other)] == other[: len(path)]:
                    return None
            if path in made and made[path].value != edit.value:
                return None
            made[path] = edit
    return made


def cheapest(options: Iterable[Option], most: int) -> list[Option]:
    """The least costly ones, each once."""
    unique = {repr(sorted((path, repr(edit.value)) for path, edit in option.items())): option for option in options}
    return sorted(unique.values(), key=lambda option: cost(values(option)))[:most]


class Conditions:
    """Solves conditions for one policy set. `left` is how many more values may be tried."""

    def __init__(self, policy_set: PolicySet, left: int) -> None:
        self.policy_set = policy_set
        self.left = left
        self._nodes: dict[int, tuple[ast.Condition, Node]] = {}

    def truth(self, condition: ast.Condition, question: Question) -> Truth:
        """What a condition comes to."""
        self.left -= 1
        if self.left < 0:
            raise Exhausted
        found = self._nodes.get(id(condition))
        if found is None:
            found = self._nodes[id(condition)] = (condition, compile_condition(condition, []))
        return found[1].truth(self.policy_set.context(question))

    def solve(self, condition: ast.Condition, wanted: bool, question: Question, rule: str) -> list[Option]:
        """Ways to have the condition come out as wanted; `[{}]` where it does already."""
        if self.truth(condition, question) is wanted:
            return [{}]
        match condition:
            case ast.Not(part):
                return self.solve(part, not wanted, question, rule)
            case ast.All(parts) | ast.Any_(parts):
                return self._several(parts, wanted, isinstance(condition, ast.All), question, rule)
            case ast.Test():
                return self._test(condition, wanted, question, rule)
            case _:
                return self._time(condition, wanted, question, rule)

    def _several(
        self, parts: tuple[ast.Condition, ...], wanted: bool, is_all: bool, question: Question, rule: str
    ) -> list[Option]:
        each = [self.solve(part, wanted, question, rule) for part in parts]
        if wanted is is_all:
            return self.together(each)
        return cheapest((option for options in each for option in options if option), COMBINED)

    def together(self, each: list[list[Option]]) -> list[Option]:
        """One way of each, in all combinations that agree."""
        combinations = islice(product(*(options[:OPTIONS] for options in each)), COMBINED * 4)
        found = (merged(combination) for combination in combinations)
        return cheapest((option for option in found if option is not None), COMBINED)

    def _time(self, condition: ast.Condition, wanted: bool, question: Question, rule: str) -> list[Option]:
        assert isinstance(condition, ast.During | ast.Bound)
        says = f"time: {{{written.time(condition)}}}"
        tried: Iterator[Option] = (
            {("time",): Edit(at, rule, says)} for at in change_times.candidates(condition, question.now)
        )
        return self._that_hold(condition, wanted, question, tried)

    def _test(self, test: ast.Test, wanted: bool, question: Question, rule: str) -> list[Option]:
        ctx = self.policy_set.context(question)
        says = written.short(written.test(test))

        def read(path: ast.Path) -> Any:
            found = reader(path)
            value = None if found is None else found(ctx)
            return None if value is BROKEN else value

        def tried() -> Iterator[Option]:
            if settable(test.path):
                for value in change_values.candidates(test, read(test.path), lambda ref: read(ref.path)):
                    yield {test.path: Edit(value, rule, says)}
            for ref in _refs(test):
                if settable(ref.path):
                    for value in _near(read(test.path)):
                        yield {ref.path: Edit(value, rule, says)}

        return self._that_hold(test, wanted, question, tried())

    def _that_hold(
        self, condition: ast.Condition, wanted: bool, question: Question, tried: Iterable[Option]
    ) -> list[Option]:
        """The first options under which the condition is as wanted."""

        def holds(option: Option) -> bool:
            return self.truth(condition, edited(question, values(option))) is wanted

        return list(islice(filter(holds, tried), OPTIONS))


def _refs(test: ast.Test) -> Iterator[ast.Ref]:
    for matcher in test.matchers:
        if isinstance(matcher.value, ast.Ref):
            yield matcher.value


def _near(value: Any) -> Iterator[Any]:
    """What another path could hold for this one to compare with."""
    if value is None:
        return
    yield value
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield f"{value}x"
    yield [value]
    yield change_values.REMOVED
