"""What is told where PostgreSQL, or the way to it, fails: no word of Python's, and nothing of a password."""

from __future__ import annotations

import socket
import ssl

import pytest

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")

import asyncpg
from sqlalchemy.engine import make_url

from policylayer.core.errors import REACH
from policylayer.store.unanswered import LATER, LOGIN, NAME, NO_DATABASE, told

URL = make_url("postgresql://proxy@db.example/log")
REFUSED = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432)")


@pytest.mark.parametrize(
    ("error", "why", "help"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "nothing answers at `db.example:5432`", REACH),
        (REFUSED, "nothing answers at `db.example:5432`", REACH),
        (TimeoutError(), "`db.example:5432` does not answer in time", REACH),
        (socket.gaierror(-2, "Name or service not known"), "the name of its host is not known", NAME),
        (ssl.SSLError(1, "[SSL] x"), "`db.example:5432` takes no encrypted connection as we ask for it", "sslmode"),
        (ConnectionError("rejected SSL upgrade"), "`db.example:5432` takes no encrypted connection", "sslmode"),
        (asyncpg.InvalidPasswordError("no"), "no", LOGIN),
        (asyncpg.InvalidCatalogNameError('database "log" does not exist'), "does not exist", NO_DATABASE),
        (asyncpg.TooManyConnectionsError("too many clients"), "too many clients", LATER),
        (asyncpg.InsufficientPrivilegeError("denied"), "denied", "policylayer migrate -c OWNER.yaml --role proxy"),
        (asyncpg.DiskFullError("disk full"), "disk full", REACH),
        (asyncpg.InterfaceError(""), "the connection failed", REACH),
    ],
)
def test_each_failure_is_told_with_what_to_do(error: Exception, why: str, help: str) -> None:
    said, to_do = told(error, URL)
    assert why in said
    assert help in to_do
    assert "Errno" not in said


def test_the_end_of_a_password_is_not_taken_for_a_host_and_shown() -> None:
    """Of `pa@ss` in a URL the second half is read as its host's name."""
    at = make_url("postgresql://proxy:pa@ss@db.example/log")
    for error in (socket.gaierror(-2, "Name or service not known"), ConnectionRefusedError(), TimeoutError()):
        assert "ss@" not in told(error, at)[0]
    assert "`%40`" in told(socket.gaierror(-2, ""), at)[1]
