"""Rego in a running proxy: embedded and on an OPA server, one record with YAML; failures deny with their own code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from tests.support.opa import opa
from tests.support.ports import free_port
from tests.support.processes import freeze
from tests.support.running import Running
from tests.support.shop import shop

PRINCIPALS = "principals:\n  agent:a: {}\n"
YAML = """
policy: files
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: never, tools: ["delete_*"], effect: deny, reason: People delete.}
  - {id: notes, tools: [write_file], effect: allow}
"""
REGO = """package policylayer

decision contains {"effect": "allow", "rule": "reads"} if startswith(input.target, "list_")
decision contains {"effect": "deny", "rule": "private", "reason": "Private."} if startswith(input.args.path, "private/")
decision contains {"effect": "allow", "rule": "deletes"} if startswith(input.target, "delete_")
decision contains {"effect": "deny", "rule": "slow"} if {
	input.args.path == "slow"
	count({x | some i in numbers.range(1, 4000); some j in numbers.range(1, 4000); x := i * j}) > 1
}
decision contains {"effect": "perhaps"} if input.args.path == "odd"
decision contains {"effect": "deny", "rule": "frozen", "reason": "No mail."} if input.target == "send_email"
"""


class Agent:
    """Calls tools at 2026-07-28."""

    def __init__(self, proxy: Running, server: str) -> None:
        self.url, self.token = proxy.mcp(server), proxy.grant("agent:a", server)

    def call(self, tool: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": meta},
        }
        headers = {
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        answer = httpx2.post(self.url, content=orjson.dumps(body), headers=headers, timeout=20, trust_env=False)
        text = answer.text
        if answer.headers["content-type"].startswith("text/event-stream"):
            text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
        return answer.status_code, orjson.loads(text)

    def decision(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """What the proxy said of its denial; None where the server answered."""
        found: dict[str, Any] | None = self.call(tool, **arguments)[1]["result"].get("_meta", {}).get(DECISION)
        return found


DECISION = "io.policylayer/decision"


@contextlib.contextmanager
def serving(folder: Path, files: dict[str, str], **more: Any) -> Iterator[tuple[Running, Agent]]:
    with shop() as url:
        policies = {"principals.yaml": PRINCIPALS, "files.yaml": YAML, **files}
        with Running(folder, {"shop": {"url": url}}, policies, **more) as proxy:
            yield proxy, Agent(proxy, "shop")


def test_one_record_over_both(tmp_path: Path) -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    with serving(tmp_path, {"team/a.rego": REGO}) as (_, agent):
        assert agent.decision("list_customers") is None
        assert agent.decision("write_file", path="notes/a.txt", text="x") is None
        denied = agent.decision("write_file", path="private/a.txt", text="x")
        assert denied is not None
        assert (denied["reason_code"], denied["rule"]) == ("rule", "rego/private")
        never = agent.decision("delete_customer", id="cus_1")
        assert never is not None
        assert never["rule"] == "files/never"
        unknown = agent.decision("create_refund", charge="ch_1", amount=100)
        assert unknown is not None
        assert unknown["reason_code"] == "not_applicable"


def test_whether_other_arguments_may_pass_is_told(tmp_path: Path) -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    with serving(tmp_path, {"a.rego": REGO}) as (_, agent):
        told = agent.call("write_file", path="private/a.txt", text="x")[1]["result"]
        assert told["_meta"][DECISION]["retry"] == "changed"
        assert "Retry: yes, with changed arguments. Not with the same." in told["content"][0]["text"]
        whatever = agent.decision("send_email", to="a@example.com", subject="s", body="b")
        assert whatever is not None
        assert (whatever["rule"], whatever["retry"]) == ("rego/frozen", "never")
        both = agent.decision("delete_customer", id="cus_1", path="private/a.txt")
        assert both is not None
        assert both["retry"] == "never"


OBLIGES = """package policylayer

decision contains {
	"effect": "allow",
	"rule": "masked",
	"obligations": {"mask": [{"pattern": "email"}, "result.structuredContent.**.name"]},
} if input.target == "list_customers"

decision contains {"effect": "deny", "rule": "quiet", "obligations": {"redact": ["args.text"]}} if {
	input.target == "write_file"
}
"""


def test_what_rego_obliges_to_is_done(tmp_path: Path) -> None:
    """Also where the call is denied: then its record is still redacted."""
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    with serving(tmp_path, {"a.rego": OBLIGES}) as (proxy, agent):
        status, told = agent.call("list_customers")
        assert status == 200
        assert "@" not in orjson.dumps(told["result"]).decode()
        assert "[masked]" in told["result"]["content"][0]["text"]
        assert agent.decision("write_file", path="notes/a.txt", text="between us") is not None
        rows = proxy.ask("GET", "/decisions?limit=1", None, proxy.person("user:v", "viewer"))["items"]
        assert rows[0]["rules"][0]["rule"] == "quiet"
        assert rows[0]["arguments"]["path"] == "notes/a.txt"
        assert rows[0]["arguments"]["text"].startswith("[redacted:")


@pytest.mark.shows("rego.2", "rego.3")
def test_a_runaway_is_denied_and_recorded_and_the_next_call_served(tmp_path: Path) -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    with serving(tmp_path, {"a.rego": REGO}) as (proxy, agent):
        status, body = agent.call("write_file", path="slow", text="x")
        assert (status, body["error"]["data"]["reason_code"]) == (503, "engine_error")
        odd = agent.decision("write_file", path="odd", text="x")
        assert odd is not None
        assert odd["reason_code"] == "indeterminate"
        assert agent.decision("list_customers") is None
        rows = proxy.ask("GET", "/decisions?limit=10", None, proxy.person("user:v", "viewer"))["items"]
        assert [row["reason_code"] for row in reversed(rows)][:2] == ["engine_error", "indeterminate"]


def test_reload_swaps_rego_whole(tmp_path: Path) -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    with serving(tmp_path, {"a.rego": REGO}) as (proxy, agent):
        proxy.write("a.rego", REGO.replace('"list_"', '"nothing_"'))
        proxy.ask("POST", "/reload", None, proxy.person("user:root", "admin"))
        gone = agent.decision("list_customers")
        assert gone is not None
        proxy.write("a.rego", REGO + "x := http.send({})\n")
        told = proxy.ask("POST", "/reload", None, proxy.person("user:root", "admin"))
        assert told["refused"][0]["diagnostics"][0]["code"] == "PL306"
        assert agent.decision("write_file", path="notes/a.txt", text="x") is None


@pytest.mark.shows("rego.3")
def test_an_opa_server_beside_the_files(tmp_path: Path) -> None:
    pytest.importorskip("opa_client", reason="the extra `opa` is not installed")
    folder = tmp_path / "opa"
    folder.mkdir()
    (folder / "a.rego").write_text(REGO)

    async def with_opa() -> None:
        async with opa(str(folder)) as running:
            config = {"opa": {"url": running.url, "deadline_ms": 1000}}
            await asyncio.to_thread(_against_opa, tmp_path / "proxy", config, running.process)

    asyncio.run(with_opa())


def _against_opa(folder: Path, config: dict[str, Any], process: Process) -> None:
    with serving(folder, {}, **config) as (proxy, agent):
        assert agent.decision("list_customers") is None
        denied = agent.decision("write_file", path="private/a.txt", text="x")
        assert denied is not None
        assert denied["rule"] == "rego/private"
        freeze(process.pid)
        status, body = agent.call("list_customers")
        assert (status, body["error"]["data"]["reason_code"]) == (503, "engine_error")
        never = agent.decision("delete_customer", id="cus_1")
        assert never is not None
        assert never["reason_code"] == "rule"
        process.send_signal(signal.SIGCONT)
        while agent.call("list_customers")[0] != 200:
            pass
        assert httpx2.get(f"{proxy.url}/readyz", trust_env=False).status_code == 200


@pytest.mark.shows("rego.3")
def test_our_policies_on_an_opa_server_outlive_neither_a_refusal_nor_a_restart(tmp_path: Path) -> None:
    """What YAML allows and Rego denies is at no moment allowed: not by a push that OPA refuses, not by an empty OPA."""
    for extra in ("opa_client", "regorus"):
        pytest.importorskip(extra, reason="the extras `opa` and `rego` are not installed")
    port = free_port()
    config = {"opa": {"url": f"http://127.0.0.1:{port}", "deadline_ms": 2000, "push": True}}

    async def with_opa() -> None:
        async with opa(port=port):
            running = serving(tmp_path, {"a.rego": REGO}, **config)
            proxy, agent = await asyncio.to_thread(running.__enter__)
            try:
                await asyncio.to_thread(_refused_push, proxy, agent)
            except BaseException:
                await asyncio.to_thread(running.__exit__, None, None, None)
                raise
        try:
            async with opa(port=port):
                await asyncio.to_thread(_restarted, proxy, agent)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)

    asyncio.run(with_opa())


def _refused_push(proxy: Running, agent: Agent) -> None:
    admin = proxy.person("user:root", "admin")
    revision = proxy.ask("GET", "/policy", None, admin)["revision"]
    proxy.write("a.rego", REGO.replace('"private/"', '"nowhere/"'))
    proxy.write("b.rego", "package policylayer\n\nx := data\n")  # the embedded engine reads it, it cannot be pushed
    told = proxy.ask("POST", "/reload", None, admin)
    assert told["revision"] == revision
    assert "b.rego:3" in told["refused"][0]["diagnostics"][0]["message"]
    denied = agent.decision("write_file", path="private/a.txt", text="x")
    assert denied is not None
    assert denied["rule"] == "rego/private"
    notes = agent.decision("write_file", path="notes/a.txt", text="x")
    assert notes is None


def _restarted(proxy: Running, agent: Agent) -> None:
    """Every answer is a denial by the policy, or one for want of it."""
    codes = []
    while not codes or codes[-1] != "rule":
        _, body = agent.call("write_file", path="private/a.txt", text="x")
        if "error" in body:
            codes.append(body["error"]["data"]["reason_code"])
        else:
            codes.append(body["result"]["_meta"][DECISION]["reason_code"])
    assert set(codes) <= {"engine_error", "rule"}
    while (ready := httpx2.get(f"{proxy.url}/readyz", trust_env=False)).status_code != 200:
        pass
    assert ready.json()["parts"]["opa"]["problem"] is None
    assert ready.json()["parts"]["opa"]["revision"].startswith("sha256:")


TELLING = """package policylayer

told := json.marshal(object.remove(input, ["args", "time"]))
decision contains {"effect": "deny", "rule": "tell", "reason": concat("", ["<", told_part, ">"])} if input.args.at >= 0
told_part := substring(told, input.args.at, 150)
"""


@pytest.mark.shows("rego.4")
def test_a_policy_that_tells_all_it_is_told_tells_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets of the environment, of the configuration, of servers and of the agent's own credential."""
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    monkeypatch.setenv("SHOP_TOKEN", "CANARY-of-the-environment")
    servers = {
        "shop": {"url": "http://127.0.0.1:1/mcp", "headers": {"Authorization": "Bearer ${SHOP_TOKEN}"}},
        "tool": {"command": ["sleep", "1"], "env": {"SECRET": "CANARY-of-a-server"}},
    }
    with Running(tmp_path, servers, {"principals.yaml": PRINCIPALS, "a.rego": TELLING}) as proxy:
        agent = Agent(proxy, "shop")
        told = "".join(_told(agent, at) for at in range(0, 3000, 150))
        assert {"version", "principal", "request", "session"} <= set(orjson.loads(told))
        assert orjson.loads(told)["principal"]["id"] == "agent:a"
        key = (tmp_path / "policylayer.key").read_text().strip()
        for secret in ("CANARY", agent.token, agent.token.split("_", 2)[-1], key, "SHOP_TOKEN"):
            assert secret not in told


def _told(agent: Agent, at: int) -> str:
    """The part of the document from there on, as the denial shows it."""
    text: str = agent.call("list_customers", at=at)[1]["result"]["content"][0]["text"]
    return text.partition("<")[2].rpartition(">")[0]
