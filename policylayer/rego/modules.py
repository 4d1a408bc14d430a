"""What a Rego module may use: packages, imports, data, builtins. Everything else is refused at load, with its place.

Runs in the worker, so that a text which crashes the parser crashes nothing else. Refused are builtins that the engine
lacks, that reach outside (network, environment), that make the answer depend on anything but the input (clock, chance),
or that answer otherwise than OPA. Knows only the parser's JSON; must not know an engine or a process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from policylayer.core.immutable import immutable
from policylayer.rego.differences import differences
from policylayer.rego.negation import HELP, ambiguous
from policylayer.rego.syntax import dotted, nodes

BUILTINS: Final = """
abs array.concat array.reverse array.slice base64.decode base64.encode base64.is_valid base64url.decode
base64url.encode base64url.encode_no_pad bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor ceil concat
contains count endswith floor format_int glob.match glob.quote_meta graph.reachable hex.decode hex.encode
indexof indexof_n intersection is_array is_boolean is_null is_number is_object is_set is_string json.filter
json.is_valid json.marshal json.patch json.remove json.unmarshal lower max min net.cidr_contains
net.cidr_is_valid numbers.range numbers.range_step object.filter object.get object.keys object.remove
object.subset object.union object.union_n print product regex.find_n regex.is_valid regex.match regex.replace
regex.split replace round semver.compare semver.is_valid sort split sprintf startswith
strings.any_prefix_match strings.any_suffix_match strings.replace_n strings.reverse substring
sum time.add_date time.clock time.date time.parse_duration_ns time.parse_rfc3339_ns time.weekday to_number
trim trim_left trim_prefix trim_right trim_space trim_suffix type_name union upper
urlquery.decode urlquery.encode walk
"""
ADMITTED: Final = frozenset(BUILTINS.split())
OUTSIDE: Final = {
    "http.send": "it reaches the network",
    "net.lookup_ip_addr": "it reaches the network",
    "opa.runtime": "it reads the environment",
    "time.now_ns": "it reads the clock; use input.time",
    "rand.intn": "its answer is chance",
    "uuid.rfc4122": "its answer is chance",
    "trace": "it writes to the engine's log; use print",
}
PACKAGE: Final = "policylayer"


@immutable
class Problem:
    """One refusal: file, line, column (from 1), a slug, a message and the way out."""

    file: str
    line: int
    column: int
    slug: str
    message: str
    help: str

    def as_list(self) -> list[Any]:
        """For the pipe between worker and proxy."""
        return [self.file, self.line, self.column, self.slug, self.message, self.help]


@immutable
class Module:
    """One parsed file: its package path, the names it defines and imports, and where each `rule` name stands."""

    file: str
    package: str
    names: frozenset[str]
    aliases: frozenset[str]
    ast: dict[str, Any]


def read(file: str, text: str, ast: dict[str, Any]) -> Module:
    """The module of a parsed file."""
    names = {name for rule in ast["rules"] if (name := head_of(rule)) is not None}
    aliases = {alias for each in ast.get("imports", []) if (alias := _alias(each, text)) is not None}
    return Module(file, dotted(ast["package"]["refr"]) or "", frozenset(names), frozenset(aliases), ast)


def problems(modules: list[Module]) -> Iterator[Problem]:
    """Everything in these modules that is refused."""
    siblings: dict[str, set[str]] = {}
    for module in modules:
        siblings.setdefault(module.package, set()).update(module.names)
    for module in modules:
        yield from _package(module)
        yield from _imports(module)
        yield from _uses(module, frozenset(siblings[module.package]) | module.aliases)
        for node, missing in ambiguous(module.ast["rules"]):
            text = f"this `not` means one thing here and another in OPA where `{missing}` is missing"
            yield _at(module, node, "negation", text, HELP)
        for node, slug, text, help in differences(module.ast):
            yield _at(module, node, slug, text, help)


def rule_lines(modules: list[Module]) -> dict[str, tuple[str, int]]:
    """Where the objects with a literal `rule` stand: name -> (file, line); "" is the first `decision` rule."""
    found: dict[str, tuple[str, int]] = {}
    for module in modules:
        for rule in module.ast["rules"]:
            if head_of(rule) != "decision":
                continue
            line = next(iter(rule.values()))["span"]["line"]
            found.setdefault("", (module.file, line))
            for name in _rule_names(rule):
                found.setdefault(name, (module.file, line))
    return found


def _package(module: Module) -> Iterator[Problem]:
    if module.package != PACKAGE and not module.package.startswith(PACKAGE + "."):
        span = module.ast["package"]["span"]
        yield Problem(
            module.file,
            span["line"],
            span["col"],
            "package",
            f"package `{module.package}` is not `{PACKAGE}` or below it",
            f"write `package {PACKAGE}`, or `package {PACKAGE}.lib` for what other files import",
        )


def _imports(module: Module) -> Iterator[Problem]:
    for each in module.ast.get("imports", []):
        path = dotted(each["refr"]) or ""
        known = path in ("rego.v1", "input", "data.policylayer") or path.startswith(
            ("data.policylayer.", "input.", "future.keywords")
        )
        if not known:
            span = each["span"]
            yield Problem(
                module.file,
                span["line"],
                span["col"],
                "import",
                f"import of `{path}`: nothing is there",
                "only `data.policylayer…`, `input…` and `rego.v1` can be imported",
            )


def _uses(module: Module, local: frozenset[str]) -> Iterator[Problem]:
    for kind, node in nodes(module.ast["rules"]):
        name = dotted({kind: node}) if kind in ("RefDot", "RefBrack", "Var") else None
        if name is not None and (why := OUTSIDE.get(name)) is not None:
            yield _at(module, node, "outside", f"`{name}` is refused: {why}", "decide by the input alone")
        elif name is not None and name.startswith("data.") and name.count(".") == 1 and name != f"data.{PACKAGE}":
            yield _at(
                module, node, "data", f"`{name}` is not there: no data is loaded beside policies",
                "put what the rule needs into principals.yaml or into the policy",
            )  # fmt: skip
        elif kind == "Call":
            yield from _call(module, node, local)


def _call(module: Module, node: dict[str, Any], local: frozenset[str]) -> Iterator[Problem]:
    name = dotted(node["fcn"]) or "?"
    mine = name.split(".")[0] in local or name.startswith(f"data.{PACKAGE}.")
    if not mine and name not in ADMITTED and name not in OUTSIDE:
        text = f"`{name}` is not a builtin of the embedded engine, or not one that answers as OPA does"
        yield _at(module, node, "builtin", text, "see docs/rego.md for the builtins there are")


def _at(module: Module, node: dict[str, Any], slug: str, message: str, help: str) -> Problem:
    while "refr" in node or "fcn" in node:  # a reference's own span begins at its last dot
        (node,) = (node.get("refr") or node["fcn"]).values()
    return Problem(module.file, node["span"]["line"], node["span"]["col"], slug, message, help)


def _rule_names(rule: dict[str, Any]) -> Iterator[str]:
    for kind, node in nodes(rule):
        if kind == "Object":
            for _, key, value in node["fields"]:
                if key.get("String", {}).get("value") == "rule" and "String" in value:
                    yield value["String"]["value"]


def head_of(rule: dict[str, Any]) -> str | None:
    """The name that a rule defines: the first segment of its head."""
    (spec,) = rule.values()
    head = next(iter(spec["head"].values())) if "head" in spec else spec
    path = dotted(head["refr"]) if "refr" in head else None
    return path.split(".")[0] if path else None


def _alias(each: dict[str, Any], text: str) -> str | None:
    """The name that an import goes by; the parser says of `as NAME` only which bytes it is."""
    place = each.get("as")
    if place is not None:
        return text.encode()[place["start"] : place["end"]].decode()
    path = dotted(each["refr"])
    return path.rsplit(".", 1)[-1] if path else None
