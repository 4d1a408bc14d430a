"""A running proxy and another configuration than it began with: every command that may be taken for it says so."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx2
import pytest

from policylayer.cli.stale import others, words
from tests.cli.program import Command
from tests.cli.runner import Runner

SAID = "`policylayer.yaml` has changed since the proxy (process {}) started: restart it"


@pytest.mark.shows("proxy.1")
def test_who_reads_the_file_says_that_the_proxy_has_not(run: Runner, home: Path) -> None:
    asked = ("explain", "--principal", "agent:bot", "--server", "shop", "--tool", "get_x")
    with Command("serve", cwd=home) as proxy:
        url, said = proxy.url, SAID.format(proxy.process.pid)
        token = run("token", "create", "--role", "operator", "--principal", "user:o", "--json").json["token"]
        there = ("--url", url, "--token", token)
        for command in (("access",), asked, ("reload",), ("reload", *there)):
            assert "has changed" not in run(*command).err
        assert "has changed" not in run("doctor").out
        file = home / "policylayer.yaml"
        file.write_text(file.read_text() + "approvals: {hold: 1s}\n")
        for command in (("access",), asked, ("reload",), ("reload", *there)):
            assert said in run(*command).err
        assert said in run("doctor").out
        here, far = run("reload", "--json").json, run("reload", "--json", *there).json
        assert {**here, "activated_at": 0} == {**far, "activated_at": 0}
        assert len(here["activated_at"]) == len(far["activated_at"])
        assert here["restart"][0].endswith(f":{proxy.process.pid}")
        headers = {"authorization": f"Bearer {token}"}
        assert httpx2.get(f"{url}/api/v1/policy", headers=headers).json()["restart"] == here["restart"]
        assert "is read by a restart" in proxy.output()
    assert "has changed" not in run("access").err


@pytest.mark.shows("proxy.1")
def test_a_proxy_is_asked_also_when_the_log_was_pruned_since_it_began(run: Runner, home: Path) -> None:
    policy = home / "policies" / "shop.yaml"
    with Command("serve", cwd=home) as proxy:
        assert proxy.url
        first = run("reload", "--json").json
        assert run("audit", "prune", "--before", "0s", "--yes", "--json").json["removed"] > 0
        assert run("reload", "--json").json == first
        config = home / "policylayer.yaml"
        config.write_text(config.read_text() + "approvals: {hold: 1s}\n")
        assert SAID.format(proxy.process.pid) in run("doctor").out
        good = policy.read_text()
        policy.write_text("policy: shop\n")
        done = run("reload")
        assert (done.code, done.out) == (3, f"Active: {first['revision']} since {first['activated_at']}\n")
        assert "Refused: sha256:" in done.err
        policy.write_text(good)
    assert run("audit", "verify").code == 0


@pytest.mark.shows("proxy.1")
def test_a_reload_wants_a_proxy_that_runs(run: Runner, home: Path) -> None:
    with Command("serve", cwd=home) as proxy:
        assert proxy.url
        config = home / "policylayer.yaml"
        configured = config.read_text()
        config.write_text(f"{configured}policies: git:.@gone\n")
        done = run("reload")
        assert (done.code, "has no commit that `gone` names" in done.err) == (3, True)
        config.write_text(configured)
        policies = (home / "policies").rename(home / "elsewhere")
        done = run("reload")
        assert (done.code, "there is no folder `./policies`" in done.err) == (3, True)
        policies.rename(home / "policies")
        proxy.end(signal.SIGKILL)
    began = time.monotonic()
    done = run("reload")
    assert (done.code, done.out) == (1, "")
    assert "no proxy serves from this database" in done.err
    assert "policylayer serve -c FILE" in done.err
    assert time.monotonic() - began < 10


def test_one_that_does_not_say_what_it_began_with_is_not_accused() -> None:
    details = ['{"host":"a","pid":1,"configuration":"old"}', '{"host":"b","pid":2}', '{"host":"c","pid":3}']
    assert others("new", [("l", "a", 1), ("l", "b", 2)], details) == ["a:1"]
    assert "on `a`" in words("x.yaml", "a:1")
