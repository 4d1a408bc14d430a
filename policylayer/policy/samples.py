"""Pure: texts and values that a pattern would match: for saying what a call could be changed to.

Nothing here is trusted: whoever uses a sample asks the matcher itself whether it holds. What cannot be thought of is
left out. Must not know conditions (`change_values`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

DEEP: Final = 6
_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_LITERAL: Final = {"n": "\n", "t": "\t", "r": "\r"}
_ENDS: Final = "bBAzZ"


def of_glob(pattern: str) -> Iterator[str]:
    """Texts that a glob matches."""
    yield pattern.replace("/**/", "/").replace("**", "x").replace("*", "x")
    yield pattern.replace("**", "x").replace("*", "x")
    yield pattern.replace("**", "").replace("*", "")


def of_expression(pattern: str) -> Iterator[str]:
    """Texts that an RE2 expression matches, for most that are written by hand."""
    try:
        yield from dict.fromkeys(_Expression(pattern, choice).read() for choice in range(3))
    except (IndexError, ValueError, RecursionError):
        return


class _Expression:
    """One walk over an expression: the shortest text, by the first (or another) alternative of each choice."""

    def __init__(self, pattern: str, choice: int) -> None:
        self._pattern = pattern
        self._choice = choice
        self._at = 0

    def read(self) -> str:
        text = self._alternatives()
        if self._at != len(self._pattern):
            raise ValueError("more than an expression")
        return text

    def _alternatives(self) -> str:
        found = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            found.append(self._sequence())
        return found[self._choice % len(found)]

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in ("", "|", ")"):
            atom = self._atom()
            parts.append(atom * self._repeat())
        return "".join(parts)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        sign = self._pattern[self._at]
        self._at += 1
        return sign

    def _atom(self) -> str:
        sign = self._take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return self._class()
        if sign == "\\":
            return self._escape()
        if sign in "^$":
            return ""
        return "a" if sign == "." else sign

    def _group(self) -> str:
        if self._peek() == "?":
            while self._take() not in ":>":
                pass
        text = self._alternatives()
        if self._take() != ")":
            raise ValueError("a group without end")
        return text

    def _escape(self) -> str:
        sign = self._take()
        if sign in _ENDS:
            return ""
        if sign.isalnum() and sign not in _CLASSES and sign not in _LITERAL:
            raise ValueError("an escape that is not thought of")
        return _CLASSES.get(sign, _LITERAL.get(sign, sign))

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        signs: list[str] = []
        while self._peek() != "]" or not signs:
            sign = self._take()
            if sign == "[" and self._peek() == ":":
                raise ValueError("a named class")
            signs.append(self._escape() if sign == "\\" else sign)
        self._at += 1
        if not negated:
            return signs[0]
        return next(sign for sign in "a0-_ ~z" if not _in_class(sign, signs))

    def _repeat(self) -> int:
        sign = self._peek()
        if sign not in ("*", "+", "?", "{"):
            return 1
        self._at += 1
        least = {"*": 0, "?": 0, "+": 1}.get(sign)
        if least is None:
            end = self._pattern.index("}", self._at)
            least = int(self._pattern[self._at : end].split(",")[0])
            self._at = end + 1
        self._at += self._peek() == "?"
        return least


def _in_class(sign: str, signs: list[str]) -> bool:
    text = "".join(signs)
    ranges = [(text[i - 1], text[i + 1]) for i in range(1, len(text) - 1) if text[i] == "-"]
    return sign in signs or any(low <= sign <= high for low, high in ranges)


def of_schema(schema: Any, deep: int = 0) -> Iterator[Any]:
    """Values that a JSON Schema accepts, for the plain ones."""
    if not isinstance(schema, Mapping) or deep > DEEP:
        return
    yield from schema.get("enum", ())
    if "const" in schema:
        yield schema["const"]
    kinds = schema.get("type", ("string", "number", "object"))
    for kind in (kinds,) if isinstance(kinds, str) else kinds:
        yield from _of_type(kind, schema, deep)


def _of_type(kind: str, schema: Mapping[str, Any], deep: int) -> Iterator[Any]:
    if kind in ("number", "integer"):
        low, high = schema.get("minimum"), schema.get("maximum")
        yield from [bound for bound in (low, high) if bound is not None] or [1]
        yield from [low + 1] if isinstance(low, int | float) else []
    elif kind == "string":
        pattern = schema.get("pattern")
        yield from of_expression(pattern) if isinstance(pattern, str) else ()
        yield "x" * max(1, int(schema.get("minLength", 1)))
    elif kind == "array":
        items = list(islice(of_schema(schema.get("items", {"type": "string"}), deep + 1), 1))
        yield items * int(schema.get("minItems", 1))
    elif kind == "object":
        yield _object(schema, deep)
    else:
        others: dict[str, list[Any]] = {"boolean": [True, False], "null": [None]}
        yield from others.get(kind, [])


def _object(schema: Mapping[str, Any], deep: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    made: dict[str, Any] = {}
    for name in schema.get("required", ()):
        value = next(of_schema(properties.get(name, {"type": "string"}), deep + 1), None)
        made[name] = value
    return made
