"""Where servers' tools are recorded: `tools/SERVER.tools.json` beside the configuration, or beside a policy folder.

Reads and writes them, and asks the servers. Must not know what is done with the tools; the files are `tool_lists`'s.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from policylayer.cli.exits import CommandError, UsageError
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, quote, warning
from policylayer.policy.known import TOOLS_FOLDER, TOOLS_SUFFIX

if TYPE_CHECKING:
    from policylayer.config import Config
    from policylayer.core.call import Json
    from policylayer.policy.tool_lists import ToolList

SERVER_TIME: Final = 30.0


@dataclass(slots=True)
class Listed:
    """What is known of servers' tools, where it was read, and what is wrong with that."""

    lists: dict[str, ToolList] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """The file of each server that is recorded."""
    texts: dict[str, bytes] = field(default_factory=dict)
    findings: list[Diagnostic] = field(default_factory=list)
    failures: list[CommandError] = field(default_factory=list)
    """Why servers did not say what they list."""
    answered: list[str] = field(default_factory=list)
    """The servers that were asked and did."""
    changes: dict[str, str] = field(default_factory=dict)
    """What these list otherwise than it was recorded, in words."""

    @property
    def schemas(self) -> Mapping[str, Mapping[str, Json]]:
        """Server to tool to its input schema."""
        return {server: found.schemas for server, found in self.lists.items()}


def beside(config: Path | None, source: str) -> Path | None:
    """The folder of recorded tools: beside the configuration, else beside the policies; a repository has none."""
    if config is not None:
        return config.parent / TOOLS_FOLDER
    return None if source.startswith("git:") else Path(os.path.normpath(source)).parent / TOOLS_FOLDER


def recorded_in(folder: Path) -> Listed:
    """What is recorded in a folder; one that is not there holds nothing."""
    return recorded([folder] if folder.is_dir() else [])


def recorded(paths: Iterable[Path]) -> Listed:
    """All recorded tools of these files and folders."""
    found = Listed()
    for path in paths:
        for file in sorted(path.glob(f"*{TOOLS_SUFFIX}")) if path.is_dir() else [path]:
            _read(file, found)
    return found


def _read(file: Path, into: Listed) -> None:
    from policylayer.policy.tool_lists import read

    if not file.is_file():
        raise UsageError(f"there is no file of recorded tools `{file}`", "policylayer check --record writes them")
    try:
        data = file.read_bytes()
    except OSError as problem:
        why = (problem.strerror or "failed").lower()
        raise CommandError(f"cannot read `{file}`: {why}", "make it readable, or name another with --tools") from None
    into.texts[str(file)] = data
    found = read(str(file), data, into.findings)
    if found is not None:
        into.lists[found.server] = found
        into.files[found.server] = str(file)


# --- asking the servers -----------------------------------------------------------------------------------------------


def asked(config: Config, known: Listed, folder: Path) -> Listed:
    """What the configured servers list now, besides what is recorded of those that do not answer."""
    import asyncio

    answers = asyncio.run(_ask_all(config))
    for server, answer in answers.items():
        if isinstance(answer, CommandError):
            known.failures.append(answer)
        else:
            _compare(server, answer, known, folder)
    return known


async def _ask_all(config: Config) -> dict[str, str | CommandError]:
    """Each server's tools as their file, or why there are none; all servers at once."""
    import asyncio

    answers = await asyncio.gather(*map(_ask, config.servers))
    return dict(zip((server.name for server in config.servers), answers, strict=True))


async def _ask(server: object) -> str | CommandError:
    from policylayer.cli.asking import list_tools
    from policylayer.config import Server
    from policylayer.policy.tool_lists import as_text

    assert isinstance(server, Server)
    try:
        tools = await list_tools(server.url, dict(server.headers), server.command, SERVER_TIME, server)
    except TimeoutError:
        return CommandError(f"`{server.name}` did not answer in {SERVER_TIME:g}s", "is it an MCP server?")
    except CommandError as error:
        return CommandError(f"{server.name}: {error.message}", error.help)
    try:
        return as_text(server.name, [tool.definition for tool in tools])
    except ValueError as error:
        return CommandError(f"{server.name}: {error}", "tell whoever makes the server")


def _compare(server: str, text: str, known: Listed, folder: Path) -> None:
    """Take in what a server lists now, and how it differs from what was recorded."""
    from policylayer.policy.tool_lists import difference, read

    before, file = known.lists.get(server), known.files.get(server, str(folder / f"{server}{TOOLS_SUFFIX}"))
    sink: list[Diagnostic] = []
    now = read(file, text.encode(), sink)
    if now is None:
        known.failures.append(CommandError(f"{server}: {sink[0].message}", "tell whoever makes the server"))
        return
    known.findings = [each for each in known.findings if each.file != file] + sink
    known.texts[file] = text.encode()
    known.lists[server], known.files[server] = now, file
    known.answered.append(server)
    if before is not None:
        known.changes[server] = difference(before.tools, now.tools)


def say_changes(known: Listed) -> None:
    """What servers list otherwise than it is recorded, as findings."""
    for server, changed in known.changes.items():
        if changed:
            message = f"`{server}` lists other tools than those recorded ({changed})"
            help_ = "look at what is new, and keep it: policylayer check --record"
            known.findings.append(warning(Code.TOOLS_CHANGED, Span(known.files[server], 1, 1), message, help_))


def say_unconfigured(known: Listed, servers: frozenset[str] | None) -> None:
    """Recorded servers that the configuration does not have: nothing is held against their tools."""
    for server in known.lists if servers is not None else ():
        if servers is not None and server not in servers:
            message = f"no server is configured as {quote(server)}, whose tools these are"
            help_ = did_you_mean(server, servers) or "remove the file"
            known.findings.append(warning(Code.UNKNOWN_SERVER, Span(known.files[server], 1, 1), message, help_))


def record(folder: Path, known: Listed) -> list[str]:
    """Write what the servers answered; in words, which files are new or other than before."""
    from policylayer.policy.tool_lists import as_text

    written: list[str] = []
    for server in known.answered:
        found = known.lists[server]
        path, text = folder / f"{server}{TOOLS_SUFFIX}", as_text(server, found.tools.values()).encode()
        try:
            if not path.exists() or path.read_bytes() != text:
                folder.mkdir(parents=True, exist_ok=True)
                _replace(path, text)
                written.append(f"{path} ({known.changes.get(server) or f'{len(found.tools)} tools'})")
        except OSError as problem:
            why = (problem.strerror or "failed").lower()
            raise CommandError(f"cannot write `{path}`: {why}", "make the folder writable") from None
    return written


def _replace(path: Path, text: bytes) -> None:
    """All of it, or none."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    Path(file.name).replace(path)
