"""Which questions of servers are refused before policy is asked."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.proxy.server_requests import is_question, unfit, urls_asked
from policylayer.wire.server_messages import ServerMessage, decode

URL = "https://example.com/page?x=1"


@pytest.mark.parametrize(
    ("method", "params", "capabilities"),
    [
        ("sampling/createMessage", {}, {"sampling": {}}),
        ("roots/list", {}, {"roots": {"listChanged": True}}),
        ("elicitation/create", {}, {"elicitation": {}}),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"form": {}, "url": {}}}),
        ("elicitation/create", {"mode": "url", "url": URL}, {"elicitation": {"url": {}}}),
    ],
)
def test_what_the_client_declared_may_be_asked(method: str, params: Any, capabilities: Any) -> None:
    assert unfit(method, params, capabilities) is None


@pytest.mark.parametrize(
    ("method", "params", "capabilities"),
    [
        ("sampling/createMessage", {}, {}),
        ("sampling/createMessage", {}, {"sampling": None}),
        ("sampling/createMessage", {}, {"sampling": True}),
        ("tools/call", {}, {"sampling": {}}),
        ("ping", {}, {}),
        ("elicitation/create", {"mode": "form"}, {"elicitation": {"url": {}}}),
        ("elicitation/create", {"mode": "url", "url": URL}, {"elicitation": {}}),
        ("elicitation/create", {"mode": "URL", "url": URL}, {"elicitation": {"url": {}}}),
        ("elicitation/create", {"mode": ["url"]}, {"elicitation": {"url": {}}}),
    ],
)
def test_anything_else_may_not(method: str, params: Any, capabilities: Any) -> None:
    assert unfit(method, params, capabilities) is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user@example.com",
        "https://user:p@example.com",
        "https://exa mple.com",
        "https://example.com\\@evil.example",
        "https://example.com/\u0000",
        "https://example.com/\u202e",
        "https://[::1",
        "//example.com",
        "",
        None,
        5,
    ],
)
def test_pages_are_https_and_nothing_clever(url: object) -> None:
    assert unfit("elicitation/create", {"mode": "url", "url": url}, {"elicitation": {"url": {}}}) is not None


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("sampling/createMessage", {"messages": [], "maxTokens": 10, "MaxTokens": 99999}),
        ("sampling/createMessage", {"messages": [{"role": "user", "Content": {"type": "text", "text": "x"}}]}),
        ("elicitation/create", {"mode": "form", "message": "hi", "Mode": "url", "Url": "http://evil.example"}),
        ("roots/list", {"\uff3fmeta": {}}),
    ],
)
def test_a_question_that_some_client_reads_otherwise_is_not_asked(method: str, params: Any) -> None:
    capabilities: dict[str, Any] = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}}
    assert (
        unfit(method, params, capabilities) == "a member is written almost like another, which some clients read for it"
    )


def test_the_form_of_a_question() -> None:
    assert is_question({"method": "roots/list"})
    assert is_question({"method": "roots/list", "params": None})
    for bad in (None, [], "x", {}, {"method": 1}, {"method": "x", "params": []}, {"method": "x", "Method": "y"}):
        assert not is_question(bad)


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (b'{"code":-32042,"message":"x","data":{"elicitations":[{"mode":"url"},{"mode":"url"}]}}', 2),
        (b'{"code":-32042,"message":"x","data":{"elicitations":[]}}', 0),
        (b'{"code":-32042,"message":"x","data":{}}', 1),
        (b'{"code":-32042,"message":"x"}', 1),
        (b'{"code":-32042,"message":"x","data":{"Elicitations":[{},{}]}}', 1),
        (b'{"code":-32042,"message":"x","data":{"elicitations":[],"Elicitations":[{}]}}', 1),
        (b'{"code":-32602,"message":"x","data":{"elicitations":[1]}}', None),
    ],
)
def test_an_error_that_wants_pages_opened(error: bytes, count: int | None) -> None:
    message = decode(b'{"jsonrpc":"2.0","id":1,"error":' + error + b"}")
    assert isinstance(message, ServerMessage)
    asked = urls_asked(message)
    assert (None if asked is None else len(asked)) == count
