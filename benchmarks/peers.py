"""Other programs that can stand where the proxy stands, as targets: each in an environment of its own, pinned.

`peers.json` says which versions; they are installed into `.cache/peers` once. A peer that cannot be installed here is
skipped with one reason. Each is started as its documentation says and given a fair start: no logs of calls, no limits
of rate, few tools behind it. Must not know how results are shown (`rivals.py` compares).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.handshake import open_sessions
from benchmarks.targets import PYTHON, TARGET_CORE, Target, free_port, process, wait_for

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "peers"
WAIT = 90.0
SESSIONS = 16
TOOLS = 4
"""Behind a peer: some list all tools for each call."""


class Absent(RuntimeError):
    """Why a peer is not there."""


def pinned() -> dict[str, dict[str, str]]:
    """Package, version and oldest Python of each peer."""
    found: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("peers.json").read_text())
    return found


def python_for(oldest: str) -> str:
    """An interpreter that is new enough. Raises `Absent`."""
    least = tuple(map(int, oldest.split(".")))
    versions = [f"3.{minor}" for minor in range(max(least[1], 11), 14)]
    candidates = [sys.executable, *(shutil.which(f"python{each}") or "" for each in versions)]
    candidates += [str(path) for each in versions for path in Path.home().glob(f".pyenv/versions/{each}.*/bin/python")]
    for candidate in filter(None, candidates):
        asked = [candidate, "-c", f"import sys; sys.exit(not {least} <= sys.version_info[:2] < (3, 14))"]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return candidate
    raise Absent(f"needs Python {oldest}, which is not installed")


def installed(name: str) -> Path:
    """The folder of its programs, installed if need be. Raises `Absent`."""
    peer = pinned()[name]
    folder = CACHE / f"{peer['package']}-{peer['version']}"
    mark = folder / "installed"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([python_for(peer["python"]), "-m", "venv", str(folder)])
        package = f"{peer['package']}=={peer['version']}"
        _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", package])
        mark.touch()
    return folder / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Absent(f"could not be installed: {said[-1][:200]}")


@contextmanager
def _started(
    name: str, command: list[str], port: int, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Target]:
    folder.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, "PYTHONPATH": "", **(environment or {})}
    with (
        (folder / "log").open("wb") as log,
        process(
            command, TARGET_CORE, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=variables
        ) as it,
    ):
        try:
            wait_for(port, WAIT)
        except RuntimeError:
            said = (folder / "log").read_text(errors="replace").strip()[-200:]
            raise Absent(f"did not start: {said}") from None
        yield Target(name, port, roots=[it.pid])


@contextmanager
def fastmcp(name: str, upstream: int, folder: Path) -> Iterator[Target]:
    """`create_proxy(URL).run(transport="http")`."""
    port = free_port()
    program = str(ROOT / "benchmarks" / "fastmcp_proxy.py")
    command = [str(installed(name) / "python"), program, f"http://127.0.0.1:{upstream}/mcp", str(port)]
    with _started(name, command, port, folder) as target:
        yield target


@contextmanager
def mcp_proxy(name: str, upstream: int, folder: Path) -> Iterator[Target]:
    """It puts HTTP before a stdio server; so to the server of all others it is its own stdio front, twice."""
    program, port = str(installed(name) / "mcp-proxy"), free_port()
    front = [program, "--log-level", "ERROR", "--transport", "streamablehttp", f"http://127.0.0.1:{upstream}/mcp"]
    command = [program, "--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR", "--", *front]
    with _started(name, command, port, folder) as target:
        yield target


@contextmanager
def mcp_proxy_stdio(name: str, upstream: int, folder: Path) -> Iterator[Target]:
    """The half of it: before a stdio server, which no other target has; that server's CPU is charged too."""
    port = free_port()
    server = [PYTHON, "-m", "benchmarks.stdio_server"]
    command = [str(installed("mcp-proxy") / "mcp-proxy"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--log-level", "ERROR", "--pass-environment", "--", *server]
    with _started(name, command, port, folder, {"PYTHONPATH": str(ROOT)}) as target:
        yield target


FORGE = {
    "AUTH_REQUIRED": "true",
    "RATE_LIMITING_ENABLED": "false",
    "TOOL_RATE_LIMIT": "100000000",
    "SSRF_ALLOW_LOCALHOST": "true",
    "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    "CACHE_TYPE": "memory",
    "LOG_LEVEL": "ERROR",
    "JWT_SECRET_KEY": "a-secret-of-the-benchmark-0123456789abcdef",
    "AUTH_ENCRYPTION_SECRET": "another-secret-of-the-benchmark-0123456789",
    "PLATFORM_ADMIN_EMAIL": "admin@example.com",
    "PLATFORM_ADMIN_PASSWORD": "A-long-Passw0rd!9",
    "BASIC_AUTH_PASSWORD": "A-long-Passw0rd!9",
}
"""No limit of rate, nothing but errors logged, and the server on this machine permitted."""


@contextmanager
def context_forge(name: str, upstream: int, folder: Path) -> Iterator[Target]:
    """A gateway, and a virtual server with the one tool that is called."""
    programs, port = installed(name), free_port()
    folder.mkdir(parents=True)
    environment = {
        **FORGE,
        "DATABASE_URL": f"sqlite:///{folder / 'mcp.db'}",
        "SSL_CERT_FILE": str(one_certificate(folder)),
    }
    command = [str(programs / "mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]
    with _started(name, command, port, folder, environment) as target:
        target.token = _forge_token(programs, {**os.environ, **environment}, folder)
        gateway = {"name": "bench", "url": f"http://127.0.0.1:{upstream}/mcp", "transport": "STREAMABLEHTTP"}
        _forge(target, "/gateways", gateway)
        tools = _forge(target, "/tools")
        tool = next(each["id"] for each in tools if each["name"] == "bench-echo")
        server = _forge(target, "/servers", {"server": {"name": "bench", "associated_tools": [tool]}})
        target.path, target.tool = f"/servers/{server['id']}/mcp", "bench-echo"
        yield target


def one_certificate(folder: Path) -> Path:
    """A file of trusted authorities with one in it: reading those of the system takes a client 44 ms each time."""
    import certifi

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = Path(certifi.where()).read_text().partition(begin)[2].partition(end)[0]
    path = folder / "ca.pem"
    path.write_text(f"{begin}{first}{end}\n")
    return path


def _forge_token(programs: Path, environment: Mapping[str, str], folder: Path) -> str:
    command = [str(programs / "python"), "-m", "mcpgateway.utils.create_jwt_token", "--admin", "-e", "600"]
    command += ["-u", FORGE["PLATFORM_ADMIN_EMAIL"], "-s", FORGE["JWT_SECRET_KEY"]]
    made = subprocess.run(command, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False)
    lines = made.stdout.split()
    if made.returncode or not lines:
        raise Absent(f"made no token: {made.stderr.strip()[-200:]}")
    return lines[-1]


def _forge(target: Target, path: str, body: Any = None) -> Any:
    """One request of its API, repeated while it starts."""
    headers = {"authorization": f"Bearer {target.token}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    end = time.monotonic() + WAIT
    while True:
        request = urllib.request.Request(f"http://127.0.0.1:{target.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Absent(f"{path}: {error.code} {error.read()[:200].decode(errors='replace')}") from None
        except OSError as error:
            if time.monotonic() > end:
                raise Absent(f"{path}: {error}") from None
            time.sleep(0.5)


Make = Callable[[str, int, Path], Any]
PEERS: dict[str, Make] = {
    "fastmcp's proxy": fastmcp,
    "mcp-proxy": mcp_proxy,
    "mcp-proxy, before a stdio server": mcp_proxy_stdio,
    "ContextForge": context_forge,
}


@contextmanager
def peer(name: str, upstream: int, folder: Path) -> Iterator[Target]:
    """A running peer with its sessions. Raises `Absent`."""
    with PEERS[name](name, upstream, folder) as target:
        try:
            target.sessions = open_sessions(target, SESSIONS)
        except (OSError, RuntimeError) as error:
            raise Absent(str(error)) from None
        yield target
