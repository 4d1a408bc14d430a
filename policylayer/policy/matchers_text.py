"""Pure: matchers on texts: contains, starts_with, ends_with, glob, matches, finds.

The right side is one literal or a list of them, any of which may match. A list is no text: it needs `every` or `some`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from policylayer.policy import globs
from policylayer.policy.ast import Matcher, Span
from policylayer.policy.codes import Code
from policylayer.policy.matchers import BUILDERS, Check, Site, made_of_each, texts
from policylayer.policy.matchers_scalar import fold
from policylayer.policy.regexes import BadRegex, TextCheck, compile_regex
from policylayer.policy.truth import Truth
from policylayer.policy.values import Context


def _on_text(check: TextCheck, site: Site, folds: bool) -> Check:
    wrong = site.wrong
    if folds:
        return lambda value, ctx: check(fold(value)) if type(value) is str else wrong
    return lambda value, ctx: check(value) if type(value) is str else wrong


def _any(checks: tuple[TextCheck, ...]) -> TextCheck:
    return checks[0] if len(checks) == 1 else lambda text: any(check(text) for check in checks)


def _contains(literals: tuple[str, ...]) -> TextCheck:
    return _any(tuple(map(_containing, literals)))


def _containing(literal: str) -> TextCheck:
    return lambda text: literal in text


def _starting(literals: tuple[str, ...]) -> TextCheck:
    return lambda text: text.startswith(literals)


def _ending(literals: tuple[str, ...]) -> TextCheck:
    return lambda text: text.endswith(literals)


_LITERAL: Final[dict[str, Callable[[tuple[str, ...]], TextCheck]]] = {
    "contains": _contains,
    "starts_with": _starting,
    "ends_with": _ending,
}


def literal(matcher: Matcher, site: Site) -> Check:
    """contains, starts_with, ends_with."""
    wanted = texts(matcher, site)
    if site.ignore_case:
        wanted = tuple(map(fold, wanted))
    return _on_text(_LITERAL[matcher.name](wanted), site, site.ignore_case)


def checked_globs(matcher: Matcher, site: Site) -> tuple[str, ...]:
    """The right side as globs without refused characters."""

    def pattern(text: str, span: Span) -> str:
        bad = globs.refused(text)
        if bad is None:
            return text
        message = f"`{bad}` is not allowed in a glob"
        raise site.refuse(Code.BAD_GLOB, span, message, "only `*` and `**` are wildcards")

    return made_of_each(matcher, site, pattern)


def glob(matcher: Matcher, site: Site) -> Check:
    """`*` stops at `/`, `**` does not."""
    wanted = checked_globs(matcher, site)
    if site.ignore_case:
        wanted = tuple(map(fold, wanted))
    return _on_text(_any(tuple(map(globs.glob, wanted))), site, site.ignore_case)


def regex(matcher: Matcher, site: Site) -> Check:
    """matches (the whole text) and finds (anywhere). Case is folded in the expression, not in the text."""

    def expression(text: str, span: Span) -> TextCheck:
        try:
            return compile_regex(text, matcher.name == "matches", site.ignore_case)
        except BadRegex as problem:
            raise site.refuse(Code.BAD_REGEX, span, str(problem), problem.help) from None

    check, wrong = _any(made_of_each(matcher, site, expression)), site.wrong

    def on_value(value: Any, ctx: Context) -> Truth:
        return check(value) if type(value) is str else wrong

    return on_value


BUILDERS.update(dict.fromkeys(_LITERAL, literal) | {"glob": glob, "matches": regex, "finds": regex})
