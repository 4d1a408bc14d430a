"""What a run ran on: processor, system, and the versions of everything that takes part. Must not know results."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "uvicorn",
    "httptools",
    "uvloop",
    "aiohttp",
    "orjson",
    "jiter",
    "SQLAlchemy",
    "asyncpg",
    "gordon-to-regorus",
)
PROGRAMS = {"nginx": ["nginx", "-v"], "PostgreSQL": ["postgres", "--version"], "OPA": ["opa", "version"]}


def machine() -> dict[str, Any]:
    """All of it."""
    info = _lines("/proc/cpuinfo")
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "")
    packages = {name: _package(name) for name in PACKAGES}
    programs = {name: _program(command) for name, command in PROGRAMS.items()}
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "versions": {**packages, "SQLite": sqlite3.sqlite_version, **programs},
    }


def sentence(made: dict[str, Any], versions: bool = True) -> str:
    """The same in words."""
    told = ", ".join(f"{name} {each}" for name, each in made["versions"].items()) if versions else ""
    return (
        f"{made['cores']} cores ({made['cpu']}), {made['system']}, Python {made['python']}; 1-minute load "
        f"before the run {made['load_before']:.1f}" + (f"; {told}" if told else "")
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _program(command: list[str]) -> str:
    from tests.support.require import found

    path = found(command[0]) or shutil.which(command[0])
    if path is None:
        return "not installed"
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).split("\n")[0].replace("/", " ").split()
    return next((word for word in words if word[0].isdigit()), "unknown")
