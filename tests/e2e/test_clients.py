"""Real clients, real servers, one running proxy: what each client's user sees in each of seven situations.

Each client goes through all seven on one server, and each server meets two clients or more. The approver is somebody
else, at the API and at a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.clients import CLIENTS, Said, Session, Way
from tests.e2e.servers import Call, Server, all_servers
from tests.support import node
from tests.support.running import Running, until

IMPATIENT = 3.0
"""Seconds after which a client gives up, in the one situation where it does."""

MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
MODERN_CLIENTS = ("python-auto", "typescript-v2")
"""Those that speak 2026-07-28 where the server does."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    node.packages()
    with all_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    configured = {name: server.config for name, server in servers.items()}
    policies = {f"{name}.yaml": server.policy for name, server in servers.items()}
    with Running(tmp_path_factory.mktemp("proxy"), configured, policies) as running:
        yield running
    assert running.troubles() == []


@dataclass(frozen=True)
class Stage:
    """One client on one server, and the proxy between them. `word` is theirs alone."""

    proxy: Running
    server: Server
    session: Session
    principal: str
    word: str

    def call(self, call: Call, timeout: float = 45.0) -> Future[Said]:
        return self.session.call(call.tool, call.arguments, timeout)

    def pending(self, call: Call) -> str:
        """The approval that the call waits for, which has not run."""
        found = self.proxy.pending(principal=self.principal, target=call.tool, arguments=call.arguments)
        approval: str = found["id"]
        return approval

    def ran(self, situation: str) -> bool | None:
        """Whether the held call of a situation has had its effect; None where one cannot see."""
        return self.server.ran(self.name(situation)) if self.server.ran else None

    def name(self, situation: str) -> str:
        return f"{self.word}-{situation}"


# --- the situations ---------------------------------------------------------------------------------------------------


def listed(stage: Stage) -> None:
    server = stage.server
    tools = stage.session.tools()
    assert {server.allowed.tool, server.denied.tool, server.held("").tool} <= tools
    assert server.hidden not in tools


def allowed(stage: Stage) -> None:
    said = stage.call(stage.server.allowed).result()
    assert said.ok, said
    assert stage.server.allowed.text in said.text


def denied(stage: Stage) -> None:
    said = stage.call(stage.server.denied).result()
    assert said.is_error, said
    assert (said.decision["effect"], said.decision["reason_code"]) == ("deny", "rule")
    assert said.decision["retry"] in ("never", "changed")
    assert said.text.startswith("Refused: ")
    assert "this is not for agents" in said.text


def held_and_approved(stage: Stage) -> None:
    call = stage.server.held(stage.name("approved"))
    answer = stage.call(call)
    approval = stage.pending(call)
    assert not answer.done()
    assert not stage.ran("approved")
    stage.proxy.approve(approval)
    _went_through(stage, call, answer.result(), approval, "approved")


def held_and_denied(stage: Stage) -> None:
    call = stage.server.held(stage.name("refused"))
    answer = stage.call(call)
    approval = stage.pending(call)
    stage.proxy.deny(approval, note="not before the audit")
    said = answer.result()
    assert said.is_error, said
    assert (said.decision["reason_code"], said.decision["approval_id"]) == ("approval_denied", approval)
    assert "not before the audit" in said.text
    again = stage.call(call).result()
    assert again.decision["approval_id"] == approval, "the same call again must not ask anyone again"
    assert not stage.ran("refused")


def held_and_expired(stage: Stage) -> None:
    call = stage.server.brief(stage.name("expired"))
    said = stage.call(call).result()
    assert said.is_error, said
    assert said.decision["reason_code"] == "approval_expired"
    assert stage.proxy.approval(said.decision["approval_id"])["state"] == "expired"
    assert not stage.ran("expired")


def approved_after_the_client_gave_up(stage: Stage) -> None:
    call = stage.server.held(stage.name("late"))
    answer = stage.call(call, IMPATIENT)
    approval = stage.pending(call)
    failure = answer.result().failure
    assert failure is not None
    assert "timed out" in failure.lower(), failure
    stage.proxy.left(approval)
    assert "approved" in stage.proxy.approve_by_command(approval)
    assert not stage.ran("late"), "nothing runs for nobody"
    _went_through(stage, call, stage.call(call).result(), approval, "late")


def _went_through(stage: Stage, call: Call, said: Said, approval: str, situation: str) -> None:
    assert said.ok, said
    assert call.text in said.text
    assert stage.ran(situation) in (True, None)
    assert stage.proxy.approval(approval)["state"] == "consumed"


FOUR = (listed, allowed, denied, held_and_approved)
SEVEN = (*FOUR, held_and_denied, held_and_expired, approved_after_the_client_gave_up)


# --- who meets whom ---------------------------------------------------------------------------------------------------


def matrix() -> Iterator[Any]:
    """Every client with all seven on one server; on the others four."""
    for client, server in (
        ("python-auto", "git"),
        ("python-legacy", "memory"),
        ("typescript-v1", "files"),
        ("typescript-v2", "git"),
        ("inspector", "everything-http"),
    ):
        yield pytest.param(client, server, SEVEN, id=f"{client}-{server}-all-seven")
    for client, server in (
        ("python-auto", "time"),
        ("python-auto", "everything-http"),
        ("python-legacy", "everything"),
        ("python-legacy", "git"),
        ("typescript-v1", "everything-http"),
        ("typescript-v1", "time"),
        ("typescript-v2", "everything"),
        ("typescript-v2", "files"),
        ("inspector", "memory"),
    ):
        yield pytest.param(client, server, FOUR, id=f"{client}-{server}")


@pytest.mark.shows("proxy.3")
@pytest.mark.slow
@pytest.mark.parametrize(("client", "server", "situations"), [*matrix()])
def test_a_client_and_a_server(
    proxy: Running,
    servers: dict[str, Server],
    client: str,
    server: str,
    situations: tuple[Callable[[Stage], None], ...],
) -> None:
    _go(proxy, servers, client, server, situations)


@pytest.mark.shows("proxy.3")
@pytest.mark.slow
@pytest.mark.parametrize(("client", "server"), [("python-auto", "git"), ("typescript-v1", "memory")])
def test_a_client_that_can_only_launch_a_command(
    proxy: Running, servers: dict[str, Server], client: str, server: str
) -> None:
    _go(proxy, servers, client, server, SEVEN, connect=True)


def _go(
    proxy: Running,
    servers: dict[str, Server],
    client: str,
    server: str,
    situations: tuple[Callable[[Stage], None], ...],
    connect: bool = False,
) -> None:
    with _stage(proxy, servers, client, server, "connect" if connect else "http") as stage:
        for situation in situations:
            situation(stage)
    _nothing_ran_unrecorded(stage, situations)


@contextmanager
def _stage(proxy: Running, servers: dict[str, Server], client: str, server: str, why: str) -> Iterator[Stage]:
    """A client of its own principal, connected to a server."""
    word = f"{client}-{why}"
    principal = f"agent:{word}-{server}"
    way = Way(proxy.mcp(server), proxy.grant(principal, server), connect=why == "connect")
    try:
        with CLIENTS[client](way) as session:
            modern = servers[server].modern and client in MODERN_CLIENTS
            assert session.protocol in (MODERN if modern else HANDSHAKE, None)
            yield Stage(proxy, servers[server], session, principal, word)
    except BaseException as error:
        error.add_note(f"{proxy.log()}\n{proxy.condition()}")
        raise


def _nothing_ran_unrecorded(stage: Stage, situations: tuple[Callable[[Stage], None], ...]) -> None:
    """Of all calls of this client those went to the server that the situations say, and no others."""
    rows: list[dict[str, Any]] = []

    def ended() -> bool:
        # An answer that comes as an event is there before its call has ended.
        rows[:] = stage.proxy.decisions(principal=stage.principal, method="tools/call")
        return all(row["outcome"] for row in rows if row["enforced"] == "allow")

    until(ended, lambda: f"a call has no outcome: {rows}")
    let_through = [row for row in rows if row["enforced"] == "allow"]
    assert {row["outcome"]["state"] for row in let_through} == {"executed"}, let_through
    sent = sorted(row["target"] for row in let_through)
    held = [stage.server.held("").tool] * (2 if situations is SEVEN else 1)
    assert sent == sorted([stage.server.allowed.tool, *held]), rows


# --- longer than one answer may take ----------------------------------------------------------------------------------


@pytest.mark.shows("proxy.3")
@pytest.mark.slow
def test_modern_clients_come_back_for_a_held_call_by_themselves(proxy: Running, servers: dict[str, Server]) -> None:
    """The first answer, after 25 s, is an `input_required` that asks for nothing: users see only one long call."""
    with ExitStack() as stack:
        held = []
        for client in MODERN_CLIENTS:
            stage = stack.enter_context(_stage(proxy, servers, client, "time", "long"))
            call = stage.server.held(stage.name("long"))
            held.append((stage, call, stage.call(call), stage.pending(call)))
        for stage, call, answer, approval in held:
            _wait_for_the_second_time(stage)
            assert not answer.done()
            proxy.approve(approval)
            _went_through(stage, call, answer.result(), approval, "long")


def _wait_for_the_second_time(stage: Stage) -> None:
    def rows() -> list[dict[str, Any]]:
        return stage.proxy.decisions(principal=stage.principal, method="tools/call")

    until(lambda: len(rows()) > 1, lambda: f"it does not come back: {rows()}", seconds=60)


@pytest.fixture(scope="module")
def hasty(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A proxy that holds no call longer than a second."""
    names = ("git", "everything-http")
    configured = {name: servers[name].config for name in names}
    policies = {f"{name}.yaml": servers[name].policy for name in names}
    folder = tmp_path_factory.mktemp("hasty")
    with Running(folder, configured, policies, approvals={"hold": "1s", "hold_modern": "1s"}) as running:
        yield running
    assert running.troubles() == []


@pytest.mark.shows("proxy.3")
@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_that_is_held_no_longer_is_pending_and_the_same_call_later_goes_through(
    hasty: Running, servers: dict[str, Server], client: str
) -> None:
    server = "git" if client in MODERN_CLIENTS else "everything-http"
    with _stage(hasty, servers, client, server, "hasty") as stage:
        call = stage.server.held(stage.name("pending"))
        said = stage.call(call).result()
        assert said.is_error, said
        assert (said.decision["reason_code"], said.decision["retry"]) == ("pending", "same_call")
        approval = stage.pending(call)
        assert said.decision["approval_id"] == approval
        hasty.approve(approval)
        _went_through(stage, call, stage.call(call).result(), approval, "pending")
