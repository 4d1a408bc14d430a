"""The catalogue's POL section over a running proxy: names, addresses and amounts that are nearly what a rule says.

What policy decides of any call is tests/policy/; here, that nothing between the socket and the rule makes a name into
another one, and that whatever reaches a server is what a rule allows when it is read as a stranger would.
"""

from __future__ import annotations

import json
import posixpath
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.attacks.messages import ERAS, Era, call, header_value, headers, message
from tests.attacks.rig import Agent, Case, Rig
from tests.support.raw_http import Response, request
from tests.support.running import until

pytestmark = pytest.mark.shows("proxy.5")

POLICY = """
policy: narrow
applies_to: {principals: ["agent:*"], servers: "*"}
rules:
  - {id: safe, tools: [safe], effect: allow}
  - {id: no-danger, tools: ["danger*"], effect: deny}
  - {id: deletes, tools: ["delete_*"], servers: [rec], effect: deny}
  - {id: drafts, tools: ["delete_draft"], servers: [rec2], effect: allow}
  - {id: gated, tools: [gated], principals: ["agent:a-*"], effect: require_approval}
  - id: files
    tools: [echo_args]
    when: {args.path: {within: [/srv/data]}}
    effect: allow
  - id: hosts
    tools: [routed]
    when: {args.tenant: {host: ["*.good.example"]}}
    effect: allow
  - id: spend
    tools: [pay]
    when: {args.amount: {gt: 0, lte: 100}}
    effect: allow
    limits: [{sum: args.amount, max: 500, per: day, by: [principal.id]}]
  - {id: public, resources: ["file:///pub/**"], effect: allow}
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig of its own, with rules that are easy to nearly fit."""
    with Rig(tmp_path_factory.mktemp("policy"), policies={"narrow.yaml": POLICY}) as rig:
        yield rig


def tool(case: Case, name: str, arguments: bytes = b"{}", era: Era = "handshake", server: str = "rec") -> Response:
    """A call of the case's agent, its name spelt as Python's JSON spells it."""
    given = headers(case.agent.token, era, name=name)
    if era == "modern":
        given = [field for field in given if field[0] != "mcp-name"] + [("mcp-name", header_value(name))]
    return case.post(call(json.dumps(name).encode(), arguments, era), given, server=server)


def refused(case: Case, answer: Response) -> None:
    """Denied, or not even a call; nothing of it at a server."""
    if answer.status == 400:
        case.rejected(answer, None, None)
    else:
        assert answer.json["result"]["isError"] is True, answer
        case.decided()
    case.nothing_sent()


# --- names ------------------------------------------------------------------------------------------------------------

HIDDEN = (
    "danger",
    "gated",
    "echo_args",
    "rec__danger",
    "rec.danger",
    "rec/danger",
    "rec:danger",
    "rec2__safe",
    "rec/safe",
)
CASES = ("Safe", "SAFE", "sAfe", "\uff53afe", "\u017fafe", "s\u0430fe", "safe\u0301", "\U0001d42cafe")
INVISIBLE = (
    *("safe\u200b", "sa\u200dfe", "\ufeffsafe", "\u202esafe", "safe\U000e0000", "sa\u00adfe", "safe ", "safe\t"),
    *(
        "safe\n",
        " safe",
        "safe\r\n",
        "safe\x00",
        "safe\x00danger",
        "safe\u3164",
        "safe\ufe0f",
        "\u2060safe",
        "safe\u00a0",
    ),
)
TRICKS = (
    *("*", "s*", "safe*", "saf?", "[s]afe", "safe|danger", "safe,danger", "safe;danger", "safe%00", "%73afe", "safe#"),
    *(
        "safe/../danger",
        "../safe",
        "safe\\n",
        "${safe}",
        "{{safe}}",
        "safe'",
        'safe"',
        "safe\\u0000",
        "s" * 129,
        "s" * 10_000,
        "",
    ),
    *("delete_\nx", "Delete_x", "delete-x", "delete_", "delete_x", "delete_draft", "DELETE_draft", "delete_draft "),
)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "name",
    [*HIDDEN, *CASES, *INVISIBLE, *TRICKS],
    ids=[
        *(f"POL-01-{name}" for name in HIDDEN),
        *(f"POL-04-{name!a}" for name in CASES),
        *(f"POL-06-{name!a}" for name in INVISIBLE),
        *(f"POL-{'07' if len(name) > 100 else '09'}-{ascii(name)[:20]}" for name in TRICKS),
    ],
)
def test_only_the_name_itself_is_the_tool(rig: Rig, era: Era, name: str) -> None:
    with rig.case() as case:
        answer = tool(case, name, era=era)
        if name == "gated":
            told = answer.json["result"]
            assert told.get("resultType") == "input_required" or told["isError"], answer
            case.decided()
            case.nothing_sent()
        else:
            refused(case, answer)


@pytest.mark.parametrize("spelt", [b'"danger"', b'"\\u0064anger"', b'"d\\u0061nger"'], ids=lambda s: f"POL-01-{s!r}")
@pytest.mark.parametrize("era", ERAS)
def test_however_a_name_is_spelt_it_is_denied_by_its_rule(rig: Rig, era: Era, spelt: bytes) -> None:
    with rig.case() as case:
        answer = case.post(call(spelt, era=era), headers(case.agent.token, era, name="danger"))
        case.denied(answer, "rule", "narrow/no-danger")
        case.nothing_sent()


@pytest.mark.parametrize("kind", ["a", "b"], ids=lambda kind: f"POL-02-{kind}")
@pytest.mark.parametrize("era", ERAS)
def test_what_is_listed_is_what_may_be_called(rig: Rig, era: Era, kind: str) -> None:
    """By calls with arguments that would be allowed, where any are."""
    fitting = {
        "echo_args": b'{"path":"/srv/data/x"}',
        "pay": b'{"amount":1}',
        "routed": b'{"tenant":"https://a.good.example/"}',
    }
    with rig.case() as case:
        case.counted = False
        who = rig.agent(kind)
        fields = headers(who.token, era, "tools/list", None)
        listed = {each["name"] for each in case.post(message("tools/list", era=era), fields).json["result"]["tools"]}
        may = {name for name in rig.rec.tools if _may(case, who, name, fitting.get(name, b"{}"))}
        assert listed == may == {"safe", "echo_args", "pay", "routed", *(["gated"] if kind == "a" else [])}


def _may(case: Case, who: Agent, name: str, arguments: bytes) -> bool:
    answer = case.post(call(json.dumps(name).encode(), arguments), headers(who.token))
    said = answer.json["result"].get("_meta", {}).get("io.policylayer/decision")
    return said is None or said["reason_code"] == "pending"


ROUTES = ("X-Upstream", "X-Server", "X-MCP-Server", "Mcp-Server", "Mcp-Name", "X-Original-URL", "X-Forwarded-Prefix")


@pytest.mark.parametrize("name", ROUTES, ids=lambda name: f"POL-14-{name}")
def test_only_the_path_says_which_server(rig: Rig, name: str) -> None:
    """rec2 would let drafts be deleted, and rec does not."""
    with rig.case() as case:
        given = [*headers(case.agent.token, mcp_name=None), (name, "/mcp/rec2")]
        refused(case, case.post(call(b'"delete_draft"'), given))
        for path in ("/mcp/rec?server=rec2", "/mcp/rec;rec2", "/mcp/rec/../rec2", "/mcp/rec%2f..%2frec2", "//mcp/rec2"):
            answer = case.raw(request("POST", path, headers(case.agent.token), call(b'"delete_draft"')))
            assert answer.status in (200, 404, 405), (path, answer)
            if answer.status == 200 and "result" in answer.json:
                case.decided()
        case.nothing_sent()


# --- paths, hosts, resources ------------------------------------------------------------------------------------------

PATHS = (
    *(
        "/srv/data/../../etc/passwd",
        "/srv/data/..",
        "/srv/database/x",
        "/srv/data\x00/etc",
        "srv/data/x",
        "/SRV/data/x",
    ),
    *(
        "/srv/data/%2e%2e/%2e%2e/etc",
        "/srv/data/..%2f..%2fetc",
        "/srv/data/..\\..\\etc",
        "\\srv\\data\\..\\x",
        "~/x",
        "",
    ),
    *(
        "/srv/./data/../data2/x",
        "//srv/data/x/../../..",
        "file:///srv/data/x",
        "/proc/self/root",
    ),
)
HOSTS = (
    *(
        "http://a.good.example@evil.example/",
        "http://good.example.evil.example/",
        "http://127.1/",
        "http://0x7f000001/",
    ),
    *("http://evil.example/a.good.example", "http://evil.example\\@a.good.example/", "http://[::ffff:7f00:1]/"),
    *("http://evil.example#a.good.example", "http://evil.example?.good.example", "http://agood.example/"),
    *(
        "http://a.good.example\n.evil.example/",
        "http://a.good.examp\u200ble/",
        "http://good.example/",
        "a.good.example",
    ),
    *(
        "http://a.good.example:80@evil.example/",
        "http:a.good.example/",
        "//a.good.example/",
        "javascript://a.good.example/",
    ),
    *(
        "http://a.good\uff0eexample/",
        "http://a.good.example%2eevil.example/",
        " http://a.good.example/",
        "http://*.good.example/",
    ),
)


@pytest.mark.parametrize("path", PATHS, ids=[f"POL-16-{path!a}" for path in PATHS])
def test_paths_that_lead_elsewhere(rig: Rig, path: str) -> None:
    with rig.case() as case:
        refused(case, tool(case, "echo_args", json.dumps({"path": path}).encode()))


@pytest.mark.parametrize("host", HOSTS, ids=[f"POL-17-{host!a}" for host in HOSTS])
def test_hosts_that_are_others(rig: Rig, host: str) -> None:
    with rig.case() as case:
        refused(case, tool(case, "routed", json.dumps({"tenant": host}).encode()))


def test_pol_16_and_17_what_is_inside_passes(rig: Rig) -> None:
    """The conditions above are not simply always false."""
    with rig.case() as case:
        case.executed(tool(case, "echo_args", b'{"path":"/srv/data/a/../b"}'))
        case.executed(tool(case, "routed", b'{"tenant":"https://A.GOOD.example/x"}'))


URIS = (
    *(
        "file:///pub/a",
        "file:///pub/../etc/passwd",
        "file:///pub/%2e%2e/etc/passwd",
        "file:///pub/..%2fetc",
        "file:///PUB/a",
    ),
    *(
        "file:///pub/%252e%252e/etc",
        "FILE:///pub/a",
        "file://host/pub/a",
        "file:///pub\\..\\etc",
        "file:///pub/./a",
        "file:/pub/a",
    ),
    *(
        "file:///pub/a?../../etc",
        "file:///pub/a#../../etc",
        "file:///pub//../../etc",
        "file:///pub/%00/a",
        "file:///pub",
        " file:///pub/a",
    ),
    *(
        "file:///pub/a\u2028",
        "file:///pub/%c0%ae%c0%ae/etc",
        "file:///pub;/../etc",
        "file:////pub/a",
        "file:///x/../pub/a",
    ),
)


@pytest.mark.parametrize("uri", URIS, ids=[f"POL-09-{uri!a}" for uri in URIS])
@pytest.mark.parametrize("era", ERAS)
def test_a_resource_that_is_read_lies_where_the_rule_says(rig: Rig, era: Era, uri: str) -> None:
    """Whatever the server decodes, and as often as it likes."""
    with rig.case() as case:
        inside = b'"uri":%b' % json.dumps(uri).encode()
        given = headers(case.agent.token, era, "resources/read", uri)
        answer = case.post(message("resources/read", inside, era), given)
        case.counted = False
        if answer.status == 200 and "result" in answer.json:
            read: Any = uri
            for _ in range(4):
                assert posixpath.normpath(urlsplit(read).path.replace("\\", "/")).startswith("/pub/"), read
                read = unquote(read)
        else:
            assert answer.status == 400 or answer.json["error"]["code"] == 40301, answer
            case.nothing_sent()


# --- amounts ----------------------------------------------------------------------------------------------------------

AMOUNTS = (b"-1", b"0", b"-0", b"101", b"1e3", b'"50"', b"true", b"null", b"[50]", b'{"$gt":0}', b"[]", b"{}")


@pytest.mark.parametrize("amount", [*AMOUNTS, None], ids=[f"POL-22-{amount!r}" for amount in (*AMOUNTS, "absent")])
def test_amounts_that_are_none(rig: Rig, amount: bytes | None) -> None:
    with rig.case() as case:
        refused(case, tool(case, "pay", b"{}" if amount is None else b'{"amount":%b}' % amount))


def test_pol_26_many_at_once_never_spend_more_than_may_be_spent(rig: Rig) -> None:
    with rig.case() as case:
        case.counted = False
        begin, before = threading.Barrier(20), len(rig.rec.calls)

        def pay(number: int) -> bool:
            begin.wait(20)
            era = ERAS[number % 2]
            fields = headers(case.agent.token, era, name="pay")
            with rig.wire(case.agent.source) as wire:
                wire.send(request("POST", "/mcp/rec", fields, call(b'"pay"', b'{"amount":99.5}', era)))
                return not wire.response().json["result"].get("isError")

        with ThreadPoolExecutor(20) as pool:
            paid = sum(pool.map(pay, range(20)))
        assert paid == 5
        assert sum(one.params["name"] == "pay" for one in rig.rec.calls[before:]) == 5


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_pol_37_the_same_head_with_another_body_is_another_call(rig: Rig) -> None:
    """Heads are remembered by their bytes; decisions are not."""
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        fields = headers(case.agent.token)
        for number in range(30):
            name = (b'"safe"', b'"danger"', b'"pay"')[number % 3]
            body = call(name, b'{"amount":%d}' % (50 if number % 2 else 5000))
            answer = case.saw(wire.send(request("POST", "/mcp/rec", fields, body)).response())
            if number % 3 == 0 or (number % 3 == 2 and number % 2):
                case.executed(answer)
            else:
                case.denied(answer, "rule" if number % 3 == 1 else "not_applicable")


def test_pol_37_a_remembered_head_of_a_revoked_grant_is_nobodys(rig: Rig) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        sent = request("POST", "/mcp/rec", headers(case.agent.token), call())
        for _ in range(3):
            case.executed(case.saw(wire.send(sent).response()))
        grants = rig.proxy.ask("GET", "/grants")["items"]
        rig.proxy.ask("DELETE", f"/grants/{next(g['id'] for g in grants if g['principal'] == case.agent.principal)}")
        last: list[Response] = []

        def over() -> bool:
            last.append(case.saw(wire.send(sent).response()))
            if last[-1].status == 200:
                case.decided()
            return last[-1].status == 401

        until(over, lambda: f"the grant is still somebody's: {last[-1]}", 2)
