"""What grows, for `growth.py`: for each thing, how to start a proxy that has so many of them.

Rows and pending approvals are put into the database before the proxy starts; sessions are opened as clients open them.
Must not know how a call's cost is measured.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine

from benchmarks.filling import fill_sqlite
from benchmarks.handshake import open_sessions
from benchmarks.ours import PRINCIPAL, SERVER, grant, ours
from benchmarks.targets import SERVER_CORE, Target, announcing
from benchmarks.wire import HANDSHAKE
from policylayer.approvals.opening import Opening, open_or_join
from policylayer.approvals.rows import Desk
from policylayer.clock import Clock
from policylayer.core.call import Call, Caller, Subject
from policylayer.core.decision import Decision, Effect, HoldRule, ReasonCode, RuleRef
from policylayer.identity import grants
from policylayer.keys import Keys

OF_ONE_GRANT = 990
"""Sessions: a grant may have 1,000."""
Started = Iterator[tuple[Target, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A thing that grows: its sizes, how to start a proxy of one size (with what a job of it says), and whether a call
    touches all of them, so that it may cost more with each."""

    sizes: tuple[int, ...]
    started: Callable[[Path, int, int], Any]
    touches: str = ""
    fixed: dict[str, Any] = field(default_factory=dict)


@contextmanager
def rules(folder: Path, upstream: int, size: int) -> Started:
    """All but two of which name other tools."""
    with ours(f"{size} rules", folder, upstream, rules=size) as target:
        yield target, {}


@contextmanager
def principals(folder: Path, upstream: int, size: int) -> Started:
    """In principals.yaml (which may have 1 MiB), each in one of a hundred groups."""

    def prepare(made: Path) -> None:
        names = [f"agent:n{number}" for number in range(size - 1)]
        lines = ["principals:", f"  {PRINCIPAL}: {{}}", "  agent:other: {}", *(f"  {name}: {{}}" for name in names)]
        lines += ["groups:", f"  agents: [{PRINCIPAL}]", "  others: [agent:other]"]
        lines += [f"  team{team}: [{', '.join(names[team::100])}]" for team in range(100) if names[team::100]]
        (made / "policies" / "principals.yaml").write_text("\n".join(lines) + "\n")

    with ours(f"{size} principals", folder, upstream, prepare=prepare) as target:
        yield target, {}


@contextmanager
def granted(folder: Path, upstream: int, size: int) -> Started:
    """Each with a grant of its own."""
    with ours(f"{size} grants", folder, upstream, prepare=lambda made: give(made, size - 1)) as target:
        yield target, {}


def give(folder: Path, count: int) -> None:
    """So many grants in a new database."""
    clock = Clock()
    with _database(folder) as (connection, _):
        for number in range(count):
            grants.create(connection, clock, f"grant-{number}", f"agent:n{number}", frozenset({SERVER}), None)


@contextmanager
def _database(folder: Path) -> Iterator[tuple[Connection, Keys]]:
    """A new database of a proxy, to write to before it starts."""
    keys = Keys.load((folder / "policylayer.key",), None, create=True)
    fill_sqlite(folder / "policylayer.db", keys, 0)
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(folder / "policylayer.db"))
    with engine.begin() as connection:
        yield connection, keys
    engine.dispose()


@contextmanager
def servers(folder: Path, upstream: int, size: int) -> Started:
    """Configured, all but one of which are not called."""
    more = "".join(f'  more{number}: {{url: "http://127.0.0.1:{upstream}/mcp"}}\n' for number in range(size - 1))
    with ours(f"{size} servers", folder, upstream, more=more) as target:
        yield target, {}


@contextmanager
def sessions(folder: Path, upstream: int, size: int) -> Started:
    """Of the handshake era, open and idle; the calls are in one more."""
    with ours(f"{size} sessions", folder, upstream) as target:
        for number, first in enumerate(range(0, size - 1, OF_ONE_GRANT)):
            token = grant(folder / "policylayer.yaml", f"grant{number}")
            open_sessions(target, min(OF_ONE_GRANT, size - 1 - first), token)
        yield target, {"era": HANDSHAKE, "sessions": open_sessions(target, 1)}


@contextmanager
def approvals(folder: Path, upstream: int, size: int) -> Started:
    """Pending, of other calls of the same tool and principal."""
    with ours(f"{size} approvals", folder, upstream, prepare=lambda made: hold(made, size)) as target:
        yield target, {}


def hold(folder: Path, count: int) -> None:
    """So many pending approvals in a new database."""
    clock, rule = Clock(), HoldRule(RuleRef("base", "hold", "base.yaml", 1))
    held = Effect.REQUIRE_APPROVAL
    decision = Decision(held, ReasonCode.RULE, held, "sha256:none", holds=(rule,), rules=(rule.ref,))
    with _database(folder) as (connection, keys):
        desk = Desk(keys, lambda *event, **more: None, clock.new_id)
        for number in range(count):
            digest = number.to_bytes(32, "big")
            call = Call(SERVER, "tools/call", "echo", {"amount": number}, digest, digest, "2026-07-28")
            opening = Opening(Caller(Subject(PRINCIPAL)), call, decision, clock.new_id(), arguments="{}")
            open_or_join(connection, desk, opening, clock.time_us(), 7 * 86_400)


@contextmanager
def rows(folder: Path, upstream: int, size: int) -> Started:
    """In the decision log, of the last thirty days."""

    def prepare(made: Path) -> None:
        if size:
            fill_sqlite(made / "policylayer.db", Keys.load((made / "policylayer.key",), None, create=True), size)

    with ours(f"{size} rows", folder, upstream, prepare=prepare) as target:
        yield target, {}


@contextmanager
def tools(folder: Path, upstream: int, size: int) -> Started:
    """Of the server that is called."""
    with (
        announcing("benchmarks.upstream", SERVER_CORE, str(size)) as (server, _),
        ours(f"{size} tools", folder, server) as target,
    ):
        yield target, {}


@contextmanager
def listed(folder: Path, upstream: int, size: int) -> Started:
    """The same, asked for their list."""
    with tools(folder, upstream, size) as (target, _):
        yield target, {"method": "tools/list"}


@contextmanager
def body(folder: Path, upstream: int, size: int) -> Started:
    """Bytes of arguments."""
    with ours(f"{size} bytes", folder, upstream) as target:
        yield target, {"padding": size}


AXES: dict[str, Axis] = {
    "rules": Axis((1, 10, 100, 1_000, 10_000), rules),
    "principals": Axis((1, 100, 10_000, 100_000), granted),
    "principals in principals.yaml": Axis((1, 100, 1_000, 10_000), principals),
    "servers": Axis((1, 10, 100), servers),
    "sessions": Axis((1, 100, 1_000, 9_000), sessions),
    "pending approvals": Axis((0, 100, 1_000, 10_000), approvals),
    "rows in the log": Axis((0, 10_000, 1_000_000, 10_000_000), rows),
    "tools of the server": Axis((1, 20, 200, 2_000), tools),
    "tools of the server, listed": Axis((1, 20, 200, 2_000), listed, touches="each tool is judged and relayed"),
    "bytes of arguments": Axis((1_000, 4_000, 16_000, 64_000), body, touches="each byte is read, digested and kept"),
}
