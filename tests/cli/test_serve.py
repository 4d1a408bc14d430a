"""`serve` as a process: ready when it says so, one per database, ended in order, and state reached while it runs."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest

from policylayer.cli.exits import code_of
from policylayer.cli.running import serve_config
from policylayer.config import load
from policylayer.core.errors import ConfigError, PolicyLayerError
from tests.cli.program import Command
from tests.cli.runner import Runner

MCP = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "drop", "arguments": {}}}


def test_serving_and_reaching_its_state(run: Runner, home: Path) -> None:
    with Command("serve", cwd=home) as proxy:
        url = proxy.url
        assert httpx2.get(f"{url}/readyz").json()["status"] == "ready"
        assert httpx2.get(f"{url}/metrics", headers={"host": "evil.example"}).status_code == 421
        assert httpx2.get(f"{url}/metrics", headers={"origin": "http://evil.example"}).status_code == 403
        assert "servers" in httpx2.get(f"{url}/readyz").json()["parts"]
        probe = httpx2.get(f"{url}/readyz", headers={"host": "10.0.0.1:8080"})
        assert (probe.status_code, probe.json()["parts"]["servers"]) == (200, {"ready": True})
        assert httpx2.get(f"{url}/nothing").status_code == 404

        # What the HTTP server refuses is recorded like other refused input.
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 5) as raw:
            raw.sendall(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")

        # A second `serve` of the same file is refused, and names the first.
        with Command("serve", cwd=home) as second:
            assert second.process.wait(20) == 3
            assert f"is served by process {proxy.process.pid}" in second.output()
        beside = run("migrate")
        assert (beside.code, f"is served by process {proxy.process.pid}" in beside.err) == (3, True)

        # What a command writes is seen at once by the running proxy.
        grant = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--json").json["token"]
        admin = run("token", "create", "--role", "admin", "--principal", "user:root", "--json").json["token"]
        anonymous = httpx2.post(f"{url}/mcp/shop", headers=MCP, json=CALL)
        assert anonymous.status_code == 401
        refused = httpx2.post(f"{url}/mcp/shop", headers={**MCP, "authorization": f"Bearer {grant}"}, json=CALL)
        assert refused.json()["result"]["isError"] is True
        assert refused.json()["result"]["_meta"]["io.policylayer/decision"]["reason_code"] == "not_applicable"

        headers = {"authorization": f"Bearer {admin}"}
        refusals = httpx2.get(f"{url}/api/v1/events?type=rejected", headers=headers).json()["items"]
        assert [each["detail"]["reason"] for each in refusals] == ["http: both content-length and transfer-encoding"]

        there = ("--url", url, "--token", admin)
        (row,) = run("audit", "query", "--json", "--effect", "deny", *there).lines
        assert (row["target"], row["principal"], row["server"]) == ("drop", "agent:bot", "shop")
        assert run("audit", "show", row["id"], "--json", "-c", "policylayer.yaml").json["id"] == row["id"]

        with Command("audit", "tail", "--since", "1h", "--json", *there, cwd=home) as tail:
            assert row["id"] in tail.line("drop")
        with Command("approvals", "watch", "-c", "policylayer.yaml", cwd=home) as watch:
            assert watch.process.poll() is None

        # A freeze from beside is in force within a second.
        assert run("freeze", "--server", "shop", "--reason", "stop", "-c", "policylayer.yaml").code == 0
        deadline = time.monotonic() + 5
        code = ""
        while code != "frozen" and time.monotonic() < deadline:
            answer = httpx2.post(f"{url}/mcp/shop", headers={**MCP, "authorization": f"Bearer {grant}"}, json=CALL)
            code = answer.json()["result"]["_meta"]["io.policylayer/decision"]["reason_code"]
        assert code == "frozen"
        assert run("thaw", "--server", "shop", *there).code == 0

        # A broken revision is refused and shown; the last good one stays.
        policy = home / "policies" / "shop.yaml"
        good = policy.read_text()
        policy.write_text(good.replace("effect: allow", "efect: allow"))
        refusal = run("reload", "--json", *there)
        assert refusal.code == 3
        assert refusal.json["refused"][0]["diagnostics"][0]["code"] == "PL103"
        policy.write_text(good + "  - {id: more, tools: [drop], effect: deny, reason: No.}\n")
        for way in (there, ("-c", "policylayer.yaml")):
            done = run("reload", "--json", *way)
            assert (done.code, done.json["refused"]) == (0, [])
        answer = httpx2.post(f"{url}/mcp/shop", headers={**MCP, "authorization": f"Bearer {grant}"}, json=CALL)
        assert answer.json()["result"]["_meta"]["io.policylayer/decision"]["rule"] == "shop/more"

        assert proxy.end() == 0
    assert len(run("audit", "query", "--json", "--target", "drop").lines) >= 3


def test_it_ends_at_once_when_nothing_is_under_way(home: Path) -> None:
    with Command("serve", cwd=home) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        began = time.monotonic()
        assert proxy.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 8
        said = [line for line in proxy.output().splitlines() if '"event":"stop' in line]
        assert [line.partition('"event":"')[2].partition('"')[0].partition(":")[0] for line in said] == [
            "stopping",
            "stopped",
        ]
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 1)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("policylayer.yaml", "lisen: x\n", "policylayer.yaml:1:1: error[PL103]: unknown key `lisen`"),
        ("policies/shop.yaml", "policy: shop\n", "shop.yaml:1:1: error"),
        ("policies/shop_test.yaml", "", "shop_test.yaml:1:1: error"),
        ("policylayer.key", "weak", "holds no key"),
        ("policylayer.db", "not a database", "database"),
    ],
)
def test_what_keeps_it_from_starting_is_said_and_no_port_is_opened(home: Path, file: str, text: str, said: str) -> None:
    (home / file).write_text(text)
    (home / file).chmod(0o600)
    ready: list[str] = []
    with pytest.raises(PolicyLayerError) as refused:
        asyncio.run(serve_config(load(home / "policylayer.yaml"), ready.append))
    assert (code_of(refused.value), ready) == (3, [])
    assert said in getattr(refused.value, "rendered", "") or said in str(refused.value)


def test_a_policy_that_does_not_load_is_told_whole(home: Path) -> None:
    (home / "policies" / "shop.yaml").write_text("policy: shop\nrule: []\n")
    with Command("serve", cwd=home) as proxy:
        assert proxy.process.wait(30) == 3
    printed = proxy.output()
    assert printed.count("error[") >= 2
    assert "Traceback" not in printed


def test_a_taken_port_is_one_line(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = home / "policylayer.yaml"
        config.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        with pytest.raises(ConfigError) as refused:
            asyncio.run(serve_config(load(config), print))
        assert refused.value.message == f"cannot listen on `127.0.0.1:{port}`: address already in use"
        assert code_of(refused.value) == 3
        assert refused.value.help
