"""Whole collections of hostile input against the running proxy: the JSON test suite and the naughty strings.

After each piece of input an allowed call succeeds on the same connection, or on a new one where it was closed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.attacks.messages import ERAS, Era, call, header_value, headers
from tests.attacks.rig import Agent, Case, Rig
from tests.support import shared
from tests.support.raw_http import Closed, Field, Response, request

pytestmark = pytest.mark.shows("proxy.4", "proxy.5")

REFUSED_ON_PURPOSE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def suite(*kinds: str) -> list[Path]:
    return [path for path in sorted(shared.data("json-test-suite").glob("*.json")) if path.name[0] in kinds]


def naughty() -> list[str]:
    strings: list[str] = orjson.loads(shared.data("naughty-strings.json").read_bytes())
    return strings


class Line:
    """One connection for many requests, made anew where the proxy closed it."""

    def __init__(self, case: Case, era: Era) -> None:
        self.case, self.era, self.rig = case, era, case.rig
        self.agent: Agent = case.agent
        self._wire = self.rig.wire(self.agent.source)

    def post(self, body: bytes, fields: list[Field] | None = None) -> Response:
        """One answer, whatever it is; never an error of the proxy's own."""
        sent = request("POST", "/mcp/rec", headers(self.agent.token, self.era) if fields is None else fields, body)
        try:
            answer = self._wire.send(sent).response()
        except (Closed, ConnectionError):
            self._again()
            answer = self._wire.send(sent).response()
        assert answer.status < 500, (sent, answer)
        if answer.header("connection") == "close":
            self._again()
        return self.case.saw(answer)

    def good(self) -> None:
        """An allowed call succeeds."""
        answer = self.post(call(era=self.era))
        assert answer.status == 200, answer
        assert answer.json["result"]["isError"] is False, answer
        self.case.decided()

    def close(self) -> None:
        self._wire.close()

    def _again(self) -> None:
        self._wire.close()
        self._wire = self.rig.wire(self.agent.source)


@pytest.fixture(params=ERAS)
def line(rig: Rig, request: pytest.FixtureRequest) -> Iterator[Line]:
    with rig.case() as case:
        line = Line(case, request.param)
        try:
            yield line
        finally:
            line.close()


# --- the JSON test suite ----------------------------------------------------------------------------------------------


def test_what_must_not_be_read_is_refused(line: Line) -> None:
    refused = 0
    for path in suite("n"):
        content = path.read_bytes()
        for body in (content, call(arguments=b'{"value":' + content + b"}", era=line.era)):
            answer = line.post(body)
            assert answer.status == 400, path.name
            assert answer.json["error"]["code"] in (-32700, -32600), path.name
            refused += 1
        line.good()
    assert refused > 300
    assert all(one.params["name"] == "safe" for one in line.rig.rec.calls[-100:])


def test_what_must_be_read_is_forwarded_as_it_is(line: Line) -> None:
    for path in suite("y"):
        content = path.read_bytes()
        body = call(b'"echo_args"', b'{"value":' + content + b"}", line.era)
        answer = line.post(body, headers(line.agent.token, line.era, name="echo_args"))
        if path.name in REFUSED_ON_PURPOSE:
            assert answer.status == 400, path.name
            continue
        assert answer.status == 200, path.name
        line.case.decided()
        assert line.rig.rec.calls[-1].body == body
        assert json.loads(answer.json["result"]["content"][0]["text"]) == {"value": json.loads(content)}
    line.good()


def test_what_may_be_read_is_refused(line: Line) -> None:
    for path in suite("i"):
        content = path.read_bytes()
        for body in (content, call(arguments=b'{"value":' + content + b"}", era=line.era)):
            assert line.post(body).status == 400, path.name
        line.good()


# --- the naughty strings (JSON-34) ------------------------------------------------------------------------------------


def test_json_34_as_names(line: Line) -> None:
    for text in naughty():
        given = headers(line.agent.token, line.era, name=None)
        if line.era == "modern":
            given.append(("mcp-name", header_value(text)))
        answer = line.post(call(json.dumps(text).encode(), era=line.era), given)
        if answer.status == 200:
            # A name that nothing allows: denied, with a row that can be read.
            line.case.denied(answer, "not_applicable")
            assert line.case.decisions()[-1]["target"] == text
        else:
            assert answer.status == 400, (text, answer)
        line.good()


def test_json_34_as_arguments(line: Line) -> None:
    for text in naughty():
        arguments: dict[str, Any] = {"value": text, text: [text, {text: text}]}
        body = call(b'"echo_args"', json.dumps(arguments, ensure_ascii=False).encode(), line.era)
        answer = line.post(body, headers(line.agent.token, line.era, name="echo_args"))
        assert answer.status == 200, (text, answer)
        line.case.decided()
        assert json.loads(answer.json["result"]["content"][0]["text"]) == arguments
        row = line.case.decisions()[-1]
        assert line.rig.rec.calls[-1].body == body
        kept = json.loads(row["arguments"])
        assert kept == arguments or "masked_arguments" in json.loads(row["detail"]), (text, kept)
        line.good()


def test_json_34_as_ids(line: Line) -> None:
    for text in naughty():
        answer = line.post(call(era=line.era, id=json.dumps(text).encode()))
        if answer.status == 200:
            line.case.decided()
            assert answer.json["id"] == text
        else:
            assert answer.status == 400, (text, answer)
            assert answer.json["id"] is None
        line.good()


@pytest.mark.parametrize(
    "name", ["mcp-session-id", "authorization", "mcp-protocol-version", "mcp-name", "x-forwarded-for"]
)
def test_json_34_as_headers(line: Line, name: str) -> None:
    for text in naughty():
        value = text.encode()
        given: list[Field] = [field for field in headers(line.agent.token, line.era) if field[0] != name]
        given.append((name, b"Bearer " + value if name == "authorization" else value))
        answer = line.post(call(era=line.era), given)
        if answer.status == 200:
            # What is not read is not believed either; a session id of the other era, say.
            assert name in ("x-forwarded-for", "mcp-session-id", "mcp-name"), (text, answer)
            line.case.decided()
        else:
            assert answer.status in (400, 401, 404, 431), (text, answer)
    line.good()


def test_json_34_as_names_of_identities_and_comments(rig: Rig) -> None:
    with rig.case() as case:
        admin = rig.proxy.person("user:root", "admin")
        for number, text in enumerate(naughty()):
            body = {"name": text, "principal": f"agent:a-{text}", "servers": ["rec"]}
            answer = _api(rig, case, "POST", "/grants", admin, body)
            assert answer.status in (201, 400, 409, 422), (text, answer)
            if number % 8 == 0:
                _comment(rig, case, text)


def _comment(rig: Rig, case: Case, text: str) -> None:
    """A held call is denied with this note; who repeats the call reads it."""
    approver = rig.proxy.person("user:p1")
    body = call(b'"gated"', json.dumps({"note": text}).encode(), "modern")
    given = headers(case.agent.token, "modern", name="gated")
    with rig.wire(case.agent.source) as wire:
        wire.send(request("POST", "/mcp/rec", given, body))
        approval = rig.proxy.pending(principal=case.agent.principal)
    case.decided()
    answer = _api(rig, case, "POST", f"/approvals/{approval['id']}/deny", approver, {"note": text})
    if answer.status != 200:
        assert answer.status in (400, 422), (text, answer)
        answer = _api(rig, case, "POST", f"/approvals/{approval['id']}/deny", approver, {})
    assert answer.status == 200
    case.denied(case.post(body, given), "approval_denied")


def _api(rig: Rig, case: Case, verb: str, path: str, token: str, body: Any) -> Response:
    fields = [("host", "127.0.0.1"), ("authorization", f"Bearer {token}"), ("content-type", "application/json")]
    with rig.wire("127.0.0.1") as wire:
        answer = wire.send(request(verb, f"/api/v1{path}", fields, json.dumps(body).encode())).response()
    assert answer.status < 500, (body, answer)
    return answer
