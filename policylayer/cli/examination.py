"""What `doctor` looks at, one check after the other; each says what it found, and what to do about it.

Reads, connects and asks; writes nothing but a missing key's absence into its findings. Must not know how findings are
shown (`doctor.py`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

from policylayer.cli import examination_asked as asked
from policylayer.cli.asking import list_tools
from policylayer.cli.exits import CommandError
from policylayer.cli.finding import Finding
from policylayer.cli.folders import checked, tested
from policylayer.cli.stale import stale, words
from policylayer.clock import Clock
from policylayer.config import Config, ConfigProblems, Server, load
from policylayer.config.facts import known_of
from policylayer.core.errors import ConfigError, PolicyLayerError
from policylayer.keys import Keys
from policylayer.policy.codes import Code
from policylayer.store.schema import HEAD
from policylayer.store.session import check_links
from policylayer.store.viewing import remembered_key
from policylayer.store.writer import DAMAGED, HELP

LOW: Final = 256 * 1024 * 1024
EMPTY: Final = 16 * 1024 * 1024
SERVER_TIME: Final = 15.0
LOST: Final = (
    "restore the key file: without it the log cannot be verified nor held arguments be read; or begin another database"
)
SHOWN: Final = 8
"""Names of tools that a fix lists."""

YEAR: Final = 2026
"""No clock that is right says less."""


def examine(path: Path) -> Iterator[Finding]:
    """All checks; without a configuration there is nothing to check."""
    try:
        config = load(path)
    except ConfigProblems as problems:
        for each in problems.diagnostics:
            message = f"{each.file}:{each.line}:{each.column}: {each.message}"
            yield Finding("configuration", "bad", message, each.help)
        return
    yield Finding("configuration", "ok", str(path))
    yield from _running(config)
    for check in (_keys, _database, _disk, _policies, _port, _clock, _local_principal):
        yield from check(config)
    if config.opa is not None:
        yield asked.opa(config)
    for server in config.servers:
        yield _server(server)


def _running(config: Config) -> Iterator[Finding]:
    for process in stale(config):
        yield Finding("configuration", "doubtful", words(config.file.name, process), "restart the proxy")


def _keys(config: Config) -> Iterator[Finding]:
    source, remembered = config.keys, remembered_key(config.database)
    if source.value is None and not source.files[0].exists():
        if remembered is not None:
            yield Finding("keys", "bad", f"the key file `{source.files[0]}` is missing", LOST)
        elif config.database.startswith("sqlite:"):
            yield _not_there_yet("keys", source.files[0])
        else:
            fix = f"openssl rand -hex 32 > {source.files[0]} && chmod 600 {source.files[0]}"
            yield Finding("keys", "bad", f"there is no key file `{source.files[0]}`", fix)
        return
    try:
        keys = Keys.load(source.files, source.value, create=False, variable=source.variable)
    except ConfigError as error:
        yield Finding("keys", "bad", error.message, error.help)
        return
    if remembered is not None and not keys.knows(remembered):
        yield Finding("keys", "bad", "the key is not the one that the database was begun with", LOST)
        return
    yield Finding("keys", "ok", "readable by nobody else" if source.value is None else "from the environment")


def _database(config: Config) -> Iterator[Finding]:
    if not config.database.startswith("sqlite:///"):
        yield asked.postgres(config)
        return
    path = Path(config.database.removeprefix("sqlite:///"))
    if not path.exists():
        yield _not_there_yet("database", path)
        return
    try:
        yield from _file(path)
    except ConfigError as error:
        yield Finding("database", "bad", error.message, error.help)
    except sqlite3.Error as error:
        fix = HELP.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, DAMAGED)
        yield Finding("database", "bad", f"`{path}` cannot be read: {error}", fix)


def _not_there_yet(what: str, path: Path) -> Finding:
    """Of a file that the first start makes: whether it can."""
    folder = path.parent
    if not folder.is_dir():
        return Finding(what, "bad", f"`{path}` cannot be made: there is no folder `{folder}`", f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(what, "bad", f"`{path}` cannot be made: `{folder}` is {_whose(folder)}", _made_ours(folder))
    return Finding(what, "ok", f"`{path.name}` is made at the first start")


def _whose(path: Path) -> str:
    return "another user's" if path.stat().st_uid != os.getuid() else "read-only"


def _made_ours(path: Path) -> str:
    return f"run as its owner, or: chown {os.getuid()} {path} && chmod u+rw {path}"


def _file(path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding("database", "bad", f"`{path}` is not a file", "name a file in `database`")
        return
    check_links(path)
    if not os.access(path, os.R_OK):
        yield Finding("database", "bad", f"`{path}` cannot be read by the user `{os.getuid()}`", _made_ours(path))
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    locked = next((each for each in (path, path.parent) if not os.access(each, os.W_OK)), None)
    if locked is not None:
        yield Finding("database", "bad", f"`{locked}` is {_whose(locked)}, and cannot be written", _made_ours(locked))
    if mode & 0o077:
        yield Finding("database", "doubtful", f"others may read or write `{path}`", f"chmod 600 {path}")
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as raw:
        journal = raw.execute("PRAGMA journal_mode").fetchone()[0]
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        schema = (
            raw.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
        )
        whole = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
    if whole != "ok":
        yield Finding("database", "bad", f"`{path}` is damaged: {whole}", "restore it from a backup")
    elif schema is None:
        state: Literal["ok", "bad"] = "bad" if tables else "ok"
        yield Finding("database", state, "no schema yet", "name an empty database" if tables else "")
    elif schema[0] != HEAD:
        fix = "policylayer migrate" if schema[0] < HEAD else "run the version of policylayer that made it"
        yield Finding("database", "bad", f"schema `{schema[0]}`, this version needs `{HEAD}`", fix)
    else:
        yield Finding("database", "ok", f"schema `{schema[0]}`, journal `{journal}`, whole")


def _disk(config: Config) -> Iterator[Finding]:
    if not config.database.startswith("sqlite:///"):
        return
    folder = Path(config.database.removeprefix("sqlite:///")).parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("disk", "bad", f"`{folder}` cannot be looked at: {error.strerror}", f"mkdir -p {folder}")
        return
    state: Literal["ok", "doubtful", "bad"] = "bad" if free < EMPTY else "doubtful" if free < LOW else "ok"
    fix = "" if state == "ok" else "free some, or name a database elsewhere: without room every call is denied"
    yield Finding("disk", state, f"{free // (1024 * 1024)} MiB free", fix)


def _policies(config: Config) -> Iterator[Finding]:
    try:
        found = checked(config.policies, known_of(config))
    except PolicyLayerError as error:
        yield Finding("policies", "bad", error.message, error.help)
        return
    if found.loaded.policy_set is None:
        # What cannot be read comes first: the others may be errors only because it is missing.
        first = min(
            (each for each in found.diagnostics if each.is_error), key=lambda each: each.code != Code.UNREADABLE
        )
        message = f"do not load: {first.file}:{first.line}:{first.column}: {first.message}"
        yield Finding("policies", "bad", message, "policylayer check")
        return
    results = tested(found, "")
    failed = [result for result in results if not result.passed]
    if failed:
        yield Finding("policies", "bad", f"{len(failed)} tests fail, so they are not activated", "policylayer test")
        return
    warnings = f", {len(found.diagnostics)} warnings" if found.diagnostics else ""
    yield Finding("policies", "ok", f"load, {len(results)} tests pass{warnings}")


def _port(config: Config) -> Iterator[Finding]:
    listen = config.listen
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            why = (error.strerror or "failed").lower()
            fix = "the proxy itself, if it runs already; else end what listens there, or set another `listen`"
            yield Finding("port", "doubtful", f"`{listen.host}:{listen.port}`: {why}", fix)
            return
    yield Finding("port", "ok", f"`{listen.host}:{listen.port}` is free")


def _clock(config: Config) -> Iterator[Finding]:
    now = Clock().now()
    if now.year < YEAR:
        yield Finding("clock", "bad", f"it is not {now.year}", "set the clock: expiries and the log go by it")
    else:
        yield Finding("clock", "ok", now.isoformat(timespec="seconds"))


def _local_principal(config: Config) -> Iterator[Finding]:
    if config.local_principal is not None:
        message = f"whoever reaches the port without a credential is `{config.local_principal}`"
        yield Finding("identity", "doubtful", message, "remove `local_principal` where more than you use this machine")


def _server(server: Server) -> Finding:
    what = f"server {server.name}"
    try:
        tools = asyncio.run(list_tools(server.url, dict(server.headers), server.command, SERVER_TIME, server))
    except CommandError as error:
        return Finding(what, "bad", error.message, error.help)
    except TimeoutError:
        return Finding(what, "bad", f"did not answer in {SERVER_TIME:g}s", "is it an MCP server?")
    missing = sorted({meta.tool for meta in server.unwrap} - {tool.name for tool in tools})
    if missing:
        message = f"it lists no tool `{missing[0]}`, which `unwrap` names: what calls other tools is not looked into"
        return Finding(what, "bad", message, f"name in `unwrap` what it lists: {_some([tool.name for tool in tools])}")
    mode = ", in observe mode: nothing is denied" if server.mode == "observe" else ""
    return Finding(what, "ok", f"answers, {len(tools)} tools{mode}")


def _some(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)[:SHOWN]) + (", …" if len(names) > SHOWN else "")
