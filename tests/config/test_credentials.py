"""What of a server's configuration is a credential, and what only looks like a value."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from policylayer.config.credentials import credentials_of
from tests.config.test_load import config_of, problems

LONG = "correct-horse-battery-9"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "X-Api-Key",
        "Cookie",
        "SHOP_TOKEN",
        "DB_PASSWORD",
        "OPENAI_KEY",
        "clientSecret",
        "STRIPE_KEY",
        "DB_PASS",
    ],
)
def test_names_of_credentials(name: str) -> None:
    assert credentials_of(None, [(name, LONG)], {}) == (LONG,)
    assert credentials_of(None, [], {name: LONG}) == (LONG,)


@pytest.mark.parametrize(
    "name",
    [
        *("ROOT", "HOME", "X-Tenant", "TOKEN_FILE", "TOKEN_URL", "AWS_ACCESS_KEY_ID", "SECRET_NAME", "KEY_FILE"),
        *("X-Key-Version", "Accept", "PAGE_TOKEN", "KEYBOARD", "MONKEY"),
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert credentials_of(None, [(name, LONG)], {}) == ()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (f"Bearer {LONG}", [LONG]),
        (f"token  {LONG} ", [LONG]),
        (base64.b64encode(b"ann:not-told-9").decode(), [base64.b64encode(b"ann:not-told-9").decode()]),
        (
            "Basic " + base64.b64encode(b"ann:not-told-9").decode(),
            [base64.b64encode(b"ann:not-told-9").decode(), "not-told-9"],
        ),
        ("Basic %%%", []),
        (f"sid={LONG}; theme=dark", [f"sid={LONG}; theme=dark", LONG]),
        (
            "-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n",
            ["MIIBVgIBADANBgkq", "hkiG9w0BAQEFAASC"],
        ),
        ("short-7", []),
        ("postgres", []),
        ("POSTGRES", []),
        ("20260101", []),
        ("Postgres", ["Postgres"]),
        ("postgres1", ["postgres1"]),
        ("", []),
    ],
)
def test_what_of_a_value_is_one(value: str, found: list[str]) -> None:
    assert list(credentials_of(None, [("AUTH_TOKEN", value)], {})) == found


def test_urls_hold_some_too() -> None:
    url = "https://mcp.example/mcp?tenant=a-tenant-of-ours&api_key=k-12345678"
    assert credentials_of(url, [], {}) == ("k-12345678",)
    assert credentials_of("https://h/mcp?api_key=ab%2Fcd%3D9876", [], {}) == ("ab%2Fcd%3D9876", "ab/cd=9876")
    database = [("DATABASE_URL", "postgres://shop:p%40ss-word1@db/shop")]
    assert credentials_of(None, database, {}) == ("p%40ss-word1", "p@ss-word1")
    assert credentials_of(None, [("DATABASE_URL", "http://[bad")], {}) == ()


CONFIG = """\
servers:
  shop: {url: "http://127.0.0.1:1/mcp", headers: {X-Shop: "v1 ${SHOP_TOKEN}"}}
  files: {command: [files, --auth, "${FILES_SECRET}", "$${NO_TOKEN}"], env: {ROOT: "${ROOT}", API_KEY: abcdefgh-1}}
  shown: {url: "http://127.0.0.1:1/mcp", headers: {Authorization: "Bearer ${SHOP_TOKEN}"}, hide_credentials: false}
"""


def test_each_server_has_its_own(tmp_path: Path) -> None:
    given = {"SHOP_TOKEN": LONG, "FILES_SECRET": "hunter2hunter2", "ROOT": "/srv/a-long-folder"}
    servers = {each.name: each.credentials for each in config_of(tmp_path, CONFIG, given).servers}
    assert servers == {"shop": (LONG,), "files": ("abcdefgh-1", "hunter2hunter2"), "shown": ()}


def test_it_is_a_truth_value(tmp_path: Path) -> None:
    text = "servers: {a: {command: [x], hide_credentials: some}}\n"
    assert problems(tmp_path, text) == [
        "1:47 PL120 `hide_credentials` in server `a` must be `true` or `false`, not text"
    ]
