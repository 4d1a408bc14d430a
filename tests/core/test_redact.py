"""Redaction: no canary survives where it looks like a secret; what is harmless stays; the output is bounded."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.redact import Redactor, Sizes, below, parse_path, pick
from policylayer.core.secret_shapes import is_secret_key

CANARY = "CANARY-7f3a91"


def mark(value: Any) -> str:
    """Stands for the keyed digest: equal for equal values, and says nothing of them."""
    return hashlib.sha256(b"key" + orjson.dumps(value)).hexdigest()[:16]


REDACTOR = Redactor(mark)


def kept(arguments: dict[str, Any], **more: Any) -> str:
    view = REDACTOR.view("redacted", arguments, **more)
    assert view.why is None
    assert view.text is not None
    return view.text


def masked(value: Any) -> str:
    return f"[redacted:{mark(value)}]"


SECRET_KEYS = [
    *("password", "Password", "db_password", "userPassword", "PASSWD", "passphrase", "pwd", "api_key", "API-KEY"),
    *("apiKey", "x-api-key", "token", "access_token", "refreshToken", "Authorization", "authorization_header", "auth"),
    *("secret", "client_secret", "clientSecret", "cookie", "Set-Cookie", "private_key", "privateKey", "credentials"),
    *(
        "pin",
        "card_pin",
        "cvv",
        "otp",
        "jwt",
        "session_id",
        "connection_string",
        "bearer",
        "ｐａｓｓｗｏｒｄ",
        "signing.key",
    ),
]
HARMLESS_KEYS = ["max_tokens", "page_token", "nextPageToken", "shipping", "author", "key", "name", "spin", "passenger"]

SECRET_VALUES = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlLUNBTkFSWQ",
    "AKIACANARY7F3A91ABCD",
    f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\nx\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    f"sk-{CANARY}-0123456789",
    f"sk_live_{CANARY.replace('-', '')}0123456789",
    f"ghp_{CANARY.replace('-', '')}0123456789",
    f"github_pat_{CANARY.replace('-', '_')}0123456789",
    f"xoxb-{CANARY}-0123456789",
    f"glpat-{CANARY}0123456789",
    f"Bearer {CANARY}abcdef",
    "Basic " + base64.b64encode(f"user:{CANARY}".encode()).decode(),
    f"https://user:{CANARY}@example.com/x",
    f"postgres://{CANARY}@db/x",
    f"https://example.com/x?a=1&api_key={CANARY}&b=2",
    f"https://example.com/x#access_token={CANARY}",
    f"https://example.com/cb?u={quote('https://x/?token=' + CANARY, safe='')}",
    f"curl -H 'Authorization: Bearer {CANARY}abc' https://x",
    f"Cookie: a=b; sid={CANARY}",
    f"password={CANARY}",
    f'password: "{CANARY} with spaces"',
    f"mysql --password {CANARY}",
    f"export AWS_SECRET_ACCESS_KEY={CANARY}",
    f"plg_abcdefgh_{CANARY}",
]


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("key", SECRET_KEYS)
def test_what_stands_under_a_secret_key_is_masked(key: str) -> None:
    """AUD-16."""
    assert json.loads(kept({key: CANARY})) == {key: masked(CANARY)}
    assert CANARY not in kept({"a": [{"b": {"c": [{"d": {key: {"deep": [CANARY]}}}]}}]})
    assert CANARY not in kept({"text": json.dumps({"x": [{key: CANARY}]})})
    assert CANARY not in kept({"text": json.dumps({"inner": json.dumps([{key: CANARY}])})})


@pytest.mark.parametrize("key", HARMLESS_KEYS)
def test_harmless_keys_are_kept(key: str) -> None:
    assert json.loads(kept({key: 7})) == {key: 7}


def test_a_number_of_tokens_is_kept_a_token_that_is_a_number_is_not() -> None:
    assert not is_secret_key("max_tokens", 100)
    assert not is_secret_key("token_limit", 100)
    assert is_secret_key("token", 123456)
    assert is_secret_key("max_tokens", "CANARY")
    assert is_secret_key("pin", 1234)
    assert not is_secret_key("password", None)


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("value", SECRET_VALUES, ids=lambda value: value[:24].replace("\n", " "))
def test_what_is_shaped_like_a_secret_is_masked(value: str) -> None:
    """AUD-16."""
    canaries = {CANARY, CANARY.replace("-", ""), CANARY.replace("-", "_"), "AKIACANARY7F3A91ABCD", "c2lnbmF0dXJl"}
    for arguments in (
        {"note": value},
        {"note": f"before {value}"},
        {"list": [1, {"deep": value}]},
        {"json": json.dumps({"x": value})},
        {"base64": base64.b64encode(value.encode()).decode()},
        {"url": base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")},
    ):
        text = kept(arguments)
        hidden = {base64.b64encode(canary.encode()).decode()[:12] for canary in canaries}
        assert not [canary for canary in canaries | hidden if canary in text], text
        assert "[redacted:" in text


@pytest.mark.parametrize(
    "value",
    [
        "a normal sentence about the basic understanding of a token in parsing",
        "/usr/local/lib/python3.11/site-packages/somewhere",
        "https://example.com/path?page=2&sort=asc",
        "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e",
        "shipping@example.com wrote: risk-adjusted desk-side",
        "SELECT * FROM users WHERE id = 1",
        "ÄÖÜ 漢字 🎉",
        '{"a": [1, 2, {"b": "c"}]}',
        "100%",
        "A" * 40,
    ],
)
def test_harmless_values_are_kept_as_they_are(value: str) -> None:
    view = REDACTOR.view("redacted", {"value": value})
    assert json.loads(view.text or "") == {"value": value}
    assert view.masked == ()


def test_equal_values_have_equal_marks_wherever_they_stand() -> None:
    text = json.loads(kept({"password": CANARY, "b": [{"token": CANARY}], "c": f"x?token={CANARY}", "d": {"pin": "x"}}))
    assert text["password"] == text["b"][0]["token"] == masked(CANARY)
    assert text["c"] == f"x?token={masked(CANARY)}"
    assert text["d"]["pin"] != masked(CANARY)


def test_where_marks_stand_is_said_so_that_an_argument_cannot_pass_for_one() -> None:
    view = REDACTOR.view("redacted", {"a": masked("x"), "b/c~": [{"token": "y"}]})
    assert json.loads(view.text or "")["a"] == masked("x")
    assert view.masked == ("/b~1c~0/0/token",)


@pytest.mark.parametrize(
    ("path", "gone", "left"),
    [
        ("args.card", ["n", "s"], []),
        ("args.card.**", ["n", "s"], ["number", "owner"]),
        ("args.card.number", ["n"], ["s"]),
        ("args.*.number", ["n"], ["s"]),
        ("args.**.name", ["s"], ["n"]),
        ("args.list.*.a", ["one", "two"], ["three"]),
        ("args.list.1.a", ["two"], ["one", "three"]),
        ('args."odd.key"', ["odd"], ["n", "s"]),
        ("args.**", ["n", "s", "one", "three", "odd"], ["card", "list"]),
        ("input.card", [], ["n", "s"]),
        ("args.none.at.all", [], ["n", "s"]),
    ],
)
def test_the_policys_paths_are_masked(path: str, gone: list[str], left: list[str]) -> None:
    def quoted(names: list[str]) -> list[str]:
        return [f'"{name}"' for name in names]

    arguments = {
        "card": {"number": "n", "owner": {"name": "s"}},
        "list": [{"a": "one"}, {"a": "two", "b": "three"}],
        "odd.key": "odd",
    }
    text = kept(arguments, paths=(path,))
    assert not [value for value in quoted(gone) if value in text], text
    assert not [value for value in quoted(left) if value not in text], text


def test_paths_of_the_responses_begin_with_input() -> None:
    view = REDACTOR.view("redacted", {"q": {"answer": "x"}}, paths=("input.q.answer", "args.q"), root="input")
    assert json.loads(view.text or "") == {"q": {"answer": masked("x")}}


def test_further_names_of_keys_are_masked_too() -> None:
    redactor = Redactor.of(mark, ["Customer-Number"])
    assert json.loads(redactor.view("redacted", {"customerNumber": "x", "a": 1}).text or "") == {
        "customerNumber": masked("x"),
        "a": 1,
    }


def test_a_long_value_is_cut_to_its_mark_and_length() -> None:
    view = REDACTOR.view("redacted", {"body": "x" * 5000, "a": 1})
    assert json.loads(view.text or "") == {"body": f"[cut:{mark('x' * 5000)}:5000]", "a": 1}
    assert view.masked == ("/body",)


def test_what_is_too_large_as_a_whole_is_not_kept() -> None:
    redactor = Redactor(mark, sizes=Sizes(value=50, whole=1000))
    view = redactor.view("redacted", {"list": ["x"] * 1000})
    assert (view.mode, view.text, view.why) == ("digest", None, "too large: 4010 characters")
    assert len(redactor.view("redacted", {str(n): {"token": n} for n in range(10)}).masked) == 10


def test_only_so_many_places_are_named() -> None:
    view = Redactor(mark, sizes=Sizes(whole=10**6)).view("redacted", {str(n): {"token": n} for n in range(500)})
    assert len(view.masked) == 101
    assert view.masked[-1] == "…"


@pytest.mark.shows("audit.1")
def test_a_secret_in_the_name_of_a_key_is_masked_and_the_object_said_to_be_other_than_it_was() -> None:
    for key in (f"https://x/?access_token={CANARY}", f"Bearer {CANARY}abcdef", quote(f"password={CANARY}", safe="")):
        view = REDACTOR.view("redacted", {"a": {key: 1, "b": "c"}, "d": [{"token": "x"}]})
        assert CANARY not in str(view)
        assert json.loads(view.text or "")["a"]["b"] == "c"
        assert "/a" in view.masked
    long = REDACTOR.view("redacted", {"x" * 5000 + "password": CANARY, "a": 1})
    assert CANARY not in str(long)
    assert "x" * 100 not in str(long)


@pytest.mark.shows("audit.1")
def test_what_is_masked_in_a_text_is_masked_also_where_no_more_places_are_named() -> None:
    arguments = {"first": [{"token": n} for n in range(200)], "text": json.dumps({"colour": CANARY})}
    view = REDACTOR.view("redacted", arguments, paths=("args.text.colour",))
    assert view.text is not None
    assert CANARY not in view.text
    assert view.masked[-1] == "…"


def test_a_path_of_any_number_of_steps_is_followed_once_to_each_place() -> None:
    paths: tuple[tuple[str, ...], ...] = (("**", "a", "**", "a", "**", "a", "**", "b"),)
    for _ in range(64):
        paths = below(paths, "a")
        assert len(paths) < 10


@pytest.mark.parametrize("mode", ["none", "digest"])
def test_some_modes_keep_nothing(mode: Any) -> None:
    assert REDACTOR.view(mode, {"a": 1}).text is None


def test_full_keeps_everything() -> None:
    assert json.loads(REDACTOR.view("full", {"password": "x"}, paths=("args.password",)).text or "") == {
        "password": "x"
    }


def test_read_keeps_what_rules_read_and_masks_it_too() -> None:
    arguments = {"a": {"b": 1, "c": 2}, "d": [1], "e": "x", "token": "t", "n": None}
    reads = {("args", "a", "b"), ("args", "d", "x"), ("args", "token"), ("args", "n", "m"), ("input", "e"), ("time",)}
    view = REDACTOR.view("read", arguments, reads=reads)
    assert json.loads(view.text or "") == {"a": {"b": 1}, "d": [1], "token": masked("t"), "n": None}
    assert json.loads(REDACTOR.view("read", arguments).text or "") == {}
    assert json.loads(REDACTOR.view("read", {"e": 1}, reads={("args",)}).text or "") == {"e": 1}


def test_picking_a_path_and_one_below_it_keeps_the_whole() -> None:
    source = {"a": {"b": 1, "c": 2}}
    assert pick(source, [("a",), ("a", "b")]) == source
    assert source == {"a": {"b": 1, "c": 2}}


def test_paths_are_cut_at_their_dots() -> None:
    assert parse_path('args."a.b".*.**') == ("args", "a.b", "*", "**")
    assert parse_path('args."a"') == ("args", "a")


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("broken", [{"a": {1, 2}}, {"a": "\ud800"}, {"a": 2**70}])
def test_what_cannot_be_redacted_is_not_kept(broken: dict[str, Any]) -> None:
    """AUD-17."""
    view = REDACTOR.view("redacted", broken)
    assert (view.mode, view.text) == ("digest", None)


def test_a_mark_that_fails_keeps_nothing() -> None:
    def failing(_: object) -> str:
        raise ValueError(CANARY)

    view = Redactor(failing).view("redacted", {"password": CANARY})
    assert (view.mode, view.text) == ("digest", None)
    assert CANARY not in str(view)


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.shows("audit.1")
@given(
    VALUES, st.lists(st.integers(0, 3) | TEXTS, max_size=5), st.sampled_from(["password", "api_key", "Authorization"])
)
def test_a_canary_under_a_secret_key_never_survives(value: Any, steps: list[int | str], key: str) -> None:
    """AUD-16."""
    nested: Any = {key: [value, CANARY]}
    for step in steps:
        nested = [nested, step] if isinstance(step, int) else {step: nested}
    view = REDACTOR.view("redacted", {"a": nested})
    assert CANARY not in (view.text or "")
    as_text = REDACTOR.view("redacted", {"a": json.dumps(nested)})
    assert CANARY not in (as_text.text or "")


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_the_text_is_one_line_of_json_and_only_marked_places_differ(arguments: dict[str, Any]) -> None:
    view = REDACTOR.view("redacted", arguments)
    text = view.text or "{}"
    assert not {"\n", "\r", "\x00"} & set(text)
    if view.text is not None and not view.masked:
        assert json.loads(text) == arguments


@given(st.text(alphabet="eyJ-._:/@=?&%sk_AKIA\"'{}[]token password", max_size=2000))
def test_any_text_is_redacted_in_bounded_time(text: str) -> None:
    REDACTOR.view("redacted", {"a": text})


# --- arguments in a text ----------------------------------------------------------------------------------------------


def test_paths_go_on_into_a_text_of_json() -> None:
    inner = json.dumps({"card": {"number": "4111"}, "note": "x"})
    text = kept({"with": inner}, paths=("args.with.card.**",))
    assert json.loads(json.loads(text)["with"]) == {"card": {"number": masked("4111")}, "note": "x"}
    twice = kept({"with": json.dumps({"a": inner})}, paths=("args.with.a.card",))
    assert "4111" not in twice
    assert json.loads(kept({"with": "no json"}, paths=("args.with.card",))) == {"with": "no json"}


def test_only_what_is_read_of_a_text_of_json_is_kept() -> None:
    source: Any = {"with": json.dumps({"a": {"b": 1, "c": 2}, "d": 3}), "plain": "text", "list": "[1]"}
    assert pick(source, [("with", "a", "b")]) == {"with": '{"a":{"b":1}}'}
    assert pick(source, [("with", "a", "b"), ("with", "d")]) == {"with": '{"a":{"b":1},"d":3}'}
    assert pick(source, [("with", "nothing")]) == {"with": "{}"}
    assert pick(source, [("with",), ("with", "d")]) == {"with": source["with"]}
    assert pick(source, [("plain", "x"), ("list", "x")]) == {"plain": "text", "list": "[1]"}


@pytest.mark.parametrize("path", ["args.x.**", "args.x.**.**", "args.**.**.**", "args.**.x.**.**"])
def test_any_number_of_steps_is_also_none(path: str) -> None:
    assert CANARY not in kept({"x": CANARY}, paths=(path,))
    assert CANARY not in kept({"x": {"y": [CANARY]}}, paths=(path,))
