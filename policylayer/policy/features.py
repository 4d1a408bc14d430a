"""Pure: the parts of the language that this build reads but does not enforce yet.

Using one is a load error, never accepted and ignored. Enabling one is removing its word from the set. Must not know how
any of them works; `shapes` asks this set for each key that carries a feature's name.
"""

from __future__ import annotations

from typing import Final

NOT_ENFORCED: Final[frozenset[str]] = frozenset(
    {
        "risk",
        "traits",
    }
)
