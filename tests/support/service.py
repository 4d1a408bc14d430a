"""A running proxy as the hard tests need it: over recording servers, watched by the invariants, started fast.

`Proxy` is `running.Running` (a real `policylayer serve`), with two differences: people's tokens are made through the
API where one exists already, and `start` may go through a `Preloaded` parent or under another program (strace).
`Preloaded` is a process that has imported the program and forks a `serve` for each start: the same code, begun a second
sooner, which is what a hundred restarts have to spare.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import orjson

from policylayer.backstage import Backstage
from policylayer.config import load
from policylayer.identity import tokens
from policylayer.identity.person import Role
from tests.support.processes import Program
from tests.support.running import COMMAND, PATIENCE, Running, environment

ADMIN = ("user:root", "admin")


class Proxy(Running):
    """One proxy over a folder that outlives its processes."""

    def __init__(self, folder: Path, servers: Mapping[str, Any], policies: Mapping[str, str], **more: Any) -> None:
        super().__init__(folder, servers, policies, **more)
        self.preloaded: Preloaded | None = None
        self.under: Sequence[str] = ()
        self.tokens: list[str] = []

    def configure(self, **sections: Any) -> None:
        """Change the configuration; it counts from the next start."""
        self.config.write_bytes(orjson.dumps({**orjson.loads(self.config.read_bytes()), **sections}))

    @property
    def database(self) -> Path:
        """Its decision log."""
        return self.folder / "policylayer.db"

    @property
    def key_file(self) -> Path:
        """Its keys."""
        return self.folder / "policylayer.key"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The serving process."""
        return self.preloaded.child if self.preloaded else self.program.process.pid

    def start(self) -> Proxy:
        """Start it (again), and wait until it serves."""
        if self.preloaded is not None:
            self.url = self.preloaded.start(self.config)
        else:
            self._program = Program(
                [*self.under, *COMMAND, "serve", "-c", str(self.config)], cwd=self.folder, env=environment()
            )
            try:
                self.url = self._program.wait_for("listening on ")
            except AssertionError:
                self._program.stop()
                raise
        self._api = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=PATIENCE, trust_env=False)
        return self

    def kill(self) -> None:
        """End it at once, as the kernel would."""
        if self.preloaded is None:
            super().kill()
            self.program.stop()
            return
        assert self._api is not None
        self._api.close()
        self.preloaded.kill()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.preloaded is None:
            return super().stop()
        assert self._api is not None
        self._api.close()
        return self.preloaded.stop()

    def log(self) -> str:
        """All that its processes have written so far."""
        return self.preloaded.program.output() if self.preloaded else super().log()

    def grant(self, principal: str, *servers: str, name: str | None = None) -> str:
        """The token of a new grant."""
        self.tokens.append(super().grant(principal, *servers, name=name))
        return self.tokens[-1]

    def person(self, principal: str, role: str = "approver") -> str:
        """A person's token, made once: the first administrator's beside the API, the others' through it."""
        key = (principal, role)
        if key not in self._tokens:
            if key == ADMIN:
                with ThreadPoolExecutor(1) as aside:
                    # With a loop of its own, whether or not one runs here.
                    self._tokens[key] = aside.submit(lambda: asyncio.run(_first_token(self.config))).result()
            else:
                self._tokens[key] = self.ask("POST", "/tokens", {"principal": principal, "role": role})["token"]
            self.tokens.append(self._tokens[key])
        return self._tokens[key]


async def _first_token(config: Path) -> str:
    """An administrator's token, written the way the command line does it, without a process for it."""
    backstage = Backstage(load(config), "test", lambda: None)  # type: ignore[arg-type, return-value]
    await backstage.start()
    try:
        _, token = await backstage.store.write(
            lambda connection: tokens.create(connection, backstage.clock, ADMIN[0], Role.ADMIN), topics=("grants",)
        )
    finally:
        await backstage.close()
    return token


class Preloaded:
    """The parent that forks. Its children are told apart by their process ids, and are its own to wait for."""

    def __init__(self, folder: Path) -> None:
        self.program = Program(
            [sys.executable, "-m", "tests.support.service"], cwd=folder, env=environment(), stdin=True
        )
        self.program.wait_for("loaded")
        self.child = 0

    def __enter__(self) -> Preloaded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.child:
            self.kill()
        self.program.stop()

    def start(self, config: Path) -> str:
        """Fork a `serve` of this configuration; its URL."""
        self.program.lines.clear()
        self._tell(str(config))
        self.child = int(self.program.wait_for("forked "))
        return self.program.wait_for("listening on ")

    def kill(self) -> None:
        """End the child at once, and wait until the kernel has taken back all it held."""
        self._signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> int:
        """Ask the child to end; its exit code."""
        self._signal(signal.SIGTERM)
        return self._ended()

    def _signal(self, what: signal.Signals) -> None:
        # 0 would be everybody in our own process group.
        assert self.child > 1, "there is no child"
        os.kill(self.child, what)

    def _ended(self) -> int:
        self.child = 0
        return int(self.program.wait_for("ended "))

    def _tell(self, line: str) -> None:
        assert self.program.process.stdin is not None
        self.program.process.stdin.write(line + "\n")
        self.program.process.stdin.flush()


def _serve_children() -> None:
    """Import, then fork a `serve` for each line of standard input, one after the other."""
    import policylayer.app
    import policylayer.cli.running
    import policylayer.cli.serve  # noqa: F401
    from policylayer.cli import main

    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    print("loaded", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            code = main(["serve", "-c", line.strip()])
            sys.stdout.flush()
            os._exit(code)
        print(f"forked {child}", flush=True)
        status = os.waitpid(child, 0)[1]
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    _serve_children()
