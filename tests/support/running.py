"""A real `policylayer serve` in a folder of its own: configured, started, spoken to by REST and CLI, and ended.

    with Running(folder, servers={"git": {"command": [...]}}, policies={"all.yaml": ALLOW_ALL}) as proxy:
        token = proxy.grant("agent:coder", "git")
        approval = proxy.pending(target="git_commit")
        proxy.approve(approval["id"])

Everything goes the way a user's would: configuration and policies are files, credentials come from the command line
and the API. Blocking: from async tests, call it in a thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import orjson

from tests.support.processes import ROOT, Program

ALLOW_ALL = """
policy: all
applies_to: {principals: "*", servers: "*"}
rules:
  - {id: all, methods: ["*"], effect: allow}
"""
COMMAND = (sys.executable, "-m", "policylayer")
PATIENCE = 30.0
"""Seconds that anything here waits at most for what should come soon."""


class Running:
    """One proxy. `more` are further sections of the configuration, by name."""

    def __init__(
        self,
        folder: Path,
        servers: Mapping[str, Any],
        policies: Mapping[str, str],
        listen: str = "127.0.0.1:0",
        **more: Any,
    ) -> None:
        self.folder = folder
        self.config = folder / "policylayer.yaml"
        self.url = ""
        self._program: Program | None = None
        self._tokens: dict[tuple[str, str], str] = {}
        self._api: httpx2.Client | None = None
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in policies.items():
            self.write(name, text)
        # JSON is YAML: no value needs quoting rules of its own.
        self.config.write_bytes(orjson.dumps({"listen": listen, "servers": dict(servers), **more}))

    def write(self, name: str, text: str) -> None:
        """Write a file of the policy folder."""
        path = self.folder / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # --- begin and end ------------------------------------------------------------------------------------------------

    def start(self) -> Running:
        """Start it (again), and wait until it serves."""
        self._program = Program([*COMMAND, "serve", "-c", str(self.config)], cwd=self.folder, env=environment())
        try:
            self.url = self._program.wait_for("listening on ")
        except BaseException:
            self._program.stop()
            raise
        self._api = httpx2.Client(base_url=f"{self.url}/api/v1", timeout=PATIENCE, trust_env=False)
        return self

    @property
    def program(self) -> Program:
        """The process."""
        assert self._program is not None, "it is not running"
        return self._program

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self._api is not None:
            self._api.close()
        return self.program.stop()

    def kill(self) -> None:
        """End it at once, as the kernel would."""
        if self._api is not None:
            self._api.close()
        self.program.kill()

    def __enter__(self) -> Running:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        code = self.stop()
        if kind is None:
            assert code == 0, f"serve ended with {code}\n{self.log()}"
            assert "Traceback" not in self.log(), self.log()

    def log(self) -> str:
        """All it has written so far."""
        return self.program.output()

    def troubles(self) -> list[dict[str, Any]]:
        """What it logged as an error."""
        lines = [orjson.loads(line) for line in self.program.errors if line.startswith("{")]
        return [line for line in lines if line.get("level") in ("error", "critical")]

    def condition(self) -> str:
        """What it says of its parts."""
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=PATIENCE, trust_env=False).text
        except httpx2.HTTPError as error:
            return f"it does not answer: {error}"

    # --- who may ------------------------------------------------------------------------------------------------------

    def mcp(self, server: str) -> str:
        """Where agents find a server."""
        return f"{self.url}/mcp/{server}"

    def grant(self, principal: str, *servers: str, name: str | None = None) -> str:
        """The token of a new grant."""
        body = {"name": name or f"{principal} {time.monotonic_ns()}", "principal": principal, "servers": list(servers)}
        made: str = self.ask("POST", "/grants", body, self.person("user:root", "admin"))["token"]
        return made

    def person(self, principal: str, role: str = "approver") -> str:
        """A person's token, made once."""
        key = (principal, role)
        if key not in self._tokens:
            made = self.cli(
                "token", "create", "--role", role, "--principal", principal, "--json", "-c", str(self.config)
            )
            self._tokens[key] = orjson.loads(made.stdout)["token"]
        return self._tokens[key]

    # --- the API and the command line ---------------------------------------------------------------------------------

    def ask(
        self, verb: str, path: str, body: Any = None, token: str | None = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """What the API answers; as an administrator, unless another token is given."""
        assert self._api is not None, "it is not running"
        headers = {"authorization": f"Bearer {token or self.person('user:root', 'admin')}"}
        answer = self._api.request(verb, path, json=body, headers=headers, params=dict(query or {}))
        assert answer.is_success, f"{verb} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def cli(
        self, *arguments: str, env: Mapping[str, str] | None = None, expect: int = 0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of `policylayer` in the proxy's folder; `stdin` is what it reads."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            input=stdin,
            check=False,
        )
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def decisions(self, **filters: str) -> list[dict[str, Any]]:
        """Rows of the decision log, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", "/decisions", query={"limit": "500", **filters})["items"]
        return found

    # --- approvals ----------------------------------------------------------------------------------------------------

    def pending(self, where: Callable[[dict[str, Any]], bool] = lambda _: True, **equal: Any) -> dict[str, Any]:
        """Wait for a pending approval of which this is true; the only one."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            items = self.ask("GET", "/approvals", query={"state": "pending", "limit": "500"})["items"]
            found[:] = [each for each in items if where(each) and all(each[name] == equal[name] for name in equal)]
            return bool(found)

        until(look, lambda: f"no approval with {equal} is pending\n{self.log()}")
        assert len(found) == 1, f"several approvals with {equal} are pending: {found}"
        return found[0]

    def approval(self, id: str) -> dict[str, Any]:
        """One approval."""
        found: dict[str, Any] = self.ask("GET", f"/approvals/{id}")
        return found

    def left(self, id: str) -> None:
        """Wait until nobody waits for an approval any more."""
        until(lambda: self.approval(id)["waiters"] == 0, lambda: f"someone waits: {self.approval(id)}")

    def approve(
        self, id: str, note: str | None = None, by: str = "user:approver", similar: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Vote for it through the API."""
        return self._vote(id, "approve", note, by, {} if similar is None else {"similar": similar})

    def deny(self, id: str, note: str | None = None, by: str = "user:approver") -> dict[str, Any]:
        """Vote against it through the API."""
        return self._vote(id, "deny", note, by)

    def approve_by_command(self, id: str, by: str = "user:approver") -> str:
        """Vote for it as a person at a terminal would; what the command printed."""
        return self._vote_by_command("approve", id, by)

    def deny_by_command(self, id: str, note: str, by: str = "user:approver") -> str:
        """Vote against it as a person at a terminal would; what the command printed."""
        return self._vote_by_command("deny", id, by, "--note", note)

    def _vote(
        self, id: str, verb: str, note: str | None, by: str, more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = {**({} if note is None else {"note": note}), **(more or {})}
        voted: dict[str, Any] = self.ask("POST", f"/approvals/{id}/{verb}", body, self.person(by))
        return voted

    def _vote_by_command(self, verb: str, id: str, by: str, *more: str) -> str:
        way = {"POLICYLAYER_URL": self.url, "POLICYLAYER_TOKEN": self.person(by)}
        # Elsewhere than in the proxy's folder, or the command would take the configuration that lies there.
        done = subprocess.run(
            [*COMMAND, "approvals", verb, id, *more],
            cwd="/",
            env=environment(way),
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command of ours: this checkout first, nothing of the developer's own proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLICYLAYER_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]), **(more or {})}


def until(true: Callable[[], bool], why: Callable[[], str], seconds: float = PATIENCE) -> None:
    """Wait for something that another process does, and that can only be asked for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(why())
        time.sleep(0.03)


def command(*words: str) -> Sequence[str]:
    """A server's command for the configuration, run by this interpreter's environment."""
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]
