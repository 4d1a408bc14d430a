"""The parser's JSON form of a Rego module: nodes without recursion, references as dotted names. Knows no meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nodes(tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every `{Kind: {...}}` below `tree`, without recursion: policies may nest as deep as they like."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, dict) and key[:1].isupper():
                    yield key, value
                if isinstance(value, dict | list):
                    stack.append(value)


def dotted(node: dict[str, Any]) -> str | None:
    """`a.b.c` of a chain of references with constant segments, else None."""
    parts: list[str] = []
    while True:
        if "Var" in node:
            return ".".join([str(node["Var"]["value"]), *reversed(parts)])
        if "RefDot" in node:
            parts.append(str(node["RefDot"]["field"][1]))
            node = node["RefDot"]["refr"]
        elif "RefBrack" in node and "String" in node["RefBrack"]["index"]:
            parts.append(str(node["RefBrack"]["index"]["String"]["value"]))
            node = node["RefBrack"]["refr"]
        else:
            return None
