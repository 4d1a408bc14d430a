"""What one route says of itself: everything that routing, authorisation, checking, OpenAPI and tests need.

Must not know any particular route (`table.py`) nor how requests are run (`endpoint.py`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Final, Literal, TypeAlias

from policylayer.api.services import Services
from policylayer.core.immutable import immutable
from policylayer.identity.person import Person, Role

TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 512}


@immutable
class Parameter:
    """One query parameter; `schema` is JSON Schema of a string or an integer."""

    name: str
    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: TEXT)


@immutable
class Asked:
    """One authorised, checked request, as handlers see it."""

    services: Services
    person: Person
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]


Handler: TypeAlias = "Callable[[Asked], Awaitable[Any]]"
"""Answers a JSON value, or raises `Problem`."""


@immutable
class Route:
    """One method of one path. `role` is the least that may; `answer` and `body` name schemas of `schemas.py`.

    `problems` are the codes that the handler may answer, beside those that every route can.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    role: Role
    name: str
    about: str
    handler: Handler
    answer: str
    status: int = 200
    query: tuple[Parameter, ...] = ()
    body: str | None = None
    problems: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    def pattern(self) -> re.Pattern[str]:
        """Matches the paths, below the API's prefix, that are this route's."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[A-Za-z0-9_-]{1,128})", self.path.replace(".", r"\.")))
