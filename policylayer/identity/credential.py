"""What a bearer credential of ours looks like, how one is made, and how one is read from a header.

`plg_<prefix>_<secret>` is a grant's, `plt_…` a person's. The prefix is public and finds the row; only the SHA-256 of
the whole text is kept. Must not know the database (`grants.py`, `tokens.py`) nor who presents it (`authenticator.py`).
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Final

from policylayer.keys import text

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
PREFIX_LENGTH: Final = 8
SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rb"(plg|plt)_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_HEADER: Final = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] ([\x21-\x7e]{1,256})")


class Sort(StrEnum):
    """Whose credential it is, as its text begins."""

    GRANT = "plg"
    PERSON = "plt"


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """A credential of our form, as presented; whether anyone holds it is not known yet."""

    sort: Sort
    prefix: str
    hash: bytes

    def matches(self, kept: bytes) -> bool:
        """Whether it is the one whose hash was kept, in constant time."""
        return hmac.compare_digest(self.hash, kept)


@dataclass(frozen=True, slots=True, repr=False)
class Minted:
    """A fresh credential: `token` is shown once, `prefix` and `hash` are kept."""

    token: str
    prefix: str
    hash: bytes


def mint(sort: Sort) -> Minted:
    """Make a credential of 256 random bits."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(PREFIX_LENGTH))
    token = f"{sort}_{prefix}_{text(secrets.token_bytes(SECRET_BYTES))}"
    return Minted(token, prefix, sha256(token.encode()).digest())


@lru_cache(maxsize=512)
def presented(authorization: bytes, sort: Sort) -> Presented | None:
    """The credential in an Authorization header's value, or None unless it is exactly one of that sort.

    The scheme is read without regard to case, everything else exactly: one space, no further parameters, and a length
    that bounds the work. JWTs have another form, and are nobody's here.
    """
    header = _HEADER.fullmatch(authorization)
    form = _FORM.fullmatch(header[1]) if header else None
    if form is None or form[1] != sort.encode():
        return None
    return Presented(sort, form[2].decode(), sha256(form[0]).digest())
