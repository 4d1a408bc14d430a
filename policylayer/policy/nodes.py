"""Pure: a YAML file's values with their places, after the strict reader and before any meaning.

`source` makes these, `shapes` and the `parse_*` modules read them. Must not know what any key means.
"""

from __future__ import annotations

from typing import TypeAlias

from policylayer.core.immutable import immutable
from policylayer.policy.ast import Span


@immutable
class Scalar:
    """One value. `quoted` is true of quoted and block texts, whose `value` is always a string."""

    span: Span
    value: None | bool | int | float | str
    text: str
    quoted: bool


@immutable
class Sequence:
    """A list."""

    span: Span
    items: tuple[Node, ...]


@immutable
class Key:
    """A mapping's key; always text."""

    span: Span
    text: str


@immutable
class Mapping:
    """A mapping; no two keys are equal."""

    span: Span
    pairs: tuple[tuple[Key, Node], ...]

    def names(self) -> tuple[str, ...]:
        """The keys in the order written."""
        return tuple(key.text for key, _ in self.pairs)


@immutable
class Broken:
    """A value that could not be read and has been reported: whoever meets it says nothing more about it."""

    span: Span


Node: TypeAlias = "Scalar | Sequence | Mapping | Broken"


def kind_of(node: Node) -> str:
    """What to call a node in a message."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Broken):
        return "something unreadable"
    names = {bool: f"`{node.text}`", int: "a number", float: "a number", str: "text"}
    return names.get(type(node.value), "null")
