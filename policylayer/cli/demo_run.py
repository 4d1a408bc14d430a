"""The demo's course: the shop, the proxy, an agent that makes three calls, and what is to be seen of it.

The proxy runs in this process, exactly as `serve` runs it; the shop is a process of its own. Must not know how the
demo's folder is made (`demo.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import orjson

from policylayer.cli.demo_calls import CALLS, HELD, Call, Result
from policylayer.cli.exits import CommandError
from policylayer.cli.output import note, say, table
from policylayer.clock import Clock
from policylayer.config import load
from policylayer.core.errors import ConfigError
from policylayer.core.immutable import immutable

SHOP_TIME: Final = 30.0
ENDING: Final = 2.0
"""Seconds after which an agent whose connection broke was not just interrupted by the end."""

AGENT: Final = "agent:refund-bot"
APPROVER: Final = "user:lena@example.com"
TOKENS: Final = "tokens.json"
DATABASE: Final = "policylayer.db"
"""As `demo.py` configures it."""

ENV: Final = "env"
"""What a shell sources to look around: `. .demo/env`."""


@immutable
class Tokens:
    """Credentials of the demo's agent, approver and viewer, kept in the folder for the next time."""

    grant: str
    approver: str
    admin: str


def run(home: Path, port: int, config: str) -> int:
    """Run until Ctrl-C."""
    _check_folder(home)
    _check_port(port)
    # What is logged goes to a file: the terminal is for what happens.
    log = (home / "policylayer.log").open("a", encoding="utf-8")
    from policylayer.serve.logs import configure

    configure(to=log)
    with log, asyncio.Runner() as runner:
        return runner.run(_run(home, port, config))


def _check_folder(home: Path) -> None:
    """Another demo in the same folder is told before its configuration is written anew."""
    from policylayer.store.lock import FileLock

    lock = FileLock(home.resolve() / DATABASE)
    try:
        lock.take()
    except ConfigError as error:
        help = "end what runs there, or name another folder and port: `policylayer demo --dir DIR --port 0`"
        raise CommandError(f"the folder `{home}` is not free: {error.message}", help) from None
    lock.release()


def _check_port(port: int) -> None:
    """A taken port is told before anything is begun."""
    from policylayer.serve.server import Listen, bind

    try:
        bind(Listen("127.0.0.1", port)).close()
    except ConfigError as error:
        raise CommandError(
            error.message, '`policylayer demo --port 0` takes any that is free; in a checkout `make up ARGS="--port 0"`'
        ) from None


async def _run(home: Path, port: int, config: str) -> int:
    from policylayer.cli.running import serve_config

    async with _shop() as url:
        file = home / "policylayer.yaml"
        file.write_text(config.format(port=port, shop=url))
        loaded = load(file)
        tokens = await _tokens(home, file)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.ensure_future(serve_config(loaded, ready.set_result))
        first: list[asyncio.Future[Any]] = [serving, ready]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            return 0
        acting = asyncio.ensure_future(_act(ready.result(), file, tokens))
        await asyncio.wait({serving, acting}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({serving}, timeout=ENDING)
        if not serving.done() and acting.done() and (failed := acting.exception()) is not None:
            note(f"The scripted agent failed ({failed}); the proxy serves on.")
        await serving
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
    say("Stopped. `policylayer demo` goes on where this ended.")
    return 0


@contextlib.asynccontextmanager
async def _shop() -> AsyncIterator[str]:
    """The example server, on a free port; its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "policylayer.examples.shop", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    import policylayer.cli.demo_agent  # noqa: F401  The protocol's library takes its second while the shop does too.

    try:
        try:
            line = await asyncio.wait_for(process.stdout.readline(), SHOP_TIME)
        except TimeoutError:
            line = b""
        if not line.startswith(b"listening on "):
            raise CommandError("the example shop does not start", "python -m policylayer.examples.shop says why")
        yield line.removeprefix(b"listening on ").decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _tokens(home: Path, file: Path) -> Tokens:
    """The credentials of last time, where they are still good; else new ones."""
    path = home / TOKENS
    known = _kept(path)
    made = await asyncio.to_thread(_make, file, known)
    if made != known:
        _private(path, orjson.dumps(made))
    return made


def _private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)


def _kept(path: Path) -> Tokens | None:
    try:
        return Tokens(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _make(file: Path, known: Tokens | None) -> Tokens:
    from policylayer.cli.local import Local
    from policylayer.cli.reach import every

    with Local(file, None, "demo") as local:
        grants = [*every(local, "/grants")]
        standing = {each["prefix"] for each in (*every(local, "/tokens"), *grants)}
        if known is not None and {_prefix(each) for each in (known.grant, known.approver, known.admin)} <= standing:
            return known
        for each in grants:
            local.ask("DELETE", f"/grants/{each['id']}")
        grant = {"name": "demo", "principal": AGENT, "servers": ["shop"]}
        return Tokens(
            local.ask("POST", "/grants", body=grant)["token"],
            local.ask("POST", "/tokens", body={"principal": APPROVER, "role": "approver"})["token"],
            local.ask("POST", "/tokens", body={"principal": "user:you", "role": "admin"})["token"],
        )


def _prefix(token: str) -> str:
    return "_".join(token.split("_")[:2])


# --- what happens -----------------------------------------------------------------------------------------------------


async def _act(url: str, file: Path, tokens: Tokens) -> None:
    """Three calls, told one by one; the held one is waited for, and repeated while nobody has answered."""
    from policylayer.cli.demo_agent import make

    began = Clock().now().isoformat()
    say(f"listening on {url}\n")
    say(f"An agent ({AGENT}) makes three calls to the shop, through the proxy:")
    async with make(f"{url}/mcp/shop", tokens.grant) as agent:
        for call in CALLS:
            _told(call, await agent.call(call))
        held = asyncio.ensure_future(agent.call(HELD))
        try:
            approval = await _held(url, tokens)
            await _report(url, file, tokens, approval, began)
            result = await held
            while result.pending:
                result = await agent.call(HELD)
            say("")
            _told(HELD, result)
        finally:
            held.cancel()


def _told(call: Call, result: Result) -> None:
    say(f"\n  {call.about}: {call.tool} {orjson.dumps(call.arguments).decode()}")
    for line in result.text.splitlines():
        say(f"    | {line}")


async def _held(url: str, tokens: Tokens) -> dict[str, Any]:
    """The approval that the held call waits on."""
    while True:
        page = await _ask(url, tokens, "/approvals", {"state": "pending"})
        for each in page["items"]:
            if each["principal"] == AGENT and each["target"] == HELD.tool:
                return dict(each)
        await asyncio.sleep(0.1)


async def _ask(url: str, tokens: Tokens, path: str, query: dict[str, str]) -> Any:
    from policylayer.cli.remote import Remote

    def ask() -> Any:
        with Remote(url, tokens.admin) as remote:
            return remote.ask("GET", path, query)

    return await asyncio.to_thread(ask)


async def _report(url: str, file: Path, tokens: Tokens, approval: dict[str, Any], began: str) -> None:
    from policylayer.identity.snippets import snippets

    say(f"\n  {HELD.about}: {HELD.tool} {orjson.dumps(HELD.arguments).decode()}")
    say(f"    | held until a person answers, or until {approval['expires_at']}")
    say("\nEach decision is a row, written before anything was forwarded:")
    asked = {"limit": "5", "method": "tools/call", "since": began}
    rows = (await _ask(url, tokens, "/decisions", asked))["items"]
    table(("time", "tool", "effect", "rules", "outcome"), [_row(each) for each in reversed(rows)])
    command = f"policylayer approvals approve {approval['id']} --url {url} --token {tokens.approver}"
    say(f"\nTo approve the held one as {APPROVER}, in another terminal (or `deny`):\n  {command}")
    settings = {
        "POLICYLAYER_URL": url,
        "POLICYLAYER_TOKEN": tokens.admin,
        "LENA": tokens.approver,
        "HELD": approval["id"],
    }
    _private(file.parent / ENV, "".join(f"export {name}={value}\n" for name, value in settings.items()).encode())
    say(f"\nTo look around (`. {file.parent / ENV}` sets the same, and $LENA and $HELD):")
    say(f"  export POLICYLAYER_URL={url} POLICYLAYER_TOKEN={tokens.admin}")
    say("  policylayer audit tail        policylayer approvals list        policylayer audit query --effect deny")
    say(f"  {file.parent / 'policies' / 'support.yaml'} is the policy: change it, and the next call goes by it")
    say("\nTo connect a client of your own to the shop through the proxy:")
    for snippet in snippets(url, "shop", tokens.grant):
        if snippet.client in ("claude-code", "cursor", "vscode") and snippet.place != ".mcp.json":
            say(f"  {snippet.client} ({snippet.place}):")
            say("\n".join(f"    {line}" for line in snippet.text.splitlines()))
    say("\nServing until Ctrl-C.")


def _row(found: dict[str, Any]) -> list[object]:
    rules = ", ".join(f"{rule['policy']}/{rule['rule']}" for rule in found["rules"])
    outcome = found["outcome"]["state"] if found["outcome"] else None
    return [found["time"][11:23], found["target"], found["effect"], rules or found["reason_code"], outcome]
