"""What stands for a masked value in the decision log: a keyed digest of it, the same for equal values.

So an auditor who holds the key can look for a value that the log does not hold. Must not know what is masked
(`core/redact.py`) nor rows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from policylayer.core.call import Json
from policylayer.core.canonical import canonical
from policylayer.keys import Keys, text

SIZE: Final = 16
"""Bytes."""


def mark(keys: Keys, value: Json) -> str:
    """What stands for it now."""
    return text(keys.digest(_told(value))[:SIZE])


def marks(keys: Keys, value: Json) -> tuple[str, ...]:
    """What stands for it in rows of each key's time, the current one's first."""
    return tuple(text(digest[:SIZE]) for digest in keys.digests(_told(value)))


def _told(value: Json) -> bytes:
    return b"value " + sha256(canonical(value)).digest()
