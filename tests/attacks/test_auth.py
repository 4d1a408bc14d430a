"""The catalogue's AUTH section over raw sockets, as far as grants and people's tokens go: there are no JWTs yet."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.attacks.messages import ERAS, Era, call, headers, message
from tests.attacks.rig import CONSTANT_401, UPSTREAM, Agent, Case, Rig
from tests.support.raw_http import Response, Wire, request
from tests.support.running import until

pytestmark = pytest.mark.shows("proxy.5")

BODY = call()


def shown(case: Case, value: str | bytes | None, server: str = "rec") -> Response:
    """A call with this as its Authorization header."""
    given = headers(None)
    return case.post(BODY, given if value is None else [*given, ("authorization", value)], server=server)


# --- none, or not one -------------------------------------------------------------------------------------------------

GARBAGE: dict[str, str | bytes | None] = {
    "none": None,
    "empty": "",
    "bearer": "Bearer",
    "bearer-space": "Bearer  ",
    "bearer-x": "Bearer  x",
    "basic": "Basic YWdlbnQ6eA==",
    "digest": 'Digest username="x"',
    "no-scheme": "plg_xxxxxxxx_" + "x" * 43,
    "made-up": "Bearer plg_xxxxxxxx_" + "x" * 43,
    "prefix-only": "Bearer plg_xxxxxxxx",
    "non-ascii": "Bearer plg_é".encode(),
    "latin-1": b"Bearer plg_\xe9\xff",
    "tabs": "Bearer\tx",
    "jwt-none": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "sql": "Bearer plg_' OR 1=1--_x",
    "like": "Bearer plg_%%%%%%%%_x",
    "long": "Bearer " + "x" * 7000,
}


@pytest.mark.parametrize("value", GARBAGE.values(), ids=[f"AUTH-01-{name}" for name in GARBAGE])
def test_no_identity(rig: Rig, value: str | bytes | None) -> None:
    with rig.case() as case:
        case.unauthenticated(shown(case, value))
        case.nothing_sent()


@pytest.mark.parametrize(
    ("value", "statuses"),
    [(b"Bearer plg_\x00", (400,)), (b"Bearer " + b"x" * 65_536, (400, 431))],
    ids=["AUTH-01-NUL", "AUTH-01-64K"],
)
def test_no_header_even(rig: Rig, value: bytes, statuses: tuple[int, ...]) -> None:
    with rig.case() as case:
        assert shown(case, value).status in statuses
        case.nothing_sent()


def variants(token: str) -> dict[str, str]:
    return {
        "upper": token.upper(),
        "lower": token.lower(),
        "shorter": token[:-1],
        "longer": token + "x",
        "last": token[:-1] + ("x" if token[-1] != "x" else "y"),
        "first-of-secret": token[:13] + ("x" if token[13] != "x" else "y") + token[14:],
        "of-a-person": "plt" + token[3:],
        "space-inside": token[:20] + " " + token[20:],
        "padding": token + "=",
        "quoted": f'"{token}"',
    }


@pytest.mark.parametrize("name", variants("x" * 56), ids=lambda name: f"AUTH-02-{name}")
def test_nearly_a_token(rig: Rig, name: str) -> None:
    with rig.case() as case:
        case.unauthenticated(shown(case, f"Bearer {variants(case.agent.token)[name]}"))
        case.executed(shown(case, f"bearer {case.agent.token}"))


def test_auth_01_every_401_is_the_same(rig: Rig) -> None:
    """Known prefix, unknown prefix, revoked, another kind of token: nothing tells them apart."""
    with rig.case() as case:
        token = case.agent.token
        answers = [shown(case, f"Bearer {value}") for value in (*variants(token).values(), "", "x")]
        told = {(one.status, one.body, one.header("www-authenticate")) for one in answers}
        assert len(told) == 1
        names = {tuple(name for name, _ in one.headers) for one in answers}
        assert len(names) == 1


# --- at rest ----------------------------------------------------------------------------------------------------------


def test_auth_04_tokens_are_kept_as_digests(rig: Rig) -> None:
    with rig.case() as case:
        row = tokens_row(rig.proxy.database, case.agent.principal)
        prefix = case.agent.token.split("_")[1]
        assert len(prefix) == 8
        assert row["prefix"] == prefix
        secrets = [token.encode() for token in rig.proxy.tokens]
        rig.ledger.check_file([*secrets, *(secret.split(b"_", 2)[2] for secret in secrets)])
        for path in rig.proxy.folder.rglob("*"):
            if path.is_file():
                assert case.agent.token.encode() not in path.read_bytes(), path


def tokens_row(database: Path, principal: str) -> dict[str, object]:
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM grants WHERE principal = ?", (principal,)).fetchone())
    finally:
        connection.close()


# --- brute force ------------------------------------------------------------------------------------------------------


def test_auth_06_bad_keys_do_not_slow_good_ones(rig: Rig) -> None:
    """A thousand tries from one address, one each from hundreds: refused alike, counted, and nobody else notices."""
    with rig.case() as case:
        before = len(rig.ledger.read())
        with rig.wire("127.0.9.9") as wire:
            for number in range(1000):
                fields = [*headers(None), ("authorization", f"Bearer plg_xxxxxxxx_{number:043d}")]
                answer = wire.send(request("POST", "/mcp/rec", fields, BODY)).response()
                assert (answer.status, answer.body) == (401, CONSTANT_401)
                if number % 100 == 0:
                    rig.good_call()
        for number in range(300):
            with rig.wire(f"127.1.{number // 250}.{number % 250 + 1}") as wire:
                fields = [*headers(None), ("authorization", f"Bearer plg_yyyyyyyy_{number:043d}")]
                assert wire.send(request("POST", "/mcp/rec", fields, BODY)).response().status == 401
        rows = [row for row in rig.ledger.read()[before:] if row["reason_code"] in ("unauthenticated", "rejected")]
        # 20 of one source and 200 of all in ten seconds; how many windows it took depends on the machine.
        assert len(rows) < 600
        case.executed(case.post(BODY))


# --- ending and changing ----------------------------------------------------------------------------------------------


def grant_id(rig: Rig, agent: Agent) -> str:
    grants = rig.proxy.ask("GET", "/grants")["items"]
    found: str = next(each["id"] for each in grants if each["principal"] == agent.principal)
    return found


def use_until(rig: Rig, agent: Agent, ended: threading.Event, seen: list[tuple[float, int]]) -> None:
    """Calls one after the other until told to end; when each began, and its status."""
    with rig.wire(agent.source) as wire:
        while not ended.is_set():
            began = time.monotonic()
            status = wire.send(request("POST", "/mcp/rec", headers(agent.token), BODY)).response().status
            seen.append((began, status))
            ended.wait(0.002)


@pytest.mark.parametrize("way", ["api", "beside"], ids=lambda way: f"AUTH-07-{way}")
def test_a_revoked_grant_is_over_within_a_second(rig: Rig, way: str) -> None:
    with rig.case() as case:
        agent, ended = case.agent, threading.Event()
        seen: list[tuple[float, int]] = []
        users = [threading.Thread(target=use_until, args=(rig, agent, ended, seen)) for _ in range(3)]

        def seen_after(moment: float) -> list[int]:
            return [status for began, status in seen if began > moment]

        for user in users:
            user.start()
        try:
            until(lambda: len(case.decisions()) > 30, lambda: "nothing is called")
            if way == "api":
                rig.proxy.ask("DELETE", f"/grants/{grant_id(rig, agent)}")
            else:
                # Another process writes it into the database; the proxy has to notice.
                rig.proxy.cli("grant", "revoke", grant_id(rig, agent), "-c", str(rig.proxy.config), "--json")
            revoked = time.monotonic()
            until(lambda: bool(seen_after(revoked + 1)), lambda: "nothing is called any more", 5)
        finally:
            ended.set()
            for user in users:
                user.join()
        assert set(seen_after(revoked + 1)) == {401}
        case.decided(len(case.decisions()))


def delayed(wire: Wire, sent: bytes, meanwhile: Callable[[], None]) -> Response:
    """The answer to a request whose last bytes come only when something has been done."""
    wire.send(sent[:-5])
    time.sleep(0.1)
    meanwhile()
    time.sleep(1.0)
    return wire.send(sent[-5:]).response()


@pytest.mark.parametrize("era", ERAS)
def test_auth_07_a_body_that_comes_after_its_credential_was_revoked(rig: Rig, era: Era) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        case.executed(case.post(call(era=era), era=era))
        received = len(rig.rec.received)
        sent = request("POST", "/mcp/rec", headers(case.agent.token, era), call(era=era))
        revoke = partial(rig.proxy.ask, "DELETE", f"/grants/{grant_id(rig, case.agent)}")
        case.unauthenticated(case.saw(delayed(wire, sent, revoke)))
        assert len(rig.rec.received) == received


def test_auth_07_a_person_whose_token_was_revoked_while_the_body_came(rig: Rig) -> None:
    made = rig.proxy.ask("POST", "/tokens", {"principal": "user:gone", "role": "admin"})
    rig.proxy.tokens.append(made["token"])
    body = b'{"principal": "user:more", "role": "admin"}'
    fields = [("host", "127.0.0.1"), ("content-type", "application/json")]
    fields.append(("authorization", f"Bearer {made['token']}"))
    with rig.wire() as wire:
        sent = request("POST", "/api/v1/tokens", fields, body)
        answer = delayed(wire, sent, partial(rig.proxy.ask, "DELETE", f"/tokens/{made['id']}"))
    assert answer.status == 401
    assert "user:more" not in {each["principal"] for each in rig.proxy.ask("GET", "/tokens")["items"]}


def test_auth_06_a_good_credential_is_looked_up_whatever_else_its_address_tries(rig: Rig) -> None:
    """Also when nothing is believed any more because grants have changed."""
    with rig.case() as case:
        case.executed(case.post(BODY))
        for number in range(60):
            shown(case, f"Bearer plg_{number:08d}_" + "x" * 43)
        rig.agent("b")
        case.executed(case.post(BODY))
        stranger = rig.agent("b")
        given = [*headers(None), ("authorization", f"Bearer {stranger.token}")]
        assert case.post(BODY, given).status == 401


def test_auth_07_a_rotated_token(rig: Rig) -> None:
    with rig.case() as case:
        case.executed(case.post(BODY))
        made = rig.proxy.ask("POST", f"/grants/{grant_id(rig, case.agent)}/rotate", {})
        rig.proxy.tokens.append(made["token"])
        until(lambda: shown(case, f"Bearer {case.agent.token}").status == 401, lambda: "the old token still works", 2)
        case.decided(len(case.decisions()) - 1)
        case.executed(shown(case, f"Bearer {made['token']}"))


def test_auth_32_an_expired_grant_is_not_kept_alive_by_use(rig: Rig) -> None:
    with rig.case() as case:
        ends = datetime.fromtimestamp(time.time() + 1.5, UTC)
        body = {"name": "short", "principal": case.agent.principal, "servers": ["rec"]}
        body["expires_at"] = ends.isoformat().replace("+00:00", "Z")
        token = rig.proxy.ask("POST", "/grants", body)["token"]
        rig.proxy.tokens.append(token)
        late = ends + timedelta(milliseconds=50)
        statuses = []
        while (now := datetime.fromtimestamp(time.time(), UTC)) < late + timedelta(seconds=0.3):
            statuses.append((now > late, shown(case, f"Bearer {token}").status))
        assert (False, 200) in statuses
        assert {status for after, status in statuses if after} == {401}
        case.decided(len(case.decisions()))


# --- who may what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"AUTH-26-{era}")
def test_a_grant_opens_its_own_servers_only(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        agent = rig.agent("a", "rec2")
        answer = case.post(call(era=era), headers(agent.token, era))
        unknown = case.post(call(era=era), headers(agent.token, era), server="nosuch")
        assert (answer.status, answer.body) == (unknown.status, unknown.body)
        case.rejected(answer, None, "server", status=404)
        case.nothing_sent()
        case.executed(case.post(call(era=era), headers(agent.token, era), server="rec2"))


PATHS = ["rec/", "REC", "rec%2f", "../mcp/rec", "rec/../rec2", "rec;x", "re%63", "", "rec//", "rec2/../rec", "rec\\"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"AUTH-26-path-{path!r}")
def test_servers_are_named_exactly(rig: Rig, path: str) -> None:
    with rig.case() as case:
        agent = rig.agent("a", "rec2")
        answer = case.raw(request("POST", f"/mcp/{path}", headers(agent.token), BODY))
        assert answer.status in (400, 404), answer
        case.nothing_sent()


def test_auth_24_the_servers_own_token_is_none_of_ours(rig: Rig) -> None:
    with rig.case() as case:
        case.unauthenticated(shown(case, f"Bearer {UPSTREAM}"))
        case.nothing_sent()


def test_auth_24_nobodys_token_reaches_a_server(rig: Rig) -> None:
    with rig.case() as case:
        case.executed(case.post(BODY))
        assert rig.rec.calls[-1].header("authorization") == f"Bearer {UPSTREAM}"
        assert not [token for token in rig.proxy.tokens if token.encode() in rig.rec.every_byte]


ROUTES = [
    ("GET", "/decisions"),
    ("GET", "/approvals"),
    ("GET", "/policy"),
    ("POST", "/reload"),
    ("GET", "/grants"),
    ("POST", "/grants"),
    ("GET", "/tokens"),
    ("POST", "/freezes"),
    ("GET", "/openapi.json"),
    ("GET", "/me"),
]


@pytest.mark.parametrize(("verb", "path"), ROUTES, ids=[f"AUTH-21-{verb}{path}" for verb, path in ROUTES])
def test_a_grant_is_nobody_to_the_api(rig: Rig, verb: str, path: str) -> None:
    with rig.case() as case:
        fields = [*headers(case.agent.token), ("x-role", "admin")]
        answer = case.raw(request(verb, f"/api/v1{path}", fields, b"{}" if verb == "POST" else b""))
        assert answer.status == 401, answer


@pytest.mark.parametrize("role", ["viewer", "approver", "operator", "admin"], ids=lambda role: f"AUTH-21-{role}")
def test_a_person_is_nobody_to_a_server(rig: Rig, role: str) -> None:
    with rig.case() as case:
        token = rig.proxy.person(f"user:{role}", role)
        case.unauthenticated(shown(case, f"Bearer {token}"))
        case.nothing_sent()


def test_auth_21_who_may_vote(rig: Rig) -> None:
    """Only an approver or more may vote; never the agent, which gets no token for that, never a viewer."""
    with rig.case() as case:
        answer = case.post(call(b'"gated"'), headers(case.agent.token))
        case.denied(answer, "pending")
        approval = rig.proxy.pending(principal=case.agent.principal)
        for token, status in (
            (case.agent.token, 401),
            (rig.proxy.person("user:viewer", "viewer"), 403),
        ):
            fields = [("host", "127.0.0.1"), ("authorization", f"Bearer {token}"), ("content-type", "application/json")]
            voted = case.raw(request("POST", f"/api/v1/approvals/{approval['id']}/approve", fields, b"{}"))
            assert voted.status == status, voted
        with pytest.raises(AssertionError, match=r"422 .*tokens are for people"):
            rig.proxy.person(case.agent.principal, "approver")
        assert rig.proxy.approval(approval["id"])["state"] == "pending"


# --- what a 401 tells -------------------------------------------------------------------------------------------------

SPOOFS = [
    [("host", "localhost")],
    [("host", "127.0.0.1:1")],
    [("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https")],
    [("forwarded", "host=evil.example;proto=https")],
    [("x-original-host", "evil.example")],
]


@pytest.mark.parametrize("spoof", SPOOFS, ids=[f"AUTH-29-{number}" for number in range(len(SPOOFS))])
def test_the_metadata_url_is_the_configured_one(rig: Rig, spoof: list[tuple[str, str]]) -> None:
    with rig.case() as case:
        own = [] if spoof[0][0] == "host" else [("host", "127.0.0.1")]
        answer = case.post(BODY, [*headers(None, host=None), *own, *spoof])
        case.unauthenticated(answer)
        url = f"{rig.proxy.url}/.well-known/oauth-protected-resource/mcp/rec"
        assert answer.header("www-authenticate") == f'Bearer resource_metadata="{url}"'
        where = "/.well-known/oauth-protected-resource/mcp/rec"
        found = case.raw(request("GET", where, [*own, *spoof], length=False))
        assert found.json["resource"] == f"{rig.proxy.url}/mcp/rec"


@pytest.mark.parametrize("server", ["nosuch", "rec%22", "x" * 100], ids=lambda server: f"AUTH-29-{server[:6]}")
def test_a_401_says_nothing_of_what_exists(rig: Rig, server: str) -> None:
    with rig.case() as case:
        answer = shown(case, None, server)
        assert (answer.status, answer.body) == (401, CONSTANT_401)


def test_auth_01_discovery_needs_an_identity_too(rig: Rig) -> None:
    with rig.case() as case:
        for era in ERAS:
            method = "server/discover" if era == "modern" else "initialize"
            inside = b"" if era == "modern" else b'"protocolVersion":"2025-11-25","capabilities":{}'
            case.unauthenticated(case.post(message(method, inside, era), headers(None, era, method)))
        case.nothing_sent()
