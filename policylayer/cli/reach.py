"""How a command reaches the proxy's state: through its API, or, on its own machine, through the database.

Both ways answer the same questions in the same words (the API's), so a command does not know which it has. With
`-c FILE` whoever may read the key file may do everything but vote: approving and denying need a person's token.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from policylayer.cli.exits import CommandError, UsageError

DEFAULT: Final = Path("policylayer.yaml")
UNFIT: Final = ("bad_parameter", "bad_body")
"""Codes of what was not asked as it can be."""

VOTES: Final = ("/approve", "/deny")


class Reach(Protocol):
    """Asks the API's questions. What the answer says of a problem becomes a `CommandError`."""

    @property
    def url(self) -> str:
        """Where clients reach the proxy, as far as is known here."""

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON that the route answers."""


@contextlib.contextmanager
def reach(config: Path | None, url: str | None, token: str | None, program: str) -> Iterator[Reach]:
    """The way that the options name; without any, `policylayer.yaml` here."""
    if config is not None and url is not None and url != os.environ.get("POLICYLAYER_URL"):
        raise UsageError("-c and --url are two ways to the proxy", "give one of them")
    if config is None and url is None and DEFAULT.exists():
        config = DEFAULT
    if config is not None:
        from policylayer.cli.local import Local

        with Local(config, token, program) as local:
            yield local
    elif url is not None:
        if not token:
            raise UsageError("the API needs a person's token", "give --token, or set POLICYLAYER_TOKEN")
        from policylayer.cli.remote import Remote

        with Remote(url, token) as remote:
            yield remote
    else:
        raise UsageError(
            "where is the proxy?", "give --url URL and --token TOKEN, or -c FILE on its machine (or be in its folder)"
        )


def every(proxy: Reach, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """All that a listing has, page by page."""
    page = proxy.ask("GET", path, query)
    yield from page["items"]
    while page["next"] is not None:
        page = proxy.ask("GET", path, {**(query or {}), "cursor": page["next"]})
        yield from page["items"]


def problem(value: Any, status: int) -> CommandError:
    """What an API problem becomes."""
    said = value if isinstance(value, dict) else {}
    detail = str(said.get("detail") or f"the API answered {status}")
    code = str(said.get("code", ""))
    kind = UsageError if code in UNFIT else CommandError
    return kind(detail, str(said.get("help") or _help_for(code)))


def _help_for(code: str) -> str:
    return {
        "unauthenticated": "look at --token: `policylayer token list -c FILE` on the proxy's machine shows which stand",
        "insufficient_role": "use a token with that role (`policylayer token create --role …`)",
        "too_many_attempts": "wait a few seconds, and look at the token",
        "self_approval": "another person must decide",
        "not_an_approver": "the rule's `approvers` say who may decide",
        "waiver": "approve without --similar, or ask for less",
    }.get(code, "")


def user() -> str:
    """The principal of someone who works on the proxy's own files."""
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"local:{''.join(c for c in name if (c.isascii() and c.isalnum()) or c in '._-') or 'unknown'}"
