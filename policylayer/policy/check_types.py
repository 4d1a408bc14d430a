"""Pure: conditions on what is of one type in every call, compared with what is of another: always an error.

Groups and labels are lists of texts, names are texts, attributes what principals.yaml says. What arguments are is known
from the schemas of tools only (`check_matchers`), which says more where it runs: this stays silent where that spoke.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote, warning
from policylayer.policy.matchers_scalar import kind_of
from policylayer.policy.parse_matchers import TEXTUAL
from policylayer.policy.values import text_of

LIST: Final = "list"
_SUBJECT: Final = {"id": "string", "kind": "string", "owner": "string", "groups": "[string]"}
_TEXTS: Final = frozenset((*TEXTUAL, "within", "path_glob", "host", "url_glob", "cidr", "decimal"))
_WORDS: Final = {"string": "a text", "number": "a number", "boolean": "true or false", LIST: "a list"}
_BOUNDS: Final = {"gt": (True, False), "gte": (True, True), "lt": (False, False), "lte": (False, True)}
"""Matchers that bound a number: whether from below, and whether the bound itself will do."""


def check_types(policies: Sequence[ast.Policy], directory: ast.Directory, sink: list[Diagnostic]) -> None:
    """Warn of conditions that are an error, or false, whatever is called."""
    said = {(finding.file, finding.line, finding.column) for finding in sink}
    for policy in policies:
        for rule in policy.rules:
            for block in (rule.selection, *rule.except_):
                for test in ast.tests_of(block.when):
                    found = (*_of_test(test, _type_of(test.path, directory)), *_never(test))
                    sink.extend(each for each in found if (each.file, each.line, each.column) not in said)


def _type_of(path: ast.Path, directory: ast.Directory) -> str | None:
    """`string`, `number`, `boolean`, `[string]`, `[number]`; None where it may be anything."""
    if path[0] in ("principal", "for"):
        return _SUBJECT.get(path[1]) or directory.attributes.get(path[1]) if len(path) == 2 else None
    if path == ("session", "labels"):
        return "[string]"
    return "string" if path[0] in ("server", "method", "target", "request") and len(path) <= 2 else None


def _of_test(test: ast.Test, type_: str | None) -> Iterator[Diagnostic]:
    if type_ is None:
        return
    is_list = type_.startswith("[")
    kind = LIST if is_list else type_
    for matcher in test.matchers:
        taken = _taken(matcher)
        if taken is not None and kind not in taken:
            what = f"{quote(text_of(test.path))} is {_WORDS[kind]}"
            message = f"{what}, of which `{matcher.name}` is always an error as it is written"
            code = Code.LIST_ARGUMENT if is_list else Code.ARGUMENT_TYPE
            help_ = "ask its elements: `some: …` or `every: …`" if is_list else "nothing is coerced"
            yield warning(code, matcher.span, message, help_)
        elif is_list and isinstance(matcher.value, ast.Each) and matcher.value.element is not None:
            yield from _of_test(matcher.value.element, type_[1:-1])


def _taken(matcher: ast.Matcher) -> frozenset[str] | None:
    """The types that a matcher takes, as far as they matter here; None: all, or it is said elsewhere."""
    if matcher.name in ("eq", "neq", "in", "not_in"):
        first = matcher.placed()[0][0]
        kind = None if isinstance(first, ast.Ref) else kind_of(first)
        return frozenset(("string", "number", "boolean")) if kind is None else frozenset((kind,))
    if matcher.name in _TEXTS:
        return None if matcher.name == "contains" else frozenset(("string",))
    if matcher.name in _BOUNDS:
        return frozenset(("number",))
    if matcher.name == "keys":
        return frozenset(("object",))
    if matcher.name == "length":
        return frozenset(("string", LIST))
    return frozenset((LIST,)) if matcher.name in ("every", "some") else None


def _never(test: ast.Test) -> Iterator[Diagnostic]:
    """Bounds between which there is no number."""
    low = high = None
    for matcher in test.matchers:
        value = matcher.value
        if matcher.name not in _BOUNDS or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        is_low, closed = _BOUNDS[matcher.name]
        bound = (value, not closed) if is_low else (value, closed)
        if is_low:
            low = bound if low is None else max(low, bound)
        else:
            high = bound if high is None else min(high, bound)
    if low is not None and high is not None and (low[0] > high[0] or (low[0] == high[0] and (low[1] or not high[1]))):
        message = f"no number is within these bounds of {quote(text_of(test.path))}"
        yield warning(Code.NO_CALL_FITS, test.span, message, "the lower one is above the upper one")
