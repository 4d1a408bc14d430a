"""Pure: principals.yaml: declared attributes, principals with their owners, groups that nest, issuers of tokens.

The one file in which keys are names of the author's choice. Who is in which group at a moment is `directory`'s matter;
names that policies use are held against this file by `check_names`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.policy.ast import Directory, Member, Span
from policylayer.policy.check_groups import check_groups
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.dotted import SUBJECT
from policylayer.policy.nodes import Broken, Key, Node, Scalar, kind_of
from policylayer.policy.nodes import Mapping as MappingNode
from policylayer.policy.nodes import Sequence as SequenceNode
from policylayer.policy.shapes import (
    ANYTHING,
    Definitions,
    Field,
    ListOf,
    MapOf,
    Reading,
    Record,
    Shape,
    Values,
    to_json,
)
from policylayer.policy.times import microseconds
from policylayer.policy.words import Moment, Parsed, text_of

PRINCIPAL: Final = r"[a-z][a-z0-9_-]{0,31}:[^\s*?\[\]{}\\]{1,200}"
_PRINCIPAL: Final = re.compile(PRINCIPAL)
_GROUP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+/-]{0,127}")
_ATTRIBUTE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ISSUER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
TYPES: Final = ("string", "number", "boolean", "[string]", "[number]")


# --- names ------------------------------------------------------------------------------------------------------------


def principal_id(text: str, node: Scalar | Key, reading: Reading) -> str | None:
    """A principal's exact name."""
    if _PRINCIPAL.fullmatch(text) and text.isprintable() and not text.startswith("group:"):
        return text
    help_ = "write kind:name, such as agent:refund-bot or user:alice@example.com, without blanks and `*`"
    if text.startswith("group:"):
        help_ = "a group is no principal; its members are listed under `groups`"
    reading.error(Code.BAD_NAME, node.span, f"{quote(text)} is not a principal's name", help_)
    return None


def group_id(text: str, node: Scalar | Key, reading: Reading) -> str | None:
    """A group as it is written everywhere but as a key: `group:x`."""
    if text.startswith("group:") and _GROUP.fullmatch(text[6:]):
        return text
    reading.error(Code.BAD_NAME, node.span, f"{quote(text)} is not a group", "write group:name")
    return None


def _is_group_key(key: Key, reading: Reading) -> bool:
    if key.text.startswith("group:"):
        help_ = f"under `groups` write {quote(key.text[6:])}; everywhere else {quote(key.text)}"
        reading.error(Code.BAD_NAME, key.span, "`group:` is not written in a group's key", help_)
        return False
    if not _GROUP.fullmatch(key.text):
        help_ = "use letters, digits and `_ . @ + / -`"
        reading.error(Code.BAD_NAME, key.span, f"{quote(key.text)} cannot be a group's name", help_)
        return False
    return True


def _is_attribute(key: Key, reading: Reading) -> bool:
    if key.text in SUBJECT:
        help_ = "every principal has `id`, `kind`, `groups` and `owner`; name the attribute otherwise"
        reading.error(Code.RESERVED_NAME, key.span, f"an attribute cannot be named {quote(key.text)}", help_)
        return False
    if not _ATTRIBUTE.fullmatch(key.text):
        help_ = "use letters, digits, `_` and `-`, at most 64"
        reading.error(Code.BAD_NAME, key.span, f"{quote(key.text)} cannot be an attribute's name", help_)
        return False
    return True


def _is_principal(key: Key, reading: Reading) -> bool:
    return principal_id(key.text, key, reading) is not None


def _issuer(text: str, node: Scalar, reading: Reading) -> str | None:
    if _ISSUER.fullmatch(text):
        return text
    reading.error(
        Code.BAD_NAME, node.span, f"{quote(text)} cannot be an issuer's name", "use letters, digits, `_`, `-`"
    )
    return None


# --- values -----------------------------------------------------------------------------------------------------------


class _Type(Shape):
    """`string`, `number`, `boolean`, `[string]`, `[number]`."""

    def read(self, node: Node, reading: Reading) -> str | None:
        """The type as text."""
        if isinstance(node, SequenceNode) and len(node.items) == 1 and isinstance(node.items[0], Scalar):
            word = f"[{node.items[0].text}]"
        else:
            text = text_of(node, reading, "a type")
            if text is None:
                return None
            word = text
        if word in TYPES:
            return word
        reading.error(Code.NOT_A_CHOICE, node.span, f"{quote(word)} is not a type", did_you_mean(word, TYPES))
        return None

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A word, or a word in brackets."""
        one: list[Json] = [kind for kind in TYPES if not kind.startswith("[")]
        many: dict[str, Json] = {"type": "array", "minItems": 1, "maxItems": 1, "items": {"enum": ["string", "number"]}}
        return {"anyOf": [{"enum": one}, many]}


class Unread(Shape):
    """A node whose meaning depends on another part of the file."""

    def read(self, node: Node, reading: Reading) -> Node | None:
        """The node itself."""
        return None if isinstance(node, Broken) else node

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """Anything."""
        return ANYTHING


def _fits(value: Json, type_: str) -> bool:
    if type_.startswith("["):
        return isinstance(value, list) and bool(value) and all(_fits(item, type_[1:-1]) for item in value)
    if type_ == "boolean":
        return isinstance(value, bool)
    if type_ == "string":
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _attributes(
    entries: dict[str, tuple[Span, Any]], declared: dict[str, str], reading: Reading
) -> tuple[dict[str, Json], tuple[Span, str] | None]:
    """The attributes and the owner (with its place) of one principal."""
    found: dict[str, Json] = {}
    owner: tuple[Span, str] | None = None
    for name, (span, node) in entries.items():
        if name == "owner":
            name_read = Parsed(principal_id, "a principal").read(node, reading)
            owner = None if name_read is None else (node.span, name_read)
        elif name in SUBJECT:
            help_ = "membership is written under `groups`" if name == "groups" else "it comes from the name itself"
            reading.error(Code.RESERVED_NAME, span, f"{quote(name)} cannot be set here", help_)
        elif name not in declared:
            help_ = did_you_mean(name, (*declared, "owner")) or "declare it under `attributes` with its type"
            reading.error(Code.UNDECLARED_ATTRIBUTE, span, f"the attribute {quote(name)} is not declared", help_)
        elif not _fits(to_json(node), declared[name]):
            found_kind = "an empty list" if to_json(node) == [] else kind_of(node)
            message = f"{quote(name)} is declared as {declared[name]}, found {found_kind}"
            reading.error(Code.ATTRIBUTE_TYPE, node.span, message)
        else:
            found[name] = to_json(node)
    return found, owner


# --- groups -----------------------------------------------------------------------------------------------------------


def _member_name(text: str, node: Scalar, reading: Reading) -> Member | None:
    name = (group_id if text.startswith("group:") else principal_id)(text, node, reading)
    return None if name is None else Member(name, node.span)


def _member(values: Values, reading: Reading) -> Member | None:
    if values.broken or "member" not in values:
        return None
    until = microseconds(values["until"]) if "until" in values else None
    member: Member = replace(values["member"], until_us=until)
    return member


_NAME: Final = Parsed(_member_name, "a principal or a group")
_TIMED: Final = Record(
    "a member",
    {
        "member": Field(_NAME, "a principal or a group", required=True),
        "until": Field(Moment(), "the member is one before this moment"),
    },
    _member,
)


class _Member(Shape):
    """A name, or `{member, until}`."""

    def read(self, node: Node, reading: Reading) -> Member | None:
        """The member."""
        member: Member | None = (_TIMED if isinstance(node, MappingNode) else _NAME).read(node, reading)
        return member

    def schema(self, definitions: Definitions) -> dict[str, Json]:
        """A string or an object."""
        return {"anyOf": [_NAME.schema(definitions), _TIMED.schema(definitions)]}


# --- the file ---------------------------------------------------------------------------------------------------------


def _directory(values: Values, reading: Reading) -> Directory:
    declared = {name: type_ for name, (_, type_) in values.get("attributes", {}).items()}
    principals: dict[str, dict[str, Json]] = {}
    owners: dict[str, tuple[Span, str]] = {}
    for name, (_, entries) in values.get("principals", {}).items():
        principals[name], owner = _attributes(entries, declared, reading)
        if owner is not None:
            owners[name] = owner
    groups = {name: (span, members) for name, (span, members) in values.get("groups", {}).items()}
    directory = Directory(
        attributes=declared,
        principals=principals,
        owners={name: owner for name, (_, owner) in owners.items()},
        groups={name: members for name, (_, members) in groups.items()},
        issuers=values.get("issuers", ()),
        span=values.span,
    )
    check_groups(directory, {name: span for name, (span, _) in groups.items()}, reading)
    _check_owners(directory, owners, reading)
    return directory


def _check_owners(directory: Directory, owners: dict[str, tuple[Span, str]], reading: Reading) -> None:
    members = {member.name for members in directory.groups.values() for member in members}
    for span, owner in owners.values():
        if owner not in directory.principals and owner not in members:
            people = {name for name in (*directory.principals, *members) if not name.startswith("group:")}
            help_ = did_you_mean(owner, people) or "declare it, or put it in a group"
            reading.warn(Code.UNKNOWN_NAME, span, f"the owner {quote(owner)} is nobody that this file knows", help_)


PRINCIPALS: Final = Record(
    "principals.yaml",
    {
        "attributes": Field(
            MapOf(_is_attribute, _Type(), "a mapping from attributes to types", r"^[A-Za-z0-9_-]{1,64}$"),
            "the attributes that principals may have, with their types",
        ),
        "principals": Field(
            MapOf(
                _is_principal,
                MapOf(lambda key, reading: True, Unread(), "a mapping of attributes and `owner`", empty=True),
                "a mapping from principals to what is known of them",
                f"^{PRINCIPAL}$",
            ),
            "principals with their owner and attributes; exact names",
        ),
        "groups": Field(
            MapOf(
                _is_group_key,
                ListOf(_Member(), "a list of members"),
                "a mapping from groups to members",
                r"^(?!group:)[A-Za-z0-9_][A-Za-z0-9_.@+/-]{0,127}$",
            ),
            "groups and their members; a member may be a group, and may end",
        ),
        "issuers": Field(
            ListOf(Parsed(_issuer, "an issuer"), "a list of issuers"), "issuers whose tokens bring groups"
        ),
    },
    _directory,
)


def parse_principals(node: Node, reading: Reading) -> Directory | None:
    """The tree of principals.yaml."""
    directory: Directory | None = PRINCIPALS.read(node, reading)
    return directory
