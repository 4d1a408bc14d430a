"""Real MCP servers, and for each a policy under which its own tools are allowed, denied, held, and held briefly.

Must not know clients. `word` makes a held call unlike every other one.
"""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import node
from tests.support.ports import free_port
from tests.support.processes import Program
from tests.support.running import command

BRIEF = 2
"""Seconds after which a briefly held call expires."""


@dataclass(frozen=True)
class Call:
    """A call of a tool, and a text that is in its result when it ran."""

    tool: str
    arguments: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Server:
    """One server. `ran` tells by its effect whether a held call ran; None where it has none to be seen."""

    config: Mapping[str, Any]
    policy: str
    allowed: Call
    denied: Call
    held: Callable[[str], Call]
    brief: Callable[[str], Call]
    hidden: str | None = None
    modern: bool = False
    ran: Callable[[str], bool] | None = None


def policy(name: str, *rules: str) -> str:
    """A policy for one server; `APPROVAL` in a rule is what makes it hold."""
    lines = [f"policy: {name}", f'applies_to: {{principals: "*", servers: [{name}]}}', "rules:"]
    return "\n".join([*lines, *(f"  - {{{rule}}}" for rule in rules), ""])


HOLD = "effect: require_approval, reason: a person looks at this"
HOLD_BRIEFLY = f"{HOLD}, approval: {{expires: {BRIEF}s}}"
DENY = "effect: deny, list: true, reason: this is not for agents"


def everything(name: str, config: Mapping[str, Any]) -> Server:
    """npm server-everything."""
    return Server(
        config,
        policy(
            name,
            "id: sums, tools: [get-sum], effect: allow",
            f"id: env, tools: [get-env], {DENY}",
            f"id: held, tools: [echo], when: {{args.message: {{starts_with: held}}}}, {HOLD}",
            f"id: brief, tools: [echo], when: {{args.message: {{starts_with: brief}}}}, {HOLD_BRIEFLY}",
        ),
        allowed=Call("get-sum", {"a": 2, "b": 3}, "5"),
        denied=Call("get-env", {}),
        held=lambda word: Call("echo", {"message": f"held {word}"}, f"Echo: held {word}"),
        brief=lambda word: Call("echo", {"message": f"brief {word}"}),
        hidden="get-tiny-image",
    )


def git(folder: Path) -> Server:
    """PyPI mcp-server-git, which speaks 2026-07-28."""
    repo = folder / "repo"
    as_someone = ("-c", "user.name=e2e", "-c", "user.email=e2e@example.com")
    subprocess.run(["git", "init", "--quiet", str(repo)], check=True)
    subprocess.run(
        ["git", "-C", str(repo), *as_someone, "commit", "--quiet", "--allow-empty", "-m", "the first commit"],
        check=True,
    )
    where = {"repo_path": str(repo)}

    def branch(kind: str) -> Callable[[str], Call]:
        return lambda word: Call("git_create_branch", {**where, "branch_name": f"{kind}/{word}"}, f"{kind}/{word}")

    def ran(word: str) -> bool:
        names = subprocess.run(
            ["git", "-C", str(repo), "branch", "--list", f"*/{word}"], capture_output=True, text=True, check=True
        )
        return bool(names.stdout.strip())

    return Server(
        {"command": command("mcp-server-git"), "limits": {"max_processes": 200}},
        policy(
            "git",
            "id: read, tools: [git_log, git_status], effect: allow",
            f"id: reset, tools: [git_reset], {DENY}",
            f"id: held, tools: [git_create_branch], when: {{args.branch_name: {{glob: held/*}}}}, {HOLD}",
            f"id: brief, tools: [git_create_branch], when: {{args.branch_name: {{glob: brief/*}}}}, {HOLD_BRIEFLY}",
        ),
        allowed=Call("git_log", where, "the first commit"),
        denied=Call("git_reset", where),
        held=branch("held"),
        brief=branch("brief"),
        hidden="git_checkout",
        modern=True,
        ran=ran,
    )


def time() -> Server:
    """PyPI mcp-server-time, which speaks 2026-07-28."""

    def convert(word: str, zone: str) -> Call:
        minute = zlib.crc32(word.encode()) % 1440
        at = {"source_timezone": "UTC", "time": f"{minute // 60:02}:{minute % 60:02}", "target_timezone": zone}
        return Call("convert_time", at, zone)

    return Server(
        {"command": command("mcp-server-time"), "limits": {"max_processes": 200}},
        policy(
            "time",
            "id: now, tools: [get_current_time], effect: allow",
            f'id: europe, tools: [convert_time], when: {{args.target_timezone: {{glob: "Europe/*"}}}}, {DENY}',
            f'id: held, tools: [convert_time], when: {{args.target_timezone: {{glob: "Asia/*"}}}}, {HOLD}',
            f'id: brief, tools: [convert_time], when: {{args.target_timezone: {{glob: "Africa/*"}}}}, {HOLD_BRIEFLY}',
        ),
        allowed=Call("get_current_time", {"timezone": "Asia/Tokyo"}, "Asia/Tokyo"),
        denied=convert("", "Europe/Paris"),
        held=lambda word: convert(word, "Asia/Tokyo"),
        brief=lambda word: convert(word, "Africa/Nairobi"),
        modern=True,
    )


def filesystem(folder: Path) -> Server:
    """npm server-filesystem."""
    files = folder.resolve() / "files"
    for name in ("held", "brief", "locked"):
        (files / name).mkdir(parents=True)
    (files / "hello.txt").write_text("hello")

    def write(where: str, word: str) -> Call:
        path = files / where / f"{word}.txt"
        return Call("write_file", {"path": str(path), "content": word}, "Successfully wrote")

    def within(where: str) -> str:
        return f'tools: [write_file], when: {{args.path: {{within: "{files / where}"}}}}'

    return Server(
        {"command": [*node.entry("@modelcontextprotocol/server-filesystem", "dist/index.js"), str(files)]},
        policy(
            "files",
            "id: look, tools: [list_directory], effect: allow",
            f"id: locked, {within('locked')}, {DENY}",
            f"id: held, {within('held')}, {HOLD}",
            f"id: brief, {within('brief')}, {HOLD_BRIEFLY}",
        ),
        allowed=Call("list_directory", {"path": str(files)}, "hello.txt"),
        denied=write("locked", "x"),
        held=lambda word: write("held", word),
        brief=lambda word: write("brief", word),
        hidden="move_file",
        ran=lambda word: bool(list(files.rglob(f"{word}.txt"))),
    )


def memory(folder: Path) -> Server:
    """npm server-memory."""
    kept = folder / "memory.json"

    def create(kind: str) -> Callable[[str], Call]:
        return lambda word: Call(
            "create_entities", {"entities": [{"name": word, "entityType": kind, "observations": []}]}, word
        )

    def every(kind: str) -> str:
        return f"tools: [create_entities], when: {{args.entities: {{every: {{item.entityType: {kind}}}}}}}"

    return Server(
        {
            "command": node.entry("@modelcontextprotocol/server-memory", "dist/index.js"),
            "env": {"MEMORY_FILE_PATH": str(kept)},
        },
        policy(
            "memory",
            "id: read, tools: [read_graph], effect: allow",
            f"id: delete, tools: [delete_entities], {DENY}",
            f"id: held, {every('held')}, {HOLD}",
            f"id: brief, {every('brief')}, {HOLD_BRIEFLY}",
        ),
        allowed=Call("read_graph", {}, "entities"),
        denied=Call("delete_entities", {"entityNames": ["anything"]}),
        held=create("held"),
        brief=create("brief"),
        hidden="delete_relations",
        ran=lambda word: kept.exists() and f'"{word}"' in kept.read_text(),
    )


@contextmanager
def all_servers(folder: Path) -> Iterator[dict[str, Server]]:
    """All of them by name; the one that is spoken to over HTTP runs until the block ends."""
    start = node.entry("@modelcontextprotocol/server-everything", "dist/index.js")
    port = free_port()
    # It tells on standard error that it listens.
    with Program(["sh", "-c", 'exec "$@" 2>&1', "sh", *start, "streamableHttp"], env={"PORT": str(port)}) as program:
        program.wait_for("MCP Streamable HTTP Server listening")
        try:
            yield {
                "everything-http": everything("everything-http", {"url": f"http://127.0.0.1:{port}/mcp"}),
                "everything": everything("everything", {"command": [*start, "stdio"]}),
                "files": filesystem(folder),
                "memory": memory(folder),
                "git": git(folder),
                "time": time(),
            }
        finally:
            assert program.process.poll() is None, f"server-everything ended by itself:\n{program.output()}"
