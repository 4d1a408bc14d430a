"""Pure: what a rule concerns: targets, selectors and `when`, for rules and for the blocks of `except`.

Whether a named principal, group or server exists is `check_names`'s; here a pattern only has to be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.policy import globs
from policylayer.policy.ast import AppliesTo, Pattern, Selection
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.nodes import Node
from policylayer.policy.parse_conditions import CONDITIONS
from policylayer.policy.shapes import Definitions, Field, ListOf, Reading, Record, Shape, Values
from policylayer.policy.words import Choice, Flag, text_of

TARGETS: Final = ("tools", "prompts", "resources", "methods")
ENOUGH: Final = (*TARGETS, "risk", "annotations")
"""A rule names at least one of these."""

RISKS: Final = ("read", "write", "execute", "destructive", "financial")
TRAITS: Final = ("open_world", "untrusted_output", "egress")
HINTS: Final = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@dataclass(frozen=True)
class Glob(Shape):
    """An exact name, or a glob with `*`."""

    what: str

    def read(self, node: Node, reading: Reading) -> Pattern | None:
        """The pattern with its place."""
        text = text_of(node, reading, self.what)
        if text is None:
            return None
        problem = "" if text else "an empty name"
        sign = globs.refused(text)
        if sign is not None:
            problem = f"{quote(sign)} is not allowed in {self.what}"
        elif any(char.isspace() or not char.isprintable() for char in text):
            problem = f"{quote(text)} has blanks or invisible characters in it"
        if problem:
            reading.error(Code.BAD_GLOB, node.span, problem, "write a name, where `*` stands for anything")
            return None
        return Pattern(text, node.span)

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string without other wildcards."""
        return {"type": "string", "minLength": 1, "pattern": r"^[^\s?\[\]{}\\]+$"}


class _Word(Choice):
    """A word of a closed list, as a pattern with its place."""

    def read(self, node: Node, reading: Reading) -> Any:
        """The pattern."""
        text = Choice.read(self, node, reading)
        return None if text is None else Pattern(text, node.span)


def _names(what: str, lone: str | None = None) -> ListOf:
    return ListOf(Glob(f"a {what} name or glob"), f"a list of {what}s", lone=lone)


_HINTS: Final = Record("`annotations`", {hint: Field(Flag(), f"the tool's own {hint}") for hint in HINTS})

SELECTION: Final[dict[str, Field]] = {
    "tools": Field(_names("tool"), "tools whose calls the rule concerns"),
    "prompts": Field(_names("prompt"), "prompts whose use the rule concerns"),
    "resources": Field(_names("resource"), "URIs of resources whose reading and watching the rule concerns"),
    "methods": Field(_names("method"), "any other methods, requests of servers to clients included"),
    "principals": Field(_names("principal"), "who makes the call"),
    "for": Field(_names("principal"), "the user whom the call is made for", feature="for"),
    "servers": Field(_names("server"), "the servers that the call goes to"),
    "risk": Field(ListOf(_Word(RISKS, "a risk"), "a list of risks"), "the tool's risk", feature="risk"),
    "traits": Field(ListOf(_Word(TRAITS, "a trait"), "a list of traits"), "the tool's traits", feature="traits"),
    "annotations": Field(_HINTS, "what the tool says of itself", feature="annotations"),
    "when": Field(CONDITIONS, "conditions, all of which must hold"),
}


def selection(values: Values) -> Selection:
    """The selection that a rule's or a block's keys say."""
    return Selection(
        tools=values.get("tools"),
        prompts=values.get("prompts"),
        resources=values.get("resources"),
        methods=values.get("methods"),
        principals=values.get("principals"),
        on_behalf_of=values.get("for"),
        servers=values.get("servers"),
        risk=values.get("risk"),
        traits=values.get("traits"),
        annotations=dict(values["annotations"]) if "annotations" in values else None,
        when=values.get("when"),
    )


EXCEPT: Final = ListOf(
    Record("an `except` block", SELECTION, lambda values, reading: selection(values)), "a list of blocks: `- {…}`"
)


def _applies_to(values: Values, reading: Reading) -> AppliesTo | None:
    if "principals" not in values or "servers" not in values:
        return None
    return AppliesTo(values["principals"], values["servers"], values.span)


APPLIES_TO: Final = Record(
    "`applies_to`",
    {
        "principals": Field(_names("principal", lone="*"), 'whom it concerns; everyone: ["*"]', required=True),
        "servers": Field(_names("server", lone="*"), 'which servers it concerns; all: ["*"]', required=True),
    },
    _applies_to,
)
