"""Which parts of the input document the files of a scope look at, by their syntax: for asking again where not all of it
is known, and for a record that is to keep no more.

Never too few: what is read by a name that is not written out counts as all that is below. Works on the parser's JSON;
runs in the worker, knows no engine. What tests say is left out, unless a policy asks them: `tests_apart`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from policylayer.rego.modules import Module, head_of
from policylayer.rego.syntax import dotted, nodes

REFERENCES: Final = ("Var", "RefDot", "RefBrack")
TEST_FILE: Final = "_test.rego"
TEST: Final = "test_"

Path = tuple[str, ...]


def paths_read(modules: Sequence[Module]) -> set[Path]:
    """The paths below `input` that these files read, where they are asked for a decision."""
    builtin = not any("object" in module.names | module.aliases for module in modules)
    return input_paths([module.ast.get("imports", []) for module in modules] + tests_apart(modules), builtin)


def tests_apart(modules: Sequence[Module]) -> list[Any]:
    """The rules without tests; with them, where a rule might ask one."""
    rules = [(module, rule) for module in modules for rule in module.ast["rules"]]
    own = [rule for module, rule in rules if not _is_test(module, rule)]
    aliases = {alias for module in modules for alias in module.aliases}
    packages = {f"data.{module.package}" for module in modules}
    asked = any(_may_ask_tests(kind, node, aliases, packages) for kind, node in _outermost(list(nodes(own))))
    return [rule for _, rule in rules] if asked else own


def input_paths(tree: Any, builtin: bool = True) -> set[Path]:
    """The paths below `input`, each as far as it is written out; `()` is the whole document.

    `builtin`: `object.get` is the engine's, which reads no more than the field that it names.
    """
    found = list(nodes(tree))
    gets = [got for kind, node in found if builtin and kind == "Call" and (got := _got(node)) is not None]
    within = {id(node) for node, _ in gets}
    paths = {path for _, path in gets}
    for kind, node in _outermost(found):
        if id(node) not in within and (written := _written(kind, node)) is not None and written[0] == "input":
            paths.add(written[1])
    return paths


def _is_test(module: Module, rule: dict[str, Any]) -> bool:
    return module.file.endswith(TEST_FILE) and (head_of(rule) or "").startswith(TEST)


def _may_ask_tests(kind: str, node: dict[str, Any], aliases: set[str], packages: set[str]) -> bool:
    """Whether a reference leads to a test, or to a whole package with whatever is in it."""
    if kind == "Var" and node["value"] in aliases:
        return True
    name = dotted({kind: node})
    if name is None:
        written = _written(kind, node)
        return written is not None and (written[0] == "data" or written[0] in aliases)
    return name in packages or name == "data" or any(part.startswith(TEST) for part in name.split("."))


def _outermost(found: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """References that are no part of a longer one."""
    references = [(kind, node) for kind, node in found if kind in REFERENCES]
    inner = {id(below) for _, node in references if "refr" in node for below in node["refr"].values()}
    return ((kind, node) for kind, node in references if id(node) not in inner)


def _written(kind: str, node: dict[str, Any]) -> tuple[str, Path] | None:
    """A reference's variable, and the steps from it as far as they are written out; None: of no variable."""
    parts: list[str | None] = []
    while kind != "Var":
        if kind not in REFERENCES:
            return None
        parts.append(_segment(kind, node))
        ((kind, node),) = node["refr"].items()
    parts.reverse()
    until = parts.index(None) if None in parts else len(parts)
    return node["value"], tuple(part for part in parts[:until] if part is not None)


def _segment(kind: str, node: dict[str, Any]) -> str | None:
    """The name of one step; None where it is not written out."""
    if kind == "RefDot":
        return str(node["field"][1])
    index = node["index"]
    return str(index["String"]["value"]) if "String" in index else None


def _got(call: dict[str, Any]) -> tuple[dict[str, Any], Path] | None:
    """What `object.get(input.args, "amount", 0)` reads, and the reference in it; None where that is not written out."""
    if dotted(call["fcn"]) != "object.get" or len(call["params"]) != 3:
        return None
    ((kind, node),), key = call["params"][0].items(), call["params"][1]
    if kind not in REFERENCES or dotted({kind: node}) is None:
        return None
    written = _written(kind, node)
    steps = key["Array"]["items"] if "Array" in key else [key]
    names = [step["String"]["value"] for step in steps if "String" in step]
    if written is None or written[0] != "input" or len(names) != len(steps):
        return None
    return node, (*written[1], *map(str, names))
