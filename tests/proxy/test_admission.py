"""Who may speak: Host, Origin, method, encodings, credentials, server; each refusal recorded, nothing sent."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from policylayer.proxy.fitness import accepts
from policylayer.wire.fields import Headers
from tests.proxy.rig import Open, Rig, call

pytestmark = pytest.mark.anyio


async def post(rig: Rig, *extra: tuple[str, str], without: Iterable[str] = (), server: str = "shop") -> Open:
    headers = [pair for pair in rig.headers(call(), "alice", {}) if pair[0] not in without]
    opened = await rig.request("POST", json.dumps(call()).encode(), [*headers, *extra], server=server)
    return await opened.whole()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "a/b?c", "a@127.0.0.1", "", "127.0.0.1:x"]
)
async def test_a_foreign_host_is_misdirected(rig: Rig, host: str) -> None:
    answer = await post(rig, ("Host", host), without=["Host"])
    assert answer.status == 421
    assert rig.recorder.refused == [("host", None)]
    assert rig.upstream.sent == []


async def test_two_hosts_or_none_are_misdirected(rig: Rig) -> None:
    assert (await post(rig, ("Host", "127.0.0.1"))).status == 421
    assert (await post(rig, without=["Host"])).status == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://127.0.0.1:8080.evil.example",
        "http://127.0.0.1:80.evil.example",
        "http://localhost:3000",
        "https://127.0.0.1:8080/x",
    ],
)
async def test_a_foreign_origin_is_forbidden(rig: Rig, origin: str) -> None:
    answer = await post(rig, ("Origin", origin))
    assert answer.status == 403
    assert rig.recorder.refused == [("origin", None)]


async def test_our_own_origin_may_ask(rig: Rig) -> None:
    assert (await post(rig, ("Origin", "http://127.0.0.1:8080"))).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "OPTIONS", "HEAD"])
async def test_other_methods_are_not_allowed(rig: Rig, method: str) -> None:
    answer = await (await rig.request(method, headers=rig.headers(call(), "alice", {}))).whole()
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST, DELETE"
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_a_method_override_overrides_nothing(rig: Rig) -> None:
    assert (await post(rig, ("X-HTTP-Method-Override", "DELETE"))).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "identity, gzip", "zstd", ""])
async def test_encoded_bodies_are_not_read(rig: Rig, encoding: str) -> None:
    assert (await post(rig, ("Content-Encoding", encoding))).status == 415


async def test_the_identity_encoding_is_none(rig: Rig) -> None:
    assert (await post(rig, ("Content-Encoding", "identity"))).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"])
async def test_only_json_is_read(rig: Rig, kind: str) -> None:
    assert (await post(rig, ("Content-Type", kind), without=["Content-Type"])).status == 415


async def test_the_type_of_the_body_may_name_its_charset(rig: Rig) -> None:
    kind = "application/json; charset=utf-8"
    assert (await post(rig, ("Content-Type", kind), without=["Content-Type"])).status == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("application/json", 200),
        ("application/json;q=0, text/event-stream", 406),
        ("text/event-stream", 406),
        ("text/html", 406),
    ],
)
async def test_the_sender_must_take_json(rig: Rig, accept: str, status: int) -> None:
    assert (await post(rig, ("Accept", accept), without=["Accept"])).status == status


def test_no_accept_takes_anything() -> None:
    assert accepts(Headers(), "text/event-stream")
    assert not accepts(Headers([("accept", "text/event-stream; q=0.0")]), "text/event-stream")
    assert accepts(Headers([("accept", "text/event-stream; q=0.5")]), "text/event-stream")


async def test_two_credentials_are_none(rig: Rig) -> None:
    for extra in (("Authorization", "Bearer bob"), ("Authorization", "Bearer alice")):
        assert (await post(rig, extra)).status == 400
    joined = await post(rig, ("Authorization", "Bearer alice, Bearer bob"), without=["Authorization"])
    assert joined.status == 400
    assert rig.recorder.refused[-1] == ("credentials", None)


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer  alice", "Basic alice", "bearer nobody"])
async def test_no_or_a_bad_credential_gets_one_constant_answer(rig: Rig, shown: str | None) -> None:
    extra = [] if shown is None else [("Authorization", shown)]
    answer = await post(rig, *extra, without=["Authorization"])
    assert answer.status == 401
    assert answer.body == b'{"error":"unauthorized","error_description":"a valid credential is required"}'
    assert answer.headers["www-authenticate"] == (
        'Bearer resource_metadata="https://proxy.example.com/.well-known/oauth-protected-resource/mcp/shop"'
    )
    assert rig.recorder.refused == [("unauthenticated", None)]


async def test_an_unknown_server_and_one_outside_the_grant_look_alike(rig: Rig) -> None:
    unknown = await post(rig, server="nothing")
    bobs = rig.headers(call(), "bob", {})
    foreign = await (await rig.request("POST", json.dumps(call()).encode(), bobs, server="files")).whole()
    assert unknown.status == foreign.status == 404
    assert unknown.body == foreign.body
    assert rig.recorder.refused == [("server", "agent:alice"), ("server", "agent:bob")]


@pytest.mark.parametrize("path", ["shop/", "shop/x", "../shop", "shop%2f", "", "SHOP"])
async def test_only_the_exact_path_names_a_server(rig: Rig, path: str) -> None:
    assert (await post(rig, server=path)).status == 404


async def test_a_strange_server_name_is_not_repeated_in_the_challenge(rig: Rig) -> None:
    answer = await post(rig, without=["Authorization"], server='x"y')
    assert 'x"y' not in answer.headers["www-authenticate"]
