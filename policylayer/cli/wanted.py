"""Values that commands are given, looked at before anyone is asked: the wrong one is named, and what it should be.

The API refuses the same values in its own words. Must not know what they are for.
"""

from __future__ import annotations

from typing import Final

from policylayer.cli.exits import UsageError
from policylayer.config import values

WEEK: Final = 7 * 86400
LONGEST: Final = 200
"""Characters of a name, as the API takes it."""


def grant_name(text: str) -> str:
    """What a grant is to be called."""
    if not text.strip():
        raise UsageError("a grant needs a name", "as in `policylayer grant create my-agent …`")
    if len(text) > LONGEST:
        raise UsageError(f"a grant's name has up to {LONGEST} characters", "choose a shorter one")
    return text


def principal(text: str) -> str:
    """`--principal`."""
    if not values.is_principal(text):
        raise UsageError(f"--principal cannot be `{text}`", "write it like `agent:dev` or `user:ada@example.com`")
    return text


def servers(text: str) -> list[str]:
    """`--servers a,b`."""
    named = [name.strip() for name in text.split(",")]
    wrong = next((name for name in named if not values.is_server_name(name)), None)
    if wrong is not None:
        said = f"`{wrong}` is no server's name" if wrong else "there is none"
        raise UsageError(
            f"--servers names servers: {said}", "as in `--servers shop,files`, names as in the configuration"
        )
    return list(dict.fromkeys(named))


def overlap(text: str) -> int:
    """`--overlap 5m`, or seconds."""
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else values.duration(text)
    if seconds is None or seconds > WEEK:
        raise UsageError(f"--overlap cannot be `{text}`", "a duration up to `7d`: `30s`, `5m`, `1h`")
    return seconds
