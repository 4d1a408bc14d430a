"""Requests and answers that are almost good, by the hundred: no error of the proxy's own, nothing without a row, no
answer of one caller's to another, and the next good call succeeds (R-16, small; `make soak` sends many more).

Seeded: a failure names its seed and number. What the bytes are cut into is tests/proxy/test_cuts.py; what other readers
of HTTP make of them is tests/serve/test_readers.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random

import pytest

from tests.attacks.messages import ERAS, Era, call, headers, message, notification
from tests.attacks.rig import Case, Rig
from tests.attacks.test_mcp_sessions import initialize
from tests.support.misbehaviour import SSE_HEAD, chunk, event, http
from tests.support.mutants import cut, spoil
from tests.support.raw_http import Closed, Response, chunked, request
from tests.support.running import until
from tests.support.sizes import sized

pytestmark = pytest.mark.shows("proxy.5")

NOTHING = 0.1
"""Seconds after which a request that got no answer is taken for one that is not whole."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig of its own, whose first server is waited for a second at most."""
    with Rig(tmp_path_factory.mktemp("fuzz"), servers={"rec": {"limits": {"timeout": "1s"}}}) as rig:
        yield rig


# --- requests ---------------------------------------------------------------------------------------------------------


def good(random: Random, case: Case, session: str) -> bytes:
    """One good request of the case's agent."""
    era = random.choice(ERAS)
    name = random.choice(("safe", "danger", "echo_args"))
    arguments = random.choice((b"{}", b'{"amount":1.5,"path":"/ok"}', b'{"a":{"b":[{"c":"\\u00e9"}]},"d":null}'))
    handshake, body = random.choice(
        (
            (False, call(b'"%b"' % name.encode(), arguments, era)),
            (False, call(b'"%b"' % name.encode(), arguments, era)),
            (True, message("ping")),
            (True, message("tools/list", b'"cursor":"1"')),
            (True, notification("notifications/cancelled", b'"requestId":9')),
            (True, b'{"jsonrpc":"2.0","id":"s-1","result":{"roots":[]}}'),
        )
    )
    fields = headers(case.agent.token, "handshake" if handshake else era, name=name)
    if (handshake or era == "handshake") and random.random() < 0.5:
        fields.append(("Mcp-Session-Id", session))
    if random.random() < 0.2:
        pieces = chunked([body[:20], body[20:]])
        return request("POST", "/mcp/rec", [*fields, ("Transfer-Encoding", "chunked")], pieces, length=False)
    return request(random.choice(("POST",) * 9 + ("DELETE",)), "/mcp/rec", fields, body)


def answered(case: Case, pieces: list[bytes]) -> Response | None:
    """The first answer to it, or None where none comes."""
    with case.rig.wire(case.agent.source) as wire:
        wire.send(*pieces)
        wire.socket.settimeout(NOTHING)
        try:
            return case.saw(wire.response())
        except (Closed, ConnectionError, TimeoutError):
            return None


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"R-16-requests-{seed}")
def test_requests_that_are_almost_good(rig: Rig, seed: int) -> None:
    random = Random(seed)
    statuses = set()
    with rig.case() as case:
        case.counted = False
        session = initialize(case, case.agent)
        for number in range(sized(150, 50_000)):
            data = spoil(random, b"".join(good(random, case, session) for _ in range(random.randint(1, 3))))
            answer = answered(case, cut(random, data) if random.random() < 0.3 else [data])
            if answer is not None:
                statuses.add(answer.status)
                assert answer.status < 500, (seed, number, data, answer)
            if number % 50 == 0:
                rig.good_call(random.choice(ERAS))
                rig.ledger.check(rig.secrets)
    assert {200, 400} <= statuses


# --- answers ----------------------------------------------------------------------------------------------------------


def answers(number: int) -> tuple[bytes, ...]:
    """Good answers to the call with id 1, in every form that a server may give."""
    done = b'{"resultType":"complete","content":[{"type":"text","text":"CANARY-%d"}],"isError":false}' % number
    body = b'{"jsonrpc":"2.0","id":1,"result":%b}' % done
    note = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return (
        http(body),
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body[:30]) + chunk(body[30:]) + chunk(b""),
        head + b"Connection: close\r\n\r\n" + body,
        b"HTTP/1.1 100 Continue\r\n\r\n" + http(body),
        SSE_HEAD + chunk(b": x\n\nid: 1\ndata:\n\n") + chunk(event(note)) + chunk(event(body)) + chunk(b""),
        http(body) + http(body.replace(b"CANARY", b"CANARY-STRAY")),
    )


def next_caller(rig: Rig, era: Era) -> None:
    """Nothing of it is left on a connection for the next caller, and no breaker opens.

    The server may close a connection in the very moment when the next call is sent on it. That call is lost, and never
    sent again; the one after it is not.
    """
    for _ in range(3):
        with rig.wire(rig.good.source) as wire:
            answer = wire.send(request("POST", "/mcp/rec", headers(rig.good.token, era), call(era=era))).response()
        assert b"CANARY" not in answer.body
        if "result" in answer.json:
            assert answer.json["result"]["content"] == [{"type": "text", "text": "safe done"}], answer
            return
        assert answer.json["error"]["code"] == 40502, answer
    raise AssertionError("the server answers nobody any more")


@pytest.mark.parametrize("seed", range(2), ids=lambda seed: f"R-16-answers-{seed}")
def test_answers_that_are_almost_good(rig: Rig, seed: int) -> None:
    random = Random(seed)
    relayed = 0
    with rig.case() as case:
        case.counted = False
        for number in range(sized(100, 20_000)):
            data = spoil(random, random.choice(answers(number)))
            said = {"_rec": "said", "said": base64.b64encode(data).decode(), "close": random.random() < 0.9}
            era = random.choice(ERAS)
            body = call(b'"echo_args"', json.dumps(said).encode(), era)
            answer = case.post(body, headers(case.agent.token, era, name="echo_args"))
            why = (seed, number, data, answer)
            assert answer.status == 200, why
            messages = answer.events if answer.streamed else [answer.json]
            told = [each for each in messages if "result" in each or "error" in each]
            assert [each["id"] for each in told] == [1], why
            if b"CANARY-" in answer.body:
                relayed += 1
                assert b"CANARY-STRAY" not in answer.body, why
            else:
                assert "result" in told[0] or told[0]["error"]["code"] == 40502, why
            next_caller(rig, era)
        rows = [row for row in case.decisions() if row["enforced"] == "allow"]
        until(lambda: all(rig.ledger.outcome(row["id"]) for row in rows), lambda: "a call has no outcome")
    assert 0 < relayed < sized(100, 20_000)
