"""The files that `policylayer init` writes, as texts; each loads and its tests pass as they are.

Must not know files on disk (`cli/init.py` writes them) nor how a tool's kind was guessed (`guess.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from policylayer.core.immutable import immutable
from policylayer.policy.known import TOOLS_FOLDER, TOOLS_SUFFIX
from policylayer.policy.tool_lists import as_text
from policylayer.starter.guess import Kind, Tool, grouped

AGENT: Final = "agent:dev"
PERSON: Final = "user:me"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")
_UNWRITABLE: Final = re.compile(r"[*?\[\]{}\\]")
ABOUT_WIDTH: Final = 72


@immutable
class Found:
    """The server that was asked. Exactly one of `url` and `command` is set."""

    name: str
    tools: tuple[Tool, ...]
    url: str | None = None
    command: tuple[str, ...] = ()
    header_names: tuple[str, ...] = ()
    cwd: str | None = None


def files(found: Found) -> dict[str, str]:
    """The files by their path beside each other."""
    return {
        "policylayer.yaml": _configuration(found),
        f"policies/{found.name}.yaml": _policy(found),
        f"policies/{found.name}_test.yaml": _tests(found),
        "policies/principals.yaml": PRINCIPALS,
        IGNORE: IGNORED,
        f"{TOOLS_FOLDER}/{found.name}{TOOLS_SUFFIX}": as_text(found.name, map(_definition, found.tools)),
    }


def _definition(tool: Tool) -> Mapping[str, Any]:
    return tool.definition or {"name": tool.name, "description": tool.about}


IGNORE: Final = ".gitignore"
IGNORED: Final = """\
# The key that the decision log is verified with, and the log itself: neither belongs into git.
policylayer.key
policylayer.db*
"""

PRINCIPALS: Final = f"""\
# Who makes calls, and who decides about held ones. Names are exact; an owner or attributes are given like this:
# principals:
#   {AGENT}: {{owner: {PERSON}}}      # who then approves for it only where a rule lists `owner`
groups:
  agents: [{AGENT}]
  approvers: [{PERSON}]
"""


def _configuration(found: Found) -> str:
    if found.url is not None:
        named = [f"{_json(name)}: {_json('${' + variable(found.name, name) + '}')}" for name in found.header_names]
        headers = f", headers: {{{', '.join(named)}}}" if named else ""
        way = f"{{url: {_json(found.url)}{headers}, mode: observe}}"
    else:
        cwd = f", cwd: {_json(found.cwd)}" if found.cwd else ""
        way = f"{{command: {_json(list(found.command))}{cwd}, mode: observe}}"
    return f"""\
# policylayer's configuration. Paths are relative to this file; ${{VARIABLES}} are put in.
listen: 127.0.0.1:8080
database: sqlite:///policylayer.db
policies: ./policies
keys: {{file: ./policylayer.key}}     # made on the first start; keep it: the decision log cannot be verified without it

servers:
  # In observe mode nothing is denied or held; the log says what would have been. When `policylayer audit query`
  # shows that the policy is right, remove `mode: observe` and restart `serve`, which reads this file only then.
  {found.name}: {way}

approvals: {{hold: 30s, hold_modern: 4m, expires: 1h}}
audit: {{arguments: redacted}}        # none | digest | read | redacted | full
"""


def variable(server: str, header: str) -> str:
    """The environment variable that holds a header's value."""
    return re.sub(r"[^A-Z0-9]+", "_", f"{server}_{header}".upper())


def _policy(found: Found) -> str:
    groups = grouped(tool for tool in found.tools if not _UNWRITABLE.search(tool.name))
    skipped = [tool for tool in found.tools if _UNWRITABLE.search(tool.name)]
    lines = [
        f"# A first policy for the server `{found.name}`, written from the {len(found.tools)} tools that it listed.",
        "# The groups are guesses from names and annotations: look them over, and move what is in the wrong one.",
        "# What no rule allows is denied. `policylayer check` reads this folder, `policylayer test` runs its tests.",
        f"policy: {found.name}",
        "applies_to:",
        "  principals: [group:agents]",
        f"  servers: [{_scalar(found.name)}]",
        "",
        "rules:" if any(groups.values()) else "rules: []",
    ]
    for kind, tools in groups.items():
        lines += _rule(kind, tools)
    lines += [f"# Not in any rule, because its name cannot be written as a pattern: {_json(t.name)}" for t in skipped]
    return "\n".join(lines) + "\n"


_HEADS: Final[Mapping[Kind, str]] = {
    "read": "These look as if they only read.",
    "write": "These look as if they change something: a person says yes first.",
    "destructive": "These look as if they destroy something.",
}
_ENDS: Final[Mapping[Kind, Sequence[str]]] = {
    "read": ["effect: allow"],
    "write": [
        "effect: require_approval",
        "approval: {approvers: [group:approvers]}",
        "reason: Changes need a person's approval.",
    ],
    "destructive": [
        "effect: deny",
        "reason: Nothing is deleted by agents here.",
        "instead: Ask a person to do it.",
    ],
}


def _rule(kind: Kind, tools: Iterable[Tool]) -> list[str]:
    tools = list(tools)
    if not tools:
        return []
    width = max(len(_scalar(tool.name)) for tool in tools)
    listed = [f"      - {_scalar(tool.name).ljust(width)}{_about(tool)}".rstrip() for tool in tools]
    return [
        f"  # {_HEADS[kind]}",
        f"  - id: {kind}",
        "    tools:",
        *listed,
        *(f"    {line}" for line in _ENDS[kind]),
        "",
    ]


def _about(tool: Tool) -> str:
    """A comment of one line; what a server says of its tools is only ever shown."""
    first = " ".join("".join(c if c.isprintable() else " " for c in tool.about).split())
    first = first if len(first) <= ABOUT_WIDTH else first[: ABOUT_WIDTH - 1].rstrip() + "…"
    return f"  # {first}" if first else ""


_EXPECTED: Final[Mapping[Kind, str]] = {"read": "allow", "write": "require_approval", "destructive": "deny"}


def _tests(found: Found) -> str:
    groups = grouped(tool for tool in found.tools if not _UNWRITABLE.search(tool.name))
    lines = [
        "# A revision whose tests fail is not activated. Run them with `policylayer test`.",
        "tests:",
    ]
    for kind, tools in groups.items():
        for tool in tools[:1]:
            lines += _test(found.name, f"{kind}: {tool.name}", tool.name, _EXPECTED[kind])
    unknown = "no_such_tool"
    lines += _test(found.name, "a tool that no rule names is denied", unknown, "deny", "not_applicable")
    return "\n".join(lines) + "\n"


def _test(server: str, name: str, tool: str, effect: str, code: str = "rule") -> list[str]:
    return [
        f"  - name: {_json(name)}",
        f"    principal: {AGENT}",
        f"    call: {{server: {_scalar(server)}, tool: {_scalar(tool)}, arguments: {{}}}}",
        f"    expect: {{effect: {effect}, reason_code: {code}}}",
    ]


def _scalar(text: str) -> str:
    """A text as YAML: plain where no reader could take it for anything else."""
    plain = _PLAIN.fullmatch(text) and text[0].isalpha() and len(text) > 5 and ":" not in text
    return text if plain else _json(text)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
