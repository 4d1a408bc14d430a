"""The targets of the headline run, all started beside one server; and why any of them is not there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figures import HEADLINE, NO_LOG, POSTGRES, REGO, RELAY
from benchmarks.ours import ours
from benchmarks.targets import SERVER_CORE, Target, announcing, bare, direct, nginx
from tests.support import postgres

Made = AbstractContextManager[Target]


def fleet(stack: ExitStack, folder: Path) -> tuple[list[Target], dict[str, str]]:
    """All targets that this machine has, and why the others are skipped."""
    upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
    targets: list[Target] = []
    skipped: dict[str, str] = {}

    def add(name: str, make: Callable[[], Made], why: str | None = None) -> None:
        try:
            if why is None:
                targets.append(stack.enter_context(make()))
        except (RuntimeError, subprocess.CalledProcessError, AssertionError) as error:
            why = str(error)[-300:] or repr(error)
        if why is not None:
            skipped[name] = why

    def variant(name: str, **more: object) -> None:
        add(name, lambda: ours(name, folder / name.replace(" ", "-"), upstream, **more))  # type: ignore[arg-type]

    add("direct", lambda: direct(upstream))
    add("nginx", lambda: nginx(upstream, folder / "nginx"), no_nginx())
    for kind in ("httptools", "asgi"):
        add(f"bare {kind} relay", lambda kind=kind: bare(kind, upstream))  # type: ignore[misc]
    variant(RELAY, without="policy,log")
    variant(NO_LOG, without="log")
    variant(HEADLINE)
    _postgres(stack, add, upstream, folder)
    if find_spec("regorus") is None:
        skipped[REGO] = "`gordon-to-regorus` is not installed (the extra `rego`)"
    else:
        variant(REGO, rego=True)
    return targets, skipped


def no_nginx() -> str | None:
    """Why there is no nginx here."""
    return None if shutil.which("nginx") else "`nginx` is not installed (Debian: apt-get install nginx)"


def no_postgres() -> str | None:
    """Why there is no PostgreSQL here."""
    if find_spec("asyncpg") is None:
        return "`asyncpg` is not installed (the extra `postgres`)"
    why = postgres.missing()
    return why and f"{why} (Debian: apt-get install postgresql)"


def _postgres(stack: ExitStack, add: Callable[..., None], upstream: int, folder: Path) -> None:
    """The row with a PostgreSQL server of its own, on the disk that SQLite's file is on; its CPU is shown apart."""
    if (why := no_postgres()) is not None:
        add(POSTGRES, lambda: direct(upstream), why)
        return
    cluster = stack.enter_context(postgres.server(in_memory=False))
    assert cluster.process is not None
    process = cluster.process.pid

    @contextmanager
    def make() -> Iterator[Target]:
        with ours(POSTGRES, folder / "postgres", upstream, database=cluster.database()) as target:
            target.apart = [process]
            yield target

    add(POSTGRES, make)
