"""What stands for a value that is not to be kept: a keyed digest of it, the same for equal values.

So an auditor who holds the key can look for a value that the log does not hold, and charges by one value are one
counter. Must not know what is masked (`core/redact.py`) nor rows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from policylayer.core.call import Json
from policylayer.core.canonical import canonical
from policylayer.core.decision import Charge
from policylayer.keys import Keys, text
from policylayer.store.rows import storable

SIZE: Final = 16
"""Bytes."""


def mark(keys: Keys, value: Json) -> str:
    """What stands for it now."""
    return text(keys.digest(_told(value))[:SIZE])


def marks(keys: Keys, value: Json) -> tuple[str, ...]:
    """What stands for it in rows of each key's time, the current one's first."""
    return tuple(text(digest[:SIZE]) for digest in keys.digests(_told(value)))


def key_of(keys: Keys, charge: Charge) -> str:
    """The key of what a call is charged to, as it is kept now."""
    return keys_of(keys, charge)[0]


def keys_of(keys: Keys, charge: Charge) -> tuple[str, ...]:
    """The same as it was kept in each key's time, the current one's first."""
    if not charge.private:
        return (storable(charge.key),)
    told = b"limit " + sha256(charge.key.encode("utf-8", "surrogatepass")).digest()
    return tuple(f"keyed:{text(digest[:SIZE])}" for digest in keys.digests(told))


def _told(value: Json) -> bytes:
    return b"value " + sha256(canonical(value)).digest()
