"""What PostgreSQL says where it does not do what we ask, or the way to it, in our words, and with what to do.

The texts of Python's own errors are nobody's business, and a URL is never shown: a password that is not written as a
URL wants it ends up in its other parts. Must not know what was asked.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

import asyncpg
from sqlalchemy.engine import URL

from policylayer.core.errors import REACH, rights
from policylayer.store.backend import bare

PORT: Final = 5432
ENCODE: Final = "in a user or password write `@` as `%40`, `/` as `%2F`, `:` as `%3A`, `%` as `%25`"
NAME: Final = f"is the host in `database` right? {ENCODE[0].upper()}{ENCODE[1:]}"
LOGIN: Final = f"are user and password in `database` right? {ENCODE[0].upper()}{ENCODE[1:]}"
NO_DATABASE: Final = "make it as its owner (`CREATE DATABASE`), or name another in `database`"
LATER: Final = "try again in a moment"


def told(error: BaseException, at: URL, denied: str | None = None) -> tuple[str, str]:
    """What failed there, and what to do; `denied`: where its role lacks a right."""
    cause = bare(error)
    if isinstance(cause, asyncpg.PostgresError):
        return str(cause), _help(cause, denied or rights(at.username))
    place = _place(at)
    if isinstance(cause, socket.gaierror):
        return "the name of its host is not known", NAME
    if isinstance(cause, TimeoutError):
        return f"{place} does not answer in time", REACH
    if isinstance(cause, ssl.SSLError) or "SSL" in str(cause):
        return f"{place} takes no encrypted connection as we ask for it", "look at `sslmode` in `database`"
    if isinstance(cause, OSError):
        return f"nothing answers at {place}", REACH
    return str(cause) or "the connection failed", REACH


def _help(error: asyncpg.PostgresError, denied: str) -> str:
    """By what the server said."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.InvalidSchemaNameError):  # it sees no schema
        return denied
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return LOGIN
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return NO_DATABASE
    if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError):
        return LATER
    return REACH


def _place(at: URL) -> str:
    """Where it is, unless what stands there may be the end of a password."""
    if at.host is None or "@" in f"{at.host}{at.database}":
        return "the host in `database`"
    return f"`{at.host}:{at.port or PORT}`"
