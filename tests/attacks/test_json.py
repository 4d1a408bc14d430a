"""The catalogue's JSON section over raw sockets: JSON and JSON-RPC that two parsers might read in two ways.

Each test's id carries its line. Which lines are elsewhere or out is in README.md beside this file.
"""

from __future__ import annotations

import json

import pytest

from tests.attacks.messages import ERAS, META, Era, call, headers, message, notification
from tests.attacks.rig import Rig
from tests.support.invariants import digest_of

pytestmark = [pytest.mark.shows("proxy.5"), pytest.mark.parametrize("era", ERAS)]


def refused(rig: Rig, body: bytes, era: Era, code: int | None = -32600, reason: str | None = None) -> None:
    """Sent as it is, it is refused with this code, recorded, and no server gets a byte."""
    with rig.case() as case:
        answer = case.post(body, era=era)
        case.rejected(answer, code, reason, body)
        for part in (b"Traceback", b"jiter", b"orjson", b"line 1", b"/etc", b"danger"):
            assert part not in answer.body, answer
        case.nothing_sent()


def params(inside: bytes, era: Era) -> bytes:
    return message("tools/call", inside, era)


@pytest.mark.parametrize(
    "names",
    [b'"name":"safe","name":"danger"', b'"name":"danger","name":"safe"', b'"name":"safe","n\\u0061me":"danger"'],
    ids=["JSON-01-safe-danger", "JSON-01-danger-safe", "JSON-01-escaped"],
)
def test_duplicate_name(rig: Rig, era: Era, names: bytes) -> None:
    refused(rig, params(names + b',"arguments":{}', era), era, -32600, "duplicate_key")


@pytest.mark.parametrize(
    "members",
    [
        b'"method":"ping","method":"tools/call"',
        b'"method":"tools/call","method":"ping"',
        b'"method":"tools/list","m\\u0065thod":"tools/call"',
        b'"method":"tools/call","params":{"name":"safe"}',
    ],
    ids=["JSON-02-ping-call", "JSON-02-call-ping", "JSON-02-escaped", "JSON-02-params"],
)
def test_duplicate_members_of_the_envelope(rig: Rig, era: Era, members: bytes) -> None:
    body = call(b'"danger"', era=era).replace(b'"method":"tools/call"', members, 1)
    refused(rig, body, era, -32600, "duplicate_key")


@pytest.mark.parametrize("depth", [1, 5], ids=["JSON-04-depth1", "JSON-04-depth5"])
def test_duplicate_keys_in_arguments(rig: Rig, era: Era, depth: int) -> None:
    inside = b'{"a":' * depth + b'{"path":"/ok","path":"/etc"}' + b"}" * depth
    refused(rig, call(arguments=inside, era=era), era, -32600, "duplicate_key")


@pytest.mark.parametrize("_", [0], ids=["JSON-06"])
def test_keys_in_two_normal_forms_are_two_keys(rig: Rig, era: Era, _: int) -> None:
    arguments = '{"\u00e9":"NFC","e\u0301":"NFD"}'.encode()
    with rig.case() as case:
        body = call(b'"echo_args"', arguments, era)
        row = case.executed(case.post(body, headers(case.agent.token, era, name="echo_args")))
        assert rig.rec.calls[-1].body == body
        assert json.loads(row["arguments"]) == {"\u00e9": "NFC", "e\u0301": "NFD"}
        assert row["digest"] == rig.ledger.keyed(digest_of(body))


@pytest.mark.parametrize("key", ["Name", "NAME", "Arguments", "ARGUMENTS", "name\\u0000", "\u017fafe", "_Meta", "naMe"])
@pytest.mark.parametrize("instead", [False, True], ids=["JSON-07-beside", "JSON-07-instead"])
def test_params_in_another_case(rig: Rig, era: Era, key: str, instead: bool) -> None:
    proper = b"" if instead else b'"name":"safe","arguments":{},'
    refused(rig, params(proper + b'"%b":"danger"' % key.encode(), era), era, None)


@pytest.mark.parametrize(
    "key", ["Method", "METHOD", "Params", "PARAMS", "ID", "Id", "JSONRPC", "JsonRpc", "method\\u0000"]
)
@pytest.mark.parametrize("instead", [False, True], ids=["JSON-07-beside", "JSON-07-instead"])
def test_envelope_in_another_case(rig: Rig, era: Era, key: str, instead: bool) -> None:
    body = call(era=era)
    plain = key.lower().removesuffix("\\u0000").encode()
    if instead:
        body = body.replace(b'"%b":' % plain, b'"%b":' % key.encode(), 1)
    else:
        body = body.replace(b"{", b'{"%b":"tools/call",' % key.encode(), 1)
    refused(rig, body, era, None)


@pytest.mark.parametrize(
    "member",
    [b'"extra":1', b'"result":{}', b'"error":{"code":1,"message":"x"}', b'"Result":{}', b'"__proto__":{}'],
    ids=lambda member: "JSON-09-" + member.split(b'"')[1].decode(),
)
def test_unknown_members_of_the_envelope(rig: Rig, era: Era, member: bytes) -> None:
    refused(rig, call(era=era).replace(b"{", b"{" + member + b",", 1), era, -32600)


@pytest.mark.parametrize("shape", ["mixed", "empty", "nested", "one", "thousand"], ids=lambda shape: f"JSON-11-{shape}")
def test_batches(rig: Rig, era: Era, shape: str) -> None:
    safe, danger = call(era=era), call(b'"danger"', era=era, id=b"2")
    body = {
        "mixed": b"[" + safe + b"," + danger + b"]",
        "empty": b"[]",
        "nested": b"[[" + safe + b"]]",
        "one": b"[" + safe + b"]",
        "thousand": b"[" + b",".join([safe] * 1000) + b"]",
    }[shape]
    with rig.case() as case:
        case.rejected(case.post(body, era=era), -32600, "batch", body)
        case.nothing_sent()
        # One row for the whole of it.
        assert len(case.events("rejected")) <= 1


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"], ids=lambda one: f"JSON-12-{one.decode()}")
@pytest.mark.parametrize("place", ["argument", "id", "limit", "meta"])
def test_numbers_that_are_none(rig: Rig, era: Era, literal: bytes, place: str) -> None:
    body = {
        "argument": call(b'"pay"', b'{"amount":' + literal + b"}", era),
        "id": call(era=era, id=literal),
        "limit": message("tools/list", b'"limit":' + literal, era),
        "meta": message("tools/call", b'"name":"safe","arguments":{}', era).replace(
            META if era == "modern" else b'"name"',
            META[:-1] + b',"x":' + literal + b"}" if era == "modern" else b'"_meta":{"x":' + literal + b'},"name"',
        ),
    }[place]
    refused(rig, body, era, -32700)


@pytest.mark.parametrize("literal", [b"1E2", b"100.0", b"-0", b"0.10"], ids=lambda one: f"JSON-14-{one.decode()}")
def test_numbers_are_compared_exactly_and_forwarded_as_written(rig: Rig, era: Era, literal: bytes) -> None:
    body = call(b'"pay"', b'{"amount":' + literal + b"}", era)
    with rig.case() as case:
        row = case.executed(case.post(body, headers(case.agent.token, era, name="pay")))
        assert rig.rec.calls[-1].body == body
        assert row["digest"] == rig.ledger.keyed(digest_of(body))


@pytest.mark.parametrize(
    "literal", [b"100.1", b"101", b"1e3", b"100.00000000000001"], ids=lambda one: f"JSON-14-{one.decode()}"
)
def test_numbers_beyond_the_limit(rig: Rig, era: Era, literal: bytes) -> None:
    with rig.case() as case:
        body = call(b'"pay"', b'{"amount":' + literal + b"}", era)
        case.denied(case.post(body, headers(case.agent.token, era, name="pay")), "not_applicable")
        assert not [one for one in rig.rec.calls if one.body == body]


@pytest.mark.parametrize(
    "literal",
    [b"100.00000000000000001", b"1e-400", b"1e400", b"99999999999999999999"],
    ids=lambda one: f"JSON-14-{one.decode()}",
)
def test_numbers_that_readers_round(rig: Rig, era: Era, literal: bytes) -> None:
    refused(rig, call(b'"pay"', b'{"amount":' + literal + b"}", era), era, -32600, "number")


@pytest.mark.parametrize(
    "value",
    [b"true", b'"50"', b'"1e9"', b"[50]", b'{"$gt":0}', b"null", None],
    ids=lambda one: "JSON-16-" + ("absent" if one is None else one.decode()),
)
def test_amounts_of_other_types(rig: Rig, era: Era, value: bytes | None) -> None:
    arguments = b"{}" if value is None else b'{"amount":' + value + b"}"
    with rig.case() as case:
        body = call(b'"pay"', arguments, era)
        case.denied(case.post(body, headers(case.agent.token, era, name="pay")), "indeterminate")
        case.nothing_sent()


@pytest.mark.parametrize("place", ["arguments", "meta", "id", "params"])
@pytest.mark.parametrize("levels", [65, 500, 900, 100_000], ids=lambda levels: f"JSON-17-{levels}")
def test_deep_nesting(rig: Rig, era: Era, place: str, levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    body = {
        "arguments": call(arguments=b'{"a":' + deep + b"}", era=era),
        "meta": message("tools/call", b'"name":"safe"', era).replace(b'"params":{', b'"x":' + deep + b',"params":{', 1),
        "id": call(era=era, id=deep),
        "params": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + deep + b"}",
    }[place]
    refused(rig, body, era, -32600, "depth")


@pytest.mark.parametrize("kind", ["numbers", "collide"], ids=lambda kind: f"JSON-19-{kind}")
def test_fifty_thousand_keys(rig: Rig, era: Era, kind: str) -> None:
    # Python's hashes of texts are keyed, so no sender can make them collide; numbers as texts are as near as one gets.
    key = (lambda n: str(n * (2**61 - 1))) if kind == "collide" else str
    arguments = json.dumps({key(n): n for n in range(50_000)}).encode()
    with rig.case() as case:
        body = call(b'"echo_args"', arguments, era)
        case.executed(case.post(body, headers(case.agent.token, era, name="echo_args")))
        assert rig.rec.calls[-1].body == body


@pytest.mark.parametrize("_", [0], ids=["JSON-21"])
def test_byte_order_mark(rig: Rig, era: Era, _: int) -> None:
    refused(rig, b"\xef\xbb\xbf" + call(era=era), era, -32700, "encoding")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"], ids=lambda name: f"JSON-21-{name}")
def test_other_encodings(rig: Rig, era: Era, encoding: str) -> None:
    refused(rig, call(era=era).decode().encode(encoding), era, -32700)


@pytest.mark.parametrize(
    "broken",
    [b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xff", b"\\ud800", b"\\udfff\\ud800", b"\xf4\x90\x80\x80"],
    ids=lambda broken: f"JSON-22-{broken.hex()}",
)
@pytest.mark.parametrize("place", ["value", "key", "name"])
def test_broken_text(rig: Rig, era: Era, broken: bytes, place: str) -> None:
    body = {
        "value": call(arguments=b'{"a":"' + broken + b'"}', era=era),
        "key": call(arguments=b'{"' + broken + b'":1}', era=era),
        "name": call(b'"safe' + broken + b'"', era=era),
    }[place]
    refused(rig, body, era, -32700, "encoding")


@pytest.mark.parametrize("_", [0], ids=["JSON-26-name"])
def test_a_null_in_the_name(rig: Rig, era: Era, _: int) -> None:
    refused(rig, call(b'"safe\\u0000danger"', era=era), era, -32602, "name")


@pytest.mark.parametrize("_", [0], ids=["JSON-26-arguments"])
def test_nulls_in_arguments_are_carried(rig: Rig, era: Era, _: int) -> None:
    body = call(b'"echo_args"', b'{"a":"x\\u0000y","\\u0000":"\\u0001\\u001f"}', era)
    with rig.case() as case:
        row = case.executed(case.post(body, headers(case.agent.token, era, name="echo_args")))
        assert rig.rec.calls[-1].body == body
        assert "\x00" not in row["arguments"]
        assert json.loads(row["arguments"]) == {"a": "x\x00y", "\x00": "\x01\x1f"}


@pytest.mark.parametrize("code", [0, 1, 9, 10, 13, 31], ids=lambda code: f"JSON-26-{code:02x}")
def test_raw_control_characters(rig: Rig, era: Era, code: int) -> None:
    refused(rig, call(arguments=b'{"a":"x' + bytes([code]) + b'"}', era=era), era, -32700)


@pytest.mark.parametrize(
    "id",
    [
        b"null",
        b"true",
        b"1.5",
        b"1.0",
        b"{}",
        b"[]",
        b'""',
        b"9223372036854775808",
        b"9007199254740992",
        b"-9007199254740993",
        b'"' + b"x" * (1 << 20) + b'"',
        b'"' + b"x" * 257 + b'"',
    ],
    ids=lambda one: f"JSON-27-{one[:10].decode()}-{len(one)}",
)
def test_malformed_ids(rig: Rig, era: Era, id: bytes) -> None:
    with rig.case() as case:
        body = call(era=era, id=id)
        answer = case.post(body, era=era)
        case.rejected(answer, -32600, "id", body)
        assert answer.json["id"] is None
        case.nothing_sent()


@pytest.mark.parametrize(
    "id",
    [b'"\\u0000\\u001b[31m<script>\\u2028"', b'"' + "é".encode() * 128 + b'"', b"9007199254740991", b"-1", b"0"],
    ids=lambda one: f"JSON-27-good-{len(one)}",
)
def test_odd_ids_come_back_as_they_were(rig: Rig, era: Era, id: bytes) -> None:
    with rig.case() as case:
        answer = case.post(call(era=era, id=id), era=era)
        case.executed(answer)
        assert answer.json["id"] == json.loads(id)
        assert b"<script>" not in answer.body or answer.header("content-type") == "application/json"


@pytest.mark.parametrize(
    "method", ["tools/call", "tools/list", "prompts/get", "resources/read", "initialize"], ids=lambda m: f"JSON-29-{m}"
)
def test_requests_shaped_like_notifications(rig: Rig, era: Era, method: str) -> None:
    with rig.case() as case:
        body = notification(method, b'"name":"danger","arguments":{}', era)
        answer = case.post(body, headers(case.agent.token, era, method=method, name="danger"))
        case.rejected(answer, -32600, "notification", body)
        case.nothing_sent()


@pytest.mark.parametrize(
    "version", [b'"1.0"', b'"2.00"', b"2.0", b"2", b"null", None], ids=lambda one: f"JSON-31-{one}"
)
def test_other_versions_of_json_rpc(rig: Rig, era: Era, version: bytes | None) -> None:
    said = b"" if version is None else b'"jsonrpc":' + version + b","
    refused(rig, call(era=era).replace(b'"jsonrpc":"2.0",', said, 1), era, -32600)


@pytest.mark.parametrize("value", [b"[]", b'"x"', b"5", b"true", b"[{}]"], ids=lambda one: f"JSON-32-{one.decode()}")
def test_arguments_that_are_no_object(rig: Rig, era: Era, value: bytes) -> None:
    refused(rig, call(arguments=value, era=era), era, -32602, "arguments")


@pytest.mark.parametrize("_", [0], ids=["JSON-32-null-absent-empty"])
def test_null_absent_and_empty_arguments_are_one_call(rig: Rig, era: Era, _: int) -> None:
    with rig.case() as case:
        digests = set()
        for body in (call(arguments=b"null", era=era), params(b'"name":"safe"', era), call(era=era)):
            digests.add(case.executed(case.post(body, era=era))["digest"])
            assert rig.rec.calls[-1].body == body
        assert len(digests) == 1


@pytest.mark.parametrize(
    "value",
    [
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1} //x',
        b'{"a":1 /* x */}',
        b'{"a":0x1}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1;}',
    ],
    ids=lambda one: f"JSON-36-{one.decode()}",
)
def test_nearly_json(rig: Rig, era: Era, value: bytes) -> None:
    refused(rig, call(arguments=value, era=era), era, -32700, "json")


@pytest.mark.parametrize("after", [b"x", b"{}", b",", b"\x00", b"]"], ids=lambda one: f"JSON-36-after-{one.hex()}")
def test_something_after_the_message(rig: Rig, era: Era, after: bytes) -> None:
    refused(rig, call(era=era) + after, era, -32700)


@pytest.mark.parametrize(
    "key", ["__proto__", "constructor", "$ref", "toJSON", "__class__"], ids=lambda key: f"JSON-37-{key}"
)
def test_keys_that_mean_something_elsewhere(rig: Rig, era: Era, key: str) -> None:
    given = {key: {"name": "danger"}, "a": [{key: 1}]}
    with rig.case() as case:
        body = call(b'"echo_args"', json.dumps(given).encode(), era)
        row = case.executed(case.post(body, headers(case.agent.token, era, name="echo_args")))
        assert rig.rec.calls[-1].body == body
        assert json.loads(row["arguments"]) == given
