"""Which parts of the input document a module looks at, by its syntax: for asking again where not all of it is known.

Never too few: what is read by a name that is not written out counts as all that is below. Works on the parser's JSON;
runs in the worker, knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from policylayer.rego.syntax import nodes

REFERENCES: Final = ("Var", "RefDot", "RefBrack")


def input_paths(tree: Any) -> set[tuple[str, ...]]:
    """The paths below `input`, each as far as it is written out; `()` is the whole document."""
    found = [(kind, node) for kind, node in nodes(tree) if kind in REFERENCES]
    inner = {id(below) for _, node in found if "refr" in node for below in node["refr"].values()}
    return {path for kind, node in found if id(node) not in inner for path in _path(kind, node)}


def _path(kind: str, node: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    parts: list[str | None] = []
    while kind != "Var":
        if kind not in REFERENCES:
            return
        parts.append(_segment(kind, node))
        ((kind, node),) = node["refr"].items()
    if node["value"] == "input":
        parts.reverse()
        until = parts.index(None) if None in parts else len(parts)
        yield tuple(part for part in parts[:until] if part is not None)


def _segment(kind: str, node: dict[str, Any]) -> str | None:
    """The name of one step; None where it is not written out."""
    if kind == "RefDot":
        return str(node["field"][1])
    index = node["index"]
    return str(index["String"]["value"]) if "String" in index else None
