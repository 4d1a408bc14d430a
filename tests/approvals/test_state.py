"""The sealed state that a client carries: opens for the same caller and call, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.approvals.state import LIMIT, MARK, RequestState, asked_digest, is_ours, open_state, seal
from policylayer.core.call import Call, Caller
from policylayer.keys import Keys
from tests.approvals.desk import KEYS, call, caller

STATE = RequestState(
    kind="round",
    number=2,
    nonce="n" * 22,
    expires_us=1000,
    approval_id="apr_x",
    parent="row",
    rules=("p/a", "p/b"),
    asked=("key",),
    asked_digest=asked_digest({"key": {"method": "elicitation/create"}}),
    upstream_state='{"opaque": "\u00e9"}',
    extra={"server": "shop"},
)


@pytest.mark.shows("proxy.8")
def test_what_was_sealed_opens_for_the_same_call() -> None:
    sealed = seal(KEYS, STATE, caller(), call(amount=1))
    assert is_ours(sealed)
    assert open_state(KEYS, sealed, caller(), call(amount=1), 999) == STATE
    answered = replace(call(amount=1), digest=b"x" * 32, input={"key": {}})
    assert open_state(KEYS, sealed, caller(), answered, 999) == STATE
    assert sealed != seal(KEYS, STATE, caller(), call(amount=1))
    rotated = Keys([bytes(range(1, 33)), bytes(range(32))])
    assert open_state(rotated, sealed, caller(), call(amount=1), 999) == STATE


OTHERS: list[tuple[Caller, Call]] = [
    (caller("agent:other"), call(amount=1)),
    (caller(grant="g2"), call(amount=1)),
    (caller(grant=None), call(amount=1)),
    (caller(for_="user:carl"), call(amount=1)),
    (caller(), call(amount=2)),
    (caller(), call("pay", amount=1)),
    (caller(), call(server="files", amount=1)),
    (caller(), replace(call(amount=1), method="prompts/get")),
    (caller(), replace(call(amount=1), target=None)),
]


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_for_another_caller_or_call_it_is_nothing(number: int) -> None:
    sealed = seal(KEYS, STATE, caller(), call(amount=1))
    assert open_state(KEYS, sealed, *OTHERS[number], 999) is None


@pytest.mark.shows("proxy.8")
def test_it_ends() -> None:
    sealed = seal(KEYS, STATE, caller(), call())
    assert open_state(KEYS, sealed, caller(), call(), 999) is not None
    assert open_state(KEYS, sealed, caller(), call(), 1000) is None


@given(st.data())
def test_any_change_of_the_text_is_noticed(data: st.DataObject) -> None:
    sealed = seal(KEYS, STATE, caller(), call())
    place = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    changed = sealed[:place] + other + sealed[place + 1 :]
    assert changed == sealed or open_state(KEYS, changed, caller(), call(), 0) is None


@given(st.one_of(st.text(max_size=200), st.text(max_size=200).map(MARK.__add__)))
def test_no_text_breaks_the_reading(text: str) -> None:
    assert open_state(KEYS, text, caller(), call(), 0) is None


def test_what_is_too_long_is_not_looked_at() -> None:
    assert open_state(KEYS, MARK + "A" * LIMIT, caller(), call(), 0) is None
    assert not is_ours("other")
    assert not is_ours(None)


def test_the_answers_must_be_to_exactly_what_was_asked() -> None:
    state = replace(STATE, asked=("a", "b"))
    assert state.covers({"a": 1, "b": 2})
    assert not state.covers({"a": 1})
    assert not state.covers({"a": 1, "b": 2, "c": 3})
    assert replace(STATE, asked=()).covers({})


def test_the_digest_of_what_was_asked_is_of_keys_and_content() -> None:
    assert asked_digest({"a": 1, "b": 2}) == asked_digest({"b": 2, "a": 1})
    assert asked_digest({"a": 1}) != asked_digest({"b": 1})
    assert asked_digest({"a": 1}) != asked_digest({"a": 2})
