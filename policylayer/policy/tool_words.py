"""Pure: how findings about tools and their arguments are worded, and where one is made: at which tools, by which rule.

Must not know what is looked for (`check_arguments`, `check_matchers`, `check_tools`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from policylayer.core.decision import Effect
from policylayer.core.immutable import immutable
from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote, warning
from policylayer.policy.tool_places import Place
from policylayer.policy.tool_reach import Tool
from policylayer.policy.tool_truth import Scene
from policylayer.policy.values import text_of

ABOUT_ARGUMENTS: Final = ("args", "item")
WORDS: Final = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
}
PLURAL: Final = {
    "string": "texts",
    "number": "numbers",
    "boolean": "truth values",
    "object": "objects",
    "array": "lists",
}


@immutable
class Spot:
    """Where a condition is asked: at a tool, and there at an element, whose list has this name."""

    tool: Tool
    scene: Scene
    item: str = ""

    def label(self, path: ast.Path) -> str:
        """A path's name in messages."""
        if path[0] != "item":
            return text_of(path)
        return self.item + "".join("." + text_of((part,)) for part in path[1:])


@immutable
class Asking:
    """Whose condition it is. `blames` tells whether the rule fires on the tool where a path of the test is missing."""

    rule: ast.Rule
    sink: list[Diagnostic]
    blames: Callable[[Tool, ast.Test, ast.Path], bool]

    only_tools: bool = True
    """Whether it is about nothing but tools: what else it is about may have other arguments."""
    counts: bool = False
    """Whether it is what a limit counts, without which a call is denied."""
    typed: frozenset[ast.Path] = frozenset()
    """Of which values the condition also asks the type: it means what it says of each."""

    @property
    def guards(self) -> bool:
        """Whether an error of a condition makes it fire: all but allows."""
        return self.counts or self.rule.effect is not Effect.ALLOW

    @property
    def is_strict(self) -> bool:
        """Whether it denies or holds."""
        return self.counts or self.rule.effect in (Effect.DENY, Effect.REQUIRE_APPROVAL)

    @property
    def consequence(self) -> str:
        """What comes of an error."""
        if self.counts:
            return "every call is denied"
        if self.rule.effect is Effect.DENY:
            return "this deny fires"
        return "this rule holds the call" if self.rule.effect is Effect.REQUIRE_APPROVAL else "this rule applies"

    def say(self, is_error: bool, code: Code, span: ast.Span, message: str, help_: str = "") -> None:
        """Report."""
        self.sink.append((error if is_error else warning)(code, span, message, help_))


Found: TypeAlias = "list[tuple[Spot, Place]]"
"""What a path leads to at some tools."""


def tools_named(tools: Iterable[Tool]) -> str:
    """Some tools' names, the first few of them."""
    return listed(dict.fromkeys(tool.name for tool in tools))


def listed(found: Iterable[str]) -> str:
    """Names, the first few of them."""
    named = list(map(quote, found))
    if len(named) <= 3:
        return " and ".join(part for part in (", ".join(named[:-1]), named[-1]) if part)
    return f"{', '.join(named[:2])} and {len(named) - 2} more"


def of(found: Found, path: ast.Path) -> str:
    """A path with the tools whose it is: `args.x` of `t`."""
    label = quote(found[0][0].label(path))
    return label if path[0] not in ABOUT_ARGUMENTS else f"{label} of {tools_named(spot.tool for spot, _ in found)}"


def is_stated(place: Place) -> bool:
    """Whether the schema speaks of its type in every way."""
    return all(way.said for way in place.ways)


def is_list(place: Place) -> bool:
    """Whether it may be a list."""
    return "array" in place.kinds


def any_of(kinds: Iterable[str], words: Mapping[str, str]) -> str:
    """Types in words."""
    return " or ".join(words[kind] for kind in sorted(kinds))


def shown(value: Any) -> str:
    """A literal as it is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a value" if isinstance(value, ast.Ref) else str(value)
