"""Pure: how the program's values are made: classes of fields that nobody changes.

To the type checker an `@immutable` is a frozen dataclass, so that assigning to a field is an error in `make check`.
When the program runs it is a plain one with slots: a frozen one sets each field by a call of its own, which for the
values that every call makes comes to a tenth of all that the proxy does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T", bound=type[Any])


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: T) -> T:
    """Make a class of fields: equal and hashed by them, and not to be changed."""
    return cast(T, dataclass(slots=True, unsafe_hash=True)(cls))
