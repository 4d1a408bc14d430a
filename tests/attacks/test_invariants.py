"""The witnesses themselves: that what must not happen would be seen. An oracle that cannot fail shows nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from policylayer.core import canonical as ours
from tests.attacks.messages import call, headers, message
from tests.attacks.rig import SECRET, Rig
from tests.support.invariants import Ledger, absent, canonical, digest_of
from tests.support.raw_http import request
from tests.support.recording import Received


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A rig whose ledger may be told lies."""
    with Rig(tmp_path_factory.mktemp("invariants")) as rig:
        yield rig


@pytest.fixture
def ledger(rig: Rig) -> Iterator[Ledger]:
    """Another reader of the same log."""
    ledger = Ledger(rig.proxy.database, rig.proxy.key_file)
    ledger.read()
    yield ledger
    ledger.close()


def received(body: bytes) -> Received:
    return Received(0, 0.0, "POST", "/mcp", [], b"", body, json.loads(body))


def test_a_call_without_a_row_is_seen(ledger: Ledger) -> None:
    ledger.arrived("rec", received(call(arguments=b'{"never":"decided"}')))
    with pytest.raises(AssertionError, match="no committed row"):
        ledger.check()


def test_a_call_with_anothers_row_is_seen(rig: Rig, ledger: Ledger) -> None:
    with rig.wire() as wire:
        body = call(b'"echo_args"', b'{"n":1}')
        wire.send(request("POST", "/mcp/rec", headers(rig.good.token), body)).response()
    for changed in (body.replace(b"1}", b"2}", 1), body.replace(b"echo_args", b"echo_arg")):
        assert digest_of(changed) != digest_of(body)
        ledger.faults.clear()
        ledger.arrived("rec", received(changed))
        assert len(ledger.faults) == 1
    ledger.faults.clear()
    ledger.arrived("rec2", received(body))
    assert len(ledger.faults) == 1, "another server's row"
    ledger.faults.clear()
    ledger.arrived("rec", received(body))
    assert not ledger.faults
    ledger.arrived("rec", received(body))
    assert len(ledger.faults) == 1, "one row for two calls"


def test_a_forbidden_call_is_seen_even_with_a_row(rig: Rig) -> None:
    ledger = Ledger(rig.proxy.database, rig.proxy.key_file, forbidden=("safe",))
    rig.good_call()
    ledger.arrived("rec", received(call()))
    with pytest.raises(AssertionError, match="forbidden"):
        ledger.check()
    ledger.close()


def test_a_secret_is_seen(rig: Rig, ledger: Ledger) -> None:
    with rig.wire() as wire:
        plain = call(b'"echo_args"', b'{"comment":"my word is CANARY-SEEN"}')
        wire.send(request("POST", "/mcp/rec", headers(rig.good.token), plain)).response()
    with pytest.raises(AssertionError, match="CANARY-SEEN"):
        ledger.check([b"CANARY-SEEN"])
    with pytest.raises(AssertionError, match="CANARY-SEEN"):
        ledger.check_file([b"CANARY-SEEN"])
    with pytest.raises(AssertionError):
        absent(b"a" + SECRET.encode(), rig.secrets, "here")


def test_a_missing_or_superfluous_decision_is_seen(rig: Rig) -> None:
    for expected in (0, 2):
        case = rig.case()
        case.__enter__()
        case.executed(case.post(call()))
        case.decided(expected - 1)
        with pytest.raises(AssertionError, match="decisions expected"):
            case.__exit__(None, None, None)


def test_an_open_connection_is_seen(rig: Rig) -> None:
    rig.vitals.begin()
    with rig.wire() as wire:
        wire.send(request("POST", "/mcp/rec", headers(rig.good.token), call())).response()
        assert rig.vitals.connections() == 1
        with pytest.raises(AssertionError, match="1 connections are open"):
            rig.vitals.check(patience=0.1)


VALUES: list[tuple[str, Any]] = [
    ("1", 1),
    ("100.0", 100.0),
    ("1E2", 100.0),
    ("0.1", 0.1),
    ("1e-7", 1e-7),
    ("123456.789", 123456.789),
    ("1e21", 1e21),
    ("1e20", 1e20),
    ("-0.0", -0.0),
    ("5e-324", 5e-324),
    ("9007199254740993", 9007199254740993),
    ('{"b":1,"a":[true,null,"\\u00e9\\u0000\\n\\""],"\\ud83d\\ude00":2,"\\uffff":3}', None),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text[:12] for text, _ in VALUES])
def test_both_canonical_forms_agree(text: str, value: Any) -> None:
    mine = canonical(json.loads(text, parse_float=Decimal)).encode()
    assert mine == ours.canonical(json.loads(text) if value is None else value)


def test_the_digest_leaves_out_what_is_no_part_of_the_call() -> None:
    plain = call(arguments=b'{"a":1.50}')
    assert digest_of(plain) == digest_of(call(arguments=b'{ "a" : 1.5 }', id=b'"x"'))
    assert digest_of(call(era="modern")) == digest_of(call()) == digest_of(message("tools/call", b'"name":"safe"'))
