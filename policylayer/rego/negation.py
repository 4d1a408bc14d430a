"""Refuses the one construct that the embedded engine and OPA read differently: `not` over a call of a missing value.

`not is_number(input.args.x)` is true in one and undefined in the other where `x` is missing: OPA evaluates the
reference before the `not`. Bound to a variable first, both agree; so that is what an author is asked to write. A bare
reference, and an equality of bare references and literals, are the same in both. Works on the parser's JSON; knows no
engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from policylayer.rego.syntax import dotted, nodes

PRESENT: Final = frozenset(
    {
        "input.version",
        "input.phase",
        "input.principal",
        "input.principal.id",
        "input.principal.kind",
        "input.principal.groups",
        "input.server",
        "input.method",
        "input.session",
        "input.session.labels",
        "input.request",
        "input.request.protocol",
        "input.time",
    }
)
"""What every document has: a reference to it is never undefined."""
HELP: Final = (
    "bind it first, `x := input.args.path`, and write `not f(x)`; or give a default with `object.get(input, …)`"
)


def ambiguous(tree: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Every `not` that the two engines read differently: the node and the reference that may be missing."""
    for kind, node in nodes(tree):
        if kind == "NotExpr" and not _plain(node["expr"]) and (found := _missing(node["expr"])) is not None:
            yield node, found


def _plain(expression: dict[str, Any]) -> bool:
    """A bare reference, or an equality whose sides are references, variables or literals."""
    ((kind, node),) = expression.items()
    if kind == "BoolExpr" and node.get("op") == "Eq":
        return all(_simple(node[side]) for side in ("lhs", "rhs"))
    return _simple(expression)


def _simple(expression: dict[str, Any]) -> bool:
    (kind,) = expression
    return kind in ("String", "RawString", "Number", "Bool", "Null", "Var") or dotted(expression) is not None


def _missing(expression: dict[str, Any]) -> str | None:
    """The first reference into the document that is not always there."""
    present = {id(inner) for inner in _inside_present(expression)}
    for kind, node in nodes(expression):
        if kind in ("RefDot", "RefBrack") and id(node) not in present:
            path = dotted({kind: node})
            root = path.split(".")[0] if path else _root(node)
            if root in ("input", "data") and path not in PRESENT:
                return path or f"{root}[…]"
    return None


def _inside_present(expression: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind, node in nodes(expression):
        if kind in ("RefDot", "RefBrack") and dotted({kind: node}) in PRESENT:
            yield from (inner for _, inner in nodes({kind: node}))


def _root(node: dict[str, Any]) -> str:
    inner: dict[str, Any] = node
    while "refr" in inner:
        ((kind, inner),) = inner["refr"].items()
        if kind == "Var":
            return str(inner["value"])
    return ""
