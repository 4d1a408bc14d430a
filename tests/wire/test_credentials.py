"""What a server says of the credential it was given does not pass, however JSON writers write it; all else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policylayer.wire.credentials import Credentials

SECRET = "sk-ä<live>&/+'9\"\\"


def said(text: str) -> bytes:
    return json.dumps({"result": {"content": [{"type": "text", "text": text}]}}).encode()


def test_what_holds_none_is_the_same_object() -> None:
    raw = said("nothing here")
    assert Credentials([SECRET]).hidden(raw) is raw
    assert Credentials([]).hidden(raw) is raw


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        '"sk-\\u00e4\\u003clive\\u003e\\u0026/+\'9\\"\\\\"',  # Go
        '"sk-ä\\u003clive\\u003e\\u0026/+\'9\\"\\\\"',
        '"sk-\\u00e4\\u003Clive\\u003E\\u0026/\\u002B\\u00279\\"\\\\"',  # .NET
        '"sk-\\u00e4<live>&\\/+\'9\\"\\\\"',  # PHP
        '"sk-\\u00E4\\u003Clive\\u003E\\u0026/\\u002B\\u00279\\u0022\\\\"',  # .NET
        '"sk-ä\\u003clive\\u003e\\u0026/+\\u00279\\"\\\\"',  # Gson
    ],
)
def test_however_it_is_written(written: str) -> None:
    assert json.loads(written) == SECRET
    hidden = Credentials([SECRET]).hidden(b'{"a":' + written.encode() + b',"b":1}')
    assert json.loads(hidden) == {"a": "[masked]", "b": 1}


def test_within_a_text_of_json_it_is_found_too() -> None:
    """A tool often answers with JSON in a text: what is escaped once there is escaped twice."""
    hidden = Credentials([SECRET]).hidden(said(json.dumps({"env": {"TOKEN": SECRET}})))
    assert json.loads(json.loads(hidden)["result"]["content"][0]["text"]) == {"env": {"TOKEN": "[masked]"}}


def test_a_padded_token_is_found_however_its_padding_is_written() -> None:
    hidden = Credentials(["dXNlcjpwYXNzd29yZA=="]).hidden(
        b'["dXNlcjpwYXNzd29yZA\\u003d\\u003D", "dXNlcjpwYXNzd29yZA=="]'
    )
    assert hidden == b'["[masked]", "[masked]"]'


@pytest.mark.parametrize("sign", ["\U0001f511", "\n", "\\", "\\\\\\", '"', "\x01", "."])
def test_any_character(sign: str) -> None:
    secret = f"key{sign}123{sign}"
    for ascii_only in (True, False):
        raw = json.dumps(["a", secret, json.dumps(secret, ensure_ascii=ascii_only)], ensure_ascii=ascii_only)
        assert json.loads(Credentials([secret]).hidden(raw.encode())) == ["a", "[masked]", '"[masked]"']


def test_what_is_only_like_it_stays() -> None:
    raw = said("key.123 keyx123.")
    assert Credentials(["key.123."]).hidden(raw) is raw


def test_the_longer_of_two_goes_first() -> None:
    assert (
        Credentials(["secret-1", "secret-1-and-more"]).hidden(b'"secret-1-and-more secret-1"') == b'"[masked] [masked]"'
    )


@given(before=st.text(), secret=st.text(min_size=8), after=st.text())
def test_an_answer_stays_json_and_holds_it_no_more(before: str, secret: str, after: str) -> None:
    assume("[masked]" not in secret and secret not in "[masked]")
    try:
        raw = json.dumps([before, secret, after], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raw = json.dumps([before, secret, after]).encode()
    hidden = json.loads(Credentials([secret]).hidden(raw))
    assert hidden[1] == "[masked]"
