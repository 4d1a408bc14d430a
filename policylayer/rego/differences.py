"""Refuses what the embedded engine answers otherwise than OPA, in ways that only the form of the text shows.

Found by OPA's own cases (`tests/rego/test_official.py`). Each answers nothing where OPA has an answer, so that a deny
would not be made. What depends on a missing value is in `negation.py`. Works on the parser's JSON; knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from policylayer.rego.syntax import dotted, nodes

BRACES: Final = ("Set", "Object", "SetCompr", "ObjectCompr")

Difference = tuple[dict[str, Any], str, str, str]
"""The node, a slug, what is the matter, and the way out."""


def differences(tree: Any) -> Iterator[Difference]:
    """Every such place."""
    for each in tree["imports"]:
        if dotted(each["refr"]) == "future.keywords.not":
            text = "`not` with a body of its own is not read here"
            yield each, "negation", text, "leave the import out, and name the body as a rule"
    for kind, node in nodes(tree["rules"]):
        if kind == "Membership" and node["key"] is not None:
            text = "`k, v in …` answers otherwise than OPA where it is a set"
            yield node, "builtin", text, "write `some k, v in …`, or look the key up"
        elif kind == "Call" and dotted(node["fcn"]) == "walk" and len(node["params"]) == 1:
            text = "`walk` as a function finds nothing here"
            yield node, "builtin", text, "write `walk(x, [path, value])`"
        elif kind == "NotExpr" and next(iter(node["expr"])) in BRACES:
            text = "this `not` is over a set or an object here, and over a body in OPA"
            yield node, "negation", text, "name the body as a rule, and write `not` before its name"
