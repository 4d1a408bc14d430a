"""The table of methods of both eras: how each is treated, from either side."""

from __future__ import annotations

from typing import Any

import mcp_types.methods as sdk
import pytest

from policylayer.wire import methods
from policylayer.wire.methods import HANDSHAKE, MODERN, Kind, Sender, Treatment, target_of, treatment
from tests.wire.samples import accepted, handshake, modern

REVISIONS = (*HANDSHAKE, MODERN)
JUDGED = {"tools/call", "prompts/get", "resources/read", "completion/complete"}
LISTS = {"tools/list", "prompts/list", "resources/list", "resources/templates/list"}


def known(sender: Sender, kind: Kind, revision: str, which: Treatment | None = None) -> set[str]:
    rows = {
        ("client", "request"): methods.CLIENT_REQUESTS,
        ("client", "notification"): methods.CLIENT_NOTIFICATIONS,
        ("server", "request"): methods.SERVER_REQUESTS,
        ("server", "notification"): methods.SERVER_NOTIFICATIONS,
    }[(sender, kind)]
    return {row.name for row in rows if revision in row.revisions and which in (None, row.treatment)}


@pytest.mark.parametrize("revision", HANDSHAKE)
def test_the_handshake_table(revision: str) -> None:
    tasks = {"tasks/get", "tasks/result", "tasks/cancel", "tasks/list"} if revision == "2025-11-25" else set()
    assert known("client", "request", revision, "judged") == JUDGED | {"resources/subscribe"} | tasks
    assert known("client", "request", revision, "filtered") == LISTS
    assert known("client", "request", revision, "passed") == {
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/unsubscribe",
    }
    assert known("server", "notification", revision, "filtered") == {"notifications/resources/updated"}
    elicitation = {"elicitation/create"} if revision >= "2025-06-18" else set()
    assert known("server", "request", revision, "judged") == {"sampling/createMessage", "roots/list"} | elicitation


def test_the_modern_table() -> None:
    tasks = {"tasks/get", "tasks/update", "tasks/cancel"}
    assert known("client", "request", MODERN, "judged") == JUDGED | {"subscriptions/listen"} | tasks
    assert known("client", "request", MODERN, "filtered") == LISTS
    assert known("client", "request", MODERN, "passed") == {"server/discover"}
    assert known("server", "request", MODERN) == set()
    asked = {row.name for row in methods.INPUT_REQUESTS}
    assert asked == {"sampling/createMessage", "elicitation/create", "roots/list"}
    assert all(treatment(MODERN, method, "input", "server") == "judged" for method in asked)
    assert all(treatment(MODERN, method, "request", "server") == "denied" for method in asked)


@pytest.mark.parametrize("revision", REVISIONS)
def test_nothing_of_the_specification_is_missing(revision: str) -> None:
    def spoken(table: Any) -> set[str]:
        return {method for method, version in table if version == revision}

    assert spoken(sdk.CLIENT_REQUESTS) <= known("client", "request", revision)
    assert spoken(sdk.CLIENT_NOTIFICATIONS) <= known("client", "notification", revision)
    assert spoken(sdk.SERVER_REQUESTS) <= known("server", "request", revision)
    assert spoken(sdk.SERVER_NOTIFICATIONS) <= known("server", "notification", revision)
    # And nothing is there that it does not have, but for its tasks.
    assert {name for name in known("client", "request", revision) if "tasks/" not in name} == spoken(
        sdk.CLIENT_REQUESTS
    )


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "method",
    [
        *("tools/callX", "tools/Call", "TOOLS/CALL", "x/y", "tools", "", "resources/directory/read", "skills/list"),
        *("sampling/createMessage", "elicitation/create", "roots/list", "notifications/cancelled", "rpc.discover"),
    ],
)
def test_mcp_16_everything_else_is_denied(revision: str, method: str) -> None:
    assert treatment(revision, method, "request") == "denied"
    assert methods.entry(revision, method, "request") is None


def test_methods_of_one_era_are_not_methods_of_the_other() -> None:
    for method in (
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
    ):
        assert treatment(MODERN, method, "request") == "denied"
    for method in ("server/discover", "subscriptions/listen", "tasks/update"):
        assert treatment("2025-11-25", method, "request") == "denied"
    assert treatment("2025-06-18", "tasks/get", "request") == "denied"
    assert treatment("2099-01-01", "tools/call", "request") == "denied"


def test_responses_pass_where_they_are_waited_for() -> None:
    assert treatment("2025-11-25", None, "response") == "passed"
    assert treatment("2025-11-25", None, "response", "server") == "passed"
    assert treatment("2025-11-25", None, "request") == "denied"


def test_requests_are_known_without_an_id() -> None:
    assert methods.is_request("tools/call")
    assert methods.is_request("tasks/update")
    assert not methods.is_request("notifications/cancelled")


@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        ("tools/call", {"name": "x"}, "x"),
        ("tools/call", {"name": 5}, None),
        ("tools/call", {}, None),
        ("prompts/get", {"name": "p", "uri": "u"}, "p"),
        ("resources/read", {"uri": "file:///A"}, "file:///A"),
        ("resources/subscribe", {"uri": "u"}, "u"),
        ("resources/unsubscribe", {"uri": "u"}, "u"),
        ("tasks/get", {"taskId": "t"}, "t"),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}, "p"),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "u"}}, "u"),
        ("completion/complete", {"ref": {"type": "ref/resource", "name": "p"}}, None),
        ("completion/complete", {"ref": "p"}, None),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["u"]}}, None),
        ("notifications/resources/updated", {"uri": "u"}, "u"),
        ("tools/list", {"name": "x"}, None),
        ("sampling/createMessage", {"name": "x"}, None),
    ],
)
def test_targets(method: str, params: dict[str, Any], target: str | None) -> None:
    assert target_of(method, params) == target


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    ("method", "params", "in_handshake", "in_modern"),
    [
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
            "judged",
            "judged",
        ),
        ("logging/setLevel", {"level": "info"}, "passed", "denied"),
        ("resources/subscribe", {"uri": "u"}, "judged", "denied"),
        ("tasks/get", {"taskId": "t"}, "judged", "judged"),
        ("tasks/cancel", {"taskId": "t"}, "judged", "judged"),
        ("tasks/result", {"taskId": "t"}, "judged", "denied"),
        ("tasks/update", {"taskId": "t", "inputResponses": {}}, "denied", "judged"),
        ("tasks/list", {}, "judged", "denied"),
        ("subscriptions/listen", {"notifications": {}}, "denied", "judged"),
        ("prompts/get", {"name": "p"}, "judged", "judged"),
        ("tools/list", {}, "filtered", "filtered"),
        ("server/discover", {}, "denied", "passed"),
    ],
)
def test_mcp_16_each_method_has_its_treatment(
    method: str, params: dict[str, Any], in_handshake: str, in_modern: str
) -> None:
    assert accepted(handshake(method, params)).treatment == in_handshake
    assert accepted(modern(method, params)).treatment == in_modern
