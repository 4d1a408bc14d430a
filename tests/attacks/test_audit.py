"""AUD-14, AUD-16: what agents send neither breaks a line of any log nor leaves a secret anywhere."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx2
import orjson
import pytest

from tests.attacks.messages import ERAS, call, headers
from tests.attacks.rig import SECRET, Case, Rig
from tests.support.invariants import absent
from tests.support.raw_http import request
from tests.support.running import until

pytestmark = pytest.mark.shows("audit.1", "proxy.5")

ODD = {
    "lines": 'x\r\n{"event":"forged"}\r\n',
    "separators": "a\u2028b\u2029c\u0085d\u000b\u000c",
    "colours": "\x1b[2J\x1b[31mred\u009b31m",
    "nothing": "a\0b",
    "quotes": '"}],"x":\\"',
    "direction": "\u202egpj.exe\u2066\ufeff",
    "formula": "=cmd|' /C calc'!A0",
}


def jwt(claims: dict[str, Any]) -> str:
    """A token that nobody signed."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*texts, base64.urlsafe_b64encode(SECRET.encode() * 2).decode().rstrip("=")])


SECRETS: dict[str, Any] = {
    "keys": {"password": SECRET, "Authorization": f"Bearer {SECRET}", "api_key": SECRET, "token": SECRET},
    "deep": {"a": {"b": [{"c": {"d": [{"e": {"client_secret": {"x": [SECRET]}}}]}}]}},
    "json in a text": {"body": json.dumps({"x": [{"password": SECRET, "inner": json.dumps({"token": SECRET})}]})},
    "a URL": {"url": f"https://user:{SECRET}@example.com/x?access_token={SECRET}&page=2"},
    "a header in a text": {"note": f"curl -H 'Authorization: Bearer {SECRET}' https://example.com"},
    "a token": {"note": jwt({"sub": SECRET})},
    "base64": {"blob": base64.b64encode(json.dumps({"password": SECRET}).encode()).decode()},
    "a key file": {"note": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"},
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", ODD)
def test_aud_14_one_record_is_one_line_and_the_log_is_exact(rig: Rig, name: str, era: Any) -> None:
    odd = ODD[name]
    with rig.case() as case:
        body = call(b'"echo_args"', json.dumps({"value": odd, odd: 1}).encode(), era)
        answer = case.post(body, headers(case.agent.token, era, name="echo_args"), era)
        row = case.executed(answer)
        assert json.loads(row["arguments"]) == {"value": odd, odd: 1}
        assert "\n" not in row["arguments"]
        line = exported(rig, row["id"])
        assert line["arguments"] == {"value": odd, odd: 1}
        lines_are_records(rig)


def test_aud_14_a_value_that_is_too_long_is_one_line_too(rig: Rig) -> None:
    with rig.case() as case:
        body = call(b'"safe"', json.dumps({"value": "\x1b[31m\r\n" * 250_000}).encode())
        row = case.executed(case.post(body))
        assert len(row["arguments"] or "") < 70_000
        lines_are_records(rig)


def exported(rig: Rig, row_id: str) -> dict[str, Any]:
    """The line of a row in an export."""
    done = rig.proxy.cli("audit", "export", "--since", "10m", "-c", str(rig.proxy.config))
    lines = [orjson.loads(line) for line in done.stdout.split("\n") if line]
    (found,) = [line for line in lines if line["id"] == row_id]
    return dict(found)


def lines_are_records(rig: Rig) -> None:
    """Whatever the proxy wrote of itself."""
    for line in rig.proxy.program.errors:
        assert line.isprintable(), line
        assert "event" in orjson.loads(line)
        assert orjson.loads(line)["event"] != "forged"


@pytest.mark.parametrize("name", SECRETS)
def test_aud_16_a_secret_is_in_no_row_no_log_no_metric_and_no_view(rig: Rig, name: str) -> None:
    with rig.case() as case:
        # `safe` does not repeat what it was sent; whatever does is the agent's own.
        row = case.executed(case.post(call(b'"safe"', json.dumps(SECRETS[name]).encode())))
        assert "[redacted:" in row["arguments"]
        with rig.wire(case.agent.source) as wire:
            held = call(b'"gated"', json.dumps(SECRETS[name]).encode())
            wire.send(request("POST", "/mcp/rec", headers(case.agent.token), held))
            until(lambda: bool(pending(rig, case)), lambda: "nothing is held")
            case.decided()
            views = {
                "the approvals, as a viewer sees them": ask(rig, "/approvals?state=pending"),
                "the decisions": ask(rig, f"/decisions?principal={case.agent.principal}"),
                "the events": ask(rig, "/events"),
                "the metrics": httpx2.get(f"{rig.proxy.url}/metrics", trust_env=False).content,
                "the log": rig.proxy.log().encode(),
            }
            for what, view in views.items():
                absent(view, [SECRET.encode(), base64.b64encode(SECRET.encode())[:16]], what)
            answer = wire.response()
        assert answer.status == 200


def pending(rig: Rig, case: Case) -> list[dict[str, Any]]:
    """What is held of the case's agent."""
    items = orjson.loads(ask(rig, "/approvals?state=pending&limit=500"))["items"]
    return [each for each in items if each["principal"] == case.agent.principal]


def ask(rig: Rig, path: str) -> bytes:
    """What a viewer is told."""
    token = rig.proxy.person("user:viewer", "viewer")
    url = f"{rig.proxy.url}/api/v1{path}"
    answer = httpx2.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30)
    assert answer.is_success, answer.text
    return answer.content


def test_aud_16_equal_secrets_have_equal_marks_which_who_has_the_key_can_look_for(rig: Rig) -> None:
    with rig.case() as case:
        rows = [case.executed(case.post(call(b'"safe"', body))) for body in (password("one"), password("two"))]
        other = case.executed(case.post(call(b'"safe"', json.dumps({"password": "another"}).encode())))
        marks = [json.loads(row["arguments"])["password"] for row in (*rows, other)]
        assert marks[0] == marks[1] != marks[2]
        command = ["audit", "mark", "-c", str(rig.proxy.config)]
        mark = rig.proxy.cli(*command, stdin=SECRET).stdout.strip()
        assert marks[0] == f"[redacted:{mark}]"
        found = orjson.loads(ask(rig, f"/decisions?q={mark}&principal={case.agent.principal}"))["items"]
        assert {each["id"] for each in found} == {row["id"] for row in rows}


def password(note: str) -> bytes:
    """Arguments that hold the same secret."""
    return json.dumps({"password": SECRET, "note": note}).encode()
