"""Folders, repositories and keepers, for tests of revisions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policylayer.clock import Clock
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.known import Known
from policylayer.revisions.judging import Case, Finding, judge
from policylayer.revisions.keeper import Revisions
from policylayer.revisions.snapshot import Snapshot
from tests.support.require import program

POLICY = """policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: only, tools: [search], effect: EFFECT, reason: why}
"""
ALLOW, DENY = POLICY.replace("EFFECT", "allow"), POLICY.replace("EFFECT", "deny")
TEST = """tests:
  - name: searching is allowed
    principal: agent:bot
    call: {server: shop, tool: search}
    expect: {effect: allow}
"""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files below a folder."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        place.chmod(0o644)
    return folder


def replace(place: Path, content: str) -> None:
    """Change a file as editors do: a new one takes its name."""
    other = place.with_name(f".{place.name}.new")
    other.write_text(content)
    os.replace(other, place)


class LaterClock(Clock):
    """A clock by which whatever was just written has long been at rest."""

    def time_us(self) -> int:
        """Ten seconds from now."""
        return super().time_us() + 10_000_000


class HereJudge:
    """Judges in this process, so that a test does not wait for another to start."""

    async def ask(
        self, snapshot: Snapshot, known: Known | None = None, not_enforced: frozenset[str] = NOT_ENFORCED
    ) -> Finding:
        """As the other process would."""
        return judge(Case(snapshot.files, snapshot.diagnostics, known or Known(), not_enforced, 1))

    def close(self) -> None:
        """Nothing to end."""


class Told:
    """What a keeper told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, type_: str, detail: Mapping[str, Any]) -> None:
        self.events.append((type_, detail))


def keeper(source: str | Path, told: Told | None = None, clock: Clock | None = None, **options: Any) -> Revisions:
    """A keeper that judges here, by a clock for which all is at rest."""
    options.setdefault("judge", HereJudge)
    return Revisions(str(source), clock or LaterClock(), told, **options)


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    command = [program("git"), "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path, files: Mapping[str, str | bytes]) -> str:
    """A repository with one commit of these files; its id."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    write(folder, files)
    return commit(folder)


def commit(folder: Path) -> str:
    """Commit everything; the new commit's id."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")
