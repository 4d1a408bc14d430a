"""Pure: what is asked - a decoded call, who makes it, and what the policy engine is told about both.

Must not know how bytes become a call (`wire/`) or how a credential becomes a principal (`identity/`).
The answer to a `Question` is in `decision.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Final, Literal, TypeAlias

from policylayer.core.finding import Finding
from policylayer.core.immutable import immutable

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""A strictly decoded JSON value. Floats are doubles whose shortest form equals the literal that was sent."""

NOTHING: Final[Mapping[str, Json]] = {}


@immutable
class Call:
    """One decoded MCP request that policy judges.

    `target` is the tool, the prompt or the resource URI as sent (None for methods without one).
    `arguments` are `params.arguments` of tools/call and prompts/get (absent and null read as `{}`), else the params
    without `_meta`, `requestState` and `inputResponses`. `input` are the `inputResponses` of a later round.
    `digest` is the SHA-256 of the canonical form (`canonical.py`) of the method and the params without `_meta` and
    `requestState`; `asked_digest` the same without `inputResponses` too: equal for every round of one call.
    """

    server: str
    method: str
    target: str | None
    arguments: Mapping[str, Json]
    digest: bytes
    asked_digest: bytes
    protocol: str
    input: Mapping[str, Json] = field(default_factory=dict)


@immutable
class Subject:
    """A named principal with what its credential adds to `principals.yaml`: groups and attributes from claims."""

    id: str
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, Json] = field(default_factory=dict)


@immutable
class Grant:
    """The credential a call came with, as far as the record names it; `servers` are the only ones it opens."""

    id: str
    name: str
    servers: frozenset[str]


@immutable
class Caller:
    """Who is calling, as `identity/` established it. `grant` is None for the local principal."""

    subject: Subject
    on_behalf_of: Subject | None = None
    grant: Grant | None = None


@immutable
class Unwrap:
    """A meta-tool: a tool whose arguments name another tool of its server, and that one's arguments.

    Paths are cut at their dots and begin with `args`, or with `item`, which is an element of the list at `each`.
    `as_json`: the inner arguments are a text of JSON.
    """

    tool: str
    name: tuple[str, ...]
    arguments: tuple[str, ...]
    each: tuple[str, ...] | None = None
    as_json: bool = False


@immutable
class ServerFacts:
    """What the configuration says of a server, as far as policy may read it. `unwrap` are its meta-tools."""

    name: str
    mode: Literal["enforce", "observe"] = "enforce"
    cwd: str | None = None
    trust_annotations: bool = False
    unwrap: tuple[Unwrap, ...] = ()


@immutable
class Question:
    """All that a decision may depend on. Two equal questions to one policy set get equal decisions.

    `approved` names the hold rules (`policy/rule`) that an approval or a waiver already satisfies.
    `labels` are those of the grant within its window; `annotations` the tool's, as last listed, or None if unknown;
    `risk` and `traits` the tool's, or None if unknown. `now` is aware. `ip` is a textual address or None. `findings`
    are what another engine said of the same question; None where there is no other engine. Of a meta-tool's call
    `others` are the annotations of its server's tools by name, and `inner_findings` what the other engine said of each
    call inside it.
    """

    call: Call
    subject: Subject
    server: ServerFacts
    now: datetime
    on_behalf_of: Subject | None = None
    approved: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    annotations: Mapping[str, Json] | None = None
    risk: str | None = None
    traits: frozenset[str] | None = None
    ip: str | None = None
    client: str | None = None
    findings: tuple[Finding, ...] | None = None
    others: Mapping[str, Mapping[str, Json]] | None = None
    inner_findings: tuple[tuple[Finding, ...], ...] = ()
