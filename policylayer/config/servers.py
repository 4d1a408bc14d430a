"""The `servers` section: each MCP server, how it is reached, and what it may take.

Must not know how servers are spoken to (`upstream/`; `app.py` maps these to its settings).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from policylayer.config import values
from policylayer.config.codes import ConfigCode
from policylayer.config.credentials import credentials_of
from policylayer.config.fields import Reading, Section
from policylayer.config.model import Arguments, Server, ServerLimits
from policylayer.policy import nodes
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.names import refused
from policylayer.policy.parse_unwrap import UNWRAP

ARGUMENTS: Final[tuple[Arguments, ...]] = ("none", "digest", "read", "redacted", "full")
KEYS: Final = (
    *("url", "headers", "command", "env", "cwd", "mode", "trust_annotations", "hide_credentials", "unwrap", "audit"),
    "limits",
)
LIMITS: Final = (
    "timeout",
    "connect_timeout",
    "max_answer",
    "max_calls",
    "max_streams",
    "max_processes",
    "idle_timeout",
)
MIB: Final = 1024 * 1024
NOT_SENT: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
"""Headers that belong to the connection, or to the message, and cannot be configured."""


def read_servers(top: Section, arguments: Arguments) -> tuple[Server, ...]:
    """All servers; `arguments` is the audit setting of those that have none of their own."""
    reading, servers = top.reading, []
    seen: dict[str, str] = {}
    for key, node in top.pairs("servers"):
        if not values.is_server_name(key.text):
            help = "use letters, digits, `.`, `_` and `-`, at most 64"
            reading.problem(Code.BAD_NAME, key.span, f"{quote(key.text)} cannot name a server", help)
        if (other := seen.setdefault(key.text.lower(), key.text)) != key.text:
            message = f"the servers {quote(other)} and {quote(key.text)} differ only in case"
            reading.problem(ConfigCode.SAME_NAME, key.span, message, "rename one of them")
        if not isinstance(node, nodes.Mapping):
            reading.wrong(node, f"server {quote(key.text)}", "a mapping", f"write {WAYS}")
            continue
        servers.append(_server(Section(reading, node, f"server {quote(key.text)}", KEYS), key.text, arguments))
    if not servers and not reading.found:
        help = "add `servers: {NAME: {url: …}}`, or let `policylayer init` write one"
        reading.problem(Code.MISSING_KEY, top.where("servers"), "no server is configured", help)
    return tuple(servers)


WAYS: Final = "`{url: http://…}`, or `{command: [PROGRAM, ARGUMENT]}`"


def _server(section: Section, name: str, arguments: Arguments) -> Server:
    url = section.parsed(
        "url", values.server_url, ConfigCode.BAD_URL, "an http or https URL without userinfo or fragment", None
    )
    command = tuple(text for text, _ in section.texts("command"))
    _check_one_way(section, command)
    mode = section.choice("mode", ("enforce", "observe"), "enforce")
    audit = section.section("audit", ("arguments", "tools"))
    headers, env = read_headers(section), _environment(section)
    hides = section.flag("hide_credentials", True)
    return Server(
        name=name,
        url=url,
        command=command,
        headers=headers,
        env=env,
        cwd=_cwd(section),
        folder=_folder(section),
        mode="observe" if mode == "observe" else "enforce",
        trust_annotations=section.flag("trust_annotations", False),
        arguments=audit.choice("arguments", ARGUMENTS, arguments),
        tools=_tools(audit),
        limits=_limits(section.section("limits", LIMITS)),
        unwrap=section.shaped("unwrap", UNWRAP, ()),
        credentials=credentials_of(url, (*headers, *env.items()), section.variables()) if hides else (),
    )


def _check_one_way(section: Section, command: tuple[str, ...]) -> None:
    """Exactly one of `url` and `command`, and nothing that belongs to the other."""
    problem = section.reading.problem
    if section.has("url") == section.has("command"):
        code = Code.CONFLICTING_KEYS if section.has("url") else Code.MISSING_KEY
        which = "both a `url` and a `command`" if section.has("url") else "neither a `url` nor a `command`"
        problem(code, section.span, f"{section.what} has {which}", "give one of them")
        return
    other = "env" if section.has("url") else "headers"
    if section.has(other):
        way = "`url`" if section.has("url") else "`command`"
        problem(Code.CONFLICTING_KEYS, section.where(other), f"`{other}` has no meaning for a server with a {way}")
    if section.has("command") and not command and not section.reading.found:
        problem(Code.EMPTY_COLLECTION, section.where("command"), f"`command` of {section.what} is empty")


def _tools(audit: Section) -> tuple[tuple[str, Arguments], ...]:
    """Tools by name, or by a glob as policies write them, of which more or less is kept."""
    section = audit.section("tools", [name.text for name, _ in audit.pairs("tools")])
    for name, _ in audit.pairs("tools"):
        if (bad := refused(name.text)) is not None:
            message = f"{quote(name.text)} cannot name a tool: `{bad}` has no meaning here"
            audit.reading.problem(Code.BAD_NAME, name.span, message, "`*` stands for any text")
    return tuple((name.text, section.choice(name.text, ARGUMENTS, "none")) for name, _ in audit.pairs("tools"))


def read_headers(section: Section) -> tuple[tuple[str, str], ...]:
    """The section's `headers`, which are sent with each request."""
    headers = []
    for name, value, span in _text_pairs(section, "headers"):
        if name.lower() in NOT_SENT or name.lower().startswith("mcp-") or not values.is_header(name, value):
            help = "names are tokens, values printable; the connection's and the protocol's own headers are set by us"
            section.reading.problem(ConfigCode.BAD_HEADER, span, f"the header {quote(name)} cannot be sent", help)
        headers.append((name, value))
    return tuple(headers)


def _environment(section: Section) -> Mapping[str, str]:
    pairs = {}
    for name, value, span in _text_pairs(section, "env"):
        if not values.is_variable(name) or "\x00" in value:
            section.reading.problem(Code.BAD_NAME, span, f"{quote(name)} cannot name an environment variable")
        pairs[name] = value
    return pairs


def _text_pairs(section: Section, key: str) -> list[tuple[str, str, Span]]:
    read = []
    for name, node in section.pairs(key):
        text = section.reading.text(node, f"{quote(name.text)} of `{key}`")
        if text is not None:
            read.append((name.text, text, name.span))
    return read


def _cwd(section: Section) -> str | None:
    """What relative paths in arguments are relative to: as policy reads it, always absolute."""
    text = section.text("cwd")
    if text is None:
        return None
    if section.has("url"):
        if not text.startswith("/"):
            section.reading.problem(
                Code.RELATIVE_PATH, section.where("cwd"), "the `cwd` of a server with a `url` must be absolute"
            )
        return text
    return str(_resolved(section.reading, text))


def _folder(section: Section) -> Path:
    """Where the command runs; checked here so that a misspelt folder is told before the first call."""
    reading = section.reading
    text = section.text("cwd") if section.has("cwd") and section.has("command") else None
    folder = _resolved(reading, text) if text is not None else reading.folder
    if text is not None and not folder.is_dir():
        reading.problem(ConfigCode.NO_SUCH_FILE, section.where("cwd"), f"there is no folder {section.shown('cwd')}")
    return folder


def _resolved(reading: Reading, text: str) -> Path:
    return (reading.folder / text).resolve()


def _limits(section: Section) -> ServerLimits:
    return ServerLimits(
        timeout=section.duration("timeout", None),
        connect_timeout=section.duration("connect_timeout", None, most=300),
        max_answer=section.size("max_answer", None, 1024, 1024 * MIB),
        max_calls=section.number("max_calls", None, 1, 100_000),
        max_streams=section.number("max_streams", None, 1, 100_000),
        max_processes=section.number("max_processes", None, 1, 10_000),
        idle_timeout=section.duration("idle_timeout", None),
    )
