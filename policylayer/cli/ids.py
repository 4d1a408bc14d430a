"""Ids that commands are given, before they stand in a path of the API: `../grants/x` would be another path there.

What cannot be an id is refused as the API refuses one that it does not know. Must not know the routes.
"""

from __future__ import annotations

import re
from typing import Final

from policylayer.api.problem import NEWEST, NO_TOKEN, TOKENS
from policylayer.cli.exits import CommandError
from policylayer.core.errors import UNKNOWN, WAIVERS

FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""As routes take it (`api/route.py`): none of it means anything in a URL."""


def approval(id: str) -> str:
    """An approval's id."""
    return _id(id, "there is no such approval", UNKNOWN)


def waiver(id: str) -> str:
    """A waiver's id."""
    return _id(id, "no such waiver stands", WAIVERS)


def decision(id: str) -> str:
    """The id of a recorded decision."""
    return _id(id, "there is no such decision", NEWEST)


def token(id: str) -> str:
    """A token's id."""
    return _id(id, NO_TOKEN, TOKENS)


def _id(id: str, message: str, help: str) -> str:
    if FORM.fullmatch(id) is None:
        raise CommandError(message, help)
    return id
