"""Pure: one matcher of a condition, compiled: what it makes of a value that is there.

`BUILDERS` is the table of all matchers but `exists`, `every` and `some`, which `conditions` makes since they decide
what missing means or hold conditions themselves. A matcher that cannot read its value, or is given another JSON type
than it compares with, answers with its field's problem; nothing is coerced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from policylayer.core.immutable import immutable
from policylayer.policy.ast import Matcher, Ref, Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error
from policylayer.policy.truth import Problem, Truth, missing, wrong
from policylayer.policy.values import Context, Reader, remembered, text_of

T = TypeVar("T")

Check: TypeAlias = Callable[[Any, Context], Truth]
"""What a matcher makes of a value; the context is for `ref` and the server's directory."""

Builder: TypeAlias = Callable[[Matcher, "Site"], Check]


class Refused(Exception):
    """A matcher that cannot be compiled; reported already."""


@immutable
class Site:
    """Where a matcher stands: its field's name in messages and the folding of case; `item` names the element."""

    field: str
    sink: list[Diagnostic]
    ignore_case: bool = False
    item: str | None = None

    @property
    def missing(self) -> Problem:
        """The field is missing."""
        return missing(self.field)

    @property
    def wrong(self) -> Problem:
        """The field is of a wrong type or unreadable."""
        return wrong(self.field)

    def refuse(self, code: Code, span: Span, message: str, help: str = "") -> Refused:
        """Report an error of the policy and return what to raise."""
        self.sink.append(error(code, span, message, help))
        return Refused()

    def label(self, path: tuple[str, ...]) -> str:
        """A path's name in messages: `item` is the list it is an element of."""
        if path[0] == "item" and self.item is not None:
            return self.item + "".join("." + text_of((part,)) for part in path[1:])
        return text_of(path)


def alternatives(matcher: Matcher) -> tuple[Any, ...]:
    """The right side of a matcher that takes one literal or a list of them."""
    return matcher.value if isinstance(matcher.value, tuple) else (matcher.value,)


def texts(matcher: Matcher, site: Site) -> tuple[str, ...]:
    """The right side as texts."""
    found = alternatives(matcher)
    if not found or not all(isinstance(text, str) for text in found):
        raise site.refuse(Code.BAD_OPERAND, matcher.span, f"`{matcher.name}` takes a text or a list of texts")
    return found


def made_of_each(matcher: Matcher, site: Site, make: Callable[[str, Span], T]) -> tuple[T, ...]:
    """What is made of each text on the right side; all that are refused are reported, each at its place."""
    texts(matcher, site)
    made, refused = [], None
    for text, span in matcher.placed():
        try:
            made.append(make(text, span))
        except Refused as problem:
            refused = problem
    if refused is not None:
        raise refused
    return tuple(made)


def reference(ref: Ref, site: Site) -> tuple[Reader, Problem, Problem]:
    """A `ref`: how it is read, and its problems when it is missing or behind no object."""
    read = remembered(ref.path)
    if read is None:
        raise site.refuse(Code.UNKNOWN_PATH, ref.span, f"there is no path `{text_of(ref.path)}`")
    label = site.label(ref.path)
    return read, missing(label), wrong(label)


def ref_problem(ref: Ref, taken: tuple[type, ...], site: Site) -> Callable[[Context], Problem | None]:
    """What is wrong with a `ref` where nothing is compared with it: it is missing, or of none of these types."""
    read, is_missing, is_wrong = reference(ref, site)

    def problem(ctx: Context) -> Problem | None:
        value = read(ctx)
        if value is None:
            return is_missing
        return None if type(value) in taken else is_wrong

    return problem


BUILDERS: Final[dict[str, Builder]] = {}
"""Filled by the `matchers_*` modules, one for each family; `conditions` imports them all."""


def build(matcher: Matcher, site: Site) -> Check:
    """Compile one matcher; raises `Refused` after reporting."""
    builder = BUILDERS.get(matcher.name)
    if builder is None:
        raise site.refuse(Code.UNKNOWN_MATCHER, matcher.span, f"unknown matcher `{matcher.name}`")
    return builder(matcher, site)
