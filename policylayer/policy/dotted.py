"""Pure: paths such as `args.items."x.y"`: cutting them at their dots, and which of them there are.

Condition paths have no indices and no wildcards; the paths of redact and mask have. Must not know matchers or rules.
Whether an attribute is declared is known only with principals.yaml: `check_names`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from policylayer.core.call import Json
from policylayer.policy.ast import Path, ResultPath, Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.nodes import Node
from policylayer.policy.shapes import Definitions, Reading, Shape
from policylayer.policy.words import text_of

_SEGMENT: Final = r"[A-Za-z0-9_-]+|\"[^\"]*\""
_CUT: Final = re.compile(rf"(?:^|\.)({_SEGMENT})(?=\.|$)", re.DOTALL)
_CUT_WILD: Final = re.compile(rf"(?:^|\.)({_SEGMENT}|\*\*?)(?=\.|$)", re.DOTALL)

SUBJECT: Final = ("id", "kind", "groups", "owner")
"""What every principal has besides its attributes; attributes cannot be named like these."""
REQUEST: Final = ("ip", "client", "protocol")
ROOTS: Final = ("args", "input", "principal", "for", "server", "method", "target", "session", "request", "time")
FEATURES: Final = {"for": "for", "session": "session"}
PATTERN: Final = (
    r"^((args|item)(\..+)?|input\..+|(principal|for)\.[^.]+|server|method|target"
    r"|session\.labels|request\.(ip|client|protocol))$"
)


@lru_cache(maxsize=4096)
def cut(text: str, wild: bool = False) -> Path | None:
    """The segments of a path, without their quotes; None where it is not one."""
    pattern = _CUT_WILD if wild else _CUT
    position = 0
    segments: list[str] = []
    while position < len(text) or not segments:
        found = pattern.match(text, position) if position or not text.startswith(".") else None
        if found is None:
            return None
        segments.append(found[1].strip('"') if found[1].startswith('"') else found[1])
        position = found.end()
    return tuple(segments)


def condition_path(text: str, span: Span, reading: Reading, item: bool = False) -> Path | None:
    """The path that a condition, a `ref`, `by` or `sum` names; `item`: it may begin with `item`."""
    path = cut(text)
    if path is None:
        help_ = "segments are letters, digits, `_` and `-`; anything else stands in double quotes: 'args.\"a b\"'"
        if "*" in text or "[" in text:
            help_ = "a condition path has no wildcards and no indices; for the elements of a list use `every` or `some`"
        reading.error(Code.BAD_PATH, span, f"{quote(text)} is not a path", help_)
        return None
    problem = _problem(path, item)
    if problem is not None:
        reading.error(Code.UNKNOWN_PATH, span, f"there is no {quote(text)}", problem)
        return None
    feature = FEATURES.get(path[0])
    if feature is not None and not reading.enforces(feature, span, text):
        return None
    return path


def _problem(path: Path, item: bool) -> str | None:
    """Why there is no such path, as a help line."""
    root, rest = path[0], path[1:]
    if root == "args" or (root == "item" and item):
        return None
    if root == "item":
        return "`item` is the element of a list, inside `every` and `some` only"
    if root == "input":
        return None if rest else "name the question it answers: `input.<key>`"
    if root in ("principal", "for"):
        return None if len(rest) == 1 else f"`{root}` has `id`, `kind`, `groups`, `owner` and the declared attributes"
    if root == "session":
        return None if rest == ("labels",) else "did you mean `session.labels`?"
    if root == "request":
        if len(rest) == 1 and rest[0] in REQUEST:
            return None
        return did_you_mean(".".join(path), (f"request.{name}" for name in REQUEST))
    if root in ("server", "method", "target"):
        return None if not rest else f"`{root}` is a text and has nothing below it"
    if root == "time":
        return "`time` takes only `during`, `after` and `before`, and stands alone as a key"
    return did_you_mean(root, (*ROOTS, "item") if item else ROOTS)


class PathText(Shape):
    """A condition path written as a value."""

    def read(self, node: Node, reading: Reading) -> Path | None:
        """The path."""
        text = text_of(node, reading, "a path")
        return None if text is None else condition_path(text, node.span, reading)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a pattern."""
        return {"type": "string", "pattern": PATTERN}


class WildPath(Shape):
    """A path of redact or mask: `*` is one step, `**` any number; it begins with one of `roots`."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self.roots = roots

    def read(self, node: Node, reading: Reading) -> ResultPath | None:
        """The path."""
        text = text_of(node, reading, "a path")
        if text is None:
            return None
        path = cut(text, wild=True)
        if path is None:
            help_ = "write `args.card.**`: `*` is one step, `**` any number, other signs stand in double quotes"
            reading.error(Code.BAD_PATH, node.span, f"{quote(text)} is not a path", help_)
            return None
        if path[0] not in self.roots:
            help_ = "it begins with " + " or ".join(f"`{root}`" for root in self.roots)
            reading.error(Code.UNKNOWN_PATH, node.span, f"there is no {quote(text)} here", help_)
            return None
        return ResultPath(text, path, node.span)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string of a pattern."""
        return {"type": "string", "pattern": rf"^({'|'.join(self.roots)})(\..+)?$"}
