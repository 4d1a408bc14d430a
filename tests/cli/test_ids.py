"""Ids in commands: what cannot be one reaches no path of the API."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.cli.remote import Remote
from tests.cli.runner import Runner

NO_IDS = ("../grants/x", "../me", "", "a b", "a/b", "a?b", "a#b", "%2e%2e", "é", "x" * 129)
COMMANDS = {
    "token revoke": ("no such token stands", "policylayer token list"),
    "audit show": ("there is no such decision", "policylayer audit query"),
    "explain": ("there is no such decision", "policylayer audit query"),
    "approvals show": ("there is no such approval", "policylayer approvals list --all"),
    "approvals approve": ("there is no such approval", "policylayer approvals list --all"),
    "approvals deny": ("there is no such approval", "policylayer approvals list --all"),
    "approvals withdraw": ("there is no such approval", "policylayer approvals list --all"),
    "approvals revoke": ("no such waiver stands", "policylayer approvals waivers"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("id", NO_IDS)
def test_what_cannot_be_one_is_not_asked_for(
    run: Runner, monkeypatch: pytest.MonkeyPatch, command: str, id: str
) -> None:
    def ask(self: Remote, *asked: Any, **more: Any) -> Any:
        raise AssertionError(asked)

    monkeypatch.setattr(Remote, "ask", ask)
    done = run(*command.split(), id, "--url", "http://127.0.0.1:1", "--token", "plt_x")
    message, listing = COMMANDS[command]
    assert (done.code, done.err.splitlines()[0]) == (1, f"policylayer: {message}")
    assert f"help: `{listing}`" in done.err


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("command", [name for name in COMMANDS if name.split()[-1] not in ("approve", "deny")])
def test_one_that_there_is_not_is_said_in_the_same_words(run: Runner, command: str) -> None:
    assert run(*command.split(), "nosuch").err == run(*command.split(), "no/such").err
