"""What `approvals show` says of a held call's arguments, by who looks."""

from __future__ import annotations

from tests.cli.runner import Runner
from tests.cli.test_approvals_similar import ask, held, url

__all__ = ("url",)


def test_who_does_not_see_the_arguments_is_told_so(run: Runner, url: str) -> None:
    grant = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--json").json["token"]
    tokens = {
        role: run("token", "create", "--role", role, "--principal", f"user:{role}", "--json").json["token"]
        for role in ("viewer", "approver")
    }
    id = held(ask(url, grant, to="someone"))
    seen = run("approvals", "show", id, "--url", url, "--token", tokens["approver"]).out
    assert ("someone" in seen, "  arguments (digest " in seen) == (True, True)
    unseen = run("approvals", "show", id, "--url", url, "--token", tokens["viewer"]).out
    assert "): not shown, this role does not see them; an approver's token does" in unseen
    assert "null" not in unseen
