"""`policylayer init`: ask a server for its tools, then write a configuration and a first policy beside each other.

Writes nothing where it cannot ask, and never over a file that is there. What the files say is in `starter/`.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import CommandError, UsageError
from policylayer.cli.output import emit, note, say
from policylayer.config import values
from policylayer.starter.guess import Tool, grouped
from policylayer.starter.texts import AGENT, IGNORE, PERSON, Found, files, variable

app = new("Ask a server for its tools; write a configuration and a first policy.")

TIMEOUT: Final = 30.0


@app.command(no_args_is_help=False)
def init(
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND…", help="A server to launch.")] = None,
    upstream: Annotated[str | None, typer.Option("--upstream", metavar="URL", help="A server to connect to.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Sent to the server; repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What to call the server.")] = None,
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to write.")] = Path(),
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Ask a server for its tools; write a configuration and a first policy."""
    _check_way(upstream, command)
    headers = dict(map(_header, header or []))
    called = name or _name_for(upstream, command or [])
    if not values.is_server_name(called):
        raise UsageError(f"`{called}` cannot name a server", "use --name with letters, digits, `.`, `_` and `-`")
    _check_free(folder, files(Found(called, (), url=upstream, command=tuple(command or ()))))
    tools = _ask(upstream, headers, command or [])
    # What the command names relative to here must still be found when the files are elsewhere.
    cwd = str(Path.cwd()) if command and folder.resolve() != Path.cwd() else None
    found = Found(called, tools, upstream, tuple(command or ()), tuple(headers), cwd)
    try:
        texts = files(found)
    except ValueError as error:
        raise CommandError(f"the server `{called}` lists something odd: {error}", "tell whoever makes it") from None
    written = _write(folder, texts)
    if json:
        emit({"server": called, "tools": len(tools), "files": [str(path) for path in written]})
    else:
        _tell(found, folder, written)


def _check_way(upstream: str | None, command: list[str] | None) -> None:
    if (upstream is None) == (not command):
        raise UsageError(
            "which server?", "`policylayer init --upstream URL`, or `policylayer init -- COMMAND ARGUMENTS…`"
        )
    if upstream is not None and values.server_url(upstream) is None:
        raise UsageError("--upstream is not an http or https URL", "write it like `http://127.0.0.1:3001/mcp`")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not values.is_header(name.strip(), value.strip()):
        raise UsageError("--header is not a header", "write it like `--header 'Authorization: Bearer …'`")
    return name.strip(), value.strip()


def _name_for(upstream: str | None, command: list[str]) -> str:
    """A name from the URL's host, or from what of the command looks like a package."""
    if upstream is not None:
        host = upstream.split("://")[1].split("/")[0].rpartition(":")[0] or upstream.split("://")[1].split("/")[0]
        word = "server" if re.fullmatch(r"[0-9.\[\]:]+|localhost", host) else host.split(".")[-2 if "." in host else 0]
    else:
        words = [part for part in command if not part.startswith("-") and re.search(r"[A-Za-z]", part)]
        word = next((part for part in words[1:] if "mcp" in part or "server" in part), words[0] if words else "server")
        word = re.sub(r"(^|[-_])(mcp|server)(?=[-_]|$)", "", Path(word.rpartition("@")[0] or word).stem)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-._")[:64].lower() or "server"


def _check_free(folder: Path, planned: dict[str, str]) -> None:
    there = [name for name in planned if name != IGNORE and (folder / name).exists()]
    if there:
        raise CommandError(
            f"`{folder / there[0]}` is there already, and is not overwritten",
            "use --dir for another folder, or move the file away",
        )


def _ask(upstream: str | None, headers: dict[str, str], command: list[str]) -> tuple[Tool, ...]:
    import asyncio

    from policylayer.cli.asking import list_tools

    where = f"`{upstream}`" if upstream else f"`{command[0]}`"
    try:
        return asyncio.run(list_tools(upstream, headers, command, TIMEOUT))
    except TimeoutError:
        raise CommandError(f"the server {where} did not answer in {TIMEOUT:g}s", "is it an MCP server?") from None


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    written = []
    try:
        for name, text in texts.items():
            path = folder / name
            if name == IGNORE and path.exists():
                note(f"`{path}` is there already: `policylayer.key` and `policylayer.db*` belong into it")
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            # Exclusively: what appeared meanwhile is not overwritten either.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
                file.write(text)
            written.append(path)
    except OSError as error:
        why = (error.strerror or "failed").lower()
        raise CommandError(f"cannot write `{error.filename or folder}`: {why}", "choose another --dir") from None
    return written


def _tell(found: Found, folder: Path, written: list[Path]) -> None:
    groups = grouped(found.tools)
    counts = ", ".join(f"{len(tools)} {kind}" for kind, tools in groups.items())
    say(f"The server `{found.name}` lists {len(found.tools)} tools: {counts} (guesses; look them over).")
    say("Written:")
    for path in written:
        say(f"  {path}")
    say("The server is in observe mode: nothing is denied, the log says what would have been.")
    _tell_headers(found)
    say("Next:")
    if folder != Path():
        say(f"  cd {shlex.quote(str(folder))}")
    say("  policylayer check && policylayer test")
    say(f"  policylayer grant create my-agent --principal {AGENT} --servers {found.name} -c policylayer.yaml")
    say(f"  policylayer token create --role approver --principal {PERSON} -c policylayer.yaml")
    say("  policylayer serve -c policylayer.yaml")


def _tell_headers(found: Found) -> None:
    """The configuration does not load before these are set, so not one of the next commands works."""
    if not found.header_names:
        return
    named = ", ".join(f"`{name}`" for name in found.header_names)
    say(f"What {named} holds is not written down, and all that follows reads it from the environment. First:")
    for name in found.header_names:
        like = "Bearer …" if name.lower() == "authorization" else "…"
        say(f"  export {variable(found.name, name)}='{like}'")
