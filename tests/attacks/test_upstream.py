"""Hostile and dying servers, seen from the agent's side: the catalogue's UP section, R-07 and R-08, small sizes.

Whatever a server does, the agent gets one answer that is ours, the log gets one outcome, nothing is sent twice, and the
next good call succeeds. tests/upstream/ holds the code that talks to servers to the same list piece by piece.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.messages import ERAS, Era, call, headers
from tests.attacks.rig import UPSTREAM, Case, Rig
from tests.support import misbehaviour
from tests.support.processes import Program
from tests.support.raw_http import Response, Wire, request
from tests.support.running import until

pytestmark = pytest.mark.shows("proxy.5")

STRAY = b"CANARY-STRAY"

FAILS: dict[str, tuple[str, str]] = {
    "UP-07-not_json": ("not_json", "failed"),
    "UP-07-not_mcp": ("not_mcp", "failed"),
    "UP-07-wrong_id": ("wrong_id", "failed"),
    "UP-07-missing_id": ("missing_id", "failed"),
    "UP-07-result_and_error": ("result_and_error", "failed"),
    "UP-07-error_code_text": ("error_code_text", "failed"),
    "UP-07-batch": ("batch", "failed"),
    "UP-07-garbage": ("garbage", "failed"),
    "UP-16-301": ("redirect_301", "failed"),
    "UP-16-302": ("redirect_302", "failed"),
    "UP-16-307": ("redirect_307", "failed"),
    "UP-16-308": ("redirect_308", "failed"),
    "UP-24-gzip": ("compressed", "failed"),
    "UP-24-deflate": ("deflated", "failed"),
    "UP-24-bomb": ("bomb", "failed"),
    "UP-24-huge": ("huge", "failed"),
    "UP-24-huge_header": ("huge_header", "failed"),
    "UP-24-many_headers": ("many_headers", "failed"),
    "UP-27-both_framings": ("both_framings", "failed"),
    "R-07-500": ("status_500", "failed"),
    "R-07-503": ("status_503", "failed"),
    "R-07-404": ("status_404", "failed"),
    "UP-26-401": ("status_401", "upstream_refused"),
    "R-07-hang": ("hang", "timed_out"),
    "R-07-hang_in_stream": ("hang_in_stream", "timed_out"),
    "R-07-trickle": ("trickle", "timed_out"),
    "UP-27-interim_flood": ("interim_flood", "failed"),
    "R-08-close_after_read": ("close_after_read", "unknown"),
    "R-08-close_mid": ("close_mid", "unknown"),
    "R-08-close_mid_stream": ("close_mid_stream", "unknown"),
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig of its own: its first server is waited for a second at most, and what is in the environment is no proxy."""
    folder = tmp_path_factory.mktemp("upstream")
    misbehaviour._bomb()  # it takes its time to make
    with Rig(folder, servers={"rec": {"limits": {"timeout": "1s"}}}) as rig:
        yield rig


def told_to(behaviour: str) -> bytes:
    return b'{"_rec":"%b"}' % behaviour.encode()


def failed(case: Case, answer: Response, state: str) -> None:
    """The agent is told that the server failed, in our words; the outcome says how far it came."""
    if state == "timed_out" and answer.streamed:
        assert answer.status == 200
    assert answer.json["error"]["code"] == 40502, answer
    assert answer.json["id"] == 1
    for part in (b"CANARY", b"oops", b"169.254", b"passwd", b"Traceback", b"aiohttp"):
        assert part not in answer.body, answer
    assert answer.header("www-authenticate") is None
    case.decided()
    row = case.decisions()[-1]
    until(lambda: case.rig.ledger.outcome(row["id"]) is not None, lambda: "no outcome")
    outcome = case.rig.ledger.outcome(row["id"])
    assert outcome is not None
    assert outcome["state"] == state, outcome


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("behaviour", "state"), FAILS.values(), ids=FAILS.keys())
def test_a_server_that_fails(rig: Rig, era: Era, behaviour: str, state: str) -> None:
    rest(rig)
    with rig.case() as case:
        before = len(rig.rec.calls)
        answer = case.post(
            call(b'"echo_args"', told_to(behaviour), era), headers(case.agent.token, era, name="echo_args")
        )
        failed(case, answer, state)
        sent = [one for one in rig.rec.calls[before:] if one.params["name"] == "echo_args"]
        assert len(sent) == 1, "it was sent again"


def rest(rig: Rig) -> None:
    """A server that failed five times in a row is left alone for a while; each attack begins with a clean slate."""
    rig.good_call()


ANSWERS = {
    "UP-07-error": ("error", "upstream_refused"),
    "UP-07-is_error": ("is_error", "executed"),
    "UP-14-sse": ("sse", "executed"),
    "UP-07-two_results": ("two_results", "executed"),
    "UP-27-twice": ("twice", "executed"),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("behaviour", "state"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_server_that_answers_oddly(rig: Rig, era: Era, behaviour: str, state: str) -> None:
    with rig.case() as case:
        answer = case.post(
            call(b'"echo_args"', told_to(behaviour), era), headers(case.agent.token, era, name="echo_args")
        )
        assert answer.status == 200
        messages = answer.events if answer.streamed else [answer.json]
        assert len([one for one in messages if one.get("id") == 1]) == 1, answer
        case.decided()
        row = case.decisions()[-1]
        until(lambda: rig.ledger.outcome(row["id"]) is not None, lambda: "no outcome")
        outcome = rig.ledger.outcome(row["id"])
        assert outcome is not None
        assert outcome["state"] == state
        # A stray second answer on the connection reaches nobody.
        for _ in range(5):
            again = case.post(call(era=era), era=era)
            assert STRAY not in again.body
            case.executed(again, "safe done")


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"UP-09-{era}")
def test_what_a_server_asks_on_a_stream_without_being_allowed_to(rig: Rig, era: Era) -> None:
    """Roots are for no rule here: in neither era does the agent see the question."""
    with rig.case() as case:
        answer = case.post(
            call(b'"echo_args"', told_to("server_request"), era), headers(case.agent.token, era, name="echo_args")
        )
        assert [one.get("method") for one in answer.events] == [None], answer.events
        assert "result" in answer.json
        # The call; and of the handshake era the question, which is judged.
        case.decided(2 if era == "handshake" else 1)
        if era == "modern":
            assert case.events("server.request_dropped")


def test_up_11_a_question_that_no_rule_allows_ends_the_call(rig: Rig) -> None:
    with rig.case() as case:
        body = call(b'"echo_args"', told_to("asks_sampling"), "modern")
        answer = case.post(body, headers(case.agent.token, "modern", name="echo_args"))
        assert answer.json["result"]["isError"] is True, answer
        assert "CANARY-PROMPT" not in repr(answer)
        case.decided(2)


def test_up_12_a_page_to_open_must_be_https(rig: Rig) -> None:
    with rig.case() as case:
        for number, url in enumerate(
            ("javascript:alert(1)", "data:text/html,x", "http://evil.example/", "https://a@b/")
        ):
            arguments = json.dumps({"_rec": "asks_page", "url": url}).encode()
            answer = case.post(
                call(b'"echo_args"', arguments, "modern"), headers(case.agent.token, "modern", name="echo_args")
            )
            assert answer.json["result"]["isError"] is True, (number, answer)
            assert url not in repr(answer)
            case.decided(2)


INJECTED = [
    "\x1b[31mred",
    "a\r\nHTTP/1.1 200 OK",
    '{"jsonrpc":"2.0","id":1,"result":{}}',
    "<script>alert(1)</script>",
    "\u2028\u2029",
]


@pytest.mark.parametrize("text", INJECTED, ids=[f"UP-14-{number}" for number in range(len(INJECTED))])
@pytest.mark.parametrize("era", ERAS)
def test_what_a_result_says_is_data(rig: Rig, era: Era, text: str) -> None:
    with rig.case() as case:
        arguments = json.dumps({"text": text}).encode()
        answer = case.post(call(b'"echo_args"', arguments, era), headers(case.agent.token, era, name="echo_args"))
        case.executed(answer)
        assert json.loads(answer.json["result"]["content"][0]["text"]) == {"text": text}
        for line in rig.proxy.program.errors:
            assert line.startswith("{"), line
            json.loads(line)


def test_up_26_the_servers_refusal_of_us_says_nothing(rig: Rig) -> None:
    with rig.case() as case:
        answer = case.post(call(b'"echo_args"', told_to("status_401")))
        failed(case, answer, "upstream_refused")
        assert UPSTREAM not in repr(answer)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("how", ["echo_headers", "echo_headers_error", "echo_headers_stream"])
def test_up_26_a_server_that_repeats_our_credential(rig: Rig, era: Era, how: str) -> None:
    """The agent gets the rest of the answer, and the outcome says what was done. (The case looks for the secret.)"""
    with rig.case() as case:
        body = call(b'"echo_args"', told_to(how), era)
        answer = case.post(body, headers(case.agent.token, era, name="echo_args"))
        assert answer.status == 200
        assert UPSTREAM.encode() not in answer.body
        messages = answer.events if answer.streamed else [answer.json]
        assert len(messages) == (2 if how.endswith("stream") else 1), answer
        for each in messages:
            assert '"Authorization": "Bearer [masked]"' in json.dumps(each).replace("\\", ""), answer
            assert "mcp-protocol-version" in json.dumps(each).lower()
        case.decided()
        row = case.decisions()[-1]
        until(lambda: rig.ledger.outcome(row["id"]) is not None, lambda: "no outcome")
        outcome = rig.ledger.outcome(row["id"])
        assert outcome is not None
        assert "credential, which was masked" in outcome["reason"]


# --- others go on (R-07) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour", ["hang", "trickle", "close_after_read", "status_500", "garbage"], ids=lambda b: f"R-07-{b}"
)
def test_one_bad_server_is_no_other_servers_trouble(rig: Rig, behaviour: str) -> None:
    """While one server misbehaves to four callers at once, calls to another succeed, every one."""
    with rig.case() as case:
        rig.rec.always = behaviour
        answers: list[int] = []

        def suffer() -> None:
            for _ in range(3):
                with rig.wire(case.agent.source) as wire:
                    body = call(b'"echo_args"')
                    wire.send(request("POST", "/mcp/rec", headers(case.agent.token), body))
                    answers.append(wire.response().json["error"]["code"])

        sufferers = [threading.Thread(target=suffer) for _ in range(4)]
        for each in sufferers:
            each.start()
        try:
            for _ in range(100):
                answer = case.post(call(), server="rec2")
                assert answer.json["result"]["isError"] is False
        finally:
            for each in sufferers:
                each.join()
            rig.rec.always = None
        assert answers == [40502] * 12
        rows = case.decisions()
        case.decided(112)
        assert len(rows) == 112
        until(lambda: all(rig.ledger.outcome(row["id"]) for row in rows), lambda: "outcomes are missing")
        # The breaker lets one through again.
        until(lambda: "result" in case.post(call()).json, lambda: "it stays shut", 40)
        case.decided(len(case.decisions()) - 112)


# --- a server that dies (R-08) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["hang", "hang_in_stream"], ids=lambda b: f"R-08-{b}")
def test_a_server_that_is_killed_in_mid_call(tmp_path: Path, behaviour: str) -> None:
    """Killed with the call in its hands: the outcome is unknown, the agent is told, and nothing is sent again."""
    with Program.python("-m", "tests.support.recording", "--always", behaviour) as server:
        url = server.wait_for("listening on ")
        with Rig(tmp_path, servers={"dying": {"url": url}}) as rig, rig.case() as case:
            agent = rig.agent("a", "dying")
            with rig.wire(agent.source) as wire:
                wire.send(request("POST", "/mcp/dying", headers(agent.token), call()))
                row = None

                def decided() -> bool:
                    nonlocal row
                    row = next((row for row in case.decisions() if row["server"] == "dying"), None)
                    return row is not None

                until(decided, lambda: "no decision")
                until(lambda: asked(url) == {"safe": 1}, lambda: f"not asked: {asked(url)}")
                os.kill(server.process.pid, signal.SIGKILL)
                answer = case.saw(wire.response())
            case.decided()
            assert answer.json["error"]["code"] == 40502
            assert row is not None
            until(lambda: rig.ledger.outcome(row["id"]) is not None, lambda: "no outcome")
            assert (rig.ledger.outcome(row["id"]) or {})["state"] == "unknown"
            # Nobody is there: what is asked now was never sent.
            answer = case.post(call(), headers(agent.token), server="dying")
            assert answer.json["error"]["code"] == 40502
            case.decided()
            last = case.decisions()[-1]
            until(lambda: rig.ledger.outcome(last["id"]) is not None, lambda: "no outcome")
            assert (rig.ledger.outcome(last["id"]) or {})["state"] == "never_sent"


def asked(url: str) -> dict[str, int]:
    """What a recording server in another process was asked to do."""
    with Wire(int(url.split(":")[2].partition("/")[0])) as wire:
        found = wire.send(request("GET", "/_rec", [("host", "127.0.0.1")], length=False)).response()
    counts: dict[str, int] = found.json["counts"]
    return counts


def test_r_08_a_kept_connection_that_closes_is_not_a_reason_to_send_again(rig: Rig) -> None:
    """A server closes a reused connection upon the next call: what it did is not known, so it is not asked again."""
    with rig.case() as case:
        case.executed(case.post(call()))
        rig.rec.behave("close_after_read")
        before = len(rig.rec.calls)
        failed(case, case.post(call()), "unknown")
        assert len(rig.rec.calls) == before + 1
