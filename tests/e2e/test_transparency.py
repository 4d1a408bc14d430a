"""Where policy allows everything, a real client gets from a real server through the proxy what it gets directly.

Every step's whole answer is compared: lists, results of every content type, structured output, errors, progress,
elicitation in the midst of a call, prompts and resources.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.clients import Way
from tests.e2e.servers import Server, all_servers
from tests.support import node
from tests.support.running import ALLOW_ALL, Running

pytestmark = [pytest.mark.slow, pytest.mark.shows("proxy.3")]

Step = dict[str, Any]

EVERYTHING: list[Step] = [
    {"list": "tools"},
    {"list": "prompts"},
    {"list": "resources"},
    {"call": "echo", "arguments": {"message": 'naïve "quotes", \u2028 and \U0001f600'}},
    {"call": "get-sum", "arguments": {"a": 0.1, "b": 1e21}},
    {"call": "get-sum", "arguments": {"a": "no number"}},
    {"call": "get-tiny-image"},
    {"call": "get-annotated-message", "arguments": {"messageType": "error", "includeImage": True}},
    {"call": "get-resource-links", "arguments": {"count": 3}},
    {"call": "get-resource-reference", "arguments": {"resourceType": "Text", "resourceId": 1}},
    {"call": "get-structured-content", "arguments": {"location": "New York"}},
    {"call": "trigger-long-running-operation", "arguments": {"duration": 1, "steps": 4}, "progress": True},
    {"call": "trigger-elicitation-request"},
    {"call": "no-such-tool"},
    {"prompt": "simple-prompt"},
    {"prompt": "args-prompt", "arguments": {"city": "Oslo"}},
    {"prompt": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "1"}},
    {"prompt": "no-such-prompt"},
    {"read": "demo://resource/dynamic/text/1"},
    {"read": "demo://resource/static/document/features.md"},
    {"read": "demo://no-such-resource"},
]
CHANGING = re.compile(r"\d{1,2}:\d\d:\d\d [AP]M|\"datetime\": *\"[^\"]*\"")
"""What is another at each call: the time of day."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    node.packages()
    with all_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture(scope="module")
def proxy(servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    configured = {name: server.config for name, server in servers.items()}
    with Running(tmp_path_factory.mktemp("proxy"), configured, {"all.yaml": ALLOW_ALL}) as running:
        yield running
    assert running.troubles() == []


def steps_for(name: str, server: Server) -> list[Step]:
    """All that there is to be had of server-everything; of the others a call."""
    if name.startswith("everything"):
        return EVERYTHING
    return [
        {"list": "tools"},
        {"call": server.allowed.tool, "arguments": server.allowed.arguments},
        {"call": "no_such_tool"},
        {"read": "nothing://there"},
    ]


@pytest.mark.parametrize(
    ("version", "name", "connect"),
    [
        (1, "everything-http", False),
        (2, "everything", False),
        (1, "everything", True),
        (2, "git", False),
        (2, "time", True),
        (1, "memory", False),
    ],
)
def test_each_answer_is_the_server_s_own(
    proxy: Running, servers: dict[str, Server], version: int, name: str, connect: bool
) -> None:
    server = servers[name]
    job = {"steps": steps_for(name, server), "elicit": {"action": "accept", "content": {"name": "Ada"}}}
    config = server.config
    direct = node.client(version, {**job, **_directly(config)})
    way = Way(proxy.mcp(name), proxy.grant("agent:any", name), connect)
    through = {"command": way.command, "env": way.env} if connect else {"url": way.url, "token": way.token}
    proxied = node.client(version, {**job, **through})

    assert "error" not in direct, direct
    assert "error" not in proxied, proxied
    for step, one, other in zip(job["steps"], direct["steps"], proxied["steps"], strict=True):
        assert _steady(other) == _steady(one), step
    if "trigger-elicitation-request" in json.dumps(job):
        assert "Ada" in json.dumps(proxied["steps"]), "the server's question did not reach the client"


def _directly(config: Mapping[str, Any]) -> dict[str, Any]:
    if "url" in config:
        return {"url": config["url"]}
    return {"command": config["command"], "env": config.get("env", {})}


def _steady(answer: Mapping[str, Any]) -> str:
    if "progress" in answer:
        # A client to which the last progress and the result come together may not take in both.
        answer = {**answer, "progress": answer["progress"][:3]}
    return CHANGING.sub("-", json.dumps(answer, ensure_ascii=False).replace('\\"', '"'))
